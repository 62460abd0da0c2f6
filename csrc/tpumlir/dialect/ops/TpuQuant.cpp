#include "tpumlir/dialect/ops/TpuVerify.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace tpumlir::tpu {

/// (C1), (C2)
template <typename OpTy> static LogicalResult verifyBytes(OpTy op) {
  if (!Quantization::of(op.getInput()) || !Quantization::of(op.getOutput()))
    return op.emitOpError("expected tensors quantised to 8 bits with one scale "
                          "each, got ")
           << getElementTypeOrSelf(op.getInput().getType()) << " and "
           << getElementTypeOrSelf(op.getOutput().getType());
  return checkShape(op, top::shapeOf(op.getInput()));
}

/// (C1), (C2) of what has a factor and an offset per channel.
template <typename OpTy>
static LogicalResult verifyChannels(OpTy op, ArrayRef<Value> tensors) {
  ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  for (Value value : tensors)
    if (!Quantization::ofAny(value) || top::shapeOf(value) != shape)
      return op.emitOpError(
                 "expected tensors of one shape, quantised to 8 bits with one "
                 "scale, or one per channel and one zero point, got ")
             << value.getType() << " beside " << op.getInput().getType();
  Value multi = op.getMulti();
  if (shape.size() < 2 || dtypeOf(multi) != DType::F32 ||
      top::elementsOf(top::shapeOf(multi)) != 2 * shape[1])
    return op.emitOpError("expected multi of two f32 for each channel of ")
           << op.getInput().getType() << ", got " << multi.getType();
  return checkShape(op, shape);
}

LogicalResult LutOp::verify() {
  if (top::elementsOf(top::shapeOf(getTable())) != 256 ||
      Quantization::of(getTable()) != Quantization::of(getOutput()))
    return emitOpError("expected a table of 256 elements of ")
           << getElementTypeOrSelf(getOutput().getType()) << ", got "
           << getTable().getType();
  return verifyBytes(*this);
}

/// (C3)
template <typename OpTy> static LogicalResult verifyBounds(OpTy op) {
  Quantization type = *Quantization::ofAny(op.getOutput());
  int64_t least = op.getLeast().value_or(type.least());
  int64_t greatest = op.getGreatest().value_or(type.greatest());
  if (least < type.least() || greatest > type.greatest() || least > greatest)
    return op.emitOpError("expected least and greatest within [")
           << type.least() << ", " << type.greatest() << "], got " << least
           << " and " << greatest;
  return success();
}

LogicalResult RequantFpOp::verify() {
  return failed(verifyBytes(*this)) ? failure() : verifyBounds(*this);
}

LogicalResult RequantFpAxisOp::verify() {
  return failed(verifyChannels(*this, {getInput(), getOutput()}))
             ? failure()
             : verifyBounds(*this);
}

LogicalResult MulFpAxisOp::verify() {
  return verifyChannels(*this, {getInput(), getGate(), getOutput()});
}

LogicalResult checkQuantized(Operation *op, ValueRange tensors, Value bias,
                             Value multi, int64_t columns) {
  size_t count = llvm::count_if(
      tensors, [](Value value) { return tpumlir::isQuantized(value); });
  auto isThere = [](Value value) { return value && !top::isNone(value); };
  if (count != 0 && count != tensors.size())
    return op->emitOpError(
               "expected all operands and the result to be quantised, or none, "
               "got ")
           << count << " of " << tensors.size();
  if (count == 0)
    return isThere(multi)
               ? op->emitOpError("expected no multi for floats, got ")
                     << multi.getType()
               : success();
  for (Value value : tensors)
    if (auto type = ElementType::of(value); !type || type->bytes() != 1)
      return op->emitOpError("expected integers of 8 bits, got ")
             << getElementTypeOrSelf(value.getType());
  for (auto [i, value] : llvm::enumerate(tensors))
    if (i != 1 && !Quantization::ofAny(value))
      return op->emitOpError("expected one scale, or one per channel and one "
                             "zero point, got ")
             << getElementTypeOrSelf(value.getType());
  // That of one that is computed is a field of the command.
  if (tensors[1].getDefiningOp<top::WeightOp>() &&
      llvm::any_of(ElementType::of(tensors[1])->zeroPoints,
                   [](int64_t zero) { return zero != 0; }))
    return op->emitOpError("expected a filter without zero point, got ")
           << getElementTypeOrSelf(tensors[1].getType());
  if (isThere(bias))
    return op->emitOpError(
               "expected the bias of integers in the offsets of multi, got ")
           << bias.getType();
  if (!isThere(multi) || top::elementsOf(top::shapeOf(multi)) != 2 * columns)
    return op->emitOpError("expected multi of ")
           << columns << " factors and offsets, got "
           << (isThere(multi) ? multi.getType()
                              : NoneType::get(op->getContext()));
  return success();
}

} // namespace tpumlir::tpu
