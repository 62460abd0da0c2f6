#include "tpumlir/codegen/Dma.h"
#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/LocalKernel.h"
#include "tpumlir/dialect/tpu/Views.h"

using namespace mlir;

namespace tpumlir::codegen {

namespace {

int64_t offsetOf(ArrayRef<int64_t> index, ArrayRef<int64_t> stride) {
  int64_t offset = 0;
  for (auto [i, s] : llvm::zip_equal(index, stride))
    offset += i * s;
  return offset;
}

} // namespace

/// address-assign gives it no memory of its own.
template <> LogicalResult emit(Emitter &em, tpu::ReshapeOp op) {
  assert(isInPlace(op) && "a Reshape lies where its input lies");
  return success();
}

template <> LogicalResult emit(Emitter &em, tpu::ConcatOp op) {
  if (op.getDoRelu())
    return op.emitError("expected a Relu of its own behind tpu.Concat, got "
                        "do_relu");
  SmallVector<int64_t> to = rowMajor(top::shapeOf(op.getOutput()));
  bool whole = tpu::joinsWholeParts(op);
  int64_t begin = 0;
  for (Value input : op.getInputs()) {
    Global part = globalOf(op.getOutput()) + begin * to[op.getAxis()];
    begin += top::shapeOf(input)[op.getAxis()];
    // Its op has written it there; before addresses are assigned, when costs
    // are asked for, that may be hoped for.
    bool isThere = addressOf(input) == part.addr;
    if (!tpu::placeOf(op.getOutput()))
      isThere = !llvm::isa_and_nonnull<top::InputOp, top::WeightOp>(
          input.getDefiningOp());
    if (whole && isThere)
      continue;
    emitCopy(em, {shapeOf(input), rowMajor(top::shapeOf(input)), to,
                  globalOf(input), part});
  }
  return success();
}

template <> LogicalResult emit(Emitter &em, tpu::SliceOp op) {
  if (isInPlace(op))
    return success();
  SmallVector<int64_t> from = rowMajor(top::shapeOf(op.getInput()));
  SmallVector<int64_t> to = rowMajor(top::shapeOf(op.getOutput()));
  auto offset = op.getOffset(), steps = op.getSteps();
  // GDMA has no negative strides: such axes are walked element by element.
  SmallVector<DmaCopy> copies{{shapeOf(op.getOutput()),
                               {},
                               to,
                               globalOf(op.getInput()) + offsetOf(offset, from),
                               globalOf(op.getOutput())}};
  for (size_t axis = 0; axis < from.size(); ++axis)
    copies[0].srcStride.push_back(std::max<int64_t>(steps[axis], 1) *
                                  from[axis]);
  for (size_t axis = 0; axis < from.size(); ++axis) {
    if (steps[axis] > 0)
      continue;
    SmallVector<DmaCopy> apart;
    for (const DmaCopy &copy : copies)
      for (int64_t i = 0; i < top::shapeOf(op.getOutput())[axis]; ++i) {
        DmaCopy one = copy;
        one.size[axis] = 1;
        one.src = one.src + i * steps[axis] * from[axis];
        one.dst = one.dst + i * to[axis];
        apart.push_back(one);
      }
    copies = apart;
  }
  for (const DmaCopy &copy : copies)
    emitCopy(em, copy);
  return success();
}

/// Where an element in front of or behind `extent` others comes from.
static int64_t paddedFrom(top::PaddingMode mode, int64_t at, int64_t extent) {
  if (mode == top::PaddingMode::edge)
    return std::clamp<int64_t>(at, 0, extent - 1);
  const int64_t repeated = mode == top::PaddingMode::symmetric;
  if (at < 0)
    return -at - repeated;
  return at < extent ? at : 2 * (extent - 1) - at + repeated;
}

template <> LogicalResult emit(Emitter &em, tpu::PadOp op) {
  SmallVector<int64_t> in = shapeOf(op.getInput());
  SmallVector<int64_t> out = shapeOf(op.getOutput());
  SmallVector<int64_t> to = rowMajor(out);
  Global output = globalOf(op.getOutput());
  auto pads = op.getPaddings();
  size_t rank = in.size();
  if (op.getMode() == top::PaddingMode::constant)
    emitFill(em, output, top::elementsOf(out),
             storedOf(op.getOutput(), op.getVal()));
  emitCopy(em, {in, rowMajor(in), to, globalOf(op.getInput()),
                output + offsetOf(ArrayRef(pads).take_front(rank), to)});
  if (op.getMode() == top::PaddingMode::constant)
    return success();
  // Axis by axis, each border slice is a copy of a slice that is already there;
  // axes done before are whole by then.
  SmallVector<int64_t> begin(pads.begin(), pads.begin() + rank), size(in);
  for (size_t axis = 0; axis < rank; ++axis) {
    int64_t lo = pads[axis], extent = in[axis];
    SmallVector<int64_t> slice(size);
    slice[axis] = 1;
    for (int64_t i = 0; i < out[axis]; ++i) {
      if (i >= lo && i < lo + extent)
        continue;
      SmallVector<int64_t> src(begin), dst(begin);
      src[axis] = lo + paddedFrom(op.getMode(), i - lo, extent);
      dst[axis] = i;
      emitCopy(em, {slice, to, to, output + offsetOf(src, to),
                    output + offsetOf(dst, to)});
    }
    begin[axis] = 0;
    size[axis] = out[axis];
  }
  return success();
}

template <> LogicalResult emit(Emitter &em, tpu::TileOp op) {
  SmallVector<int64_t> in = shapeOf(op.getInput());
  SmallVector<int64_t> to = rowMajor(top::shapeOf(op.getOutput()));
  Global output = globalOf(op.getOutput());
  emitCopy(em, {in, rowMajor(in), to, globalOf(op.getInput()), output});
  // Then axis by axis, innermost first, copies of what is already there; the
  // number of copies doubles.
  SmallVector<int64_t> size(in);
  auto tile = op.getTile();
  for (size_t axis = in.size(); axis-- > 0;) {
    for (int64_t done = 1; done < tile[axis];) {
      int64_t more = std::min(done, tile[axis] - done);
      SmallVector<int64_t> part(size);
      part[axis] = more * in[axis];
      emitCopy(em, {part, to, to, output, output + done * in[axis] * to[axis]});
      done += more;
    }
    size[axis] *= tile[axis];
  }
  return success();
}

template <> LogicalResult emit(Emitter &em, tpu::UpsampleOp op) {
  SmallVector<int64_t> in = shapeOf(op.getInput());
  SmallVector<int64_t> to = rowMajor(top::shapeOf(op.getOutput()));
  int64_t scaleH = op.getScaleH(), scaleW = op.getScaleW();
  Global output = globalOf(op.getOutput());
  SmallVector<int64_t> spread{to[0], to[1], scaleH * to[2], scaleW};
  // The columns of every scaleH-th row, then those rows repeated.
  for (int64_t i = 0; i < scaleW; ++i)
    emitCopy(em,
             {in, rowMajor(in), spread, globalOf(op.getInput()), output + i});
  SmallVector<int64_t> rows{in[0], in[1], in[2], in[3] * scaleW};
  SmallVector<int64_t> stride{to[0], to[1], scaleH * to[2], 1};
  for (int64_t i = 1; i < scaleH; ++i)
    emitCopy(em, {rows, stride, stride, output, output + i * to[2]});
  return success();
}

//===----------------------------------------------------------------------===//
// Local form
//===----------------------------------------------------------------------===//

namespace {

/// Every element of the input goes to scale_h x scale_w places by as many
/// copies.
class UpsampleKernel : public LocalKernel {
public:
  explicit UpsampleKernel(tpu::UpsampleOp op)
      : LocalKernel(op.getInput(), *LaneView::of(top::shapeOf(op.getInput())),
                    op.getOutput(),
                    *LaneView::of(top::shapeOf(op.getOutput()))),
        scaleH(op.getScaleH()), scaleW(op.getScaleW()) {
    strides = true;
  }

  Range inputRows(size_t, Range rows) const override {
    int64_t first = rows.begin / scaleH;
    return {first, (rows.begin + rows.size - 1) / scaleH - first + 1};
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &in = tile.inputs[0], &out = tile.output;
    int64_t held = tile.rows.begin / scaleH;
    for (int64_t i = 0; i < scaleH; ++i) {
      RowsOfPhase rows(tile.rows, scaleH, i);
      if (rows.count == 0)
        continue;
      for (int64_t j = 0; j < scaleW; ++j)
        em.copyLocal(everyNth(out, {rows.first, scaleH, rows.count},
                              {j, scaleW, in.size[3]}),
                     in.part(2, rows.source - held, rows.count));
    }
  }

private:
  int64_t scaleH, scaleW;
};

/// Operands are copied within the lanes: side by side, one below the other, or,
/// if they begin at multiples of the lanes, behind each other. Channels that
/// begin anywhere else go into other lanes, one after another.
class ConcatKernel : public LocalKernel {
public:
  explicit ConcatKernel(tpu::ConcatOp op)
      : axis(laneAxes(top::shapeOf(op.getOutput()))[op.getAxis()]),
        relu(Relu::of(op)) {
    int64_t next = 0;
    for (Value input : op.getInputs()) {
      inputs.push_back({input, *LaneView::of(top::shapeOf(input))});
      begins.push_back(next);
      next += inputs.back().view.size[axis];
    }
    output = *LaneView::of(top::shapeOf(op.getOutput()));
    outputType = dtypeOf(op.getOutput());
    channels = {0, output.size[1]};
    strides = true;
  }

  static bool takes(tpu::ConcatOp op) {
    ArrayRef<int64_t> shape = top::shapeOf(op.getOutput());
    if (!LaneView::of(shape) ||
        (op.getDoRelu() && !isa::isFloat(dtypeOf(op.getOutput()))))
      return false;
    int axis = laneAxes(shape)[op.getAxis()];
    for (Value input : op.getInputs()) {
      ArrayRef<int64_t> in = top::shapeOf(input);
      if (laneAxes(in) != laneAxes(shape))
        return false;
    }
    return axis != 0;
  }

  Range inputRows(size_t input, Range rows) const override {
    if (axis != 2)
      return rows;
    Range own = ownRows(input, rows);
    // A slice has at least one row of every operand.
    return own.size > 0 ? own : Range{0, 1};
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    // What goes into other lanes lies aligned first: one after the other.
    int64_t bytes = 0;
    for (auto [i, in] : llvm::enumerate(tile.inputs))
      if (firstLane(i) != 0)
        bytes = std::max(bytes, alignedBytes(in.size, in.dtype));
    const int64_t scratch = tile.scratch.take(bytes);
    for (auto [i, in] : llvm::enumerate(tile.inputs)) {
      if (firstLane(i) != 0) {
        copyToLanes(em, tile.output, i, in, scratch);
        continue;
      }
      int64_t at = begins[i];
      if (axis == 2) {
        Range own = ownRows(i, tile.rows);
        if (own.size == 0)
          continue;
        at += own.begin - tile.rows.begin;
      }
      em.copyLocal(tile.output.part(axis, at, in.size[axis]), in);
    }
    emitRelu(em, tile.output, relu);
  }

private:
  int64_t firstLane(size_t input) const {
    return axis == 1 ? begins[input] % int64_t(isa::kLanes) : 0;
  }
  void copyToLanes(Emitter &em, const Local &out, size_t input, Local in,
                   int64_t scratch) const {
    if (in.layout != isa::Layout::Aligned) {
      Local copy = aligned(scratch, in.size, in.dtype).withSign(in.isSigned);
      em.copyLocal(copy, in);
      in = copy;
    }
    for (int64_t n = 0; n < out.size[0]; ++n)
      em.copyToLanes(out.batch(n).part(1, begins[input], in.size[1]),
                     firstLane(input), in.batch(n));
  }
  /// The rows of an operand among rows of the output.
  Range ownRows(size_t input, Range rows) const {
    int64_t extent = inputs[input].view.size[2];
    int64_t first = std::max<int64_t>(rows.begin - begins[input], 0);
    int64_t last = std::min(rows.begin + rows.size - begins[input], extent);
    return {first, std::max<int64_t>(last - first, 0)};
  }

  int axis; ///< among n, c, h, w
  SmallVector<int64_t> begins;
  Relu relu;
};

/// The same channels in other rows and columns: the lanes hold the same.
class ReshapeKernel : public LocalKernel {
public:
  ReshapeKernel(tpu::ReshapeOp op, const LaneView &in, const LaneView &out)
      : LocalKernel(op.getInput(), in, op.getOutput(), out) {
    strides = true;
  }

  static bool takes(const LaneView &in, const LaneView &out) {
    return in.size[0] == out.size[0] && in.size[1] == out.size[1] &&
           in.size[2] * in.size[3] <= kMaxField;
  }

  Range inputRows(size_t, Range rows) const override {
    const Nchw &in = inputs[0].view.size;
    return in[3] == output.size[3] ? rows : Range{0, in[2]};
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    auto flat = [](const Local &local, int64_t begin, int64_t size) {
      return local.part(2, 0, 1).part(3, begin, size);
    };
    const Local &in = tile.inputs[0], &out = tile.output;
    int64_t width = out.size[3], held = inputRows(0, tile.rows).begin * width;
    if (in.size[3] != width)
      held = 0;
    em.copyLocal(
        flat(out, 0, tile.rows.size * width),
        flat(in, tile.rows.begin * width - held, tile.rows.size * width));
  }
};

/// Every steps[i]-th row and column; channels from a multiple of the lanes on.
class SliceKernel : public LocalKernel {
public:
  SliceKernel(tpu::SliceOp op, const LaneView &in, const LaneView &out,
              const Nchw &offset, const Nchw &steps)
      : LocalKernel(op.getInput(), in, op.getOutput(), out), offset(offset),
        steps(steps) {
    strides = true;
  }

  Range inputRows(size_t, Range rows) const override {
    return {offset[2] + rows.begin * steps[2], (rows.size - 1) * steps[2] + 1};
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &out = tile.output;
    em.copyLocal(out, everyNth(tile.inputs[0].part(1, offset[1], out.size[1]),
                               {0, steps[2], out.size[2]},
                               {offset[3], steps[3], out.size[3]}));
  }

private:
  Nchw offset, steps;
};

/// A border of a number around rows and columns, and channels behind.
class PadKernel : public LocalKernel {
public:
  PadKernel(tpu::PadOp op, const LaneView &in, const LaneView &out,
            const Nchw &before)
      : LocalKernel(op.getInput(), in, op.getOutput(), out), before(before),
        number(storedOf(op.getOutput(), op.getVal())) {
    strides = true;
  }

  Range inputRows(size_t, Range rows) const override {
    int64_t extent = inputs[0].view.size[2];
    int64_t begin = std::clamp<int64_t>(rows.begin - before[2], 0, extent - 1);
    int64_t end = std::clamp<int64_t>(rows.begin + rows.size - before[2],
                                      begin + 1, extent);
    return {begin, end - begin};
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &in = tile.inputs[0], &out = tile.output;
    Range held = inputRows(0, tile.rows);
    em.copyLocal(out, isa::isFloat(out.dtype)
                          ? Operand(float(number))
                          : Operand::integer(int32_t(number)));
    int64_t begin = held.begin + before[2] - tile.rows.begin;
    if (begin < 0 || begin >= tile.rows.size)
      return; // the row is there because there must be one
    Local inner = out.part(2, begin, held.size).part(3, before[3], in.size[3]);
    inner.size[1] = in.size[1];
    em.copyLocal(inner, in);
  }

private:
  Nchw before;
  double number;
};

/// Rows and columns in front and behind that repeat others. The columns follow
/// when all rows are there.
class MirrorKernel : public LocalKernel {
public:
  MirrorKernel(tpu::PadOp op, const LaneView &in, const LaneView &out,
               const Nchw &before)
      : LocalKernel(op.getInput(), in, op.getOutput(), out), before(before),
        mode(op.getMode()) {
    strides = true;
  }

  Range inputRows(size_t, Range rows) const override {
    int64_t first = rowUnder(rows.begin), last = first;
    for (int64_t row = rows.begin; row < rows.begin + rows.size; ++row) {
      first = std::min(first, rowUnder(row));
      last = std::max(last, rowUnder(row));
    }
    return {first, last - first + 1};
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &in = tile.inputs[0], &out = tile.output;
    const int64_t held = inputRows(0, tile.rows).begin;
    // As many rows with one command as come one after another, or from one.
    for (int64_t row = 0; row < tile.rows.size;) {
      const int64_t from = rowUnder(tile.rows.begin + row);
      auto step = [&](int64_t count) {
        return row + count < tile.rows.size
                   ? rowUnder(tile.rows.begin + row + count) - from
                   : -1;
      };
      const int64_t stride = step(1) == 0 ? 0 : 1;
      int64_t count = 1;
      while (step(count) == count * stride)
        ++count;
      em.copyLocal(
          out.part(2, row, count).part(3, before[3], in.size[3]),
          everyNth(in, {from - held, stride, count}, {0, 1, in.size[3]}));
      row += count;
    }
    const int64_t width = in.size[3];
    auto columns = [&](int64_t to, int64_t count) {
      if (count == 0)
        return;
      // All of them repeat the last one, or each another.
      const bool isEdge = mode == top::PaddingMode::edge;
      const int64_t each = isEdge ? count : 1;
      for (int64_t end = to + count; to < end; to += each)
        em.copyLocal(
            out.part(3, to, each),
            everyNth(out, {0, 1, out.size[2]},
                     {before[3] + paddedFrom(mode, to - before[3], width),
                      isEdge ? 0 : 1, each}));
    };
    columns(0, before[3]);
    columns(before[3] + width, out.size[3] - before[3] - width);
  }

private:
  int64_t rowUnder(int64_t row) const {
    return paddedFrom(mode, row - before[2], inputs[0].view.size[2]);
  }

  Nchw before;
  top::PaddingMode mode;
};

/// One entry per axis of a tensor of a shape as those of its lane view.
Nchw asLanes(ArrayRef<int64_t> shape, ArrayRef<int64_t> entries,
             int64_t missing) {
  Nchw lanes{missing, missing, missing, missing};
  for (auto [axis, entry] : llvm::zip_equal(laneAxes(shape), entries))
    lanes[axis] = entry;
  return lanes;
}

} // namespace

template <> Kernels kernelsOf(tpu::UpsampleOp op, int64_t) {
  return only<UpsampleKernel>(op);
}

bool movesLanes(Operation *op) {
  auto concat = llvm::dyn_cast<tpu::ConcatOp>(op);
  if (!concat || !LaneView::of(top::shapeOf(concat.getOutput())))
    return false;
  const size_t axis = concat.getAxis();
  if (laneAxes(top::shapeOf(concat.getOutput()))[axis] != 1)
    return false;
  int64_t begin = 0;
  for (Value input : concat.getInputs()) {
    if (begin % int64_t(isa::kLanes) != 0)
      return true;
    begin += top::shapeOf(input)[axis];
  }
  return false;
}

template <> Kernels kernelsOf(tpu::ConcatOp op, int64_t) {
  return ConcatKernel::takes(op) ? only<ConcatKernel>(op) : Kernels();
}

template <> Kernels kernelsOf(tpu::ReshapeOp op, int64_t) {
  auto in = LaneView::of(top::shapeOf(op.getInput()));
  auto out = LaneView::of(top::shapeOf(op.getOutput()));
  return in && out && ReshapeKernel::takes(*in, *out)
             ? only<ReshapeKernel>(op, *in, *out)
             : Kernels();
}

template <> Kernels kernelsOf(tpu::SliceOp op, int64_t) {
  auto in = LaneView::of(top::shapeOf(op.getInput()));
  auto out = LaneView::of(top::shapeOf(op.getOutput()));
  ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  // A row that is cut out of a matrix is another view.
  if (!in || !out || laneAxes(shape) != laneAxes(top::shapeOf(op.getOutput())))
    return {};
  Nchw offset = asLanes(shape, op.getOffset(), 0);
  Nchw steps = asLanes(shape, op.getSteps(), 1);
  if (in->size[0] == out->size[0] && offset[1] % isa::kLanes == 0 &&
      steps[0] == 1 && steps[1] == 1 && steps[2] > 0 && steps[3] > 0)
    return only<SliceKernel>(op, *in, *out, offset, steps);
  return {};
}

template <> Kernels kernelsOf(tpu::PadOp op, int64_t) {
  auto in = LaneView::of(top::shapeOf(op.getInput()));
  auto out = LaneView::of(top::shapeOf(op.getOutput()));
  auto pads = op.getPaddings();
  ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  if (!in || !out || laneAxes(shape) != laneAxes(top::shapeOf(op.getOutput())))
    return {};
  Nchw before = asLanes(shape, ArrayRef(pads).take_front(pads.size() / 2), 0);
  if (in->size[0] != out->size[0] || before[1] != 0)
    return {};
  if (op.getMode() == top::PaddingMode::constant)
    return only<PadKernel>(op, *in, *out, before);
  return in->size[1] == out->size[1] ? only<MirrorKernel>(op, *in, *out, before)
                                     : Kernels();
}

} // namespace tpumlir::codegen
