#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Halves.h"
#include "tpumlir/codegen/LocalKernel.h"
#include "tpumlir/codegen/TilingSolver.h"
#include "tpumlir/codegen/Window.h"
#include "tpumlir/dialect/tpu/FilterLayout.h"

using namespace mlir;

namespace tpumlir::codegen {

namespace {

/// A convolution of either direction. Strides are in elements.
struct Convolution {
  int64_t n, ic, oc, group;
  WindowGeometry geometry;
  int64_t kernel;           ///< elements of the window
  tpu::FilterLayout layout; ///< of the filter
  Global input, filter, output;
  std::optional<Global> bias;
  bool relu;
  double limit;

  int64_t inPlane() const { return geometry.h.in * geometry.w.in; }
  int64_t outPlane() const { return geometry.h.out * geometry.w.out; }
  /// The filter has to be brought into the order that the command reads.
  bool packs() const { return !layout.isNative(); }
  /// A dense one may write halves: the bounds of the fused Relu are numbers of
  /// the type of operands and result.
  bool narrows() const {
    return output.dtype == input.dtype && isHalf(output.dtype) &&
           llvm::all_of(limitOf(relu, limit), [&](double number) {
             return isExact(number, output.dtype);
           });
  }
};

/// [ic][kernel] -> [ic / 32][kernel][32] in every lane; the part of the last
/// block behind the last channel does not count.
void pack(Emitter &em, const Local &filter, const Local &loose,
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
  if (blocks > 0)
    copy(0, blocks, cube);
  if (ic % cube > 0)
    copy(blocks, 1, ic % cube);
}

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
        pack(em, filter, loose, conv.kernel);
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

bool isF32(const Global &global) { return global.dtype == isa::DType::F32; }

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

Convolution convolutionOf(tpu::Conv2DOp op) {
  Convolution conv = common(op);
  conv.geometry.rotate = op.getDoKernelRotate();
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

//===----------------------------------------------------------------------===//
// Local form
//===----------------------------------------------------------------------===//

/// What dense and depthwise convolutions of a slice have in common.
class ConvKernel : public LocalKernel {
public:
  explicit ConvKernel(const Convolution &conv) : conv(conv) {
    const WindowGeometry &g = conv.geometry;
    output = {{conv.n, conv.oc, g.h.out, g.w.out},
              denseStrides({conv.n, conv.oc, g.h.out, g.w.out})};
    outputType = conv.output.dtype;
  }

  Range inputRows(size_t, Range rows) const override {
    AxisTile tile = inputUnder(conv.geometry.h, rows);
    return {tile.begin, tile.size};
  }

protected:
  WindowFields fields(Range rows) const {
    return windowPart(conv.geometry, rows, {0, conv.geometry.w.out}).fields;
  }
  LaneView inputView() const {
    Nchw size{conv.n, conv.ic, conv.geometry.h.in, conv.geometry.w.in};
    return {size, denseStrides(size)};
  }
  /// Relu and the type of the result. `wide` is the sum in F32.
  void finish(Emitter &em, const Local &out, const Local &wide) const {
    emitRelu(em, wide, conv.relu, conv.limit);
    castTile(em, out, wide);
  }
  bool isWide() const { return outputType == isa::DType::F32; }

  Convolution conv;
};

/// All input channels of all its output channels.
class DenseKernel : public ConvKernel {
public:
  DenseKernel(const Convolution &conv, Value input, Value filter, Value bias,
              Range part)
      : ConvKernel(conv), thin(conv.layout.isThin()) {
    channels = part;
    inputs.push_back({input, inputView()});
    isa::DType type = conv.filter.dtype;
    const tpu::FilterLayout &layout = conv.layout;
    Local loose = compact(0, {1, part.size, conv.ic, conv.kernel}, type);
    WholeInput whole{
        filter, loose, {0, layout.outputStride(), layout.columnStride(), 1}};
    whole.begin = part.begin * layout.outputStride();
    if (!thin) {
      whole.local =
          compact(0, filterTile(part.size, conv.ic, conv.kernel, type), type);
      if (conv.packs())
        whole.loose = loose;
    }
    wholes.push_back(whole);
    if (conv.bias) {
      WholeInput vector{bias,
                        compact(0, {1, part.size, 1, 1}, conv.bias->dtype),
                        {0, 1, 1, 1}};
      vector.begin = part.begin;
      wholes.push_back(vector);
    }
  }

  int64_t scratchBytes(const Nchw &out, ArrayRef<Nchw> in) const override {
    int64_t sum = isDirect() ? 0 : alignedBytes(out);
    if (thin)
      sum += alignedBytes(in[0]) + filterBytes();
    return sum;
  }
  void pack(Emitter &em, size_t, const Local &to,
            const Local &from) const override {
    codegen::pack(em, to, from, conv.kernel);
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    LaneMemory memory(tile.scratch);
    Local out = tile.output, in = tile.inputs[0], filter = tile.wholes[0];
    if (!isDirect())
      out = aligned(memory.take(alignedBytes(out.size)), out.size);
    if (thin) {
      in = aligned(memory.take(alignedBytes(in.size)), in.size);
      castTile(em, in, tile.inputs[0]);
      filter = compact(memory.take(filterBytes()), filter.size);
      castTile(em, filter, tile.wholes[0]);
    }
    em.conv(out, in, filter, tile.wholes.size() > 1 ? &tile.wholes[1] : nullptr,
            fields(tile.rows), false);
    if (narrows())
      emitReluOfSum(em, out, conv.relu, conv.limit);
    else
      finish(em, tile.output, out);
  }

private:
  int64_t filterBytes() const {
    return roundUp(compactBytes(wholes[0].local.size), isa::kEuBytes);
  }
  /// The command writes halves.
  bool narrows() const { return conv.narrows() && !thin; }
  /// It writes the result as it stays.
  bool isDirect() const { return isWide() || narrows(); }

  bool thin; ///< halves that are computed in F32
};

/// One input channel per output channel, lane by lane. Halves become F32.
class DepthwiseKernel : public ConvKernel {
public:
  DepthwiseKernel(const Convolution &conv, Value input, Value filter,
                  Value bias)
      : ConvKernel(conv) {
    channels = {0, conv.oc};
    inputs.push_back({input, inputView()});
    wholes.push_back(
        {filter,
         compact(0, {1, conv.oc, 1, conv.kernel}, conv.filter.dtype),
         {0, conv.layout.groupStride(), conv.kernel, 1}});
    if (conv.bias)
      wholes.push_back({bias,
                        compact(0, {1, conv.oc, 1, 1}, conv.bias->dtype),
                        {0, 1, 1, 1}});
  }

  int64_t scratchBytes(const Nchw &out, ArrayRef<Nchw> in) const override {
    int64_t sum = isWide() ? 0 : alignedBytes(out);
    if (conv.input.dtype != isa::DType::F32)
      sum += alignedBytes(in[0]);
    for (const WholeInput &whole : wholes)
      if (whole.local.dtype != isa::DType::F32)
        sum += roundUp(compactBytes(whole.local.size), isa::kEuBytes);
    return sum;
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    int64_t next = tile.scratch;
    auto widened = [&](const Local &local) {
      if (local.dtype == isa::DType::F32)
        return local;
      bool isCompact = local.layout == isa::Layout::Compact;
      Local wide =
          isCompact ? compact(next, local.size) : aligned(next, local.size);
      next += isCompact ? roundUp(compactBytes(local.size), isa::kEuBytes)
                        : alignedBytes(local.size);
      castTile(em, wide, local);
      return wide;
    };
    Local in = widened(tile.inputs[0]), filter = widened(tile.wholes[0]), bias;
    if (conv.bias)
      bias = widened(tile.wholes[1]);
    Local out = isWide() ? tile.output : aligned(next, tile.output.size);
    em.depthwise(out, in, filter, conv.bias ? &bias : nullptr,
                 fields(tile.rows));
    finish(em, tile.output, out);
  }
};

/// A transposed convolution whose windows do not overlap: every tap is a
/// convolution of one place by itself, whose result stands at every stride-th
/// row and column. No zeros are multiplied.
class SubpixelKernel : public ConvKernel {
public:
  SubpixelKernel(const Convolution &conv, Value input, Value filter, Value bias)
      : ConvKernel(conv), strideH(conv.geometry.h.insert),
        strideW(conv.geometry.w.insert) {
    channels = {0, conv.oc};
    inputs.push_back({input, inputView()});
    const tpu::FilterLayout &layout = conv.layout;
    int64_t cube = isa::convChannelCube(conv.filter.dtype);
    for (int64_t tap = 0; tap < conv.kernel; ++tap) {
      WholeInput whole{
          filter,
          compact(0, filterTile(conv.oc, conv.ic, 1, conv.filter.dtype),
                  conv.filter.dtype),
          {0, layout.outputStride(), layout.columnStride(), 1}};
      whole.begin = tap * layout.tapStride();
      assert(whole.local.size[3] == cube);
      wholes.push_back(whole);
    }
    if (conv.bias)
      wholes.push_back({bias,
                        compact(0, {1, conv.oc, 1, 1}, conv.bias->dtype),
                        {0, 1, 1, 1}});
  }

  static bool takes(const Convolution &conv) {
    auto fits = [](const AxisWindow &axis) {
      return axis.insert == axis.kernel && axis.stride == 1 &&
             axis.dilation == 1 && axis.padBegin == axis.kernel - 1 &&
             axis.out == axis.in * axis.kernel;
    };
    const WindowGeometry &g = conv.geometry;
    return g.rotate && fits(g.h) && fits(g.w) && conv.kernel > 1 &&
           conv.kernel <= 16;
  }

  Range inputRows(size_t, Range rows) const override {
    int64_t first = rows.begin / strideH;
    return {first, (rows.begin + rows.size - 1) / strideH - first + 1};
  }
  int64_t scratchBytes(const Nchw &out, ArrayRef<Nchw> in) const override {
    return alignedBytes(onePlane(out, in[0]));
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &in = tile.inputs[0], &out = tile.output;
    Local plane = aligned(tile.scratch, onePlane(out.size, in.size));
    const Local *bias = conv.bias ? &tile.wholes.back() : nullptr;
    for (int64_t i = 0; i < strideH; ++i)
      for (int64_t j = 0; j < strideW; ++j) {
        em.conv(plane, in, tile.wholes[i * strideW + j], bias, {}, false);
        emitRelu(em, plane, conv.relu, conv.limit);
        RowsOfPhase rows(tile.rows, strideH, i);
        if (rows.count == 0)
          continue;
        Local to = out, from = plane;
        to.layout = from.layout = isa::Layout::Strided;
        to.addr +=
            (rows.first * out.stride[2] + j) * int64_t(isa::bytes(out.dtype));
        to.size[2] = from.size[2] = rows.count;
        to.size[3] = in.size[3];
        to.stride[2] *= strideH;
        to.stride[3] = strideW;
        from.addr += (rows.source - inputRows(0, tile.rows).begin) *
                     plane.stride[2] * int64_t(isa::bytes(plane.dtype));
        if (to.dtype == from.dtype)
          em.copyLocal(to, from);
        else
          castTile(em, to, from);
      }
  }

private:
  static Nchw onePlane(const Nchw &out, const Nchw &in) {
    return {out[0], out[1], in[2], in[3]};
  }

  int64_t strideH, strideW;
};

template <typename OpTy>
SmallVector<KernelPtr> convKernels(OpTy op, int64_t parts) {
  Convolution conv = convolutionOf(op);
  for (const AxisWindow *axis : {&conv.geometry.h, &conv.geometry.w})
    if (axis->dilation > kMaxDilation)
      return {};
  if (!cutsFreely(conv.geometry) || (conv.bias && !isF32(*conv.bias)))
    return {};
  SmallVector<KernelPtr> kernels;
  if (conv.layout.isDepthwise()) {
    if (conv.oc != conv.group)
      return {};
    kernels.push_back(std::make_unique<DepthwiseKernel>(
        conv, op.getInput(), op.getFilter(), op.getBias()));
    return kernels;
  }
  if (conv.group != 1 || conv.filter.dtype != conv.input.dtype ||
      !isa::isFloat(conv.input.dtype))
    return {};
  // A filter that is computed would be loaded tap by tap, element by element.
  if (SubpixelKernel::takes(conv) && conv.layout.isNative() &&
      op.getFilter().template getDefiningOp<top::WeightOp>()) {
    kernels.push_back(std::make_unique<SubpixelKernel>(
        conv, op.getInput(), op.getFilter(), op.getBias()));
    return kernels;
  }
  for (Range part : channelParts(conv.oc, parts))
    kernels.push_back(std::make_unique<DenseKernel>(
        conv, op.getInput(), op.getFilter(), op.getBias(), part));
  return kernels;
}

} // namespace

template <> LogicalResult emit(Emitter &em, tpu::Conv2DOp op) {
  return emitConvolution(em, op, convolutionOf(op));
}
template <> LogicalResult emit(Emitter &em, tpu::DeconvOp op) {
  return emitConvolution(em, op, convolutionOf(op));
}
template <> SmallVector<KernelPtr> kernelsOf(tpu::Conv2DOp op, int64_t parts) {
  return convKernels(op, parts);
}
template <> SmallVector<KernelPtr> kernelsOf(tpu::DeconvOp op, int64_t parts) {
  return convKernels(op, parts);
}

} // namespace tpumlir::codegen
