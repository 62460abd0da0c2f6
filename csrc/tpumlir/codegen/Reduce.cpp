#include "tpumlir/codegen/Reduce.h"

#include "tpumlir/codegen/Alone.h"
#include "tpumlir/codegen/Families.h"

#include <limits>

using namespace mlir;

namespace tpumlir::codegen {

using isa::ArOp;

Middle middleOf(ArrayRef<int64_t> shape, int64_t first, int64_t last) {
  return {top::elementsOf(shape.take_front(first)),
          top::elementsOf(shape.slice(first, last - first + 1)),
          top::elementsOf(shape.drop_front(last + 1))};
}

LaneView wholeOf(const Middle &m) {
  return LaneView::dense({1, m.outer, m.depth, m.inner});
}
LaneView columnsOf(const Middle &m) {
  return LaneView::dense({1, m.outer, 1, m.inner});
}

void reduceRows(Emitter &em, ArOp op, const Local &x) {
  for (int64_t rows = x.size[2]; rows > 1;) {
    int64_t rest = rows / 2, kept = rows - rest;
    em.ar(op, rowsOf(x, 0, rest), rowsOf(x, 0, rest), rowsOf(x, kept, rest));
    rows = kept;
  }
}

WindowFields columnOf(const Local &local) {
  WindowFields fields;
  fields.kernelH = local.size[2];
  return fields;
}

WindowFields rowWindow(int64_t columns) {
  WindowFields window;
  window.kernelW = columns;
  return window;
}

bool isLongRow(const Local &x, const WindowFields &window) {
  const int64_t count = x.size[2] * x.size[3];
  return x.dtype == isa::DType::F32 &&
         window.kernelH * window.kernelW == count &&
         count >= 4 * int64_t(isa::euWidth(x.dtype));
}

void reduceLongRow(Emitter &em, bool isMax, const Local &res, const Local &x,
                   int64_t scratch) {
  const int64_t width = isa::euWidth(x.dtype), count = x.size[2] * x.size[3];
  const int64_t rows = ceilDiv(count, width), rest = rows * width - count;
  if (rest > 0) {
    em.copyLocal(
        aligned(x.addr, {x.size[0], x.size[1], 1, count}).part(3, count, rest),
        isMax ? -std::numeric_limits<float>::infinity() : 0.0f);
  }
  Local folded = aligned(x.addr, {x.size[0], x.size[1], rows, width});
  Local part = aligned(scratch, vectorOf(x.size));
  WindowFields row;
  row.kernelW = width;
  if (isMax) {
    em.maxPool(part, folded, columnOf(folded));
    em.maxPool(res, part, row);
  } else {
    em.avgPool(part, folded, columnOf(folded), 1.0f);
    em.avgPool(res, part, row, 1.0f);
  }
}

void maskNan(Emitter &em, const Local &res, const Local &x) {
  // No number is less, but "less" holds for NaN (N7).
  em.mask(ArOp::SelectLess, res.as(x.dtype), x,
          -std::numeric_limits<float>::infinity());
}

void markNan(Emitter &em, const Local &marks, const Local &mask, const Local &x,
             const WindowFields &window) {
  maskNan(em, mask, x);
  em.avgPool(marks, mask, window, 1.0f);
}

void orBits(Emitter &em, const Local &res, const Local &a, const Local &b) {
  em.ar(ArOp::Or, res.as(isa::DType::I32), a.as(isa::DType::I32),
        b.as(isa::DType::I32));
}

namespace {

/// What brings two parts together.
ArOp combiner(Reduction kind) {
  switch (kind) {
  case Reduction::Min:
    return ArOp::Min;
  case Reduction::Max:
    return ArOp::Max;
  case Reduction::Prod:
    return ArOp::Mul;
  case Reduction::Mean:
  case Reduction::Sum:
    return ArOp::Add;
  }
  return ArOp::Add;
}

} // namespace

static Reduction kindOf(tpu::ReduceOp op) {
  switch (op.getMode()) {
  case top::ReduceMode::ReduceMin:
    return Reduction::Min;
  case top::ReduceMode::ReduceMax:
    return Reduction::Max;
  case top::ReduceMode::ReduceMean:
    return Reduction::Mean;
  case top::ReduceMode::ReduceProd:
    return Reduction::Prod;
  case top::ReduceMode::ReduceSum:
    return Reduction::Sum;
  case top::ReduceMode::ReduceL1:
  case top::ReduceMode::ReduceL2:
    break; // the verifier refuses norms
  }
  llvm_unreachable("no reduction of the chip");
}

namespace {

/// Longer sums are made in parts, by an op by itself.
constexpr int64_t kMostSummed = 4096;

/// Of the rows, the columns or the planes of each channel, or of the channels.
/// Rows may come in parts: what they give is combined.
class ReduceKernel : public LocalKernel {
public:
  enum class Over { Rows, Columns, Planes, Channels };

  ReduceKernel(Value input, Value result, Reduction kind, Over over,
               const LaneView &in, const LaneView &out, const Relu &relu = {})
      : LocalKernel(input, in, result, out), kind(kind), over(over),
        count(product(in.size) / product(out.size)), relu(relu) {
    if (over == Over::Rows) {
      needs = Rows::InParts;
      ownsInputs = true;
    }
  }

  /// Whether the op's result has an element for each row of the input, or for
  /// each plane, in its lane.
  static bool takes(tpu::ReduceOp op, const LaneView &in, const LaneView &out) {
    Reduction kind = kindOf(op);
    auto axes = op.getAxes();
    SmallVector<int> lanes = laneAxes(top::shapeOf(op.getInput()));
    if ((kind != Reduction::Sum && kind != Reduction::Mean) ||
        !isa::isFloat(dtypeOf(op.getInput())) || axes.empty())
      return false;
    if (sumsChannels(op))
      return in.size[1] > 1 &&
             out.size == Nchw{in.size[0], 1, in.size[2], in.size[3]};
    if (lanes[axes.back()] != 3)
      return false;
    if (axes.size() == 1)
      return in.size[3] <= kMostSummed &&
             out.size == Nchw{in.size[0], in.size[1], in.size[2], 1};
    return axes.size() == 2 && lanes[axes[0]] == 2 &&
           in.size[2] * in.size[3] <= kMostSummed &&
           out.size == Nchw{in.size[0], in.size[1], 1, 1};
  }

  /// Whether the axis that is gone lies over the lanes.
  static bool sumsChannels(tpu::ReduceOp op) {
    auto axes = op.getAxes();
    return axes.size() == 1 &&
           laneAxes(top::shapeOf(op.getInput()))[axes[0]] == 1;
  }

  Range inputRows(size_t input, Range rows) const override {
    return over == Over::Planes ? Range{0, inputs[0].view.size[2]}
                                : LocalKernel::inputRows(input, rows);
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &loaded = tile.inputs[0];
    const Nchw column = tile.output.size;
    const isa::DType type = computeType(loaded.dtype);
    const ArOp combine = combiner(kind);
    auto take = [&](const Nchw &size) {
      return tile.scratch.tensor(size, type);
    };
    // What stays from part to part comes first.
    const Local out = tile.scratch.wide(tile.output);
    Local mark, result = out, partMark;
    if (marks())
      mark = take(column);
    if (!tile.part.first) {
      result = take(column);
      if (marks())
        partMark = take(column);
    } else {
      partMark = mark;
    }
    Local in = widened(em, tile.scratch, loaded);
    if (over == Over::Channels)
      return finish(em, tile, sumOfChannels(em, tile, in, out));
    if (over == Over::Planes) // its rows follow each other
      in = aligned(in.addr, rowOf(in.size));
    const WindowFields window =
        over == Over::Rows ? columnOf(in) : rowWindow(in.size[3]);
    if (pools() && isLongRow(in, window)) {
      reduceLongRow(em, /*isMax=*/false, result, in,
                    tile.scratch.tensor(vectorOf(in.size)).addr);
    } else if (pools()) {
      em.avgPool(result, in, window, 1.0f);
    } else {
      if (marks())
        markNan(em, partMark, take(in.size), in, window);
      reduceRows(em, combine, in);
      em.copyLocal(result, rowsOf(in, 0, 1));
    }
    if (!tile.part.first) {
      em.ar(combine, out, out, result);
      if (marks())
        orBits(em, mark, mark, partMark);
    }
    if (!tile.part.last)
      return;
    if (marks())
      orBits(em, out, out, mark);
    finish(em, tile, out);
  }

private:
  void finish(Emitter &em, const KernelTile &tile, const Local &out) const {
    if (kind == Reduction::Mean)
      em.ar(ArOp::Mul, out, out, 1.0f / float(count));
    emitRelu(em, out, relu);
    castTile(em, tile.output, out);
  }
  /// Those that lie in one lane, row by row, then those of all lanes by a
  /// convolution with ones.
  static Local sumOfChannels(Emitter &em, const KernelTile &tile,
                             const Local &in, const Local &out) {
    const int64_t lanes = isa::kLanes, rows = in.rows();
    Local sum = in;
    if (rows > 1) {
      sum = tile.scratch.tensor({in.size[0], lanes, in.size[2], in.size[3]});
      em.copyLocal(sum, in.part(1, 0, lanes));
    }
    for (int64_t row = 1; row < rows; ++row) {
      const int64_t count = std::min(lanes, in.size[1] - row * lanes);
      const Local part = sum.part(1, 0, count);
      em.ar(ArOp::Add, part, part, in.part(1, row * lanes, count));
    }
    Local ones = compact(0, {1, 1, sum.size[1], 1});
    ones.addr = tile.scratch.take(ones.bytes());
    em.copyLocal(ones.strided(), 1.0f);
    em.conv(out, sum, ones, nullptr, {}, false);
    return out;
  }
  /// A plane as one row.
  static Nchw rowOf(const Nchw &size) {
    return {size[0], size[1], 1, size[2] * size[3]};
  }
  bool isFloat() const { return isa::isFloat(dtypeOf(inputs[0].value)); }
  /// Pooling sums floats only; of -infinity it makes the least finite number.
  bool pools() const { return combiner(kind) == ArOp::Add && isFloat(); }
  /// A maximum or minimum loses NaN: where there is one is found out by itself.
  bool marks() const {
    return (kind == Reduction::Max || kind == Reduction::Min) && isFloat() &&
           count > 1;
  }

  Reduction kind;
  Over over;
  int64_t count; ///< of elements that a result is made of
  Relu relu;
};

} // namespace

LogicalResult emitReduction(Emitter &em, Operation *op, Value input,
                            const Middle &shape, Reduction kind,
                            const Relu &relu) {
  return success(emitTiles(
      em, op,
      ReduceKernel(input, op->getResult(0), kind, ReduceKernel::Over::Rows,
                   wholeOf(shape), columnsOf(shape), relu)));
}

template <> LogicalResult emit(Emitter &em, tpu::ReduceOp op) {
  auto axes = op.getAxes();
  ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  const Middle middle = axes.empty()
                            ? Middle{1, 1, top::elementsOf(shape)}
                            : middleOf(shape, axes.front(), axes.back());
  return emitReduction(em, op, op.getInput(), middle, kindOf(op));
}

template <> Kernels kernelsOf(tpu::ReduceOp op, int64_t) {
  auto in = LaneView::of(top::shapeOf(op.getInput()));
  auto out = LaneView::of(top::shapeOf(op.getOutput()));
  if (!in || !out)
    return {};
  // Without the axis that is gone, the rows may count as columns.
  if (out->size[2] * out->size[3] == in->size[2] &&
      out->size[1] == in->size[1] && out->size[0] == in->size[0])
    out = LaneView::dense({in->size[0], in->size[1], in->size[2], 1});
  if (!ReduceKernel::takes(op, *in, *out))
    return {};
  using enum ReduceKernel::Over;
  return only<ReduceKernel>(op.getInput(), op.getOutput(), kindOf(op),
                            ReduceKernel::sumsChannels(op) ? Channels
                            : op.getAxes().size() == 1     ? Columns
                                                           : Planes,
                            *in, *out);
}

} // namespace tpumlir::codegen
