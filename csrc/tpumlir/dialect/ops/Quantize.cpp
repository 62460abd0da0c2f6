#include "tpumlir/dialect/top/TopDialect.h"

using namespace mlir;

namespace tpumlir::top {

/// Whether numbers of `shape` are for the whole tensor, whatever the axis.
static bool isOne(ArrayRef<int64_t> shape) {
  return shape.size() <= 1 && elementsOf(shape) == 1;
}

/// What must be there, before any shape is known.
template <typename Op> static LogicalResult verifyParameters(Op op) {
  auto scales = op.getScales();
  auto zeros = op.getZeroPoints();
  size_t operands = op.getParameters().size();
  if (operands > 2 || (operands == 0) != bool(scales) ||
      (operands > 0 && zeros)) // (C1)
    return op.emitOpError("expected a scale and a zero point as attributes or "
                          "as one or two operands, got ")
           << operands << " operands" << (scales ? " and a scale" : "")
           << (zeros ? " and a zero point" : "");
  return success();
}

/// As many numbers as one, the axis or its blocks take.
template <typename Op>
static LogicalResult checkParameter(Op op, StringRef what,
                                    ArrayRef<int64_t> shape) {
  if (isOne(shape))
    return success();
  ArrayRef<int64_t> input = shapeOf(op.getInput());
  FailureOr<int64_t> axis =
      resolveAxis(op, op.getAxis(), rankOf(op.getInput()));
  if (failed(axis)) // (C4)
    return failure();
  if (shape.size() == 1) {
    if (shape[0] == input[*axis])
      return success();
    return op.emitOpError("expected ") // (C2)
           << input[*axis] << " numbers in the " << what << " for axis "
           << *axis << ", got " << shape[0];
  }
  int64_t block = op.getBlockSize().value_or(0);
  SmallVector<int64_t> want(input);
  if (block >= 1)
    want[*axis] = (input[*axis] + block - 1) / block;
  if (block < 1 || shape != ArrayRef<int64_t>(want)) // (C3)
    return op.emitOpError("expected a ")
           << what << " with one number for " << block << " of axis " << *axis
           << " of [" << input << "], got [" << shape << "]";
  return success();
}

template <typename Op>
static LogicalResult inferScaled(Op op, DType dtype,
                                 SmallVectorImpl<Type> &types) {
  StringRef names[] = {"scale", "zero point"};
  for (auto [what, operand] : llvm::zip(names, op.getParameters()))
    if (failed(checkParameter(op, what, shapeOf(operand))))
      return failure();
  auto count = [](const auto &numbers) { return int64_t(numbers->size()); };
  if (auto scales = op.getScales())
    if (failed(checkParameter(op, names[0], {count(scales)})))
      return failure();
  if (auto zeros = op.getZeroPoints())
    if (failed(checkParameter(op, names[1], {count(zeros)})))
      return failure();
  types.push_back(RankedTensorType::get(shapeOf(op.getInput()),
                                        builtinType(op.getContext(), dtype)));
  return success();
}

/// An axis that nothing depends on may be out of range.
template <typename Op> static void normalizeAxis(Op op) {
  int64_t rank = rankOf(op.getInput()), axis = op.getAxis();
  if (axis < 0 && axis >= -rank)
    op.setAxis(axis + rank);
}

LogicalResult QuantizeLinearOp::verify() {
  if (failed(verifyParameters(*this)))
    return failure();
  if (!getTo()) // (C5)
    return emitOpError("expected `to`, the integer type of the result, got "
                       "none (import the ONNX model with model_transform of "
                       "this tool, which writes it)");
  auto [low, high] = rangeOf(*getTo());
  if (auto zeros = getZeroPoints())
    for (int64_t zero : *zeros) // (C6)
      if (zero < low || zero > high)
        return emitOpError("expected zero points of ")
               << stringifyStoredType(*getTo()) << ", got " << zero;
  return success();
}

LogicalResult QuantizeLinearOp::inferTypes(SmallVectorImpl<Type> &types) {
  return inferScaled(*this, DType::I32, types);
}

void QuantizeLinearOp::normalizeAttributes() { normalizeAxis(*this); }

LogicalResult DequantizeLinearOp::verify() { return verifyParameters(*this); }

LogicalResult DequantizeLinearOp::inferTypes(SmallVectorImpl<Type> &types) {
  return inferScaled(*this, DType::F32, types);
}

void DequantizeLinearOp::normalizeAttributes() { normalizeAxis(*this); }

} // namespace tpumlir::top
