#include "tpumlir/transforms/tpu/WindowBlocks.h"

#include "tpumlir/dialect/tpu/FilterLayout.h"
#include "tpumlir/isa/Chip.h"
#include "tpumlir/transforms/tpu/QuantizedWeights.h"

#include "mlir/IR/TypeUtilities.h"

/// Neighbouring results of a convolution with few output channels as channels.
using namespace mlir;

namespace tpumlir {

namespace {

constexpr int64_t kLanes = isa::kLanes;
constexpr int64_t kMostStride = 15, kMostPadding = 15;

/// A convolution of bytes over rows and columns.
struct Extents {
  int64_t n, ic, h, w, oc, oh, ow, kh, kw;
};

/// Source of the cycles: docs/profiling.md. Those of a dense command, with as
/// many columns of the window beside the channels (`window-columns`) as is
/// best.
int64_t denseCycles(const Extents &e) {
  const int64_t places = e.n * ceilDiv(e.oc, kLanes) * ceilDiv(e.oh * e.ow, 4);
  int64_t best = places * e.kh * e.kw * ceilDiv(e.ic, kLanes);
  // A row is no columns there.
  for (int64_t c = 2; e.h > 1 && c <= std::min(e.kw, kLanes / e.ic); ++c)
    best = std::min(best, places * e.kh * ceilDiv(e.kw, c) +
                              e.n * e.ic * c * ceilDiv(e.h * e.w, kLanes));
  return best;
}

/// Those of a detour through global memory: stored, moved, loaded.
int64_t detourCycles(int64_t bytes, int64_t moved) {
  return bytes / 41 + bytes / 54 + moved;
}

/// So many results side by side along rows or columns become channels.
struct Plan {
  enum class Axis { Rows, Columns } axis;
  int64_t results; ///< of a block
  int64_t blocks;  ///< along the axis
  int64_t kernel;  ///< along the axis, over all results of a block
  /// Of rows: padding behind the last block. Of columns: the input's blocks.
  int64_t behind = 0, columns = 0;
};

/// What is needed of a convolution to do any of it: integers, whose sums zeros
/// in a filter do not change, and constants.
std::optional<Extents> extentsOf(tpu::Conv2DOp op) {
  const tpu::FilterLayout layout = tpu::FilterLayout::of(op);
  if (!isQuantized(op.getInput()) || layout.group != 1 ||
      layout.order != tpu::FilterOrder::GOIK || op.getDoKernelRotate() ||
      op.getKernelShape().size() != 2 || top::rankOf(op.getInput()) != 4 ||
      top::rankOf(op.getFilter()) != 4 || !top::constantOf(op.getFilter()) ||
      failed(top::constantF32s(op.getMulti())) ||
      llvm::any_of(op.getDilations(), [](int64_t d) { return d != 1; }))
    return std::nullopt;
  ArrayRef<int64_t> in = top::shapeOf(op.getInput());
  ArrayRef<int64_t> out = top::shapeOf(op.getOutput());
  // Of one function of the sums, in channels that move together.
  const std::optional<ElementType> type = ElementType::of(op.getOutput());
  if (!type || type->axis ||
      top::elementsOf(top::shapeOf(op.getMulti())) != 2 * out[1])
    return std::nullopt;
  return Extents{in[0],
                 in[1],
                 in[2],
                 in[3],
                 out[1],
                 out[2],
                 out[3],
                 op.getKernelShape()[0],
                 op.getKernelShape()[1]};
}

std::optional<Plan> planOf(tpu::Conv2DOp op) {
  std::optional<Extents> found = extentsOf(op);
  if (!found)
    return std::nullopt;
  const Extents e = *found;
  ArrayRef<int64_t> pads = op.getPads();
  const int64_t sh = op.getStrides()[0], sw = op.getStrides()[1];
  // One channel is depthwise: 64 places at once, no cubes.
  const int64_t before = e.ic == 1 && e.oc == 1
                             ? e.n * ceilDiv(e.oh * e.ow, 64) * e.kh * e.kw
                             : denseCycles(e);
  const int64_t out = e.n * e.oc * e.oh * e.ow;
  std::optional<Plan> best;
  int64_t least = before * 3 / 4;
  auto consider = [&](const Plan &plan, int64_t cycles) {
    if (cycles >= least)
      return;
    least = cycles;
    best = plan;
  };
  for (int64_t k = 2; k <= kLanes / e.oc; ++k) {
    if (k <= e.oh && k * sh <= kMostStride) {
      Plan plan{Plan::Axis::Rows, k, ceilDiv(e.oh, k), e.kh + (k - 1) * sh};
      plan.behind = std::max<int64_t>(0, (plan.blocks - 1) * k * sh +
                                             plan.kernel - e.h - pads[0]);
      const Extents other{e.n,         e.ic, e.h,         e.w, k * e.oc,
                          plan.blocks, e.ow, plan.kernel, e.kw};
      // Rows move as pieces of at least 256 bytes.
      const int64_t moved =
          e.n * e.oc * plan.blocks * k * std::max<int64_t>(e.ow, 256) / 26;
      if (plan.behind <= kMostPadding)
        consider(plan, denseCycles(other) + detourCycles(out, moved));
    }
    if (k > e.ow)
      continue;
    const int64_t step = k * sw;
    Plan plan{Plan::Axis::Columns, k, ceilDiv(e.ow, k),
              ceilDiv(e.kw + (k - 1) * sw, step)};
    plan.columns =
        std::max(plan.blocks + plan.kernel - 1, ceilDiv(e.w + pads[1], step));
    Extents other{e.n,
                  e.ic * step,
                  e.h,
                  plan.columns,
                  k * e.oc,
                  e.oh,
                  plan.columns - plan.kernel + 1,
                  e.kh,
                  plan.kernel};
    const int64_t in = e.n * e.ic * e.h * plan.columns * step;
    // Elements are exchanged with blocks in the lanes, on their way.
    const int64_t computing = e.n * ceilDiv(other.oc, kLanes) *
                              ceilDiv(other.oh * other.ow, 4) * other.kh *
                              other.kw * ceilDiv(other.ic, kLanes);
    consider(plan, computing + detourCycles(in, detourCycles(in, in / 26)) +
                       detourCycles(out, detourCycles(out, 0)));
  }
  return best;
}

class Rewriter {
public:
  Rewriter(tpu::Conv2DOp op, const Plan &plan)
      : op(op), plan(plan), e(*extentsOf(op)), b(op),
        loc(top::resultLoc(op.getOutput())),
        isRows(plan.axis == Plan::Axis::Rows) {
    none = top::NoneOp::create(b, op.getLoc(), NoneType::get(b.getContext()));
  }

  void rewrite() {
    const Type before = op.getOutput().getType();
    if (!isRows)
      op.getInputMutable().assign(blocksOf(op.getInput()));
    setConstants();
    setWindow();
    op->setLoc(part("blocks"));
    b.setInsertionPointAfter(op);
    Value y = op.getOutput();
    Operation *user = nullptr;
    Value result = isRows ? rowsOf(y, user) : columnsOf(y, user);
    // The last one has the name of all.
    Operation *last = result.getDefiningOp();
    last->setLoc(loc);
    result.setType(before);
    y.replaceAllUsesExcept(result, user);
  }

private:
  Location part(StringRef what) { return top::partLoc(loc, what); }
  Value reshaped(StringRef what, Value x, ArrayRef<int64_t> shape) {
    return tpu::ReshapeOp::create(b, part(what), top::typeLike(x, shape), x);
  }
  Value permuted(StringRef what, Value x, ArrayRef<int64_t> order) {
    SmallVector<int64_t> shape;
    for (int64_t axis : order)
      shape.push_back(top::shapeOf(x)[axis]);
    return tpu::PermuteOp::create(b, part(what), top::typeLike(x, shape), x,
                                  none, b.getI64ArrayAttr(order));
  }
  /// The first `shape` elements of each axis.
  Value cut(Value x, ArrayRef<int64_t> shape) {
    const SmallVector<int64_t> zeros(shape.size(), 0), ones(shape.size(), 1);
    return tpu::SliceOp::create(b, loc, top::typeLike(x, shape), x, none, none,
                                none, none, b.getI64ArrayAttr(zeros),
                                b.getI64ArrayAttr(ones),
                                b.getI64ArrayAttr(shape));
  }

  /// [n, ic, h, w] as [n, columns of a block * ic, h, blocks].
  Value blocksOf(Value x) {
    const int64_t step = plan.results * op.getStrides()[1];
    const int64_t width = plan.columns * step, left = op.getPads()[1];
    SmallVector<int64_t> shape(top::shapeOf(x));
    shape[3] = width;
    if (width != e.w)
      x = tpu::PadOp::create(
          b, part("framed"), top::typeLike(x, shape), x,
          b.getI64ArrayAttr({0, 0, 0, left, 0, 0, 0, width - e.w - left}),
          b.getF64FloatAttr(0.0),
          tpu::PaddingModeAttr::get(b.getContext(),
                                    top::PaddingMode::constant));
    x = reshaped("in_blocks", x, {e.n, e.ic * e.h * plan.columns, step});
    x = permuted("by_column", x, {0, 2, 1});
    return reshaped("columns", x, {e.n, step * e.ic, e.h, plan.columns});
  }
  /// [n, results * oc, blocks, ow] as [n, oc, oh, ow].
  Value rowsOf(Value y, Operation *&user) {
    const int64_t k = plan.results, rows = plan.blocks;
    Value x = reshaped("by_row", y, {e.n, k, e.oc * rows, e.ow});
    user = x.getDefiningOp();
    x = permuted("in_rows", x, {0, 2, 1, 3});
    x = reshaped("all_rows", x, {e.n, e.oc, rows * k, e.ow});
    return rows * k == e.oh ? x : cut(x, {e.n, e.oc, e.oh, e.ow});
  }
  /// [n, results * oc, oh, blocks] as [n, oc, oh, ow].
  Value columnsOf(Value y, Operation *&user) {
    const int64_t k = plan.results, blocks = top::shapeOf(y)[3];
    Value x =
        reshaped("by_column_of_result", y, {e.n, k, e.oc * e.oh * blocks});
    user = x.getDefiningOp();
    x = permuted("in_columns", x, {0, 2, 1});
    x = reshaped("all_columns", x, {e.n, e.oc, e.oh, blocks * k});
    return blocks * k == e.ow ? x : cut(x, {e.n, e.oc, e.oh, e.ow});
  }

  /// The filter of result r, channel o is that of o, r strides further; zeros
  /// elsewhere. All results of a channel have its factor and offset.
  void setConstants() {
    const int64_t k = plan.results;
    auto weight = op.getFilter().getDefiningOp<top::WeightOp>();
    const int8_t *from = top::constantOf(op.getFilter())->as<int8_t>();
    const int64_t step = k * op.getStrides()[1];
    const SmallVector<int64_t> shape{k * e.oc, isRows ? e.ic : step * e.ic,
                                     isRows ? plan.kernel : e.kh,
                                     isRows ? e.kw : plan.kernel};
    std::vector<int8_t> bytes(top::elementsOf(shape), 0);
    for (int64_t r = 0; r < k; ++r)
      for (int64_t o = 0; o < e.oc; ++o)
        for (int64_t i = 0; i < e.ic; ++i)
          for (int64_t y = 0; y < e.kh; ++y)
            for (int64_t x = 0; x < e.kw; ++x) {
              int64_t channel = i, row = y, column = x;
              if (isRows) {
                row += r * op.getStrides()[0];
              } else {
                column += r * op.getStrides()[1];
                channel += column % step * e.ic;
                column /= step;
              }
              bytes[(((r * e.oc + o) * shape[1] + channel) * shape[2] + row) *
                        shape[3] +
                    column] = from[((o * e.ic + i) * e.kh + y) * e.kw + x];
            }
    Type element = getElementTypeOrSelf(op.getFilter().getType());
    const ElementType type = *ElementType::of(element);
    auto repeated = [&](auto numbers) {
      std::vector<std::decay_t<decltype(*numbers.begin())>> all;
      for (int64_t r = 0; r < k; ++r)
        llvm::append_range(all, numbers);
      return all;
    };
    if (type.axis)
      element = quantizedPerAxis(op.getContext(), repeated(type.scales), 0);
    op.getFilterMutable().assign(createBytes(
        b, weight, top::partName(top::tensorName(weight.getLoc()), "blocks"),
        shape, std::move(bytes), element));
    Value multi = op.getMulti();
    op.getMultiMutable().assign(
        top::createWeight(b, top::partName(top::tensorName(multi), "blocks"),
                          {k * e.oc, 2}, repeated(*top::constantF32s(multi))));
  }
  void setWindow() {
    SmallVector<int64_t> kernel(op.getKernelShape()), strides(op.getStrides()),
        pads(op.getPads()), shape(top::shapeOf(op.getOutput()));
    shape[1] *= plan.results;
    if (isRows) {
      kernel[0] = plan.kernel;
      strides[0] *= plan.results;
      pads[2] = plan.behind;
      shape[2] = plan.blocks;
    } else {
      kernel[1] = plan.kernel;
      strides[1] = 1;
      pads[1] = pads[3] = 0;
      shape[3] = plan.columns - plan.kernel + 1;
    }
    op.setKernelShapeAttr(b.getI64ArrayAttr(kernel));
    op.setStridesAttr(b.getI64ArrayAttr(strides));
    op.setPadsAttr(b.getI64ArrayAttr(pads));
    op.getOutput().setType(top::typeLike(op.getOutput(), shape));
  }

  tpu::Conv2DOp op;
  const Plan &plan;
  const Extents e;
  OpBuilder b;
  Location loc;
  const bool isRows;
  Value none;
};

} // namespace

void computeBlocks(ModuleOp module) {
  SmallVector<std::pair<tpu::Conv2DOp, Plan>> convs;
  module.walk([&](tpu::Conv2DOp op) {
    if (std::optional<Plan> plan = planOf(op))
      convs.push_back({op, *plan});
  });
  for (const auto &[op, plan] : convs)
    Rewriter(op, plan).rewrite();
}

} // namespace tpumlir
