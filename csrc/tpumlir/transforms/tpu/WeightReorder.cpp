#include "tpumlir/transforms/tpu/TpuPasses.h"

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_WEIGHTREORDER
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

/// Gives `op` a weight of the same bytes in another shape. Others that use the
/// weight keep theirs.
void reshapeWeight(Operation *op, unsigned operand, ArrayRef<int64_t> shape) {
  Value old = op->getOperand(operand);
  auto weight = old.getDefiningOp<top::WeightOp>();
  auto type = RankedTensorType::get(
      shape, cast<RankedTensorType>(old.getType()).getElementType());
  auto &store =
      op->getContext()->getLoadedDialect<top::TopDialect>()->weights();
  std::string name = top::tensorName(old).str();
  const Weight *data = store.find(name);
  if (old.hasOneUse()) {
    old.setType(type);
  } else {
    OpBuilder builder(weight);
    builder.setInsertionPointAfter(weight);
    name = store.freeName(name);
    Location loc = NameLoc::get(builder.getStringAttr(name));
    OperationState state(loc, top::WeightOp::getOperationName());
    state.addTypes(type);
    op->setOperand(operand, builder.create(state)->getResult(0));
  }
  if (data) {
    Weight copy = *data; // shares the bytes
    copy.shape.assign(shape.begin(), shape.end());
    store.set(name, copy);
  }
}

struct WeightReorder : impl::WeightReorderBase<WeightReorder> {
  void runOnOperation() override {
    getOperation().walk([&](Operation *op) {
      if (isa<tpu::Conv2DOp, tpu::DeconvOp>(op))
        reorder(op);
    });
  }

  void reorder(Operation *op) {
    // input, filter, bias
    Value filter = op->getOperand(1), bias = op->getOperand(2);
    if (filter.getDefiningOp<top::WeightOp>()) {
      ArrayRef<int64_t> shape = top::shapeOf(filter);
      SmallVector<int64_t> flat{1, shape[0], shape[1],
                                top::elementsOf(shape.drop_front(2))};
      // An already reordered filter has its batch of 1 in front.
      bool done =
          shape.size() == 4 && shape[0] == 1 && isReordered(op, shape[1]);
      if (!done)
        reshapeWeight(op, 1, flat);
    }
    if (bias.getDefiningOp<top::WeightOp>() && top::rankOf(bias) == 1)
      reshapeWeight(op, 2, {1, top::shapeOf(bias)[0], 1, 1});
  }

  /// Whether axis 1 of the filter holds what axis 0 holds before.
  static bool isReordered(Operation *op, int64_t rows) {
    int64_t oc = top::shapeOf(op->getResult(0))[1];
    if (auto deconv = dyn_cast<tpu::DeconvOp>(op))
      return rows == oc / deconv.getGroup();
    return rows == oc;
  }
};

} // namespace
} // namespace tpumlir
