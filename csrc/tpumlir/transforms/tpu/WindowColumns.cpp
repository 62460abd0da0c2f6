#include "tpumlir/transforms/tpu/WindowColumns.h"

#include "tpumlir/dialect/tpu/FilterLayout.h"
#include "tpumlir/isa/Chip.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"
#include "tpumlir/transforms/tpu/WindowBlocks.h"

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_WINDOWCOLUMNS
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

using Columns = WindowColumnsPlan;

constexpr int64_t kMostDilation = 15;

/// The elements of a filter [oc, ic, kh, kw] as
/// [oc, rows * columns * ic, kh / rows, taps]; zeros behind the last column.
template <typename T>
std::shared_ptr<const void> turned(const Weight &weight, ArrayRef<int64_t> k,
                                   const Columns &c) {
  const int64_t oc = k[0], ic = k[1], kh = k[2], kw = k[3];
  const T *from = weight.as<T>();
  const int64_t channels = c.parts() * ic, left = kh / c.rows;
  auto to =
      std::make_shared<std::vector<T>>(size_t(oc * channels * left * c.taps));
  for (int64_t o = 0; o < oc; ++o)
    for (int64_t i = 0; i < ic; ++i)
      for (int64_t y = 0; y < kh; ++y)
        for (int64_t x = 0; x < kw; ++x) {
          int64_t channel = (y % c.rows * c.columns + x % c.columns) * ic + i;
          (*to)[((o * channels + channel) * left + y / c.rows) * c.taps +
                x / c.columns] = from[((o * ic + i) * kh + y) * kw + x];
        }
  return {to, to->data()};
}

/// Windows of many elements that neither overlap nor reach into padding.
bool isPatches(tpu::Conv2DOp op) {
  const SmallVector<int64_t> kernel(op.getKernelShape());
  auto are = [](auto numbers, int64_t number) {
    return llvm::all_of(numbers, [=](int64_t n) { return n == number; });
  };
  return kernel[0] * kernel[1] >= 64 && llvm::equal(kernel, op.getStrides()) &&
         are(op.getPads(), 0) && are(op.getDilations(), 1);
}

/// Of each slice: one element per result, or, if taps are left, all that the
/// windows reach.
int64_t widthOf(tpu::Conv2DOp op, const Columns &c) {
  const int64_t width = top::shapeOf(op.getOutput())[3];
  return c.taps == 1 ? width
                     : (width - 1) * op.getStrides()[1] +
                           (c.taps - 1) * c.columns * op.getDilations()[1] + 1;
}

/// Cycles of bringing the parts of windows together in the lanes, where a copy
/// into other ones takes a cycle for each of its channels, two within a bank.
int64_t copiesOf(tpu::Conv2DOp op, const Columns &c) {
  ArrayRef<int64_t> in = top::shapeOf(op.getInput());
  const int64_t height = c.rows > 1 ? top::shapeOf(op.getOutput())[2] : in[2];
  const int64_t step = c.taps == 1 ? op.getStrides()[1] : 1;
  const int64_t vectors =
      ceilDiv(height * widthOf(op, c) *
                  int64_t(ElementType::of(op.getInput())->bytes()),
              isa::kEuBytes);
  return in[0] * vectors *
         (c.parts() * std::min<int64_t>(step, 2) + 2 * (c.parts() - 1) * in[1]);
}

} // namespace

std::optional<WindowColumnsPlan> windowColumnsOf(tpu::Conv2DOp op) {
  std::optional<ElementType> type = ElementType::of(op.getInput());
  tpu::FilterLayout layout = tpu::FilterLayout::of(op);
  if (!type || layout.cube == 1 || layout.group != 1 ||
      layout.order != tpu::FilterOrder::GOIK || op.getDoKernelRotate() ||
      op.getFilterShift() != 0 || op.getKernelShape().size() != 2 ||
      top::rankOf(op.getFilter()) != 4 || !top::constantOf(op.getFilter()))
    return std::nullopt;
  const int64_t kh = op.getKernelShape()[0], kw = op.getKernelShape()[1];
  ArrayRef<int64_t> in = top::shapeOf(op.getInput());
  ArrayRef<int64_t> out = top::shapeOf(op.getOutput());
  // Slices of one row lie in it: putting them together would copy them, and
  // long windows over one have a form of their own. So have windows of halves
  // side by side, as those that cut a picture into patches.
  if (in[2] == 1 || (!type->isQuantized() && isPatches(op)))
    return std::nullopt;
  // Source of the cycles: docs/profiling.md. Four places of a cube at once,
  // or sixteen of one channel in F32; what is written to global memory at 41
  // bytes a cycle and comes back at 54.
  const int64_t places = out[0] * ceilDiv(out[1], isa::kLanes);
  const int64_t plane = out[2] * out[3];
  const int64_t before =
      places * kh * kw *
      (layout.isThin() ? ceilDiv(plane, 16) * layout.ic
                       : ceilDiv(plane, 4) * ceilDiv(layout.ic, layout.cube));
  std::optional<Columns> best;
  int64_t least = before * 3 / 4;
  for (int64_t columns = 2; columns <= std::min(kw, layout.cube / layout.ic);
       ++columns) {
    Columns c{columns, ceilDiv(kw, columns)};
    if (c.taps > 1 && columns * op.getDilations()[1] > kMostDilation)
      continue;
    const int64_t after = places * kh * c.taps * ceilDiv(plane, 4);
    const int64_t bytes = in[0] * layout.ic * columns * in[2] * widthOf(op, c) *
                          int64_t(type->bytes());
    const int64_t cost = std::max(after, bytes / 41 + bytes / 54) + after / 8;
    if (cost < least) {
      least = cost;
      best = c;
    }
  }
  // All of a window: of bytes, in the lanes, more parts for fewer taps.
  if (const Columns all{kw, 1, kh};
      type->isQuantized() && kh > 1 && layout.ic * kh * kw <= layout.cube) {
    auto cyclesOf = [&](const Columns &c) {
      return places * (kh / c.rows) * c.taps * ceilDiv(plane, 4) +
             copiesOf(op, c);
    };
    if (cyclesOf(all) < (best ? cyclesOf(*best) : before) * 7 / 8)
      best = all;
  }
  return best;
}

namespace {

struct WindowColumns : impl::WindowColumnsBase<WindowColumns> {
  void runOnOperation() override {
    computeBlocks(getOperation());
    SmallVector<std::pair<tpu::Conv2DOp, Columns>> convs;
    getOperation().walk([&](tpu::Conv2DOp op) {
      if (std::optional<Columns> columns = windowColumnsOf(op))
        convs.push_back({op, *columns});
    });
    for (auto [op, columns] : convs)
      rewrite(op, columns);
  }

  static void rewrite(tpu::Conv2DOp op, const Columns &c) {
    OpBuilder b(op);
    Value x = op.getInput();
    const SmallVector<int64_t> pads(op.getPads());
    const int64_t stride = op.getStrides()[1], dilation = op.getDilations()[1];
    const int64_t step = c.taps == 1 ? stride : 1, width = widthOf(op, c);
    auto loc = [&](const Twine &part) {
      return top::partLoc(top::resultLoc(op.getOutput()), part);
    };
    auto list = [&](ArrayRef<int64_t> numbers) {
      return b.getI64ArrayAttr(numbers);
    };
    SmallVector<int64_t> shape(top::shapeOf(x));
    const bool isWhole = c.rows > 1;
    // The taps behind the last column read a little further: zeros.
    const int64_t reach = (c.columns - 1) * dilation + (width - 1) * step + 1;
    const int64_t behind = std::max(pads[3], reach - shape[3] - pads[1]);
    const int64_t above = isWhole ? pads[0] : 0, below = isWhole ? pads[2] : 0;
    if (pads[1] + behind + above + below > 0) {
      shape[2] += above + below;
      shape[3] += pads[1] + behind;
      x = tpu::PadOp::create(b, loc("framed"), top::typeLike(x, shape), x,
                             list({0, 0, above, pads[1], 0, 0, below, behind}),
                             b.getF64FloatAttr(0.0),
                             tpu::PaddingModeAttr::get(
                                 b.getContext(), top::PaddingMode::constant));
    }
    OpBuilder::InsertionGuard guard(b);
    Value none =
        top::NoneOp::create(b, op.getLoc(), NoneType::get(b.getContext()));
    SmallVector<Value> columns;
    SmallVector<int64_t> part(shape);
    if (isWhole)
      part[2] = top::shapeOf(op.getOutput())[2];
    part[3] = width;
    const int64_t down = isWhole ? op.getStrides()[0] : 1;
    for (int64_t k = 0; k < c.parts(); ++k) {
      const int64_t first = k / c.columns * op.getDilations()[0];
      const int64_t begin = k % c.columns * dilation;
      columns.push_back(tpu::SliceOp::create(
          b, loc("column_" + Twine(k)), top::typeLike(x, part), x, none, none,
          none, none, list({0, 0, first, begin}), list({1, 1, down, step}),
          list({shape[0], shape[1], first + (part[2] - 1) * down + 1,
                begin + (width - 1) * step + 1})));
    }
    SmallVector<int64_t> all(part);
    all[1] *= c.parts();
    Value joined = tpu::ConcatOp::create(
        b, loc("columns"), top::typeLike(x, all), columns,
        b.getSI32IntegerAttr(1), b.getBoolAttr(false), b.getF64FloatAttr(-1.0));

    Value filter = op.getFilter();
    const Weight &weight = *top::constantOf(filter);
    ArrayRef<int64_t> extents = top::shapeOf(filter);
    Weight other = weight;
    other.data = dtypeBytes(weight.dtype) == 1
                     ? turned<uint8_t>(weight, extents, c)
                     : turned<uint16_t>(weight, extents, c);
    SmallVector<int64_t> turnedShape{extents[0], extents[1] * c.parts(),
                                     extents[2] / c.rows, c.taps};
    other.shape.assign(turnedShape.begin(), turnedShape.end());
    WeightStore &store = *top::weightsOf(op);
    std::string name =
        store.freeName(top::partName(top::tensorName(filter), "columns"));
    store.set(name, std::move(other));
    OperationState state(NameLoc::get(b.getStringAttr(name)),
                         top::WeightOp::getOperationName());
    state.addTypes(top::typeLike(filter, turnedShape));
    op.getFilterMutable().assign(b.create(state)->getResult(0));
    op.getInputMutable().assign(joined);
    op.setKernelShapeAttr(list({op.getKernelShape()[0] / c.rows, c.taps}));
    op.setStridesAttr(
        list({isWhole ? 1 : op.getStrides()[0], c.taps == 1 ? 1 : stride}));
    op.setDilationsAttr(list({isWhole ? 1 : op.getDilations()[0],
                              c.taps == 1 ? 1 : dilation * c.columns}));
    op.setPadsAttr(list({pads[0] - above, 0, pads[2] - below, 0}));
  }
};

} // namespace
} // namespace tpumlir
