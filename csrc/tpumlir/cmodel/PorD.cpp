#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Kernels.h"
#include "tpumlir/cmodel/Scalar.h"
#include "tpumlir/cmodel/Window.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <vector>

namespace tpumlir::cmodel {
namespace {

using isa::PorDOp;

/// A pooling or depthwise command, read.
struct Pooling {
  Window g;
  PorDOp kind;
  int64_t n, c;
  DType type, resType;
  bool rotate, inputSigned, kernelSigned;
  Tensor input, res;
  std::vector<int64_t> rows, cols;
  bool inPlace = false;
};

/// Runs body(n, c, plane, tile) for tiles of every padded channel; T is what a
/// padded element is kept as.
template <class T, class Load, class Body>
void forEachPooledTile(Context &ctx, const Pooling &p, T padValue, Load load,
                       Body body) {
  const int64_t pixels = p.g.pixels();
  ctx.parallel(
      size_t(p.n * p.c), p.inPlace ? 0 : p.n * p.c * pixels * p.g.taps(),
      [&](size_t index) {
        const int64_t n = int64_t(index) / p.c, c = int64_t(index) % p.c;
        std::vector<T> plane(size_t(p.g.planeSize()));
        const std::byte *from = p.input.plane(n, c);
        padPlane<T>(
            p.g, p.rows, p.cols, padValue,
            [&](int64_t row, T *to) {
              load(from + row * p.input.stride.h, p.g.iw, to);
            },
            plane.data());
        for (int64_t first = 0; first < pixels; first += int64_t(kTile))
          body(n, c, plane.data(), PixelTile(p.g, first));
      });
}

/// Sum of products in two accumulators (N4, N11). `weight(c, tap)`; what the
/// accumulators start with: `start0`, `start1(c)`; `swapped`: the sum is acc1 +
/// acc0.
template <class Weight, class Start>
void sumFloats(Context &ctx, const Pooling &p, float padValue, Weight weight,
               float start0, Start start1, bool swapped) {
  const bool isF32 = p.type == DType::F32;
  forEachPooledTile<float>(
      ctx, p, padValue,
      [&](const std::byte *from, int64_t count, float *to) {
        loadFloats(p.type, from, isa::bytes(p.type), count, to);
      },
      [&](int64_t n, int64_t c, const float *plane, const PixelTile &tile) {
        float acc[2][kTile], x[kTile] = {};
        std::fill_n(acc[0], kTile, start0);
        std::fill_n(acc[1], kTile, start1(c));
        for (int64_t tap = 0; tap < p.g.taps(); ++tap) {
          const float w = weight(c, tap);
          tile.gather(plane + p.g.tapOffset(tap), x);
          float *sum = acc[tap & 1];
          if (isF32) {
            addTap(x, w, sum);
          } else {
            for (size_t t = 0; t < kTile; ++t)
              sum[t] =
                  halfRounded(sum[t] + halfRounded(x[t] * w, p.type), p.type);
          }
        }
        addInOrder(acc[swapped], acc[!swapped], kTile, x);
        const unsigned bytes = isa::bytes(p.resType);
        storeFloats(p.resType, x, tile.count,
                    p.res.plane(n, c) + tile.first * bytes, bytes);
      });
}

/// yes or no, by bits: a select of floats may become a maximum instruction,
/// which flushes denormals.
inline float chosen(bool take, float yes, float no) {
  const uint32_t mask = 0 - uint32_t(take);
  return std::bit_cast<float>((std::bit_cast<uint32_t>(yes) & mask) |
                              (std::bit_cast<uint32_t>(no) & ~mask));
}

/// Half precision passes the bits of the chosen element on.
void storeChosen(DType type, const float *from, int64_t count, std::byte *to) {
  if (type == DType::F32)
    return storeFloats(type, from, count, to, 4);
  for (int64_t i = 0; i < count; ++i) {
    uint32_t word = std::bit_cast<uint32_t>(from[i]);
    auto half = uint16_t(word >> 16);
    if (type == DType::F16)
      half = from[i] == from[i]
                 ? narrowF16(from[i])
                 : uint16_t((half & 0x8000) | 0x7C00 | (word >> 13 & 0x3FF));
    std::memcpy(to + 2 * i, &half, sizeof half);
  }
}

void maxFloats(Context &ctx, const Pooling &p, float padValue) {
  const float least = p.type == DType::F32 ? -std::numeric_limits<float>::max()
                      : p.type == DType::F16 ? support::f16ToF32(0xFBFF)
                                             : support::bf16ToF32(0xFF7F);
  forEachPooledTile<float>(
      ctx, p, padValue,
      [&](const std::byte *from, int64_t count, float *to) {
        loadFloats(p.type, from, isa::bytes(p.type), count, to);
      },
      [&](int64_t n, int64_t c, const float *plane, const PixelTile &tile) {
        float best[kTile], x[kTile] = {};
        std::fill_n(best, kTile, least);
        for (int64_t tap = 0; tap < p.g.taps(); ++tap) {
          tile.gather(plane + p.g.tapOffset(tap), x);
          for (size_t t = 0; t < kTile; ++t)
            best[t] = chosen(best[t] > x[t], best[t], x[t]); // (N7)
        }
        if (p.type == DType::F32)
          for (float &value : best)
            value = flushed(value);
        const unsigned bytes = isa::bytes(p.type);
        storeChosen(p.type, best, tile.count,
                    p.res.plane(n, c) + tile.first * bytes);
      });
}

auto loadBytes(bool isSigned) {
  return [isSigned](const std::byte *from, int64_t count, int32_t *to) {
    for (int64_t i = 0; i < count; ++i)
      to[i] = isSigned ? int8_t(from[i]) : uint8_t(from[i]);
  };
}

/// Sum of weight * element plus bias; `finish` makes the stored value of it.
template <class Weight, class Bias, class Finish>
void sumIntegers(Context &ctx, const Pooling &p, int32_t padValue,
                 Weight weight, Bias bias, Finish finish) {
  forEachPooledTile<int32_t>(
      ctx, p, padValue, loadBytes(p.inputSigned),
      [&](int64_t n, int64_t c, const int32_t *plane, const PixelTile &tile) {
        uint32_t sum[kTile];
        int32_t x[kTile] = {};
        std::fill_n(sum, kTile, uint32_t(bias(c)));
        for (int64_t tap = 0; tap < p.g.taps(); ++tap) {
          const int32_t w = weight(c, tap);
          tile.gather(plane + p.g.tapOffset(tap), x);
          for (size_t t = 0; t < kTile; ++t)
            sum[t] += uint32_t(x[t]) * uint32_t(w);
        }
        int64_t out[kTile];
        for (int64_t t = 0; t < tile.count; ++t)
          out[t] = finish(int32_t(sum[t]));
        const unsigned bytes = isa::bytes(p.resType);
        storeIntegers(p.resType, out, tile.count,
                      p.res.plane(n, c) + tile.first * bytes, bytes);
      });
}

void maxIntegers(Context &ctx, const Pooling &p, int32_t padValue) {
  forEachPooledTile<int32_t>(
      ctx, p, padValue, loadBytes(p.inputSigned),
      [&](int64_t n, int64_t c, const int32_t *plane, const PixelTile &tile) {
        int32_t best[kTile] = {}, x[kTile] = {};
        tile.gather(plane + p.g.tapOffset(0), best);
        for (int64_t tap = 1; tap < p.g.taps(); ++tap) {
          tile.gather(plane + p.g.tapOffset(tap), x);
          for (size_t t = 0; t < kTile; ++t)
            best[t] = std::max(best[t], x[t]);
        }
        int64_t out[kTile];
        std::copy_n(best, tile.count, out);
        const unsigned bytes = isa::bytes(p.resType);
        storeIntegers(p.resType, out, tile.count,
                      p.res.plane(n, c) + tile.first * bytes, bytes);
      });
}

} // namespace

void exec(Context &ctx, const isa::PorD &op) {
  Pooling p;
  p.kind = PorDOp(op.tsk_eu_typ);
  if (p.kind != PorDOp::Depthwise && p.kind != PorDOp::Avgpooling &&
      p.kind != PorDOp::Maxpooling)
    execUnmodelled(ctx);
  p.g = windowOf(ctx, op);
  p.n = int64_t(op.res0_n);
  p.c = int64_t(op.res0_c);
  p.type = ctx.dtype("opd0_prec", op.opd0_prec);
  p.resType = ctx.dtype("res0_prec", op.res0_prec);
  p.rotate = op.kernel_rotate;
  p.inputSigned = op.opd0_sign;
  p.kernelSigned = op.opd1_sign;
  p.rows = padMap(p.g.ih, p.g.insertY, p.g.up, p.g.down, p.g.mode);
  p.cols = padMap(p.g.iw, p.g.insertX, p.g.left, p.g.right, p.g.mode);
  const bool isFloat = isa::isFloat(p.type);
  if (isFloat ? p.resType != p.type && p.resType != DType::F32
              : p.type != DType::I8 || isa::isFloat(p.resType))
    ctx.fault(std::string("expected a float type kept or widened to f32, or "
                          "i8 to an integer, got ") +
              isa::name(p.type) + " -> " + isa::name(p.resType));
  p.input = ctx.aligned("opd0", op.opd0_addr, {p.n, p.c, p.g.ih, p.g.iw},
                        p.type, Access::Read);
  p.res = ctx.aligned("res0", op.res0_addr, {p.n, p.c, p.g.oh, p.g.ow},
                      p.resType, Access::Write);
  // In place a row of channels is read before it is written, if one is not
  // longer than the other (H18); then they must come in order.
  p.inPlace =
      op.res0_addr == op.opd0_addr && p.res.stride.c <= p.input.stride.c;
  if (!p.inPlace)
    ctx.requireDisjoint("res0", p.res, "opd0", p.input);

  const float padFloat = isFloat ? floatOfWord(op.opd3_addr, p.type) : 0;
  const auto padInt = int32_t(
      isFloat ? 0 : integerOfWord(op.opd3_addr, DType::I8, p.inputSigned));
  if (p.kind == PorDOp::Maxpooling)
    return isFloat ? maxFloats(ctx, p, padFloat) : maxIntegers(ctx, p, padInt);

  if (p.kind == PorDOp::Avgpooling) {
    if (isFloat) {
      // No bias: both sums start from the zero that changes nothing.
      const float factor = floatOfWord(op.opd1_addr, p.type);
      return sumFloats(
          ctx, p, padFloat, [=](int64_t, int64_t) { return factor; }, -0.0F,
          [](int64_t) { return -0.0F; }, false);
    }
    const auto factor = int32_t(op.opd1_addr & 0xFF);
    const unsigned shift =
        unsigned(std::min<uint64_t>(op.opd2_addr & 0xFF, 63));
    return sumIntegers(
        ctx, p, padInt, [=](int64_t, int64_t) { return factor; },
        [](int64_t) { return 0; },
        [=, &p](int32_t sum) -> int64_t {
          int64_t value =
              support::shiftRightRounded(sum, shift, Rounding::HalfUp);
          saturateIntegers(p.resType, p.inputSigned, 1, &value);
          return value;
        });
  }

  const Shape kernelShape{1, p.c, 1, p.g.taps()};
  Tensor kernel = op.opd1_const ? Context::constant(op.opd1_addr, kernelShape)
                                : ctx.compact("opd1", op.opd1_addr, kernelShape,
                                              p.type, Access::Read);
  const int64_t kernelStep = op.opd1_const ? 0 : isa::bytes(p.type);
  Tensor bias;
  bool hasBias = !op.opd2_const;
  if (hasBias)
    bias = ctx.compact("opd2", op.opd2_addr, {1, p.c, 1, 1},
                       isFloat ? p.type : DType::I32, Access::Read);
  if (isFloat)
    return sumFloats(
        ctx, p, padFloat,
        [&](int64_t c, int64_t tap) {
          float w;
          if (p.rotate)
            tap = p.g.taps() - 1 - tap;
          loadFloats(p.type, kernel.plane(0, c) + tap * kernelStep, 0, 1, &w);
          return w;
        },
        0.0F,
        [&](int64_t c) {
          float b = 0;
          if (hasBias)
            loadFloats(p.type, bias.plane(0, c), 0, 1, &b);
          return b;
        },
        true);
  sumIntegers(
      ctx, p, padInt,
      [&](int64_t c, int64_t tap) {
        int64_t w;
        if (p.rotate)
          tap = p.g.taps() - 1 - tap;
        loadIntegers(DType::I8, p.kernelSigned,
                     kernel.plane(0, c) + tap * kernelStep, 0, 1, &w);
        return int32_t(w);
      },
      [&](int64_t c) {
        int64_t b = 0;
        if (hasBias)
          loadIntegers(DType::I32, true, bias.plane(0, c), 0, 1, &b);
        return int32_t(b);
      },
      [](int32_t sum) -> int64_t { return sum; });
}

} // namespace tpumlir::cmodel
