#include "tpumlir/dialect/top/TopDialect.h"

using namespace mlir;

namespace tpumlir::top {

LogicalResult GatherOp::inferTypes(SmallVectorImpl<Type> &types) {
  ArrayRef<int64_t> input = shapeOf(getInput()),
                    indices = shapeOf(getIndices());
  FailureOr<int64_t> axis =
      resolveAxis(*this, getAxis(), int64_t(input.size())); // (C1)
  if (failed(axis))
    return failure();
  SmallVector<int64_t> shape(input.take_front(*axis));
  if (getKeepdims() || elementsOf(indices) != 1)
    llvm::append_range(shape, indices);
  llvm::append_range(shape, input.drop_front(*axis + 1));
  if (shape.empty() && getIsScalar())
    shape.push_back(1);
  types.push_back(typeLike(getInput(), shape));
  return success();
}

void GatherOp::normalizeAttributes() {
  setAxisAttr(Builder(getContext())
                  .getSI32IntegerAttr(int32_t(
                      *resolveAxis(*this, getAxis(), rankOf(getInput())))));
}

/// `indices` has the input's rank and exceeds it in no axis but `axis`.
static LogicalResult checkIndices(Operation *op, Value input, Value indices,
                                  int64_t axis) {
  ArrayRef<int64_t> whole = shapeOf(input), part = shapeOf(indices);
  bool fits = whole.size() == part.size();
  for (size_t i = 0; fits && i < whole.size(); ++i)
    fits = int64_t(i) == axis || part[i] <= whole[i];
  if (!fits)
    return op->emitOpError("expected indices within [")
           << whole << "] but for axis " << axis << ", got [" << part << "]";
  return success();
}

LogicalResult GatherElementsOp::inferTypes(SmallVectorImpl<Type> &types) {
  FailureOr<int64_t> axis =
      resolveAxis(*this, getAxis(), rankOf(getInput())); // (C1)
  if (failed(axis) ||
      failed(checkIndices(*this, getInput(), getIndices(), *axis))) // (C2)
    return failure();
  types.push_back(typeLike(getInput(), shapeOf(getIndices())));
  return success();
}

void GatherElementsOp::normalizeAttributes() {
  setAxis(*resolveAxis(*this, getAxis(), rankOf(getInput())));
}

LogicalResult GatherNDOp::inferTypes(SmallVectorImpl<Type> &types) {
  ArrayRef<int64_t> input = shapeOf(getInput()),
                    indices = shapeOf(getIndices());
  int64_t batch = getBatchDims();
  if (batch < 0 || batch >= int64_t(input.size()) ||
      batch >= int64_t(indices.size())) // (C1)
    return emitOpError("expected batch_dims below both ranks (")
           << input.size() << " and " << indices.size() << "), got " << batch;
  if (input.take_front(batch) != indices.take_front(batch)) // (C2)
    return emitOpError("expected equal batch axes, got [")
           << input.take_front(batch) << "] and [" << indices.take_front(batch)
           << "]";
  int64_t tuple = indices.back();
  if (tuple < 1 || tuple > int64_t(input.size()) - batch) // (C3)
    return emitOpError("expected index tuples of 1 to ")
           << int64_t(input.size()) - batch << ", got " << tuple;
  SmallVector<int64_t> shape(indices.drop_back());
  llvm::append_range(shape, input.drop_front(batch + tuple));
  types.push_back(typeLike(getInput(), shape));
  return success();
}

LogicalResult ScatterElementsOp::inferTypes(SmallVectorImpl<Type> &types) {
  FailureOr<int64_t> axis =
      resolveAxis(*this, getAxis(), rankOf(getInput())); // (C1)
  if (failed(axis))
    return failure();
  if (shapeOf(getIndices()) != shapeOf(getUpdates())) // (C2)
    return emitOpError("expected indices and updates of one shape, got [")
           << shapeOf(getIndices()) << "] and [" << shapeOf(getUpdates())
           << "]";
  if (failed(checkIndices(*this, getInput(), getIndices(), *axis)))
    return failure();
  types.push_back(getInput().getType());
  return success();
}

void ScatterElementsOp::normalizeAttributes() {
  setAxis(*resolveAxis(*this, getAxis(), rankOf(getInput())));
}

LogicalResult ScatterNDOp::inferTypes(SmallVectorImpl<Type> &types) {
  ArrayRef<int64_t> input = shapeOf(getInputData()),
                    indices = shapeOf(getIndices());
  if (indices.empty() || indices.back() < 1 ||
      indices.back() > int64_t(input.size())) // (C1)
    return emitOpError("expected index tuples of 1 to ")
           << input.size() << ", got indices [" << indices << "]";
  SmallVector<int64_t> want(indices.drop_back());
  llvm::append_range(want, input.drop_front(indices.back()));
  if (shapeOf(getUpdates()) != ArrayRef<int64_t>(want)) // (C2)
    return emitOpError("expected updates of shape [")
           << ArrayRef(want) << "], got [" << shapeOf(getUpdates()) << "]";
  types.push_back(getInputData().getType());
  return success();
}

LogicalResult TopKOp::inferTypes(SmallVectorImpl<Type> &types) {
  SmallVector<int64_t> shape(shapeOf(getInput()));
  FailureOr<int64_t> axis =
      resolveAxis(*this, getAxis(), int64_t(shape.size())); // (C1)
  if (failed(axis))
    return failure();
  int64_t k = getK();
  if (Value operand = getKT()) {
    FailureOr<SmallVector<int64_t>> constant = constantI64s(operand);
    if (failed(constant) || constant->size() != 1)
      return emitOpError("expected kT to be a weight of one element, got a "
                         "run-time tensor (a static shape is needed)");
    k = constant->front();
  }
  if (k < 1 || k > shape[*axis]) // (C2)
    return emitOpError("expected K in [1, ") << shape[*axis] << "], got " << k;
  shape[*axis] = k;
  types.push_back(isNone(getValues()) ? getValues().getType()
                                      : Type(typeLike(getInput(), shape)));
  types.push_back(isNone(getIndices())
                      ? getIndices().getType()
                      : Type(RankedTensorType::get(
                            shape, IntegerType::get(getContext(), 32))));
  return success();
}

void TopKOp::normalizeAttributes() {
  setAxis(*resolveAxis(*this, getAxis(), rankOf(getInput())));
  Value operand = getKT();
  if (!operand)
    return;
  setK(constantI64s(operand)->front());
  getKTMutable().clear();
}

LogicalResult TriluOp::verify() {
  auto type = llvm::dyn_cast<RankedTensorType>(getInput().getType());
  if (type && type.getRank() < 2) // (C1)
    return emitOpError("expected an input of at least rank 2, got ")
           << type.getRank();
  return success();
}

} // namespace tpumlir::top
