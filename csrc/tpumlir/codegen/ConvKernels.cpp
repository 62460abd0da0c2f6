#include "tpumlir/codegen/Alone.h"
#include "tpumlir/codegen/ConvKernel.h"
#include "tpumlir/codegen/Quantized.h"

#include <cmath>

/// Convolutions on tensors that are in the lanes.

using namespace mlir;

namespace tpumlir::codegen {

namespace {

/// Moves a filter whose elements do not fill their cubes to where those begin.
void packWindows(Emitter &em, const Local &to, const Local &from) {
  if (from.dtype == isa::DType::I8) // of bytes the rest must not count
    em.copyLocal(to, Operand::integer(0));
  Local rows = to.strided();
  rows.size = from.size;
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
  DenseKernel(const Convolution &conv, Range part)
      : ConvKernel(conv), thin(conv.layout.isThin()) {
    channels = part;
    WholeInput filter = filterOf(conv.ic);
    if (thin) { // a cube is one channel, which needs no packing
      filter.local =
          compact(0, {1, part.size, conv.ic, conv.kernel}, conv.filter.dtype);
      filter.loose.reset();
    } else {
      filter.cubes = cubesOf(conv.layout);
    }
    wholes.push_back(filter);
    addBias();
  }

  void pack(Emitter &em, size_t, const Local &to,
            const Local &from) const override {
    packFilter(em, to, from, conv.kernel);
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    // The command may write halves.
    const bool narrows = conv.narrows() && !thin;
    Local out = narrows ? tile.output : tile.scratch.wide(tile.output);
    Local in = tile.inputs[0], filter = tile.wholes[0];
    if (thin) {
      in = widened(em, tile.scratch, in);
      filter = widened(em, tile.scratch, filter);
    }
    em.conv(out, in, filter, conv.shift == 0 ? biasOf(tile) : nullptr,
            fields(tile.rows), false);
    if (conv.shift != 0) {
      em.ar(isa::ArOp::Mul, out, out, float(std::ldexp(1.0, -conv.shift)));
      if (conv.bias)
        em.ar(isa::ArOp::Add, out, out, *biasOf(tile));
    }
    finish(em, tile.output, out);
  }

private:
  bool thin; ///< halves that are computed in F32
};

/// One input channel per output channel, lane by lane. Halves become F32.
class DepthwiseKernel : public ConvKernel {
public:
  /// Of the output channels of a group one.
  explicit DepthwiseKernel(const Convolution &conv) : ConvKernel(conv) {
    const int64_t multiplier = conv.oc / conv.group;
    output.size[1] = conv.group;
    output.stride[1] *= multiplier;
    channels = {0, conv.group};
    wholes.push_back(depthwiseFilter());
    addBias(multiplier);
  }

  const WindowGeometry *windows() const override { return &conv.geometry; }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local in = widened(em, tile.scratch, tile.inputs[0]);
    const Local filter = widened(em, tile.scratch, tile.wholes[0]);
    Local bias;
    if (conv.bias)
      bias = widened(em, tile.scratch, tile.wholes[1]);
    Local out = tile.scratch.wide(tile.output);
    em.depthwise(out, in, filter, conv.bias ? &bias : nullptr,
                 tile.window ? *tile.window : fields(tile.rows));
    finish(em, tile.output, out);
  }
};

/// From sums of integers, in 32 bits, to the result: less what zero points of a
/// filter that is computed have added, times factors, with the bias in the
/// offset.
class IntegerSums {
public:
  explicit IntegerSums(const Convolution &conv)
      : type(Quantization::ofAny(conv.outputValue)),
        zeros(conv.inputValue, conv.filterValue), relu(conv.relu) {}

  /// The factors and offsets of some output channels: one function of the sums,
  /// or two of which the greater one counts.
  static void addRows(LocalKernel &kernel, Value multi, int64_t channels,
                      Range part) {
    const int64_t pairs = top::elementsOf(top::shapeOf(multi)) / 2;
    for (int64_t begin = 0; begin < pairs; begin += channels)
      kernel.wholes.push_back(
          multiRows(multi, {begin + part.begin, part.size}));
  }

  /// `convolve` makes the sums of an input, given the filter's zero points.
  void emit(Emitter &em, const KernelTile &tile, const Local &in,
            WindowFields window, int64_t kernelH, int64_t kernelW,
            llvm::function_ref<void(const Local &, const Local &, const Local *,
                                    const WindowFields &)>
                convolve) const {
    const Local sum = tile.scratch.tensor(tile.output.size, isa::DType::I32);
    window.padValue = zeros.input;
    const auto moved =
        zeros.ofFilter(em, tile.scratch, sum.size[1], tile.wholes[0]);
    auto from = [&](const Local &sum, const Local &in,
                    const WindowFields &window) {
      convolve(sum, in, moved ? &*moved : nullptr, window);
    };
    from(sum, in, window);
    zeros.subtract(em, sum,
                   zeros.prepare(em, tile.scratch, sum, in, kernelH, kernelW),
                   from);
    if (tile.wholes.size() == 2)
      return scaleSums(em, tile.output, sum, tile.wholes[1], type, relu);
    emitGreater(em, tile, sum);
    holdStored(em, tile.output, *type, relu);
  }

private:
  /// The greater one of both functions. They begin in another bank than the
  /// sums: from one bank to itself takes twice as long.
  static void emitGreater(Emitter &em, const KernelTile &tile,
                          const Local &sum) {
    const Local &out = tile.output;
    const int64_t taken = alignedBytes(sum.size, sum.dtype);
    tile.scratch.take(std::max<int64_t>(int64_t(isa::kBankBytes) - taken, 0));
    SmallVector<Local, 2> terms;
    for (size_t i : {1, 2}) {
      terms.push_back(
          tile.scratch.tensor(out.size, out.dtype).withSign(out.isSigned));
      em.requantize(terms.back(), sum, tile.wholes[i]);
    }
    em.ar(isa::ArOp::Max, out, terms[0], terms[1]);
  }

  std::optional<Quantization> type; ///< of a result of integers
  ProductZeros zeros;
  Relu relu;
};

/// Of integers, dense, in groups that begin in lane 0, or depthwise.
class QuantizedKernel : public ConvKernel {
public:
  QuantizedKernel(const Convolution &conv, Value multi, Range part)
      : ConvKernel(conv), sums(conv) {
    channels = part;
    WholeInput filter = conv.layout.isDepthwise() ? depthwiseFilter()
                                                  : filterOf(conv.layout.ic);
    filter.cubes = cubesOf(conv.layout);
    wholes.push_back(filter);
    IntegerSums::addRows(*this, multi, conv.oc, part);
  }

  void pack(Emitter &em, size_t, const Local &to,
            const Local &from) const override {
    packFilter(em, to, from, conv.kernel);
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    sums.emit(em, tile, tile.inputs[0], fields(tile.rows),
              conv.geometry.h.kernel, conv.geometry.w.kernel,
              [&](const Local &sum, const Local &in, const Local *zero,
                  const WindowFields &window) {
                if (conv.layout.isDepthwise())
                  em.depthwise(sum, in, tile.wholes[0], nullptr, window);
                else if (conv.group == 1)
                  em.conv(sum, in, tile.wholes[0], zero, window, false);
                else
                  emitGroups(em, sum, in, tile.wholes[0], zero, window);
              });
  }

  /// Whether the channels of every group begin in lane 0.
  static bool takesGroups(const Convolution &conv) {
    return conv.layout.ic % isa::kLanes == 0 &&
           conv.layout.oc % isa::kLanes == 0;
  }

private:
  void emitGroups(Emitter &em, const Local &sum, const Local &in,
                  const Local &filter, const Local *zero,
                  const WindowFields &window) const {
    // Some channels of one batch: whole rows of lanes.
    auto part = [](const Local &local, int64_t n, int64_t channel,
                   int64_t count) {
      return local.batch(n).part(1, channel, count);
    };
    const int64_t ic = conv.layout.ic, oc = conv.layout.oc;
    for (int64_t n = 0; n < sum.size[0]; ++n)
      for (int64_t g = 0; g < conv.group; ++g)
        em.conv(part(sum, n, g * oc, oc), part(in, n, g * ic, ic),
                part(filter, 0, g * oc, oc), zero, window, false);
  }

  IntegerSums sums;
};

/// A transposed convolution whose windows do not overlap: every tap is a
/// convolution of one place by itself, whose result stands at every stride-th
/// row and column. No zeros are multiplied.
class SubpixelKernel : public ConvKernel {
public:
  /// `multi` is that of integers, or null.
  explicit SubpixelKernel(const Convolution &conv, Value multi = nullptr)
      : ConvKernel(conv), strideH(conv.geometry.h.insert),
        strideW(conv.geometry.w.insert) {
    const tpu::FilterLayout &layout = conv.layout;
    for (int64_t tap = 0; tap < conv.kernel; ++tap) {
      WholeInput whole{
          conv.filterValue,
          compact(0, filterTile(conv.oc, conv.ic, 1, conv.filter.dtype),
                  conv.filter.dtype),
          {0, layout.outputStride(), layout.columnStride(), 1}};
      whole.begin = tap * layout.tapStride();
      whole.isFilter = true;
      wholes.push_back(whole);
    }
    addBias();
    if (!multi)
      return;
    type = Quantization::ofAny(conv.outputValue);
    zeros = {conv.inputValue, conv.filterValue};
    wholes.push_back(multiRows(multi, channels));
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
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &in = tile.inputs[0], &out = tile.output;
    const Nchw size{out.size[0], out.size[1], in.size[2], in.size[3]};
    Local sum =
        tile.scratch.tensor(size, type ? isa::DType::I32 : isa::DType::F32);
    Local plane = sum;
    if (type)
      plane = tile.scratch.tensor(size, out.dtype).withSign(out.isSigned);
    const auto moved =
        zeros.ofFilter(em, tile.scratch, sum.size[1], tile.wholes[0]);
    const Local *vector = moved ? &*moved : biasOf(tile);
    const int64_t held = inputRows(0, tile.rows).begin;
    for (int64_t i = 0; i < strideH; ++i) {
      RowsOfPhase rows(tile.rows, strideH, i);
      if (rows.count == 0)
        continue;
      for (int64_t j = 0; j < strideW; ++j) {
        em.conv(sum, in, tile.wholes[i * strideW + j], vector, {}, false);
        if (type) {
          em.requantize(plane, sum, tile.wholes.back());
          holdStored(em, plane, *type, conv.relu);
        } else {
          emitRelu(em, plane, conv.relu);
        }
        moveTile(em,
                 everyNth(out, {rows.first, strideH, rows.count},
                          {j, strideW, in.size[3]}),
                 plane.part(2, rows.source - held, rows.count));
      }
    }
  }

private:
  int64_t strideH, strideW;
  std::optional<Quantization> type; ///< of the result, if it is integers
  ProductZeros zeros;
};

/// A transposed convolution with strides, phase by phase: the rows r, r + s,
/// r + 2s, .. of the result meet the same taps, so they are a convolution with
/// those; no zeros are multiplied. The taps of every phase are brought together
/// once, whether the filter is a constant or computed.
class PhasesKernel : public ConvKernel {
public:
  explicit PhasesKernel(const Convolution &conv)
      : PhasesKernel(conv, nullptr, {0, conv.oc}) {}
  /// `multi` is that of integers, or null.
  PhasesKernel(const Convolution &conv, Value multi, Range part)
      : ConvKernel(conv), rows(phasesOf(conv.geometry.h)),
        columns(phasesOf(conv.geometry.w)) {
    channels = part;
    // All taps together take what the filter takes.
    WholeInput whole = filterOf(conv.ic);
    if (!whole.loose)
      whole.loose = whole.local;
    wholes.push_back(whole);
    addBias();
    if (!multi)
      return;
    type = Quantization::ofAny(conv.outputValue);
    wholes.push_back(multiRows(multi, channels));
  }

  /// Every phase has taps, every row of it sees input, and the filter of each
  /// phase begins at a legal address.
  static bool takes(const Convolution &conv) {
    const WindowGeometry &g = conv.geometry;
    const isa::DType type = conv.filter.dtype;
    if (!g.rotate || g.h.insert * g.w.insert == 1)
      return false;
    // Halves: the vendor's runtime ended on such a program (docs/hardware.md
    // has no rule for it), so they keep the inserted zeros.
    if (type == isa::DType::I8 ? !fitsTwice(conv)
                               : conv.layout.cube > 1 || conv.ic % 16 != 0)
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
  /// The taps of one phase after those of another: [ic][kernel] -> [ic][taps].
  void pack(Emitter &em, size_t, const Local &to,
            const Local &from) const override {
    const int64_t width = conv.geometry.w.kernel;
    const int64_t sh = stride(conv.geometry.h), sw = stride(conv.geometry.w);
    forEachPhase(to, [&](const Phase &h, const Phase &w, Local part) {
      if (conv.layout.cube > 1)
        return packCubes(em, h, w, part, from);
      Local source = (from + (h.first * width + w.first)).strided();
      part = part.strided();
      source.size = {h.taps(), channels.size, conv.ic, w.taps()};
      source.stride = {sh * width, from.stride[1], conv.kernel, sw};
      part.stride = {w.taps(), part.stride[1], h.taps() * w.taps(), 1};
      part.size = source.size;
      em.copyLocal(part, source);
    });
  }

  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &in = tile.inputs[0], &out = tile.output;
    // As large as the plane of any slice with so many rows of the input.
    const Nchw most{out.size[0], out.size[1],
                    in.size[2] + conv.geometry.h.kernel,
                    in.size[3] + conv.geometry.w.kernel};
    const isa::DType sums = type ? isa::DType::I32 : isa::DType::F32;
    const Local room = tile.scratch.tensor(most, sums);
    Local stored = room;
    if (type) {
      // A requantisation within one bank takes twice as long.
      constexpr int64_t kBank = isa::kBankBytes;
      tile.scratch.take(std::max<int64_t>(kBank - alignedBytes(most, sums), 0));
      stored = tile.scratch.tensor(most, out.dtype).withSign(out.isSigned);
    }
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
      const Nchw size{out.size[0], out.size[1], countH, countW};
      Local plane = aligned(room.addr, size, sums);
      em.conv(plane, in, filter, biasOf(tile), fields, false);
      if (type) {
        const Local sum = plane;
        plane = aligned(stored.addr, size, out.dtype).withSign(out.isSigned);
        em.requantize(plane, sum, tile.wholes.back());
        holdStored(em, plane, *type, conv.relu);
      } else {
        emitRelu(em, plane, conv.relu);
      }
      moveTile(em,
               everyNth(out, {wanted.first, sh, wanted.count},
                        {w.index, sw, w.window.out}),
               plane.part(2, tileH.begin - held, wanted.count)
                   .part(3, tileW.begin, w.window.out));
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
        Local part = compact(addr,
                             filterTile(channels.size, conv.ic,
                                        h.taps() * w.taps(), filter.dtype),
                             filter.dtype)
                         .withSign(filter.isSigned);
        fn(h, w, part);
        addr += compactBytes(part.size, part.dtype);
      }
  }

  /// Whether the filter, as it comes and as it is read, leaves room for more.
  static bool fitsTwice(const Convolution &conv) {
    constexpr int64_t kMostBytes = 64 * 1024;
    return compactBytes(
               filterTile(conv.oc, conv.ic, conv.kernel, conv.filter.dtype),
               conv.filter.dtype) <= kMostBytes;
  }

  /// The same of bytes: [cube][kernel][64], or [ic][kernel] of a filter that
  /// lies as it was computed, -> [cube][taps][64].
  void packCubes(Emitter &em, const Phase &h, const Phase &w, const Local &part,
                 const Local &from) const {
    const int64_t cube = conv.layout.cube, taps = h.taps() * w.taps();
    const int64_t blocks = conv.packs() ? conv.ic / cube : conv.layout.blocks();
    const int64_t rest = conv.packs() ? conv.ic % cube : 0;
    const int64_t sh = stride(conv.geometry.h), sw = stride(conv.geometry.w);
    const int64_t tap = conv.packs() ? 1 : cube;
    const int64_t channel = conv.packs() ? conv.kernel : 1;
    // What fills the last cube must not count.
    if (rest > 0)
      em.copyLocal(part, Operand::integer(0));
    auto copy = [&](int64_t row, int64_t block, int64_t count, int64_t width) {
      if (count == 0 || width == 0)
        return;
      const int64_t first =
          (h.first + row * sh) * conv.geometry.w.kernel + w.first;
      Local to = (part + (block * taps + row * w.taps()) * cube).strided();
      Local source =
          (from + (block * conv.kernel * cube + first * tap)).strided();
      to.size = source.size = {count, channels.size, w.taps(), width};
      to.stride = {taps * cube, part.stride[1], cube, 1};
      source.stride = {conv.kernel * cube, from.stride[1], sw * tap, channel};
      em.copyLocal(to, source);
    };
    for (int64_t row = 0; row < h.taps(); ++row) {
      copy(row, 0, blocks, cube);
      copy(row, blocks, 1, rest);
    }
  }

  SmallVector<Phase> rows, columns;
  std::optional<Quantization> type; ///< of the result, if it is integers
};

/// Long windows over one channel, as of a short-time Fourier transform, are a
/// product: every window is a row in a lane, loaded from where it begins, and
/// its elements are the input channels.
class WindowsKernel : public ConvKernel {
public:
  /// `multi` is that of integers, or null.
  explicit WindowsKernel(const Convolution &conv, Value multi = nullptr)
      : ConvKernel(conv, {{conv.n, conv.geometry.w.out, 1, conv.kernel},
                          {conv.geometry.w.in, conv.geometry.w.stride,
                           conv.kernel, 1}}),
        isInteger(multi != nullptr), sums(conv) {
    addWindows();
    if (multi)
      IntegerSums::addRows(*this, multi, conv.oc, channels);
    else
      addBias();
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
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    Local in =
        tile.scratch.tensor(turned(tile.inputs[0].size), conv.input.dtype);
    em.transposeLanes(in, tile.inputs[0]);
    if (isInteger)
      return sums.emit(em, tile, in.withSign(tile.inputs[0].isSigned), {}, 1, 1,
                       [&](const Local &sum, const Local &in, const Local *zero,
                           const WindowFields &window) {
                         em.conv(sum, in, tile.wholes[0], zero, window, false);
                       });
    Local out = tile.scratch.wide(tile.output);
    em.conv(out, in, tile.wholes[0], biasOf(tile), {}, false);
    finish(em, tile.output, out);
  }

private:
  bool isInteger;
  IntegerSums sums;
};

/// Windows that lie side by side, as those that cut a picture into patches, are
/// a product: the rows of windows lie in the lanes as they are loaded, each
/// window is brought together there, and its elements are the input channels of
/// one place.
class PatchesKernel : public ConvKernel {
public:
  explicit PatchesKernel(const Convolution &conv)
      : ConvKernel(conv, patchesOf(conv)) {
    addWindows();
    addBias();
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
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const isa::DType type = conv.input.dtype;
    const AxisWindow &h = conv.geometry.h, &w = conv.geometry.w;
    const Local windows =
        tile.scratch.tensor({w.out, h.out, 1, conv.ic * conv.kernel}, type);
    const Local places = tile.scratch.tensor(turned(windows.size), type);
    const Local sum =
        tile.scratch.tensor({w.out, conv.oc, 1, h.out},
                            conv.narrows() ? outputType : isa::DType::F32);
    for (int64_t n = 0; n < tile.batches.size; ++n) {
      // [lane of a row of windows][channel][row][window][column] becomes
      // [window][lane][channel, row, column].
      for (int64_t c = 0; c < conv.ic; ++c) {
        const Local &in = tile.inputs[0];
        Local to = (windows + c * conv.kernel).strided();
        Local from = (in + (n * conv.ic + c) * in.stride[0]).strided();
        to.size = from.size = {w.out, h.out, h.kernel, w.kernel};
        to.stride[2] = w.kernel;
        from.stride[0] = w.kernel;
        em.copyLocal(to, from);
      }
      em.transposeLanes(places, windows);
      em.conv(sum, places, tile.wholes[0], biasOf(tile), {}, false);
      emitReluOfSum(em, sum, conv.relu);
      // A row of places is a column of the result.
      Local to = tile.output.batch(n).strided();
      Local from = (sum + tile.rows.begin).strided();
      to.size = from.size = {1, conv.oc, tile.rows.size, w.out};
      from.stride = {1, sum.stride[1], 1, sum.stride[0]};
      moveTile(em, to, from);
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
};

/// All input channels of all its output channels, or parts of these.
template <typename Kernel, typename... Args>
Kernels inParts(int64_t channels, int64_t parts, const Args &...args) {
  Kernels kernels;
  for (Range part : channelParts(channels, parts))
    kernels.push_back(std::make_unique<Kernel>(args..., part));
  return kernels;
}

bool isTooWide(const WindowGeometry &geometry) {
  return std::max(geometry.h.dilation, geometry.w.dilation) > kMaxDilation;
}

Kernels floatKernels(const Convolution &conv, int64_t parts) {
  const bool biasFits = !conv.bias || conv.bias->dtype == isa::DType::F32;
  const bool typesFit =
      conv.filter.dtype == conv.input.dtype && isa::isFloat(conv.input.dtype);
  if (conv.shift != 0) // chosen for what this form takes
    return cutsFreely(conv.geometry)
               ? inParts<DenseKernel>(conv.oc, parts, conv)
               : Kernels();
  if (typesFit && biasFits && WindowsKernel::takes(conv))
    return only<WindowsKernel>(conv);
  if (typesFit && biasFits && PatchesKernel::takes(conv))
    return only<PatchesKernel>(conv);
  if (isTooWide(conv.geometry) || !cutsFreely(conv.geometry) || !biasFits)
    return {};
  if (conv.layout.isDepthwise())
    return conv.oc == conv.group ? only<DepthwiseKernel>(conv) : Kernels();
  if (conv.group != 1 || !typesFit)
    return {};
  // A filter that is computed would be loaded tap by tap, element by element.
  if (SubpixelKernel::takes(conv) && conv.layout.isNative() &&
      conv.filterValue.getDefiningOp<top::WeightOp>())
    return only<SubpixelKernel>(conv);
  if (PhasesKernel::takes(conv))
    return only<PhasesKernel>(conv);
  return inParts<DenseKernel>(conv.oc, parts, conv);
}

template <typename OpTy> Kernels convKernels(OpTy op, int64_t parts) {
  const Convolution conv = convolutionOf(op);
  if (!isQuantized(op.getInput()))
    return floatKernels(conv, parts);
  if (isTooWide(conv.geometry))
    return {};
  if (WindowsKernel::takes(conv))
    return only<WindowsKernel>(conv, op.getMulti());
  // A packed filter would be loaded tap by tap.
  if (std::is_same_v<OpTy, tpu::DeconvOp> && conv.group == 1 &&
      SubpixelKernel::takes(conv) && conv.layout.isNative())
    return only<SubpixelKernel>(conv, op.getMulti());
  const bool isWise = conv.layout.isDepthwise();
  const ProductZeros zeros(conv.inputValue, conv.filterValue);
  if (conv.group == 1 && !isWise && zeros.filter == 0 && zeros.unknown == 0 &&
      PhasesKernel::takes(conv))
    return inParts<PhasesKernel>(conv.oc, parts, conv, op.getMulti());
  if (!cutsFreely(conv.geometry) ||
      (isWise ? conv.oc != conv.group
              : conv.group != 1 && !QuantizedKernel::takesGroups(conv)))
    return {};
  return inParts<QuantizedKernel>(conv.oc, conv.group > 1 ? 1 : parts, conv,
                                  op.getMulti());
}

} // namespace

template <> Kernels kernelsOf(tpu::Conv2DOp op, int64_t parts) {
  return convKernels(op, parts);
}
template <> Kernels kernelsOf(tpu::DeconvOp op, int64_t parts) {
  return convKernels(op, parts);
}

LogicalResult emitDepthwise(Emitter &em, Operation *op,
                            const Convolution &conv) {
  const DepthwiseKernel kernel(conv);
  std::vector<Block> blocks;
  for (int64_t j = 0; j < conv.oc / conv.group; ++j) {
    Block block = Block::of(kernel);
    block.begin = j * conv.outPlane();
    block.wholes[0] = j * conv.layout.outputStride();
    if (conv.bias)
      block.wholes[1] = j;
    blocks.push_back(block);
  }
  if (emitTiles(em, op, kernel, blocks))
    return success();
  return op->emitError("expected a depthwise convolution whose smallest "
                       "tile fits into local memory, got a kernel of ")
         << conv.kernel << " elements";
}

} // namespace tpumlir::codegen
