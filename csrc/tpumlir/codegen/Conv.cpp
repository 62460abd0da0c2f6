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
    Local to = filter, from = loose;
    to.layout = from.layout = isa::Layout::Strided;
    to.size = from.size = {count, loose.size[1], kernel, width};
    to.stride = {cube * kernel, filter.stride[1], cube, 1};
    from.stride = {cube * kernel, loose.stride[1], 1, kernel};
    int64_t begin = block * cube * kernel * isa::bytes(loose.dtype);
    to.addr += begin;
    from.addr += begin;
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
                          isa::Layout::Aligned, buffers.outputs, widens);
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
      if (widens)
        emitRelu(em, out, conv.relu, conv.limit);
      else
        emitReluOfSum(em, out, conv.relu, conv.limit);
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

/// One input channel per group: every lane works for its own channel. A group
/// with several output channels is run once for each of them.
class DepthwiseConv {
public:
  DepthwiseConv(Emitter &em, const Convolution &conv) : em(em), conv(conv) {}

  LogicalResult emit(Operation *op) {
    int64_t multiplier = conv.oc / conv.group;
    std::optional<Nchw> part = chooseTile();
    if (!part)
      return op->emitError("expected a depthwise convolution whose smallest "
                           "tile fits into local memory, got a kernel of ")
             << conv.kernel << " elements";
    allocate(*part);
    for (int64_t j = 0; j < multiplier; ++j)
      for (Range c : cut(conv.group, (*part)[1]))
        for (Range n : cut(conv.n, (*part)[0]))
          for (Range h : cut(conv.geometry.h.out, (*part)[2]))
            for (Range w : cut(conv.geometry.w.out, (*part)[3]))
              emitTile(j, c, n, h, w);
    runSteps(steps);
    return success();
  }

private:
  Nchw inputTile(const Nchw &t) const {
    auto [inH, inW] = conv.geometry.inputExtent(t[2], t[3]);
    return {t[0], t[1], inH, inW};
  }
  int64_t bytes(const Nchw &t) const {
    return TileBuffers::bytes(conv.input.dtype, inputTile(t)) +
           TileBuffers::bytes(conv.output.dtype, t) +
           TileBuffers::bytes(conv.filter.dtype, {1, t[1], 1, conv.kernel},
                              isa::Layout::Compact) +
           TileBuffers::bytes(biasType(), {1, t[1], 1, 1},
                              isa::Layout::Compact);
  }
  isa::DType biasType() const {
    return conv.bias ? conv.bias->dtype : isa::DType::F32;
  }

  std::optional<Nchw> chooseTile() const {
    Nchw t{conv.n, conv.group, conv.geometry.h.mostOutputs(),
           conv.geometry.w.mostOutputs()};
    while (bytes(t) > int64_t(isa::kLaneBytes))
      if (t[0] > 1)
        t[0] = ceilDiv(t[0], 2);
      else if (t[1] > isa::kLanes)
        t[1] = roundUp(ceilDiv(t[1], 2), isa::kLanes);
      else if (t[2] > 1)
        t[2] = ceilDiv(t[2], 2);
      else if (t[3] > 1)
        t[3] = ceilDiv(t[3], 2);
      else
        return std::nullopt;
    return t;
  }

  void allocate(const Nchw &t) {
    LaneMemory memory;
    inputs = TileBuffers(memory, conv.input.dtype, inputTile(t));
    outputs = TileBuffers(memory, conv.output.dtype, t);
    filters = TileBuffers(memory, conv.filter.dtype, {1, t[1], 1, conv.kernel},
                          isa::Layout::Compact);
    biases =
        TileBuffers(memory, biasType(), {1, t[1], 1, 1}, isa::Layout::Compact);
  }

  void emitTile(int64_t j, Range c, Range n, Range h, Range w) {
    int64_t multiplier = conv.oc / conv.group;
    int64_t slot = int64_t(steps.size());
    WindowTile tile = windowTile(conv.geometry, h, w, inputs.storedAddr(slot),
                                 inputs.dtype(), n.size, c.size);
    Nchw kernel{1, c.size, 1, conv.kernel}, one{1, c.size, 1, 1};
    Nchw size{n.size, c.size, h.size, w.size};
    Local in = inputs.computed(slot, tile.local.size);
    Local loadedFilter = filters.stored(slot, kernel);
    Local filter = filters.computed(slot, kernel);
    Local loadedBias = biases.stored(slot, one);
    Local bias = biases.computed(slot, one);
    Local out = outputs.computed(slot, size);
    Local stored = outputs.stored(slot, size);

    Step step;
    step.load = [=, this] {
      tile.load(em, conv.input + (n.begin * conv.ic + c.begin) * conv.inPlane(),
                conv.ic * conv.inPlane(), conv.inPlane());
      em.load(conv.filter + (c.begin * conv.layout.groupStride() +
                             j * conv.layout.outputStride()),
              {0, conv.layout.groupStride(), conv.kernel, 1}, loadedFilter);
      if (conv.bias)
        em.load(*conv.bias + (c.begin * multiplier + j), {0, multiplier, 1, 1},
                loadedBias);
    };
    step.compute = [=, this] {
      castTile(em, in, tile.local);
      castTile(em, filter, loadedFilter);
      if (conv.bias)
        castTile(em, bias, loadedBias);
      em.depthwise(out, in, filter, conv.bias ? &bias : nullptr, tile.fields);
      emitRelu(em, out, conv.relu, conv.limit);
      castTile(em, stored, out);
    };
    step.store = [=, this] {
      em.store(stored,
               conv.output + ((n.begin * conv.oc + c.begin * multiplier + j) *
                                  conv.outPlane() +
                              h.begin * conv.geometry.w.out + w.begin),
               {conv.oc * conv.outPlane(), multiplier * conv.outPlane(),
                conv.geometry.w.out, 1});
    };
    steps.push_back(std::move(step));
  }

  Emitter &em;
  const Convolution &conv;
  TileBuffers inputs, filters, biases, outputs;
  std::vector<Step> steps;
};

/// What both ops say in the same words. One spatial axis counts as columns.
template <typename OpTy> Convolution common(OpTy op) {
  ArrayRef<int64_t> in = top::shapeOf(op.getInput());
  ArrayRef<int64_t> out = top::shapeOf(op.getOutput());
  Convolution conv{};
  conv.n = in[0];
  conv.ic = in[1];
  conv.oc = out[1];
  conv.group = op.getGroup();
  conv.layout = tpu::FilterLayout::of(op);
  conv.input = globalOf(op.getInput());
  conv.filter = globalOf(op.getFilter());
  conv.output = globalOf(op.getOutput());
  if (op.getWithBias())
    conv.bias = globalOf(op.getBias());
  conv.relu = op.getDoRelu();
  conv.limit = op.getReluLimit();
  auto kernel = op.getKernelShape(), stride = op.getStrides(),
       dilation = op.getDilations(), pads = op.getPads();
  size_t axes = kernel.size();
  AxisWindow *windows[] = {&conv.geometry.h, &conv.geometry.w};
  conv.geometry.h = {1, 1, 1, 1, 1, 0};
  conv.kernel = 1;
  for (size_t i = 0; i < axes; ++i) {
    *windows[i + 2 - axes] = {in[i + 2], out[i + 2],  kernel[i],
                              stride[i], dilation[i], pads[i]};
    conv.kernel *= kernel[i];
  }
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
    return DepthwiseConv(em, conv).emit(op);
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
