#include "tpumlir/transforms/tpu/TpuPasses.h"

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_EXPLICITPADS
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

struct ExplicitPads : impl::ExplicitPadsBase<ExplicitPads> {
  void runOnOperation() override {
    constexpr int64_t kMost = 15; // of the command's fields, docs/legality.md
    getOperation().walk([&](tpu::Conv2DOp op) {
      SmallVector<int64_t> pads(op.getPads());
      const size_t axes = pads.size() / 2;
      bool isBeyond = llvm::any_of(pads, [](int64_t p) { return p > kMost; });
      bool isCrop = llvm::any_of(pads, [](int64_t p) { return p < 0; });
      if (!isBeyond || isCrop)
        return;
      Value x = op.getInput();
      SmallVector<int64_t> shape(top::shapeOf(x)), border(2 * shape.size(), 0);
      for (size_t i = 0; i < axes; ++i) {
        border[i + 2] = pads[i];
        border[shape.size() + i + 2] = pads[axes + i];
        shape[i + 2] += pads[i] + pads[axes + i];
      }
      OpBuilder b(op);
      op.getInputMutable().assign(tpu::PadOp::create(
          b, top::partLoc(top::resultLoc(op.getOutput()), "padded"),
          top::typeLike(x, shape), x, b.getI64ArrayAttr(border),
          b.getF64FloatAttr(0.0),
          tpu::PaddingModeAttr::get(b.getContext(),
                                    top::PaddingMode::constant)));
      op.setPadsAttr(b.getI64ArrayAttr(SmallVector<int64_t>(pads.size(), 0)));
    });
  }
};

} // namespace
} // namespace tpumlir
