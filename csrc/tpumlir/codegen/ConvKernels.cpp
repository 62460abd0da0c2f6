#include "tpumlir/codegen/ConvKernel.h"
#include "tpumlir/codegen/Quantized.h"
#include "tpumlir/codegen/TilingSolver.h"

/// Convolutions on tensors that are in the lanes.
#include <cmath>

using namespace mlir;

namespace tpumlir::codegen {

namespace {

/// Moves a filter whose elements do not fill their cubes to where those begin.
void packWindows(Emitter &em, const Local &to, const Local &from) {
  Local rows = to;
  rows.size = from.size;
  rows.layout = isa::Layout::Strided;
  em.copyLocal(rows, from);
}

/// What a filter in cubes has of each, if there is one and it is not full.
std::optional<WholeInput::Cubes> cubesOf(const tpu::FilterLayout &layout) {
  if (layout.order != tpu::FilterOrder::Cubes || layout.ic >= layout.cube)
    return std::nullopt;
  return WholeInput::Cubes{layout.cube, layout.ic};
}

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
      whole.cubes = cubesOf(conv.layout);
    }
    wholes.push_back(whole);
    addBias(bias, part);
  }

  int64_t scratchBytes(const Nchw &out, ArrayRef<Nchw> in) const override {
    int64_t sum = isDirect() ? 0 : alignedBytes(out);
    if (thin)
      sum += alignedBytes(in[0]) + filterBytes();
    return sum;
  }
  void pack(Emitter &em, size_t, const Local &to,
            const Local &from) const override {
    packFilter(em, to, from, conv.kernel);
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
    const Local *bias = tile.wholes.size() > 1 ? &tile.wholes[1] : nullptr;
    em.conv(out, in, filter, conv.shift == 0 ? bias : nullptr,
            fields(tile.rows), false);
    if (conv.shift != 0) {
      em.ar(isa::ArOp::Mul, out, out, float(std::ldexp(1.0, -conv.shift)));
      if (bias)
        em.ar(isa::ArOp::Add, out, out, *bias);
    }
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
    addBias(bias, {0, conv.oc});
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

/// Of integers, dense, in groups that begin in lane 0, or depthwise: the sums,
/// in 32 bits, are brought to the scale of the result, with the bias in the
/// offset.
class QuantizedKernel : public ConvKernel {
public:
  template <typename OpTy>
  QuantizedKernel(const Convolution &conv, OpTy op, Range part)
      : ConvKernel(conv), type(*Quantization::of(op.getOutput())),
        zero(Quantization::of(op.getInput())->zeroPoint) {
    channels = part;
    held = heldBy(type, conv.relu, conv.limit);
    inputs.push_back({op.getInput(), inputView()});
    const tpu::FilterLayout &layout = conv.layout;
    const isa::DType bytes = conv.filter.dtype;
    if (layout.isDepthwise()) {
      wholes.push_back({op.getFilter(),
                        compact(0, {1, conv.oc, 1, conv.kernel}, bytes),
                        {0, layout.groupStride(), conv.kernel, 1}});
    } else {
      Local loose = compact(0, {1, part.size, layout.ic, conv.kernel}, bytes);
      WholeInput whole{op.getFilter(),
                       loose,
                       {0, layout.outputStride(), layout.columnStride(), 1}};
      whole.begin = part.begin * layout.outputStride();
      whole.local = compact(
          0, filterTile(part.size, layout.ic, conv.kernel, bytes), bytes);
      if (conv.packs())
        whole.loose = loose;
      whole.cubes = cubesOf(layout);
      wholes.push_back(whole);
    }
    wholes.push_back(multiRows(op.getMulti(), part));
  }

  int64_t scratchBytes(const Nchw &out, ArrayRef<Nchw>) const override {
    return alignedBytes(out, isa::DType::I32);
  }
  void pack(Emitter &em, size_t, const Local &to,
            const Local &from) const override {
    packFilter(em, to, from, conv.kernel);
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    Local sum = aligned(tile.scratch, tile.output.size, isa::DType::I32);
    WindowFields window = fields(tile.rows);
    window.padValue = zero;
    if (conv.layout.isDepthwise())
      em.depthwise(sum, tile.inputs[0], tile.wholes[0], nullptr, window);
    else if (conv.group == 1)
      em.conv(sum, tile.inputs[0], tile.wholes[0], nullptr, window, false);
    else
      emitGroups(em, sum, tile, window);
    em.requantize(tile.output, sum, tile.wholes[1]);
    holdStored(em, tile.output, type, held);
  }

  /// Whether the channels of every group begin in lane 0.
  static bool takesGroups(const Convolution &conv) {
    return conv.layout.ic % isa::kLanes == 0 &&
           conv.layout.oc % isa::kLanes == 0;
  }

private:
  void emitGroups(Emitter &em, const Local &sum, const KernelTile &tile,
                  const WindowFields &window) const {
    // Some channels of one batch: whole rows of lanes.
    auto part = [](Local local, int64_t n, int64_t channel, int64_t count) {
      local.addr += (n * local.stride[0] +
                     channel / int64_t(isa::kLanes) * local.stride[1]) *
                    int64_t(isa::bytes(local.dtype));
      local.size[0] = 1;
      local.size[1] = count;
      return local;
    };
    const int64_t ic = conv.layout.ic, oc = conv.layout.oc;
    for (int64_t n = 0; n < sum.size[0]; ++n)
      for (int64_t g = 0; g < conv.group; ++g)
        em.conv(part(sum, n, g * oc, oc), part(tile.inputs[0], n, g * ic, ic),
                part(tile.wholes[0], 0, g * oc, oc), nullptr, window, false);
  }

  Quantization type;
  int64_t zero;
  StoredRange held;
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
    for (int64_t tap = 0; tap < conv.kernel; ++tap) {
      WholeInput whole{
          filter,
          compact(0, filterTile(conv.oc, conv.ic, 1, conv.filter.dtype),
                  conv.filter.dtype),
          {0, layout.outputStride(), layout.columnStride(), 1}};
      whole.begin = tap * layout.tapStride();
      wholes.push_back(whole);
    }
    addBias(bias, {0, conv.oc});
  }
  /// Of integers.
  SubpixelKernel(const Convolution &conv, tpu::DeconvOp op)
      : SubpixelKernel(conv, op.getInput(), op.getFilter(), op.getBias()) {
    type = Quantization::of(op.getOutput());
    wholes.push_back(multiRows(op.getMulti(), {0, conv.oc}));
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
    Nchw size = onePlane(out, in[0]);
    return alignedBytes(size) + (type ? alignedBytes(size, outputType) : 0);
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &in = tile.inputs[0], &out = tile.output;
    LaneMemory memory(tile.scratch);
    const Nchw size = onePlane(out.size, in.size);
    Local sum = aligned(memory.take(alignedBytes(size)), size,
                        type ? isa::DType::I32 : isa::DType::F32);
    Local plane = sum;
    if (type)
      plane =
          aligned(memory.take(alignedBytes(size, out.dtype)), size, out.dtype)
              .withSign(out.isSigned);
    const Local *bias = conv.bias ? &tile.wholes.back() : nullptr;
    for (int64_t i = 0; i < strideH; ++i) {
      RowsOfPhase rows(tile.rows, strideH, i);
      if (rows.count == 0)
        continue;
      for (int64_t j = 0; j < strideW; ++j) {
        em.conv(sum, in, tile.wholes[i * strideW + j], bias, {}, false);
        if (type) {
          em.requantize(plane, sum, tile.wholes.back());
          holdStored(em, plane, *type, heldBy(*type, conv.relu, conv.limit));
        } else {
          emitRelu(em, plane, conv.relu, conv.limit);
        }
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
  }

private:
  static Nchw onePlane(const Nchw &out, const Nchw &in) {
    return {out[0], out[1], in[2], in[3]};
  }

  int64_t strideH, strideW;
  std::optional<Quantization> type; ///< of the result, if it is integers
};

/// A transposed convolution with strides, phase by phase: the rows r, r + s,
/// r + 2s, .. of the result meet the same taps, so they are a convolution with
/// those; no zeros are multiplied. The taps of every phase are brought together
/// once, whether the filter is a constant or computed.
class PhasesKernel : public ConvKernel {
public:
  PhasesKernel(const Convolution &conv, Value input, Value filter, Value bias)
      : ConvKernel(conv), rows(phasesOf(conv.geometry.h)),
        columns(phasesOf(conv.geometry.w)) {
    channels = {0, conv.oc};
    inputs.push_back({input, inputView()});
    isa::DType type = conv.filter.dtype;
    const tpu::FilterLayout &layout = conv.layout;
    // All taps together take what the filter takes.
    Local form =
        compact(0, filterTile(conv.oc, conv.ic, conv.kernel, type), type);
    WholeInput whole{
        filter, form, {0, layout.outputStride(), layout.columnStride(), 1}};
    whole.loose = form;
    wholes.push_back(whole);
    addBias(bias, {0, conv.oc});
  }

  /// Every phase has taps, every row of it sees input, and the filter of each
  /// phase begins at a legal address.
  static bool takes(const Convolution &conv) {
    const WindowGeometry &g = conv.geometry;
    // Halves: the vendor's runtime ended on such a program (docs/hardware.md
    // has no rule for it), so they keep the inserted zeros.
    if (!g.rotate || g.h.insert * g.w.insert == 1 || conv.layout.cube > 1 ||
        conv.ic % 16 != 0)
      return false;
    for (const AxisWindow *axis : {&g.h, &g.w}) {
      if (axis->stride != 1 || axis->dilation != 1 ||
          axis->kernel < axis->insert || axis->out < axis->insert)
        return false;
      for (const Phase &phase : phasesOf(*axis))
        for (int64_t row = 0; row < phase.window.out; ++row)
          if (inputUnder(phase.window, {row, 1}).size == 0)
            return false;
    }
    return true;
  }

  Range inputRows(size_t, Range wanted) const override {
    int64_t begin = conv.geometry.h.in, end = 0;
    for (const Phase &phase : rows) {
      RowsOfPhase part(wanted, stride(conv.geometry.h), phase.index);
      if (part.count == 0)
        continue;
      AxisTile tile = inputUnder(phase.window, {part.source, part.count});
      begin = std::min(begin, tile.begin);
      end = std::max(end, tile.begin + tile.size);
    }
    return {begin, end - begin};
  }
  int64_t scratchBytes(const Nchw &out, ArrayRef<Nchw> in) const override {
    return alignedBytes({out[0], out[1], in[0][2] + conv.geometry.h.kernel,
                         in[0][3] + conv.geometry.w.kernel});
  }

  /// The taps of one phase after those of another: [ic][kernel] -> [ic][taps].
  void pack(Emitter &em, size_t, const Local &to,
            const Local &from) const override {
    const int64_t width = conv.geometry.w.kernel;
    const int64_t sh = stride(conv.geometry.h), sw = stride(conv.geometry.w);
    forEachPhase(to, [&](const Phase &h, const Phase &w, Local part) {
      Local source = from;
      source.layout = part.layout = isa::Layout::Strided;
      source.addr +=
          (h.first * width + w.first) * int64_t(isa::bytes(from.dtype));
      source.size = {h.taps(), conv.oc, conv.ic, w.taps()};
      source.stride = {sh * width, from.stride[1], conv.kernel, sw};
      part.stride = {w.taps(), part.stride[1], h.taps() * w.taps(), 1};
      part.size = source.size;
      em.copyLocal(part, source);
    });
  }

  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &in = tile.inputs[0], &out = tile.output;
    const Local *bias = conv.bias ? &tile.wholes[1] : nullptr;
    const int64_t held = inputRows(0, tile.rows).begin;
    const int64_t sh = stride(conv.geometry.h), sw = stride(conv.geometry.w);
    forEachPhase(tile.wholes[0], [&](const Phase &h, const Phase &w,
                                     const Local &filter) {
      RowsOfPhase wanted(tile.rows, sh, h.index);
      if (wanted.count == 0)
        return;
      WindowFields fields;
      fields.rotate = true;
      // The windows begin with what is held; those before the wanted ones are
      // computed too.
      AxisTile tileH = inputUnder(h.window, {wanted.source, wanted.count});
      AxisTile tileW = inputUnder(w.window, {0, w.window.out});
      auto extent = [](const AxisTile &part, int64_t from, int64_t count,
                       int64_t taps, int64_t have, int64_t &before,
                       int64_t &behind) {
        before = part.before;
        int64_t all = count + part.begin - from;
        behind = std::max<int64_t>(0, all - 1 + taps - have - before);
        return all;
      };
      int64_t countH = extent(tileH, held, wanted.count, h.taps(), in.size[2],
                              fields.up, fields.down);
      int64_t countW = extent(tileW, 0, w.window.out, w.taps(), in.size[3],
                              fields.left, fields.right);
      fields.kernelH = h.taps();
      fields.kernelW = w.taps();
      Local plane =
          aligned(tile.scratch, {out.size[0], out.size[1], countH, countW});
      em.conv(plane, in, filter, bias, fields, false);
      emitRelu(em, plane, conv.relu, conv.limit);
      Local to = out, from = plane;
      to.layout = from.layout = isa::Layout::Strided;
      to.addr += (wanted.first * out.stride[2] + w.index) *
                 int64_t(isa::bytes(out.dtype));
      to.size[2] = from.size[2] = wanted.count;
      to.size[3] = from.size[3] = w.window.out;
      to.stride[2] *= sh;
      to.stride[3] = sw;
      from.addr += ((tileH.begin - held) * plane.stride[2] + tileW.begin) *
                   int64_t(isa::bytes(plane.dtype));
      if (to.dtype == from.dtype)
        em.copyLocal(to, from);
      else
        castTile(em, to, from);
    });
  }

private:
  /// The results of one phase along one axis.
  struct Phase {
    int64_t index; ///< of the first of them
    int64_t first; ///< tap; then every stride-th
    AxisWindow window;

    int64_t taps() const { return window.kernel; }
  };

  static int64_t stride(const AxisWindow &axis) { return axis.insert; }

  /// Result o is the sum of x[i] w[o + pad - s i]: with o = s q + r and taps
  /// t = p + s m it meets x[q + d - m], where p = (r + pad) mod s and d = (r +
  /// pad - p) / s.
  static SmallVector<Phase> phasesOf(const AxisWindow &axis) {
    SmallVector<Phase> phases;
    int64_t s = axis.insert, pad = axis.kernel - 1 - axis.padBegin;
    for (int64_t r = 0; r < s; ++r) {
      int64_t p = ((r + pad) % s + s) % s, d = (r + pad - p) / s;
      int64_t taps = ceilDiv(axis.kernel - p, s);
      phases.push_back(
          {r,
           p,
           {axis.in, ceilDiv(axis.out - r, s), taps, 1, 1, taps - 1 - d, 1}});
    }
    return phases;
  }

  /// Calls with every pair of phases and their part of the packed filter.
  template <typename Fn> void forEachPhase(const Local &filter, Fn fn) const {
    int64_t addr = filter.addr;
    for (const Phase &h : rows)
      for (const Phase &w : columns) {
        Local part = compact(
            addr,
            filterTile(conv.oc, conv.ic, h.taps() * w.taps(), filter.dtype),
            filter.dtype);
        fn(h, w, part);
        addr += compactBytes(part.size, part.dtype);
      }
  }

  SmallVector<Phase> rows, columns;
};

/// Long windows over one channel, as of a short-time Fourier transform, are a
/// product: every window is a row in a lane, loaded from where it begins, and
/// its elements are the input channels.
class WindowsKernel : public ConvKernel {
public:
  WindowsKernel(const Convolution &conv, Value input, Value filter, Value bias)
      : ConvKernel(conv) {
    channels = {0, conv.oc};
    const int64_t windows = conv.geometry.w.out;
    inputs.push_back(
        {input,
         {{conv.n, windows, 1, conv.kernel},
          {conv.geometry.w.in, conv.geometry.w.stride, conv.kernel, 1}}});
    addWindows(filter);
    addBias(bias, {0, conv.oc});
  }

  static bool takes(const Convolution &conv) {
    const AxisWindow &h = conv.geometry.h, &w = conv.geometry.w;
    return conv.ic == 1 && conv.group == 1 &&
           conv.layout.order == tpu::FilterOrder::GOIK && h.in == 1 &&
           h.out == 1 && h.kernel == 1 && w.insert == 1 && w.dilation == 1 &&
           w.padBegin == 0 && w.padEnd() <= 0 && !conv.geometry.rotate &&
           w.kernel >= isa::kLanes;
  }

  Range inputRows(size_t, Range) const override { return {0, 1}; }
  void pack(Emitter &em, size_t, const Local &to,
            const Local &from) const override {
    packWindows(em, to, from);
  }
  int64_t scratchBytes(const Nchw &out, ArrayRef<Nchw>) const override {
    return alignedBytes(turned(out[0]), conv.input.dtype) +
           (isWide() ? 0 : alignedBytes(out));
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    LaneMemory memory(tile.scratch);
    Nchw size = turned(tile.output.size[0]);
    Local in = aligned(memory.take(alignedBytes(size, conv.input.dtype)), size,
                       conv.input.dtype);
    em.transposeLanes(in, tile.inputs[0]);
    Local out = tile.output;
    if (!isWide())
      out = aligned(memory.take(alignedBytes(out.size)), out.size);
    em.conv(out, in, tile.wholes[0], conv.bias ? &tile.wholes[1] : nullptr, {},
            false);
    finish(em, tile.output, out);
  }

private:
  Nchw turned(int64_t n) const {
    return {n, conv.kernel, 1, conv.geometry.w.out};
  }
};

/// Windows that lie side by side, as those that cut a picture into patches, are
/// a product: the rows of windows lie in the lanes as they are loaded, each
/// window is brought together there, and its elements are the input channels of
/// one place.
class PatchesKernel : public ConvKernel {
public:
  PatchesKernel(const Convolution &conv, Value input, Value filter, Value bias)
      : ConvKernel(conv) {
    channels = {0, conv.oc};
    inputs.push_back({input, patchesOf(conv)});
    addWindows(filter);
    addBias(bias, {0, conv.oc});
  }

  static bool takes(const Convolution &conv) {
    auto fits = [](const AxisWindow &axis) {
      return axis.stride == axis.kernel && axis.insert == 1 &&
             axis.dilation == 1 && axis.padBegin == 0 && axis.padEnd() <= 0;
    };
    const WindowGeometry &g = conv.geometry;
    // A command that takes such strides computes halves of few channels in F32.
    const bool isSlow = std::max(g.h.stride, g.w.stride) > kMaxStride ||
                        (conv.layout.isThin() && conv.kernel >= kManyTaps);
    return isSlow && fits(g.h) && fits(g.w) && !g.rotate && conv.group == 1 &&
           conv.layout.order == tpu::FilterOrder::GOIK &&
           alignedBytes(patchesOf(conv).size, conv.input.dtype) / conv.n <=
               kMostBytes;
  }

  Range inputBatches(size_t, Range batches) const override {
    return {batches.begin * conv.ic, batches.size * conv.ic};
  }
  /// The rows of windows are in the lanes, which are not cut.
  Range inputRows(size_t, Range) const override {
    return {0, conv.geometry.h.kernel};
  }
  void pack(Emitter &em, size_t, const Local &to,
            const Local &from) const override {
    packWindows(em, to, from);
  }
  int64_t scratchBytes(const Nchw &, ArrayRef<Nchw>) const override {
    return alignedBytes(together(), conv.input.dtype) +
           alignedBytes(turned(together()), conv.input.dtype) +
           alignedBytes(sums(), sumType());
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    LaneMemory memory(tile.scratch);
    auto take = [&](const Nchw &size, isa::DType type) {
      return aligned(memory.take(alignedBytes(size, type)), size, type);
    };
    const isa::DType type = conv.input.dtype;
    Local windows = take(together(), type);
    Local places = take(turned(together()), type);
    Local sum = take(sums(), sumType());
    const AxisWindow &h = conv.geometry.h, &w = conv.geometry.w;
    for (int64_t n = 0; n < tile.batches.size; ++n) {
      // [lane of a row of windows][channel][row][window][column] becomes
      // [window][lane][channel, row, column].
      for (int64_t c = 0; c < conv.ic; ++c) {
        Local to = windows, from = tile.inputs[0];
        to.layout = from.layout = isa::Layout::Strided;
        to.size = from.size = {w.out, h.out, h.kernel, w.kernel};
        to.addr += c * conv.kernel * int64_t(isa::bytes(type));
        to.stride[2] = w.kernel;
        from.addr +=
            (n * conv.ic + c) * from.stride[0] * int64_t(isa::bytes(type));
        from.stride[0] = w.kernel;
        em.copyLocal(to, from);
      }
      em.transposeLanes(places, windows);
      em.conv(sum, places, tile.wholes[0],
              conv.bias ? &tile.wholes[1] : nullptr, {}, false);
      if (conv.narrows())
        emitReluOfSum(em, sum, conv.relu, conv.limit);
      else
        emitRelu(em, sum, conv.relu, conv.limit);
      // A row of places is a column of the result.
      Local to = tile.output, from = sum;
      to.layout = from.layout = isa::Layout::Strided;
      to.addr += n * to.stride[0] * int64_t(isa::bytes(to.dtype));
      from.addr += tile.rows.begin * int64_t(isa::bytes(from.dtype));
      to.size = from.size = {1, conv.oc, tile.rows.size, w.out};
      from.stride = {1, from.stride[1], 1, from.stride[0]};
      if (to.dtype == from.dtype)
        em.copyLocal(to, from);
      else
        castTile(em, to, from);
    }
  }

private:
  /// Fewer are computed as fast in F32.
  static constexpr int64_t kManyTaps = 64;
  /// More of a picture in one lane leave no room for its windows.
  static constexpr int64_t kMostBytes = 72 * 1024;

  static LaneView patchesOf(const Convolution &conv) {
    const AxisWindow &h = conv.geometry.h, &w = conv.geometry.w;
    return {{conv.n * conv.ic, h.out, h.kernel, w.out * w.kernel},
            {h.in * w.in, h.kernel * w.in, w.in, 1}};
  }
  Nchw together() const {
    return {conv.geometry.w.out, conv.geometry.h.out, 1, conv.ic * conv.kernel};
  }
  static Nchw turned(const Nchw &size) {
    return {size[0], size[3], 1, size[1]};
  }
  Nchw sums() const {
    return {conv.geometry.w.out, conv.oc, 1, conv.geometry.h.out};
  }
  isa::DType sumType() const {
    return conv.narrows() ? outputType : isa::DType::F32;
  }
};

/// All input channels of all its output channels, or parts of these.
template <typename OpTy>
SmallVector<KernelPtr> denseKernels(OpTy op, const Convolution &conv,
                                    int64_t parts) {
  SmallVector<KernelPtr> kernels;
  for (Range part : channelParts(conv.oc, parts))
    kernels.push_back(std::make_unique<DenseKernel>(
        conv, op.getInput(), op.getFilter(), op.getBias(), part));
  return kernels;
}

template <typename OpTy>
SmallVector<KernelPtr> convKernels(OpTy op, int64_t parts) {
  Convolution conv = convolutionOf(op);
  if (conv.shift != 0) // chosen for what this form takes
    return cutsFreely(conv.geometry) ? denseKernels(op, conv, parts)
                                     : SmallVector<KernelPtr>();
  const bool typesFit = conv.filter.dtype == conv.input.dtype &&
                        isa::isFloat(conv.input.dtype) &&
                        (!conv.bias || conv.bias->dtype == isa::DType::F32);
  if (typesFit && WindowsKernel::takes(conv)) {
    SmallVector<KernelPtr> kernels;
    kernels.push_back(std::make_unique<WindowsKernel>(
        conv, op.getInput(), op.getFilter(), op.getBias()));
    return kernels;
  }
  if (typesFit && PatchesKernel::takes(conv)) {
    SmallVector<KernelPtr> kernels;
    kernels.push_back(std::make_unique<PatchesKernel>(
        conv, op.getInput(), op.getFilter(), op.getBias()));
    return kernels;
  }
  for (const AxisWindow *axis : {&conv.geometry.h, &conv.geometry.w})
    if (axis->dilation > kMaxDilation)
      return {};
  if (!cutsFreely(conv.geometry) ||
      (conv.bias && conv.bias->dtype != isa::DType::F32))
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
  if (PhasesKernel::takes(conv)) {
    kernels.push_back(std::make_unique<PhasesKernel>(
        conv, op.getInput(), op.getFilter(), op.getBias()));
    return kernels;
  }
  return denseKernels(op, conv, parts);
}

template <typename OpTy>
SmallVector<KernelPtr> quantizedKernels(OpTy op, int64_t parts) {
  Convolution conv = convolutionOf(op);
  SmallVector<KernelPtr> kernels;
  for (const AxisWindow *axis : {&conv.geometry.h, &conv.geometry.w})
    if (axis->dilation > kMaxDilation)
      return {};
  if constexpr (std::is_same_v<OpTy, tpu::DeconvOp>)
    // A packed filter would be loaded tap by tap.
    if (conv.group == 1 && SubpixelKernel::takes(conv) &&
        conv.layout.isNative()) {
      kernels.push_back(std::make_unique<SubpixelKernel>(conv, op));
      return kernels;
    }
  const bool isWise = conv.layout.isDepthwise();
  if (!cutsFreely(conv.geometry) ||
      (isWise ? conv.oc != conv.group
              : conv.group != 1 && !QuantizedKernel::takesGroups(conv)))
    return {};
  for (Range part : channelParts(conv.oc, conv.group > 1 ? 1 : parts))
    kernels.push_back(std::make_unique<QuantizedKernel>(conv, op, part));
  return kernels;
}

} // namespace

template <> SmallVector<KernelPtr> kernelsOf(tpu::Conv2DOp op, int64_t parts) {
  if (isQuantized(op.getInput()))
    return quantizedKernels(op, parts);
  return convKernels(op, parts);
}
template <> SmallVector<KernelPtr> kernelsOf(tpu::DeconvOp op, int64_t parts) {
  if (isQuantized(op.getInput()))
    return quantizedKernels(op, parts);
  return convKernels(op, parts);
}

} // namespace tpumlir::codegen
