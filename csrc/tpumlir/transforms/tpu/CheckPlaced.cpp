#include "tpumlir/transforms/tpu/TpuPasses.h"

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_CHECKPLACED
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

LogicalResult checkPlaced(ModuleOp module) {
  bool all = true;
  module.walk([&](Operation *op) {
    for (Value operand : op->getOperands()) {
      if (!llvm::isa<BlockArgument>(operand) || llvm::isa<top::InputOp>(op))
        continue;
      op->emitError("expected every function argument to go through "
                    "top.Input, got one as an operand of ")
          << op->getName();
      all = false;
    }
    for (Value result : op->getResults()) {
      if (!llvm::isa<RankedTensorType>(result.getType()) ||
          tpu::placeOf(result) || tpu::staysLocal(result) ||
          tpu::isPacked(result))
        continue;
      op->emitError() << "expected a place for " << op->getName()
                      << ", got none (run address-assign first)";
      all = false;
    }
  });
  return success(all);
}

namespace {

struct CheckPlaced : impl::CheckPlacedBase<CheckPlaced> {
  void runOnOperation() override {
    if (failed(checkPlaced(getOperation())))
      signalPassFailure();
    markAllAnalysesPreserved();
  }
};

} // namespace
} // namespace tpumlir
