#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Kernels.h"

#include <algorithm>
#include <vector>

namespace tpumlir::cmodel {
namespace {

/// left [rows, depth] times right [depth, cols], both widened and packed.
template <class T> struct Product {
  int64_t rows, depth, cols;
  std::vector<T> left;  ///< [rows][depth]
  std::vector<T> right; ///< [depth][cols]
};

/// Calls store(row, first, values, count) with the sums of every tile of kTile
/// columns. `start(row, first, acc0, acc1, count)` sets the accumulators;
/// `swapped`: the sum is acc1 + acc0 (N4).
template <class Start, class Store>
void multiplyF32(Context &ctx, const Product<float> &p, bool swapped,
                 Start start, Store store) {
  const int64_t tiles = ceilDiv(p.cols, int64_t(kTile));
  ctx.parallel(size_t(tiles), p.rows * p.depth * p.cols, [&](size_t tile) {
    const int64_t first = int64_t(tile) * int64_t(kTile);
    const int64_t count = std::min<int64_t>(kTile, p.cols - first);
    std::vector<float> panel(size_t(p.depth) * kTile);
    for (int64_t k = 0; k < p.depth; ++k)
      std::copy_n(&p.right[size_t(k * p.cols + first)], count,
                  &panel[size_t(k) * kTile]);
    constexpr int64_t kRows = 32;
    for (int64_t r = 0; r < p.rows; r += kRows) {
      const int64_t some = std::min(kRows, p.rows - r);
      float acc[kRows][2][kTile] = {};
      const float *left[kRows];
      for (int64_t i = 0; i < some; ++i) {
        left[i] = &p.left[size_t((r + i) * p.depth)];
        start(r + i, first, acc[i][0], acc[i][1], count);
      }
      kernels().f32Left(size_t(some), size_t(p.depth), left, panel.data(),
                        acc[0][0]);
      for (int64_t i = 0; i < some; ++i) {
        float sum[kTile];
        addInOrder(acc[i][swapped], acc[i][!swapped], kTile, sum);
        store(r + i, first, sum, count);
      }
    }
  });
}

/// `start(row, first, acc, count)` sets the accumulator (N5). The depth is a
/// multiple of the block; the packing added zeros.
template <class Start, class Store>
void multiplyHalf(Context &ctx, const Product<float> &p, Start start,
                  Store store) {
  const int64_t tiles = ceilDiv(p.cols, int64_t(kTile));
  ctx.parallel(size_t(tiles), p.rows * p.depth * p.cols, [&](size_t tile) {
    const int64_t first = int64_t(tile) * int64_t(kTile);
    const int64_t count = std::min<int64_t>(kTile, p.cols - first);
    std::vector<float> panel(size_t(p.depth) * kTile);
    for (int64_t k = 0; k < p.depth; ++k)
      std::copy_n(&p.right[size_t(k * p.cols + first)], count,
                  &panel[size_t(k) * kTile]);
    for (int64_t r = 0; r < p.rows; ++r) {
      float acc[kTile] = {};
      start(r, first, acc, count);
      const float *left = &p.left[size_t(r * p.depth)];
      kernels().halfBlockFirst(1, size_t(p.depth), &left, panel.data(), acc);
      store(r, first, acc, count);
    }
  });
}

/// Operands of at most 16 bits. Columns of left and rows of right are paired.
template <class Store>
void multiplyI16(Context &ctx, const Product<int16_t> &p, Store store) {
  const int64_t tiles = ceilDiv(p.cols, int64_t(kTile));
  const int64_t pairs = ceilDiv(p.depth, 2);
  std::vector<int32_t> left(size_t(p.rows * pairs), 0);
  for (int64_t r = 0; r < p.rows; ++r)
    for (int64_t k = 0; k < p.depth; ++k)
      left[size_t(r * pairs + k / 2)] |= int32_t(
          uint32_t(uint16_t(p.left[size_t(r * p.depth + k)])) << (k % 2 * 16));
  ctx.parallel(size_t(tiles), p.rows * p.depth * p.cols, [&](size_t tile) {
    const int64_t first = int64_t(tile) * int64_t(kTile);
    const int64_t count = std::min<int64_t>(kTile, p.cols - first);
    std::vector<int16_t> panel(size_t(pairs) * 2 * kTile, 0);
    for (int64_t k = 0; k < p.depth; ++k)
      for (int64_t t = 0; t < count; ++t)
        panel[size_t(k / 2) * 2 * kTile + size_t(2 * t + k % 2)] =
            p.right[size_t(k * p.cols + first + t)];
    constexpr int64_t kRows = 32;
    for (int64_t r = 0; r < p.rows; r += kRows) {
      const int64_t some = std::min(kRows, p.rows - r);
      int32_t acc[kRows * kTile] = {};
      const int32_t *rows[kRows];
      for (int64_t i = 0; i < some; ++i)
        rows[i] = &left[size_t((r + i) * pairs)];
      kernels().i16(size_t(some), size_t(2 * pairs), rows, panel.data(), acc);
      for (int64_t i = 0; i < some; ++i)
        store(r + i, first, acc + i * int64_t(kTile), count);
    }
  });
}

int16_t loadI8(const std::byte *at, bool isSigned) {
  auto byte = uint8_t(*at);
  return isSigned ? int16_t(int8_t(byte)) : int16_t(byte);
}

void loadRow(DType type, bool isSigned, const std::byte *from, int64_t count,
             float *to) {
  loadFloats(type, from, isa::bytes(type), count, to);
}
void loadRow(DType type, bool isSigned, const std::byte *from, int64_t count,
             int16_t *to) {
  for (int64_t i = 0; i < count; ++i)
    to[i] = loadI8(from + i, isSigned);
}

/// The rows of a matrix in pieces (H6) as one dense row each. The last piece
/// has `last` columns.
template <class T>
std::vector<T> packPieces(const Tensor &t, DType type, bool isSigned,
                          int64_t last) {
  const int64_t width = t.shape.w, pieces = t.shape.c;
  const int64_t cols = (pieces - 1) * width + last;
  std::vector<T> out(size_t(t.shape.n * cols));
  for (int64_t r = 0; r < t.shape.n; ++r)
    for (int64_t j = 0; j < pieces; ++j)
      loadRow(type, isSigned, t.plane(r, j), j + 1 < pieces ? width : last,
              &out[size_t(r * cols + j * width)]);
  return out;
}

/// Calls put(pointer, offset, count) for the parts of columns
/// [first, first + count) of row r that lie in one piece each.
template <class Put>
void forEachPiece(const Tensor &t, unsigned bytes, int64_t r, int64_t first,
                  int64_t count, Put put) {
  const int64_t width = t.shape.w;
  for (int64_t done = 0; done < count;) {
    int64_t j = (first + done) / width, w = (first + done) % width;
    int64_t some = std::min(count - done, width - w);
    put(t.plane(r, j) + w * bytes, done, some);
    done += some;
  }
}

} // namespace

// --- MM ----------------------------------------------------------------------

void exec(Context &ctx, const isa::Mm &op) {
  if (isa::MmOp(op.tsk_eu_typ) != isa::MmOp::Normal)
    execUnmodelled(ctx);
  const DType type = ctx.dtype("opd0_prec", op.opd0_prec);
  const DType resType = ctx.dtype("res0_prec", op.res0_prec);
  const bool isFloat = type == DType::F32;
  if (isFloat ? resType != DType::F32
              : type != DType::I8 || resType != DType::I32)
    ctx.fault(std::string("expected a product f32 -> f32 or i8 -> i32, got ") +
              isa::name(type) + " -> " + isa::name(resType) +
              " (use MM2 for f16 and bf16)");
  if (op.left_tran)
    ctx.badField("left_tran", "0 (1 is not modelled)", op.left_tran);
  if (!isFloat && (op.res_add || !op.opd2_const || op.opd2_addr != 0))
    ctx.fault("expected an i8 product without bias and res_add, which are not "
              "modelled (add them with arith.adds)");
  const int64_t rows = int64_t(op.opd0_n), pieces = int64_t(op.opd0_c);
  const int64_t width = int64_t(op.opd0_w), last = int64_t(op.opd1_w);
  if (last < 1 || last > width)
    ctx.badField("opd1_w", "a last piece of 1.." + std::to_string(width),
                 op.opd1_w);
  if (rows < 1 || pieces < 1)
    ctx.badField("opd0_n, opd0_c", "at least 1", 0);
  const int64_t depth = (pieces - 1) * width + last;
  const Shape resShape{rows, int64_t(op.res0_c), 1, int64_t(op.res0_w)};

  Tensor left = ctx.aligned("opd0", op.opd0_addr, {rows, pieces, 1, width},
                            type, Access::Read);
  Tensor right =
      ctx.aligned("opd1", op.opd1_addr, {depth, resShape.c, 1, resShape.w},
                  type, Access::Read);
  Tensor bias;
  if (!op.opd2_const)
    bias = ctx.aligned("opd2", op.opd2_addr, {1, resShape.c, 1, resShape.w},
                       isFloat ? DType::F32 : DType::I32, Access::Read);
  Tensor res = ctx.aligned("res0", op.res0_addr, resShape, resType,
                           op.res_add ? Access::Update : Access::Write);
  ctx.requireDisjoint("res0", res, "opd0", left);
  ctx.requireDisjoint("res0", res, "opd1", right);

  const int64_t cols = resShape.c * resShape.w;
  if (isFloat) {
    Product<float> p{rows, depth, cols,
                     packPieces<float>(left, type, true, last),
                     packPieces<float>(right, type, true, resShape.w)};
    std::vector<float> biasRow;
    if (!op.opd2_const)
      biasRow = packPieces<float>(bias, DType::F32, true, resShape.w);
    else if (op.opd2_addr)
      biasRow.assign(size_t(cols), floatOfWord(op.opd2_addr, DType::F32));
    // The bias comes first and the old result, if it counts, second (N4).
    auto start = [&](int64_t r, int64_t first, float *acc0, float *acc1,
                     int64_t count) {
      if (!biasRow.empty())
        std::copy_n(&biasRow[size_t(first)], count, op.res_add ? acc0 : acc1);
      if (op.res_add)
        forEachPiece(res, 4, r, first, count,
                     [&](const std::byte *from, int64_t at, int64_t some) {
                       loadFloats(DType::F32, from, 4, some, acc1 + at);
                     });
    };
    multiplyF32(ctx, p, op.res_add, start,
                [&](int64_t r, int64_t first, const float *sum, int64_t count) {
                  forEachPiece(res, 4, r, first, count,
                               [&](std::byte *to, int64_t at, int64_t some) {
                                 storeFloats(DType::F32, sum + at, some, to, 4);
                               });
                });
    return;
  }
  Product<int16_t> p{
      rows, depth, cols, packPieces<int16_t>(left, type, op.opd0_sign, last),
      packPieces<int16_t>(right, type, op.opd1_sign, resShape.w)};
  multiplyI16(ctx, p,
              [&](int64_t r, int64_t first, const int32_t *sum, int64_t count) {
                forEachPiece(res, 4, r, first, count,
                             [&](std::byte *to, int64_t at, int64_t some) {
                               std::memcpy(to, sum + at, size_t(some) * 4);
                             });
              });
}

// --- MM2 ---------------------------------------------------------------------

namespace {

/// The matrix of MM2: rows are channels from lane 0, columns are w (H6); read
/// transposed when asked.
template <class T>
std::vector<T> packRows(const Tensor &t, DType type, bool isSigned,
                        bool transpose, int64_t outRows, int64_t outCols) {
  std::vector<T> out(size_t(outRows * outCols), T(0));
  std::vector<T> row(static_cast<size_t>(t.shape.w));
  for (int64_t r = 0; r < t.shape.c; ++r) {
    if (!transpose) {
      loadRow(type, isSigned, t.plane(0, r), t.shape.w,
              &out[size_t(r * outCols)]);
      continue;
    }
    loadRow(type, isSigned, t.plane(0, r), t.shape.w, row.data());
    for (int64_t w = 0; w < t.shape.w; ++w)
      out[size_t(w * outCols + r)] = row[size_t(w)];
  }
  return out;
}

} // namespace

void exec(Context &ctx, const isa::Mm2 &op) {
  const auto kind = isa::Mm2Op(op.tsk_eu_typ);
  const DType type = ctx.dtype("opd0_prec", op.opd0_prec);
  const DType resType = ctx.dtype("res0_prec", op.res0_prec);
  const bool isFloat = isa::isFloat(type);
  if (type == DType::F32 ||
      (isFloat ? resType != DType::F32 && resType != type
               : type != DType::I8 || resType != DType::I32))
    ctx.fault(std::string("expected a product f16 -> f16 or f32, bf16 -> bf16 "
                          "or f32, i8 -> i32, got ") +
              isa::name(type) + " -> " + isa::name(resType));
  if (op.res_add && isa::bytes(resType) != 4)
    ctx.badField("res_add", "0 with a half-precision result", op.res_add);
  // As stored: nn [M, K] times [K, N]; nt [M, K] times [N, K]; tt [K, N] and
  // [M, K], whose result [M, N] is opd1 times opd0.
  const int64_t rows = int64_t(op.res0_c), cols = int64_t(op.res0_w);
  const bool swapped = kind == isa::Mm2Op::Tt;
  const bool transposed = kind == isa::Mm2Op::Nt;
  const int64_t depth = int64_t(kind == isa::Mm2Op::Nn ? op.opd1_c : op.opd1_w);
  // The other side of opd1 is the result's; its field is not read (H18).
  const Shape opd1Shape = kind == isa::Mm2Op::Nn ? Shape{1, depth, 1, cols}
                          : transposed           ? Shape{1, cols, 1, depth}
                                                 : Shape{1, rows, 1, depth};
  const Shape opd0Shape =
      swapped ? Shape{1, depth, 1, cols} : Shape{1, rows, 1, depth};
  Tensor opd0 =
      ctx.aligned("opd0", op.opd0_addr, opd0Shape, type, Access::Read);
  Tensor opd1 =
      ctx.aligned("opd1", op.opd1_addr, opd1Shape, type, Access::Read);
  const Tensor &left = swapped ? opd1 : opd0, &right = swapped ? opd0 : opd1;
  const bool leftSigned = swapped ? op.opd1_sign : op.opd0_sign;
  const bool rightSigned = swapped ? op.opd0_sign : op.opd1_sign;
  Tensor res = ctx.aligned("res0", op.res0_addr, {1, rows, 1, cols}, resType,
                           op.res_add ? Access::Update : Access::Write);
  ctx.requireDisjoint("res0", res, "opd0", left);
  ctx.requireDisjoint("res0", res, "opd1", right);

  if (isFloat) {
    const int64_t padded = roundUp(depth, kHalfBlock);
    Product<float> p{
        rows, padded, cols,
        packRows<float>(left, type, true, false, rows, padded),
        packRows<float>(right, type, true, transposed, padded, cols)};
    const unsigned bytes = isa::bytes(resType);
    multiplyHalf(
        ctx, p,
        [&](int64_t r, int64_t first, float *acc, int64_t count) {
          if (op.res_add)
            loadFloats(resType, res.plane(0, r) + first * bytes, bytes, count,
                       acc);
        },
        [&](int64_t r, int64_t first, const float *sum, int64_t count) {
          storeFloats(resType, sum, count, res.plane(0, r) + first * bytes,
                      bytes, NanSign::Keep);
        });
    return;
  }
  Product<int16_t> p{
      rows, depth, cols,
      packRows<int16_t>(left, type, leftSigned, false, rows, depth),
      packRows<int16_t>(right, type, rightSigned, transposed, depth, cols)};
  // The zero point is that of opd1, on whichever side it stands.
  if (!op.opd2_const)
    ctx.badField("opd2_const", "1 (a zero point for all columns)",
                 op.opd2_const);
  const auto zero =
      int16_t(integerOfWord(op.opd2_addr, DType::I8, op.opd1_sign));
  for (int16_t &value : swapped ? p.left : p.right)
    value = int16_t(value - zero);
  multiplyI16(ctx, p,
              [&](int64_t r, int64_t first, int32_t *sum, int64_t count) {
                std::byte *to = res.plane(0, r) + first * 4;
                for (int64_t i = 0; i < count; ++i) {
                  uint32_t value = uint32_t(sum[i]), old = 0;
                  if (op.res_add)
                    std::memcpy(&old, to + 4 * i, 4);
                  value += old;
                  std::memcpy(to + 4 * i, &value, 4);
                }
              });
}

} // namespace tpumlir::cmodel
