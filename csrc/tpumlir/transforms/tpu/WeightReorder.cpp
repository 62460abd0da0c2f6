#include "tpumlir/dialect/tpu/FilterLayout.h"
#include "tpumlir/dialect/tpu/LongWindows.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_WEIGHTREORDER
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

using Bytes = std::shared_ptr<const void>;

/// Gives `op` a weight in another shape, of the same bytes or of those that
/// `rewrite` makes of them. Others that use the weight keep theirs.
void replaceWeight(
    Operation *op, unsigned operand, ArrayRef<int64_t> shape,
    llvm::function_ref<Bytes(const Weight &)> rewrite = nullptr) {
  Value old = op->getOperand(operand);
  auto weight = old.getDefiningOp<top::WeightOp>();
  Type element = cast<RankedTensorType>(old.getType()).getElementType();
  // In the lanes the output channels are the second axis.
  if (auto wise = ElementType::of(element); wise && wise->axis)
    element = quantizedPerAxis(op->getContext(), wise->scales, 1);
  auto type = RankedTensorType::get(shape, element);
  WeightStore &store = *top::weightsOf(op);
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
    if (rewrite)
      copy.data = rewrite(*data);
    copy.shape.assign(shape.begin(), shape.end());
    store.set(name, copy);
  }
}

/// The elements of a filter in another layout; what the new one has beyond them
/// is zero.
template <typename T>
Bytes relaid(const tpu::FilterLayout &from, const tpu::FilterLayout &to,
             const T *source) {
  auto result = std::make_shared<std::vector<T>>(top::elementsOf(to.lanes()));
  const int64_t taps = from.taps();
  for (int64_t g = 0; g < from.group; ++g)
    for (int64_t o = 0; o < from.oc; ++o)
      for (int64_t i = 0; i < from.ic; ++i) {
        auto row = [&](const tpu::FilterLayout &layout) {
          return g * layout.groupStride() + o * layout.outputStride() +
                 layout.inputOffset(i);
        };
        const T *in = source + row(from);
        T *out = result->data() + row(to);
        for (int64_t k = 0; k < taps; ++k)
          out[k * to.tapStride()] = in[k * from.tapStride()];
      }
  return Bytes(result, result->data());
}

struct WeightReorder : impl::WeightReorderBase<WeightReorder> {
  void runOnOperation() override {
    getOperation().walk([&](Operation *op) {
      if (auto conv = dyn_cast<tpu::Conv2DOp>(op))
        reorder(conv);
      if (auto deconv = dyn_cast<tpu::DeconvOp>(op))
        reorder(deconv);
    });
  }

  template <typename OpTy> void reorder(OpTy op) {
    if (op.getFilter().template getDefiningOp<top::WeightOp>())
      reorderFilter(op, tpu::FilterLayout::of(op));
    Value bias = op.getBias();
    if (bias.getDefiningOp<top::WeightOp>() && top::rankOf(bias) == 1)
      replaceWeight(op, 2, {1, top::shapeOf(bias)[0], 1, 1});
  }

  template <typename OpTy>
  void reorderFilter(OpTy op, const tpu::FilterLayout &layout) {
    if (layout.isNative() || !layout.takesCubes() ||
        (isQuantized(op.getInput()) && tpu::slidesLongWindows(op))) {
      if (top::shapeOf(op.getFilter()) != ArrayRef(layout.lanes()))
        replaceWeight(op, 1, layout.lanes());
      return;
    }
    tpu::FilterLayout cubes = layout.in(tpu::FilterOrder::Cubes);
    replaceWeight(op, 1, cubes.lanes(), [&](const Weight &weight) {
      return dtypeBytes(weight.dtype) == 1
                 ? relaid(layout, cubes, weight.as<uint8_t>())
                 : relaid(layout, cubes, weight.as<uint16_t>());
    });
    op.setFilterLayout(tpu::FilterOrder::Cubes);
  }
};

} // namespace
} // namespace tpumlir
