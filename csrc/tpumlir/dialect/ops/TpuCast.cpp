#include "tpumlir/dialect/ops/TpuVerify.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace tpumlir::tpu {

LogicalResult CastOp::verify() {
  Type from = getElementTypeOrSelf(getInput().getType());
  Type to = getElementTypeOrSelf(getOutput().getType());
  auto known = [](Type type) { // (C2)
    return llvm::isa<Float32Type, Float16Type, BFloat16Type>(type) ||
           type.isSignlessInteger(32);
  };
  if (!known(from) || !known(to) || from == to)
    return emitOpError("expected two of f32, f16, bf16 and i32, got ")
           << from << " and " << to;
  return checkShape(*this, top::shapeOf(getInput())); // (C1)
}

} // namespace tpumlir::tpu
