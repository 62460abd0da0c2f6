#include "tpumlir/codegen/Dma.h"
#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/LocalKernel.h"

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

template <> LogicalResult emit(Emitter &em, tpu::PermuteOp op) {
  SmallVector<int64_t> from = rowMajor(top::shapeOf(op.getInput()));
  DmaCopy copy{shapeOf(op.getOutput()),
               {},
               rowMajor(top::shapeOf(op.getOutput())),
               globalOf(op.getInput()),
               globalOf(op.getOutput())};
  for (int64_t axis : op.getOrder())
    copy.srcStride.push_back(from[axis]);
  emitCopy(em, copy);
  return success();
}

template <> LogicalResult emit(Emitter &em, tpu::ConcatOp op) {
  SmallVector<int64_t> to = rowMajor(top::shapeOf(op.getOutput()));
  int64_t begin = 0;
  for (Value input : op.getInputs()) {
    emitCopy(em, {shapeOf(input), rowMajor(top::shapeOf(input)), to,
                  globalOf(input),
                  globalOf(op.getOutput()) + begin * to[op.getAxis()]});
    begin += top::shapeOf(input)[op.getAxis()];
  }
  return success();
}

template <> LogicalResult emit(Emitter &em, tpu::SliceOp op) {
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

template <> LogicalResult emit(Emitter &em, tpu::PadOp op) {
  SmallVector<int64_t> in = shapeOf(op.getInput());
  SmallVector<int64_t> out = shapeOf(op.getOutput());
  SmallVector<int64_t> to = rowMajor(out);
  Global output = globalOf(op.getOutput());
  auto pads = op.getPaddings();
  size_t rank = in.size();
  if (op.getMode() == tpu::PaddingMode::constant)
    emitFill(em, output, top::elementsOf(out), op.getVal());
  emitCopy(em, {in, rowMajor(in), to, globalOf(op.getInput()),
                output + offsetOf(ArrayRef(pads).take_front(rank), to)});
  if (op.getMode() == tpu::PaddingMode::constant)
    return success();
  // Axis by axis, each border slice is a copy of a slice that is already there;
  // axes done before are whole by then.
  SmallVector<int64_t> begin(pads.begin(), pads.begin() + rank), size(in);
  for (size_t axis = 0; axis < rank; ++axis) {
    int64_t lo = pads[axis], extent = in[axis];
    auto source = [&](int64_t i) { // position in the input for i in the output
      int64_t x = i - lo;
      if (op.getMode() == tpu::PaddingMode::edge)
        return std::clamp<int64_t>(x, 0, extent - 1);
      int64_t repeated = op.getMode() == tpu::PaddingMode::symmetric;
      if (x < 0)
        return -x - repeated;
      return x < extent ? x : 2 * (extent - 1) - x + repeated;
    };
    SmallVector<int64_t> slice(size);
    slice[axis] = 1;
    for (int64_t i = 0; i < out[axis]; ++i) {
      if (i >= lo && i < lo + extent)
        continue;
      SmallVector<int64_t> src(begin), dst(begin);
      src[axis] = lo + source(i);
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

/// Every `step`-th row from `begin` on and every `columnStep`-th column from
/// `column` on.
Local strided(const Local &x, int64_t begin, int64_t step, int64_t rows,
              int64_t column, int64_t columnStep, int64_t columns) {
  Local part = x;
  part.addr += (begin * x.stride[2] + column) * int64_t(isa::bytes(x.dtype));
  part.size[2] = rows;
  part.size[3] = columns;
  part.stride[2] = step * x.stride[2];
  part.stride[3] = columnStep;
  part.layout = isa::Layout::Strided;
  return part;
}

/// Every element of the input goes to scale_h x scale_w places by as many
/// copies.
class UpsampleKernel : public LocalKernel {
public:
  explicit UpsampleKernel(tpu::UpsampleOp op)
      : scaleH(op.getScaleH()), scaleW(op.getScaleW()) {
    inputs.push_back(
        {op.getInput(), *LaneView::of(top::shapeOf(op.getInput()))});
    output = *LaneView::of(top::shapeOf(op.getOutput()));
    outputType = dtypeOf(op.getOutput());
    channels = {0, output.size[1]};
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
      // The rows of the output that are the i-th copy of theirs.
      int64_t first = (tile.rows.begin - i + scaleH - 1) / scaleH;
      int64_t last =
          (tile.rows.begin + tile.rows.size - 1 - i + scaleH) / scaleH;
      if (first >= last)
        continue;
      for (int64_t j = 0; j < scaleW; ++j)
        em.copyLocal(strided(out, first * scaleH + i - tile.rows.begin, scaleH,
                             last - first, j, scaleW, in.size[3]),
                     strided(in, first - held, 1, last - first, 0, in.stride[3],
                             in.size[3]));
    }
  }

private:
  int64_t scaleH, scaleW;
};

/// Operands that begin at multiples of the lanes are copied within the lanes.
class ConcatKernel : public LocalKernel {
public:
  explicit ConcatKernel(tpu::ConcatOp op)
      : relu(op.getDoRelu()), limit(op.getReluLimit()) {
    for (Value input : op.getInputs())
      inputs.push_back({input, *LaneView::of(top::shapeOf(input))});
    output = *LaneView::of(top::shapeOf(op.getOutput()));
    outputType = dtypeOf(op.getOutput());
    channels = {0, output.size[1]};
    strides = true;
  }

  static bool takes(tpu::ConcatOp op) {
    if (op.getAxis() != 1 || !LaneView::of(top::shapeOf(op.getOutput())))
      return false;
    int64_t begin = 0;
    for (Value input : op.getInputs()) {
      if (begin % isa::kLanes != 0)
        return false;
      begin += top::shapeOf(input)[1];
    }
    return isa::isFloat(dtypeOf(op.getOutput())) || !op.getDoRelu();
  }

  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    int64_t begin = 0;
    for (const Local &in : tile.inputs) {
      Local part = tile.output;
      part.addr += begin / int64_t(isa::kLanes) * part.stride[1] *
                   int64_t(isa::bytes(part.dtype));
      part.size[1] = in.size[1];
      part.layout = isa::Layout::Strided;
      em.copyLocal(part, in);
      begin += in.size[1];
    }
    emitRelu(em, tile.output, relu, limit);
  }

private:
  bool relu;
  double limit;
};

} // namespace

template <> SmallVector<KernelPtr> kernelsOf(tpu::UpsampleOp op, int64_t) {
  SmallVector<KernelPtr> kernels;
  kernels.push_back(std::make_unique<UpsampleKernel>(op));
  return kernels;
}

template <> SmallVector<KernelPtr> kernelsOf(tpu::ConcatOp op, int64_t) {
  SmallVector<KernelPtr> kernels;
  if (ConcatKernel::takes(op))
    kernels.push_back(std::make_unique<ConcatKernel>(op));
  return kernels;
}

} // namespace tpumlir::codegen
