#include "tpumlir/codegen/Registry.h"

#include "tpumlir/codegen/Families.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace tpumlir::codegen {

LogicalResult emitOp(Emitter &em, Operation *op) {
  em.setOp(op);
  LogicalResult result =
      TypeSwitch<Operation *, LogicalResult>(op)
          .Case<top::NoneOp, top::WeightOp, top::InputOp, tpu::ReshapeOp>(
              [](Operation *) { return success(); })
          .Case([&](tpu::Conv2DOp op) { return emitConv2D(em, op); })
          .Case([&](tpu::DeconvOp op) { return emitDeconv(em, op); })
          .Case([&](tpu::ActiveOp op) { return emitActive(em, op); })
          .Default([&](Operation *op) { return emitElementwise(em, op); });
  return success(succeeded(result) && !em.failed());
}

} // namespace tpumlir::codegen
