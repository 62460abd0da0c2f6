#include "tpumlir/dialect/tpu/FilterLayout.h"
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
  auto type = RankedTensorType::get(
      shape, cast<RankedTensorType>(old.getType()).getElementType());
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

/// Halves to [oc, blocks, kernel, 32]. The source is [oc, ic, kernel] if
/// `outputMajor`, else [oc / group, group, ic, kernel].
Bytes pack(const tpu::PackedFilter &filter, int64_t group, bool outputMajor,
           const uint16_t *from) {
  const int64_t cube = filter.kCube, row = filter.ic * filter.kernel;
  auto packed = std::make_shared<std::vector<uint16_t>>();
  packed->reserve(top::elementsOf(filter.shape()));
  for (int64_t oc = 0; oc < filter.oc; ++oc) {
    int64_t ocg = filter.oc / group;
    int64_t place = outputMajor ? oc : oc % ocg * group + oc / ocg;
    for (int64_t block = 0; block < filter.blocks(); ++block)
      for (int64_t k = 0; k < filter.kernel; ++k)
        for (int64_t c = block * cube; c < (block + 1) * cube; ++c)
          packed->push_back(
              c < filter.ic ? from[place * row + c * filter.kernel + k] : 0);
  }
  return Bytes(packed, packed->data());
}

struct WeightReorder : impl::WeightReorderBase<WeightReorder> {
  void runOnOperation() override {
    getOperation().walk([&](Operation *op) {
      if (auto conv = dyn_cast<tpu::Conv2DOp>(op))
        reorder(conv, /*outputMajor=*/true);
      if (auto deconv = dyn_cast<tpu::DeconvOp>(op))
        reorder(deconv, /*outputMajor=*/false);
    });
  }

  /// A filter is [oc, ic / group, kernel...] if `outputMajor`, else
  /// [oc / group, ic, kernel...].
  template <typename OpTy> void reorder(OpTy op, bool outputMajor) {
    int64_t group = op.getGroup();
    Value bias = op.getBias();
    if (op.getFilter().template getDefiningOp<top::WeightOp>()) {
      tpu::PackedFilter packed{top::shapeOf(op.getOutput())[1],
                               top::shapeOf(op.getInput())[1] / group,
                               top::elementsOf(op.getKernelShape())};
      Type type = getElementTypeOrSelf(op.getFilter().getType());
      bool halves = type.isF16() || type.isBF16();
      if (!halves || packed.ic == 1)
        flatten(op, outputMajor ? packed.oc : packed.oc / group);
      else if (!packed.is(op.getFilter()))
        replaceWeight(op, 1, packed.shape(), [&](const Weight &weight) {
          return pack(packed, group, outputMajor, weight.as<uint16_t>());
        });
    }
    if (bias.getDefiningOp<top::WeightOp>() && top::rankOf(bias) == 1)
      replaceWeight(op, 2, {1, top::shapeOf(bias)[0], 1, 1});
  }

  /// [rows, columns, kernel...] -> [1, rows, columns, kernel], unless it is
  /// that already.
  static void flatten(Operation *op, int64_t rows) {
    ArrayRef<int64_t> shape = top::shapeOf(op->getOperand(1));
    if (shape.size() == 4 && shape[0] == 1 && shape[1] == rows)
      return;
    replaceWeight(
        op, 1, {1, shape[0], shape[1], top::elementsOf(shape.drop_front(2))});
  }
};

} // namespace
} // namespace tpumlir
