#include "tpumlir/codegen/Convolution.h"
#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Group.h"
#include "tpumlir/codegen/TilingSolver.h"

using namespace mlir;

namespace tpumlir::codegen {

void packFilter(Emitter &em, const Local &filter, const Local &loose,
                int64_t kernel) {
  const int64_t cube = isa::convChannelCube(loose.dtype);
  int64_t ic = loose.size[2], blocks = ic / cube;
  auto copy = [&](int64_t block, int64_t count, int64_t width) {
    const int64_t begin = block * cube * kernel;
    Local to = (filter + begin).strided(), from = (loose + begin).strided();
    to.size = from.size = {count, loose.size[1], kernel, width};
    to.stride = {cube * kernel, filter.stride[1], cube, 1};
    from.stride = {cube * kernel, loose.stride[1], 1, kernel};
    em.copyLocal(to, from);
  };
  // What fills the last cube of bytes must not count.
  if (loose.dtype == isa::DType::I8 && ic % cube > 0)
    em.copyLocal(filter, Operand::integer(0));
  if (blocks > 0)
    copy(0, blocks, cube);
  if (ic % cube > 0)
    copy(blocks, 1, ic % cube);
}

namespace {

/// Dense within a group. Loops: group, output channels, place, input channels.
class DenseConv {
public:
  DenseConv(Emitter &em, const Convolution &conv) : em(em), conv(conv) {}

  LogicalResult emit(Operation *op) {
    ConvProblem problem{
        conv.n,
        conv.ic / conv.group,
        conv.oc / conv.group,
        conv.geometry.h.out,
        conv.geometry.w.out,
        conv.group,
        conv.kernel,
        conv.geometry.h.mostOutputs(),
        conv.geometry.w.mostOutputs(),
        conv.bias.has_value(),
        conv.input.dtype,
        conv.output.dtype,
        conv.packs(),
        conv.narrows(),
        [&](int64_t h, int64_t w) { return conv.geometry.inputExtent(h, w); }};
    std::optional<ConvTiling> solved = solve(problem);
    if (!solved)
      return op->emitError("expected a convolution whose smallest tile fits "
                           "into local memory, got a kernel of ")
             << conv.kernel << " elements";
    tiling = *solved;
    widens = widensResult(problem, tiling);
    allocate(buffersOf(problem, tiling));
    for (int64_t g = 0; g < conv.group; ++g)
      for (Range oc : cut(problem.oc, tiling.oc))
        emitFilter(g, oc);
    runSteps(steps);
    return success();
  }

private:
  void allocate(const ConvBuffers &buffers) {
    LaneMemory memory;
    auto take = [&](int64_t (&slots)[2], int64_t bytes, int64_t count) {
      slots[0] = slots[1] = memory.take(bytes);
      if (count > 1)
        slots[1] = memory.take(bytes);
    };
    take(inputs, buffers.inputBytes, buffers.inputs);
    take(filters, buffers.filterBytes, buffers.filters);
    take(looses, buffers.looseBytes, buffers.looses);
    take(biases, buffers.biasBytes, buffers.biases);
    outputs = TileBuffers(memory, conv.output.dtype,
                          {tiling.n, tiling.oc, tiling.h, tiling.w},
                          buffers.outputs, widens);
  }

  void emitFilter(int64_t g, Range oc) {
    bool whole = tiling.ic >= conv.ic / conv.group;
    ++filterCount; // a new bias, and a new filter if that is not cut
    bool fresh = true;
    for (Range n : cut(conv.n, tiling.n))
      for (Range h : cut(conv.geometry.h.out, tiling.h))
        for (Range w : cut(conv.geometry.w.out, tiling.w)) {
          ++outputCount;
          for (Range ic : cut(conv.ic / conv.group, tiling.ic)) {
            if (!whole)
              ++depthCount;
            emitTile(g, oc, n, h, w, ic, fresh, whole);
            fresh = false;
          }
        }
  }

  void emitTile(int64_t g, Range oc, Range n, Range h, Range w, Range ic,
                bool fresh, bool whole) {
    int64_t icg = conv.ic / conv.group, ocg = conv.oc / conv.group;
    WindowTile tile = windowTile(conv.geometry, h, w, inputs[inputCount++ % 2],
                                 conv.input.dtype, n.size, ic.size);
    isa::DType type = conv.input.dtype;
    int64_t slot = (whole ? filterCount : depthCount) % 2;
    Local filter = compact(
        filters[slot], filterTile(oc.size, ic.size, conv.kernel, type), type);
    Local loose =
        compact(looses[slot], {1, oc.size, ic.size, conv.kernel}, type);
    Local bias = compact(biases[filterCount % 2], {1, oc.size, 1, 1});
    Nchw size{n.size, oc.size, h.size, w.size};
    Local out = outputs.computed(outputCount, size);
    Local stored = outputs.stored(outputCount, size);
    bool first = ic.begin == 0, last = ic.begin + ic.size == icg;

    Step step;
    step.load = [=, this] {
      tile.load(em,
                conv.input +
                    (n.begin * conv.ic + g * icg + ic.begin) * conv.inPlane(),
                conv.ic * conv.inPlane(), conv.inPlane());
      if (fresh && conv.bias)
        em.load(*conv.bias + (g * ocg + oc.begin), {0, 1, 1, 1}, bias);
      // Tiles of input channels start at cubes.
      if (fresh || !whole)
        em.load(conv.filter + (g * conv.layout.groupStride() +
                               oc.begin * conv.layout.outputStride() +
                               conv.layout.inputOffset(ic.begin)),
                {0, conv.layout.outputStride(), conv.layout.columnStride(), 1},
                conv.packs() ? loose : filter);
    };
    step.compute = [=, this] {
      if (conv.packs() && (fresh || !whole))
        packFilter(em, filter, loose, conv.kernel);
      em.conv(out, tile.local, filter, conv.bias && first ? &bias : nullptr,
              tile.fields, !first);
      if (!last)
        return;
      emitReluOfSum(em, out, conv.relu);
      castTile(em, stored, out);
    };
    if (last)
      step.store = [=, this] {
        em.store(stored,
                 conv.output + ((n.begin * conv.oc + g * ocg + oc.begin) *
                                    conv.outPlane() +
                                h.begin * conv.geometry.w.out + w.begin),
                 {conv.oc * conv.outPlane(), conv.outPlane(),
                  conv.geometry.w.out, 1});
      };
    steps.push_back(std::move(step));
  }

  Emitter &em;
  const Convolution &conv;
  ConvTiling tiling{};
  bool widens = false; ///< the result is F32 until all of it is summed
  TileBuffers outputs;
  int64_t inputs[2], filters[2], looses[2], biases[2];
  int64_t inputCount = 0, filterCount = 0, depthCount = 0, outputCount = 0;
  std::vector<Step> steps;
};

/// What both ops say in the same words.
template <typename OpTy> Convolution common(OpTy op) {
  ArrayRef<int64_t> in = top::shapeOf(op.getInput());
  ArrayRef<int64_t> out = top::shapeOf(op.getOutput());
  Convolution conv{};
  conv.n = in[0];
  conv.ic = in[1];
  conv.oc = out[1];
  conv.group = op.getGroup();
  conv.layout = tpu::FilterLayout::of(op);
  conv.inputValue = op.getInput();
  conv.filterValue = op.getFilter();
  conv.biasValue = op.getBias();
  conv.outputValue = op.getOutput();
  conv.input = globalOf(op.getInput());
  conv.filter = globalOf(op.getFilter());
  conv.output = globalOf(op.getOutput());
  if (op.getWithBias())
    conv.bias = globalOf(op.getBias());
  conv.relu = Relu::of(op);
  auto kernel = op.getKernelShape();
  conv.kernel = top::elementsOf(kernel);
  conv.geometry = geometryOf(in, out, kernel, op.getStrides(),
                             op.getDilations(), op.getPads());
  return conv;
}

/// Reports types that do not go together.
LogicalResult checkTypes(Operation *op, const Convolution &conv) {
  if (conv.bias && conv.bias->dtype != isa::DType::F32)
    return op->emitError("expected a bias of f32, got ")
           << isa::name(conv.bias->dtype);
  if (conv.layout.isDepthwise()) // wise: each operand becomes F32 by itself
    return success();
  if (conv.filter.dtype != conv.input.dtype || !isa::isFloat(conv.input.dtype))
    return op->emitError("expected input and filter of one float type, got ")
           << isa::name(conv.input.dtype) << " and "
           << isa::name(conv.filter.dtype);
  return success();
}

LogicalResult emitConvolution(Emitter &em, Operation *op,
                              const Convolution &conv) {
  for (const AxisWindow *axis : {&conv.geometry.h, &conv.geometry.w})
    if (axis->dilation > kMaxDilation)
      return op->emitError("expected dilations up to ")
             << kMaxDilation << " (the conversion unfolds others), got "
             << axis->dilation;
  if (failed(checkTypes(op, conv)))
    return failure();
  if (conv.layout.isDepthwise())
    return emitDepthwise(em, op, conv);
  return DenseConv(em, conv).emit(op);
}

} // namespace

Convolution convolutionOf(tpu::Conv2DOp op) {
  Convolution conv = common(op);
  conv.geometry.rotate = op.getDoKernelRotate();
  conv.shift = int(op.getFilterShift());
  return conv;
}

Convolution convolutionOf(tpu::DeconvOp op) {
  Convolution conv = common(op);
  // The input spread by the strides, under the kernel turned by 180 degrees.
  conv.geometry.rotate = true;
  for (AxisWindow *axis : {&conv.geometry.h, &conv.geometry.w}) {
    axis->insert = axis->stride;
    axis->stride = 1;
    axis->padBegin = axis->reach() - 1 - axis->padBegin;
  }
  return conv;
}

template <> LogicalResult emit(Emitter &em, tpu::Conv2DOp op) {
  if (isQuantized(op.getInput()) || op.getFilterShift() != 0)
    return emitAlone(em, op);
  return emitConvolution(em, op, convolutionOf(op));
}
template <> LogicalResult emit(Emitter &em, tpu::DeconvOp op) {
  if (isQuantized(op.getInput()))
    return emitAlone(em, op);
  return emitConvolution(em, op, convolutionOf(op));
}
} // namespace tpumlir::codegen
