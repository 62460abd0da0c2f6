#include "tpumlir/dialect/ops/TpuVerify.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace tpumlir::tpu {

LogicalResult CastOp::verify() {
  std::optional<DType> from = dtypeOf(getInput()), to = dtypeOf(getOutput());
  if ((Quantization::of(getInput()) && to && isFloat(*to)) ||
      (Quantization::of(getOutput()) && from && isFloat(*from)))
    return checkShape(*this, top::shapeOf(getInput())); // (C1)
  auto known = [](std::optional<DType> type) {          // (C2)
    return type && (isFloat(*type) || type == DType::I32);
  };
  bool isFromKnown = known(from) || from == DType::U8;
  if (!isFromKnown || !known(to) || from == to)
    return emitOpError("expected two of f32, f16, bf16 and i32, ui8 and one of "
                       "them, or a float and a quantised type, got ")
           << getElementTypeOrSelf(getInput().getType()) << " and "
           << getElementTypeOrSelf(getOutput().getType());
  return checkShape(*this, top::shapeOf(getInput())); // (C1)
}

} // namespace tpumlir::tpu
