#include "tpumlir/transforms/tpu/TpuPasses.h"

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_UNUSEDWEIGHTS
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

struct UnusedWeights : impl::UnusedWeightsBase<UnusedWeights> {
  void runOnOperation() override {
    SmallVector<top::WeightOp> unused;
    getOperation().walk([&](top::WeightOp op) {
      if (op->use_empty())
        unused.push_back(op);
    });
    for (top::WeightOp op : unused)
      op.erase();
  }
};

} // namespace
} // namespace tpumlir
