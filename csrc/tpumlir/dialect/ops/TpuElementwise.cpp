#include "tpumlir/dialect/ops/TpuVerify.h"

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

LogicalResult AddOp::verify() { return verifyOperands(*this, false); }
LogicalResult SubOp::verify() { return verifyOperands(*this, true); }
LogicalResult MulOp::verify() { return verifyOperands(*this, false); }
LogicalResult DivOp::verify() { return verifyOperands(*this, true); }
LogicalResult MaxOp::verify() { return verifyOperands(*this, false); }
LogicalResult MinOp::verify() { return verifyOperands(*this, false); }

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
