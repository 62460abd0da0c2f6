#include "tpumlir/dialect/Interfaces.h"

using namespace mlir;

namespace tpumlir {

LogicalResult inferResultTypes(Operation *op, SmallVectorImpl<Type> &types) {
  auto shapeOp = llvm::dyn_cast<ShapeOpInterface>(op);
  if (!shapeOp)
    return op->emitOpError("expected an op with a shape rule, got none");
  for (Value operand : op->getOperands()) {
    auto type = llvm::dyn_cast<TensorType>(operand.getType());
    if (!type)
      continue;
    if (!type.hasRank()) {
      for (Value result : op->getResults())
        types.push_back(llvm::isa<NoneType>(result.getType())
                            ? result.getType()
                            : UnrankedTensorType::get(type.getElementType()));
      return success();
    }
    if (!type.hasStaticShape())
      return op->emitOpError("expected operands of known shape, got ") << type;
  }
  return shapeOp.inferTypes(types);
}

namespace detail {

LogicalResult verifyResultShapes(Operation *op) {
  SmallVector<Type> types;
  if (failed(inferResultTypes(op, types)))
    return failure();
  if (types.size() != op->getNumResults())
    return op->emitOpError("expected ")
           << types.size() << " results, got " << op->getNumResults();
  for (auto [index, pair] :
       llvm::enumerate(llvm::zip(types, op->getResultTypes()))) {
    auto want = llvm::dyn_cast<RankedTensorType>(std::get<0>(pair));
    auto got = llvm::dyn_cast<RankedTensorType>(std::get<1>(pair));
    if (want && got && want.getShape() != got.getShape())
      return op->emitOpError("expected result #")
             << index << " of shape [" << want.getShape() << "], got ["
             << got.getShape() << "]";
  }
  return success();
}

} // namespace detail
} // namespace tpumlir

#include "tpumlir/dialect/Interfaces.cpp.inc"
