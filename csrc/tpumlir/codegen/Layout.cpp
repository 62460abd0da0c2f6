#include "tpumlir/codegen/Dma.h"
#include "tpumlir/codegen/Families.h"

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

} // namespace tpumlir::codegen
