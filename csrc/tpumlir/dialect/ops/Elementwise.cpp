#include "tpumlir/dialect/top/TopDialect.h"

using namespace mlir;

namespace tpumlir::top {

/// (C3) of Add and Sub.
template <typename Op> static LogicalResult verifyCoeff(Op op) {
  std::optional<SmallVector<double>> coeff = op.getCoeff();
  if (coeff && coeff->size() != op.getInputs().size())
    return op.emitOpError("expected a coeff for each of ")
           << op.getInputs().size() << " operands, got " << coeff->size();
  return success();
}

LogicalResult AddOp::verify() { return verifyCoeff(*this); }
LogicalResult SubOp::verify() { return verifyCoeff(*this); }

LogicalResult BitwiseOp::verify() {
  for (Type type : getOperandTypes()) // (C3)
    if (dtypeOf(type) != DType::I32)
      return emitOpError("expected operands of i32, got ") << type;
  return success();
}

LogicalResult CompareOp::inferTypes(SmallVectorImpl<Type> &types) {
  if (getMode() == CompareMode::Not) // (C2)
    return emitOpError("expected a mode of two operands, got Not");
  return inferBroadcast(*this, getOperands(), 2, 2, types);
}

LogicalResult WhereOp::inferTypes(SmallVectorImpl<Type> &types) {
  if (isNone(getTbrn()) != getXIsConst()) // (C2)
    return emitOpError("expected the true branch to be none exactly if "
                       "x_is_const, got ")
           << getTbrn().getType() << " and " << getXIsConst();
  if (isNone(getFbrn()) != getYIsConst())
    return emitOpError("expected the false branch to be none exactly if "
                       "y_is_const, got ")
           << getFbrn().getType() << " and " << getYIsConst();
  if (failed(inferBroadcast(*this, getOperands(), 3, 3, types)))
    return failure();
  // The condition has a say in the shape, not in the element type.
  Type element = Float32Type::get(getContext());
  for (Value branch : {getFbrn(), getTbrn()})
    if (auto type = llvm::dyn_cast<TensorType>(branch.getType()))
      element = type.getElementType();
  types.back() = RankedTensorType::get(
      llvm::cast<RankedTensorType>(types.back()).getShape(), element);
  return success();
}

} // namespace tpumlir::top
