#include "tpumlir/dialect/top/TopDialect.h"

using namespace mlir;

namespace tpumlir::top {

LogicalResult ReduceOp::inferTypes(SmallVectorImpl<Type> &types) {
  ArrayRef<int64_t> input = shapeOf(getInput());
  FailureOr<SmallVector<int64_t>> axes =
      resolveAxes(*this, getAxes(), int64_t(input.size())); // (C1)
  if (failed(axes))
    return failure();
  SmallVector<int64_t> shape;
  for (auto [axis, extent] : llvm::enumerate(input)) {
    if (!llvm::is_contained(*axes, int64_t(axis)))
      shape.push_back(extent);
    else if (getKeepdims())
      shape.push_back(1);
  }
  if (shape.empty() && getIsScalar())
    shape.push_back(1);
  types.push_back(typeLike(getInput(), shape));
  return success();
}

void ReduceOp::normalizeAttributes() {
  SmallVector<int64_t> axes =
      *resolveAxes(*this, getAxes(), rankOf(getInput()));
  llvm::sort(axes);
  setAxesAttr(Builder(getContext()).getI64ArrayAttr(axes));
}

LogicalResult ArgOp::inferTypes(SmallVectorImpl<Type> &types) {
  FailureOr<int64_t> axis =
      resolveAxis(*this, getAxis(), rankOf(getInput())); // (C1)
  if (failed(axis))
    return failure();
  SmallVector<int64_t> shape(shapeOf(getInput()));
  if (getKeepdims())
    shape[*axis] = 1;
  else
    shape.erase(shape.begin() + *axis);
  types.push_back(
      RankedTensorType::get(shape, IntegerType::get(getContext(), 32)));
  types.push_back(isNone(getValues()) ? getValues().getType()
                                      : Type(typeLike(getInput(), shape)));
  return success();
}

void ArgOp::normalizeAttributes() {
  setAxisAttr(Builder(getContext())
                  .getI64IntegerAttr(
                      *resolveAxis(*this, getAxis(), rankOf(getInput()))));
}

LogicalResult CumSumOp::inferTypes(SmallVectorImpl<Type> &types) {
  if (failed(resolveAxis(*this, getAxis(), rankOf(getInput())))) // (C1)
    return failure();
  types.push_back(getInput().getType());
  return success();
}

void CumSumOp::normalizeAttributes() {
  setAxisAttr(Builder(getContext())
                  .getI64IntegerAttr(
                      *resolveAxis(*this, getAxis(), rankOf(getInput()))));
}

} // namespace tpumlir::top
