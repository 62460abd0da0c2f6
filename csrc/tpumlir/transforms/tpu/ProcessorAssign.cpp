#include "tpumlir/support/Precisions.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_PROCESSORASSIGN
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

struct ProcessorAssign : impl::ProcessorAssignBase<ProcessorAssign> {
  using ProcessorAssignBase::ProcessorAssignBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (chip != "bm1684x") {
      module.emitError() << "expected chip bm1684x, got " << chip.getValue();
      return signalPassFailure();
    }
    if (!findPrecision(mode.getValue())) {
      module.emitError() << "expected mode " << listPrecisions() << ", got "
                         << mode.getValue();
      return signalPassFailure();
    }
    Builder b(&getContext());
    module->setAttr("module.addr_mode", b.getStringAttr("basic"));
    module->setAttr("module.asymmetric", b.getBoolAttr(false));
    module->setAttr("module.chip", b.getStringAttr(chip));
    module->setAttr("module.cores", b.getI64IntegerAttr(1));
    module->setAttr("module.devices", b.getI64IntegerAttr(1));
    module->setAttr("module.high_precision", b.getBoolAttr(false));
    module->setAttr("module.mode", b.getStringAttr(mode));
    module->setAttr("module.q_group_size", b.getI64IntegerAttr(0));
    module->setAttr("module.q_symmetric", b.getBoolAttr(false));
  }
};

} // namespace
} // namespace tpumlir
