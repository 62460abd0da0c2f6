#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Kernels.h"
#include "tpumlir/cmodel/Window.h"

#include <algorithm>
#include <vector>

namespace tpumlir::cmodel {
namespace {

/// Everything a convolution needs once its fields are read.
struct Convolution {
  Window g;
  int64_t n, ic, oc;
  DType type, resType;
  bool rotate, resAdd;
  Tensor res, input;
  std::vector<int64_t> rows, cols; ///< padMap of both dimensions
};

/// Weights of output channel `oc`: compact rows of a lane each (H7).
const std::byte *weightRow(const Tensor &weights, int64_t oc) {
  return weights.plane(0, oc);
}

/// The places of a tile under one tap of one channel, zero beyond its end.
template <class T>
inline void gatherTile(const PixelTile &tile, const T *plane, T *panel) {
  tile.gather(plane, panel);
  std::fill(panel + tile.count, panel + kTile, T(0));
}

/// Channel and tap of one product after the other.
struct Products {
  int64_t channel = 0, tap = 0;
  void next(int64_t taps) {
    if (++tap == taps) {
      tap = 0;
      ++channel;
    }
  }
};

/// Rows of a panel that are filled before the sums are continued: bounds the
/// scratch memory. Even, and a multiple of the half-precision block.
constexpr int64_t kDepth = 512;

/// Sums `depth` products, kDepth at a time: `fill(some, panel)` writes the next
/// rows of the panel, `sum(some, rows, panel)` continues the sums. `rows` are
/// those of the weights, `each` products per element.
template <class T, class W, class Fill, class Sum>
void sumProducts(int64_t depth, std::vector<const W *> rows, int64_t each,
                 Fill fill, Sum sum) {
  std::vector<T> panel(size_t(std::min(depth, kDepth)) * kTile);
  for (int64_t done = 0; done < depth; done += kDepth) {
    const int64_t some = std::min(kDepth, depth - done);
    fill(some, panel.data());
    sum(size_t(some), rows.data(), panel.data());
    for (const W *&row : rows)
      row += some / each;
  }
}

/// Calls body.run(batch, planes, tile) for every tile of every batch.
template <class Body>
void forEachTile(Context &ctx, const Convolution &c, Body body) {
  const int64_t tiles = ceilDiv(c.g.pixels(), int64_t(kTile));
  for (int64_t n = 0; n < c.n; ++n) {
    auto planes = body.prepare(n);
    ctx.parallel(size_t(tiles), c.oc * c.ic * c.g.taps() * c.g.pixels(),
                 [&](size_t tile) {
                   body.run(n, planes,
                            PixelTile(c.g, int64_t(tile) * int64_t(kTile)));
                 });
  }
}

/// Pads all channels of a batch. Channel order is that of the input.
template <class T, class Convert>
std::vector<T> padInput(Context &ctx, const Convolution &c, int64_t n,
                        T padValue, Convert convert) {
  std::vector<T> planes(size_t(c.ic * c.g.planeSize()));
  ctx.parallel(size_t(c.ic), c.ic * c.g.planeSize(), [&](size_t ic) {
    const std::byte *from = c.input.plane(n, int64_t(ic));
    padPlane<T>(
        c.g, c.rows, c.cols, padValue,
        [&](int64_t row, T *to) {
          convert(from + row * c.input.stride.h, c.input.stride.w, c.g.iw, to);
        },
        planes.data() + int64_t(ic) * c.g.planeSize());
  });
  return planes;
}

std::vector<float> biasOf(const Tensor *bias, int64_t oc) {
  std::vector<float> values(size_t(oc), 0.0F);
  if (bias)
    for (int64_t i = 0; i < oc; ++i)
      std::memcpy(&values[size_t(i)], bias->plane(0, i), sizeof(float));
  return values;
}

/// What the result holds, for res_add.
void loadResult(const Convolution &c, int64_t n, int64_t oc,
                const PixelTile &tile, float *values) {
  const int64_t bytes = isa::bytes(c.resType);
  loadFloats(c.resType, c.res.plane(n, oc) + tile.first * bytes, bytes,
             tile.count, values);
}

void storeResult(const Convolution &c, int64_t n, int64_t oc,
                 const PixelTile &tile, const float *values) {
  const int64_t bytes = isa::bytes(c.resType);
  storeFloats(c.resType, values, tile.count,
              c.res.plane(n, oc) + tile.first * bytes, bytes, NanSign::Keep);
}

// --- f32 ---------------------------------------------------------------------

struct F32Body {
  Context &ctx;
  const Convolution &c;
  std::vector<const float *> weights;
  std::vector<float> bias;
  float padValue;

  std::vector<float> prepare(int64_t n) const {
    return padInput<float>(
        ctx, c, n, padValue,
        [](const std::byte *from, int64_t stride, int64_t count, float *to) {
          loadFloats(DType::F32, from, stride, count, to);
        });
  }

  void run(int64_t n, const std::vector<float> &planes,
           const PixelTile &tile) const {
    const int64_t depth = c.ic * c.g.taps();
    std::vector<float> acc(size_t(c.oc) * 2 * kTile);
    // The bias comes first and the old result, if it counts, second (N4).
    for (int64_t oc = 0; oc < c.oc; ++oc) {
      float *sums = &acc[2 * size_t(oc) * kTile];
      std::fill_n(c.resAdd ? sums : sums + kTile, kTile, bias[size_t(oc)]);
      if (c.resAdd)
        loadResult(c, n, oc, tile, sums + kTile);
    }
    Products at;
    sumProducts<float>(
        depth, weights, 1,
        [&](int64_t some, float *panel) {
          for (int64_t k = 0; k < some; ++k, at.next(c.g.taps()))
            gatherTile(tile,
                       planes.data() + at.channel * c.g.planeSize() +
                           c.g.tapOffset(at.tap),
                       panel + k * kTile);
        },
        [&](size_t some, const float *const *rows, const float *panel) {
          kernels().f32(size_t(c.oc), some, rows, panel, acc.data());
        });
    for (int64_t oc = 0; oc < c.oc; ++oc) {
      const float *a = &acc[2 * size_t(oc) * kTile];
      const float *left = c.resAdd ? a + kTile : a;
      const float *right = c.resAdd ? a : a + kTile;
      float sum[kTile];
      addInOrder(left, right, kTile, sum);
      storeResult(c, n, oc, tile, sum);
    }
  }
};

// --- f16, bf16 ---------------------------------------------------------------

struct HalfBody {
  Context &ctx;
  const Convolution &c;
  std::vector<float> weights; ///< [oc][depth], in the order of memory (H7)
  std::vector<float> bias;
  float padValue;

  int64_t depth() const { return roundUp(c.ic, kHalfBlock) * c.g.taps(); }

  std::vector<float> prepare(int64_t n) const {
    return padInput<float>(
        ctx, c, n, padValue,
        [this](const std::byte *from, int64_t stride, int64_t count,
               float *to) { loadFloats(c.type, from, stride, count, to); });
  }

  void run(int64_t n, const std::vector<float> &planes,
           const PixelTile &tile) const {
    std::vector<float> acc(size_t(c.oc) * kTile);
    std::vector<const float *> rows(static_cast<size_t>(c.oc));
    for (int64_t oc = 0; oc < c.oc; ++oc) {
      float *sum = &acc[size_t(oc) * kTile];
      std::fill_n(sum, kTile, bias[size_t(oc)]);
      if (c.resAdd) {
        float old[kTile] = {};
        loadResult(c, n, oc, tile, old);
        addInOrder(sum, old, kTile, sum);
      }
      rows[size_t(oc)] = &weights[size_t(oc * depth())];
    }
    Products at; // of blocks of 32 input channels
    sumProducts<float>(
        depth(), std::move(rows), 1,
        [&](int64_t some, float *panel) {
          for (int64_t k = 0; k < some;
               k += int64_t(kHalfBlock), at.next(c.g.taps()))
            for (int64_t j = 0; j < int64_t(kHalfBlock); ++j) {
              float *to = panel + (k + j) * kTile;
              int64_t channel = at.channel * int64_t(kHalfBlock) + j;
              if (channel < c.ic)
                gatherTile(tile,
                           planes.data() + channel * c.g.planeSize() +
                               c.g.tapOffset(at.tap),
                           to);
              else
                std::fill_n(to, kTile, 0.0F);
            }
        },
        [&](size_t some, const float *const *rows, const float *panel) {
          kernels().half(size_t(c.oc), some, rows, panel, acc.data());
        });
    for (int64_t oc = 0; oc < c.oc; ++oc)
      storeResult(c, n, oc, tile, &acc[size_t(oc) * kTile]);
  }
};

// --- i8 ----------------------------------------------------------------------

struct I8Body {
  Context &ctx;
  const Convolution &c;
  std::vector<int32_t> weights; ///< [oc][depth / 2], pairs of i16
  bool inputSigned;
  int16_t padValue;

  /// Order of the products: input channel, then tap; exact sums allow any.
  int64_t depth() const { return roundUp(c.ic * c.g.taps(), 2); }

  std::vector<int16_t> prepare(int64_t n) const {
    return padInput<int16_t>(ctx, c, n, padValue,
                             [this](const std::byte *from, int64_t stride,
                                    int64_t count, int16_t *to) {
                               for (int64_t i = 0; i < count; ++i) {
                                 auto byte = uint8_t(from[i * stride]);
                                 to[i] = inputSigned ? int8_t(byte) : byte;
                               }
                             });
  }

  void run(int64_t n, const std::vector<int16_t> &planes,
           const PixelTile &tile) const {
    std::vector<int32_t> acc(size_t(c.oc) * kTile);
    std::vector<const int32_t *> rows(static_cast<size_t>(c.oc));
    for (int64_t oc = 0; oc < c.oc; ++oc)
      rows[size_t(oc)] = &weights[size_t(oc * depth() / 2)];
    Products at;
    sumProducts<int16_t>(
        depth(), std::move(rows), 2,
        [&](int64_t some, int16_t *panel) {
          for (int64_t k = 0; k < some; k += 2) {
            int16_t pair[2][kTile] = {};
            for (auto &line : pair) {
              if (at.channel == c.ic)
                break;
              gatherTile(tile,
                         planes.data() + at.channel * c.g.planeSize() +
                             c.g.tapOffset(at.tap),
                         line);
              at.next(c.g.taps());
            }
            int16_t *to = panel + k * kTile;
            for (size_t t = 0; t < kTile; ++t) {
              to[2 * t] = pair[0][t];
              to[2 * t + 1] = pair[1][t];
            }
          }
        },
        [&](size_t some, const int32_t *const *rows, const int16_t *panel) {
          kernels().i16(size_t(c.oc), some, rows, panel, acc.data());
        });
    for (int64_t oc = 0; oc < c.oc; ++oc) {
      int32_t *sum = &acc[size_t(oc) * kTile];
      std::byte *to = c.res.plane(n, oc) + tile.first * 4;
      if (c.resAdd)
        for (int64_t t = 0; t < tile.count; ++t) {
          uint32_t old;
          std::memcpy(&old, to + 4 * t, sizeof old);
          sum[t] = int32_t(uint32_t(sum[t]) + old);
        }
      std::memcpy(to, sum, size_t(tile.count) * 4);
    }
  }
};

/// Position of input channel ic and a tap in a weight row (H7).
int64_t weightIndex(int64_t ic, int64_t tap, int64_t taps, int64_t cube) {
  return (ic / cube * taps + tap) * cube + ic % cube;
}

void convolveF32(Context &ctx, const Convolution &c, const Tensor &weights,
                 const Tensor *bias, float padValue) {
  F32Body body{ctx, c, {}, biasOf(bias, c.oc), padValue};
  std::vector<float> turned;
  for (int64_t oc = 0; oc < c.oc; ++oc)
    body.weights.push_back(
        reinterpret_cast<const float *>(weightRow(weights, oc)));
  if (c.rotate) {
    const int64_t depth = c.ic * c.g.taps();
    turned.resize(size_t(c.oc * depth));
    for (int64_t oc = 0; oc < c.oc; ++oc) {
      const float *&row = body.weights[size_t(oc)];
      float *to = &turned[size_t(oc * depth)];
      for (int64_t ic = 0; ic < c.ic; ++ic)
        std::reverse_copy(row + ic * c.g.taps(), row + (ic + 1) * c.g.taps(),
                          to + ic * c.g.taps());
      row = to;
    }
  }
  forEachTile(ctx, c, body);
}

/// Reverses the taps of a weight row in blocks of 32 channels.
void turnTaps(float *row, int64_t depth, int64_t taps) {
  const auto block = int64_t(kHalfBlock);
  for (int64_t at = 0; at < depth; at += taps * block)
    for (int64_t i = 0, j = taps - 1; i < j; ++i, --j)
      std::swap_ranges(row + at + i * block, row + at + (i + 1) * block,
                       row + at + j * block);
}

void convolveHalf(Context &ctx, const Convolution &c, const Tensor &weights,
                  const Tensor *bias, float padValue) {
  HalfBody body{ctx, c, {}, biasOf(bias, c.oc), padValue};
  const int64_t depth = body.depth();
  body.weights.resize(size_t(c.oc * depth));
  ctx.parallel(size_t(c.oc), c.oc * depth, [&](size_t oc) {
    float *row = &body.weights[oc * size_t(depth)];
    loadFloats(c.type, weightRow(weights, int64_t(oc)), isa::bytes(c.type),
               depth, row);
    // Channels that only fill the last block do not count, whatever they hold.
    const int64_t block = int64_t(kHalfBlock), used = c.ic % block;
    if (used)
      for (int64_t at = depth - c.g.taps() * block; at < depth; at += block)
        std::fill_n(row + at + used, block - used, 0.0F);
    if (c.rotate)
      turnTaps(row, depth, c.g.taps());
  });
  forEachTile(ctx, c, body);
}

void convolveI8(Context &ctx, const isa::Conv &op, const Convolution &c,
                const Tensor &weights, const Tensor *zero) {
  I8Body body{ctx,
              c,
              {},
              op.opd0_sign != 0,
              int16_t(integerOfWord(op.opd3_addr, DType::I8, op.opd0_sign))};
  const int64_t depth = body.depth(), taps = c.g.taps();
  body.weights.resize(size_t(c.oc * depth / 2));
  ctx.parallel(size_t(c.oc), c.oc * depth, [&](size_t oc) {
    const std::byte *row = weightRow(weights, int64_t(oc));
    int64_t zeroPoint = 0;
    if (zero)
      loadIntegers(DType::I8, op.opd2_sign, zero->plane(0, int64_t(oc)), 0, 1,
                   &zeroPoint);
    int64_t k = 0;
    for (int64_t ic = 0; ic < c.ic; ++ic)
      for (int64_t tap = 0; tap < taps; ++tap, ++k) {
        auto byte =
            uint8_t(row[weightIndex(ic, c.rotate ? taps - 1 - tap : tap, taps,
                                    isa::convChannelCube(DType::I8))]);
        int64_t w =
            (op.opd1_sign ? int64_t(int8_t(byte)) : int64_t(byte)) - zeroPoint;
        uint32_t half = uint32_t(uint16_t(int16_t(w))) << (k % 2 * 16);
        body.weights[(oc * size_t(depth) + size_t(k)) / 2] |= int32_t(half);
      }
  });
  forEachTile(ctx, c, body);
}

} // namespace

void exec(Context &ctx, const isa::Conv &op) {
  if (isa::ConvOp(op.tsk_eu_typ) != isa::ConvOp::Normal)
    execUnmodelled(ctx);
  Convolution c;
  c.g = windowOf(ctx, op);
  c.n = int64_t(op.res0_n);
  c.ic = int64_t(op.opd0_c);
  c.oc = int64_t(op.res0_c);
  c.type = ctx.dtype("opd0_prec", op.opd0_prec);
  c.resType = ctx.dtype("res0_prec", op.res0_prec);
  c.rotate = op.kernel_rotate;
  c.resAdd = op.res_add;
  c.rows = padMap(c.g.ih, c.g.insertY, c.g.up, c.g.down, c.g.mode);
  c.cols = padMap(c.g.iw, c.g.insertX, c.g.left, c.g.right, c.g.mode);
  const bool isFloat = isa::isFloat(c.type);
  if (isFloat ? c.resType != DType::F32 && c.resType != c.type
              : c.type != DType::I8 || c.resType != DType::I32)
    ctx.fault(std::string("expected a convolution f32 -> f32, f16 -> f16 or "
                          "f32, bf16 -> bf16 or f32, i8 -> i32, got ") +
              isa::name(c.type) + " -> " + isa::name(c.resType));

  // The old value of a half-precision result would be taken for f32 (H10).
  if (c.resAdd && isa::bytes(c.resType) != 4)
    ctx.badField("res_add", "0 with a half-precision result", op.res_add);

  const unsigned bytes = isa::bytes(c.type);
  const Shape inShape{c.n, c.ic, c.g.ih, c.g.iw};
  switch (isa::Layout(op.opd0_str)) {
  case isa::Layout::Aligned:
    c.input = ctx.aligned("opd0", op.opd0_addr, inShape, c.type, Access::Read);
    break;
  case isa::Layout::Strided:
    c.input = ctx.tensor(
        "opd0", op.opd0_addr, inShape,
        {int64_t(op.opd0_n_str) * bytes, int64_t(op.opd0_c_str) * bytes,
         int64_t(op.opd0_h_str) * bytes, int64_t(op.opd0_w_str) * bytes},
        bytes, Access::Read);
    break;
  default:
    ctx.badField("opd0_str", "aligned (0) or strided (3)", op.opd0_str);
  }
  const int64_t cube = isa::convChannelCube(c.type);
  const Shape weightShape{1, c.oc, 1, roundUp(c.ic, cube) * c.g.taps()};
  Tensor weights =
      ctx.compact("opd1", op.opd1_addr, weightShape, c.type, Access::Read);
  Tensor vector; // bias, or the kernel's zero points
  const Tensor *perChannel = nullptr;
  const Shape vectorShape{1, c.oc, 1, 1};
  if (!op.opd2_const) {
    vector = ctx.compact("opd2", op.opd2_addr, vectorShape,
                         isFloat ? DType::F32 : DType::I8, Access::Read);
    perChannel = &vector;
  } else if (op.opd2_addr != 0) {
    vector = Context::constant(op.opd2_addr, vectorShape);
    perChannel = &vector;
  }
  c.res = ctx.aligned("res0", op.res0_addr, {c.n, c.oc, c.g.oh, c.g.ow},
                      c.resType, op.res_add ? Access::Update : Access::Write);
  ctx.requireDisjoint("res0", c.res, "opd0", c.input);
  ctx.requireDisjoint("res0", c.res, "opd1", weights);
  if (perChannel)
    ctx.requireDisjoint("res0", c.res, "opd2", vector);

  if (!isFloat)
    return convolveI8(ctx, op, c, weights, perChannel);
  const float padValue = floatOfWord(op.opd3_addr, c.type);
  if (c.type == DType::F32)
    return convolveF32(ctx, c, weights, perChannel, padValue);
  convolveHalf(ctx, c, weights, perChannel, padValue);
}

} // namespace tpumlir::cmodel
