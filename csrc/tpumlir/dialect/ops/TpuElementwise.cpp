#include "tpumlir/dialect/ops/TpuVerify.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace tpumlir::tpu {

/// (C1)
static LogicalResult verifyOperands(Operation *op, bool exactlyTwo) {
  size_t count = op->getNumOperands();
  if (count < 2 || (exactlyTwo && count != 2))
    return op->emitOpError("expected ") << (exactlyTwo ? "two" : "at least two")
                                        << " operands, got " << count;
  return checkBroadcast(op, op->getOperands());
}

/// (C1) and (C2) of Add and Mul, with the zero points that they take.
static LogicalResult verifyBytes(Operation *op) {
  size_t count = llvm::count_if(op->getOperands(), [](Value value) {
    return bool(Quantization::of(value));
  });
  bool result = bool(Quantization::of(op->getResult(0)));
  if (count == 0 && !result)
    return verifyOperands(op, false);
  if (count != 2 || op->getNumOperands() != 2 || !result) // (C2)
    return op->emitOpError("expected two quantised operands and a quantised "
                           "result, or none, got ")
           << count << " of " << op->getNumOperands() << " operands";
  return verifyOperands(op, true);
}

LogicalResult AddOp::verify() {
  if (failed(verifyBytes(*this)))
    return failure();
  std::optional<Quantization> result = Quantization::of(getOutput());
  if (!result)
    return success();
  SmallVector<Quantization> operands;
  for (Value value : getInputs())
    operands.push_back(*Quantization::of(value));
  if (!RescaledSum::of(operands, *result))
    return emitOpError("expected operands whose steps are at most 255 times "
                       "that of the result, got ")
           << getElementTypeOrSelf(getOutput().getType());
  return success();
}
LogicalResult SubOp::verify() { return verifyOperands(*this, true); }
LogicalResult MulOp::verify() { return verifyBytes(*this); }
LogicalResult DivOp::verify() { return verifyOperands(*this, true); }
/// Of integers the greatest is that of the numbers if they have one scale.
static LogicalResult verifyExtreme(Operation *op, bool doRelu) {
  auto element = [](Value value) {
    return getElementTypeOrSelf(value.getType());
  };
  Value result = op->getResult(0);
  for (Value operand : op->getOperands())
    if ((isQuantized(operand) || isQuantized(result)) &&
        (element(operand) != element(result) || doRelu)) // (C2)
      return op->emitOpError("expected quantised operands of the result's type "
                             "and no Relu, got ")
             << element(operand) << " and " << element(result);
  return verifyOperands(op, false);
}

LogicalResult MaxOp::verify() { return verifyExtreme(*this, getDoRelu()); }
LogicalResult MinOp::verify() { return verifyExtreme(*this, getDoRelu()); }

LogicalResult ModOp::verify() { return verifyOperands(*this, true); }
LogicalResult Pow3Op::verify() { return verifyOperands(*this, true); }

LogicalResult CompareOp::verify() {
  if (getMode() == top::CompareMode::Not) // (C2)
    return emitOpError("expected a mode of two operands, got Not");
  return checkBroadcast(*this, getOperands()); // (C1)
}

LogicalResult CompareConstOp::verify() {
  if (top::CompareMode mode = getMode();
      mode == top::CompareMode::And || mode == top::CompareMode::Xor) // (C1)
    return emitOpError("expected a relation or Not, got ")
           << top::stringifyCompareMode(mode);
  return success();
}

LogicalResult WhereOp::verify() {
  SmallVector<Value> operands{getCond()};
  for (auto [branch, isConst] : {std::pair(getTbrn(), getXIsConst()),
                                 std::pair(getFbrn(), getYIsConst())}) {
    if (top::isNone(branch) != isConst) // (C2)
      return emitOpError("expected a branch that is none exactly if it is a "
                         "number, got ")
             << branch.getType();
    if (!isConst)
      operands.push_back(branch);
  }
  return checkBroadcast(*this, operands); // (C1)
}

LogicalResult BitwiseOp::verify() {
  SmallVector<Value> operands{getLhs()};
  if (!top::isNone(getRhs()))
    operands.push_back(getRhs());
  for (Value operand : operands) // (C2)
    if (dtypeOf(operand) != DType::I32)
      return emitOpError("expected elements of i32, got ") << operand.getType();
  return checkBroadcast(*this, operands); // (C1)
}

LogicalResult ScaleOp::verify() {
  ArrayRef<int64_t> input = top::shapeOf(getInput());
  if (input.size() < 2)
    return emitOpError("expected an input of rank 2 or more, got ")
           << input.size();
  for (Value factor : {getScale(), getBias()}) // (C1)
    if (top::elementsOf(top::shapeOf(factor)) != input[1])
      return emitOpError("expected scale and bias of ")
             << input[1] << " elements, got "
             << top::elementsOf(top::shapeOf(factor));
  return checkShape(*this, input);
}

} // namespace tpumlir::tpu
