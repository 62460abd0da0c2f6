#pragma once

#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Kernels.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace tpumlir::cmodel {

/// Geometry of convolution and pooling, all in elements (H9).
struct Window {
  int64_t ih, iw, oh, ow, kh, kw;
  int64_t strideY, strideX;
  int64_t dilationY, dilationX; ///< 1 means dense
  int64_t insertY, insertX;     ///< zeros between neighbouring input elements
  int64_t up, down, left, right;
  isa::PadMode mode;

  /// Input size with the inserted zeros and the padding.
  int64_t paddedH() const { return (ih - 1) * (insertY + 1) + 1 + up + down; }
  int64_t paddedW() const {
    return (iw - 1) * (insertX + 1) + 1 + left + right;
  }
  int64_t planeSize() const { return paddedH() * paddedW(); }
  int64_t pixels() const { return oh * ow; }
  int64_t taps() const { return kh * kw; }
  /// Offset of a tap in the padded plane. Products go in the order of the
  /// input; a turned kernel turns the weights (N4).
  int64_t tapOffset(int64_t tap) const {
    return tap / kw * dilationY * paddedW() + tap % kw * dilationX;
  }
};

/// The fields that sCONV and sPorD share. Faults when the output asks for input
/// that is not there.
template <class Op> Window windowOf(Context &ctx, const Op &op) {
  Window g{int64_t(op.opd0_h),          int64_t(op.opd0_w),
           int64_t(op.res0_h),          int64_t(op.res0_w),
           int64_t(op.opd1_h),          int64_t(op.opd1_w),
           int64_t(op.res_op_y_str),    int64_t(op.res_op_x_str),
           int64_t(op.opd1_y_ins0) + 1, int64_t(op.opd1_x_ins0) + 1,
           int64_t(op.opd0_y_ins0),     int64_t(op.opd0_x_ins0),
           int64_t(op.opd0_up_pad),     int64_t(op.opd0_dn_pad),
           int64_t(op.opd0_lf_pad),     int64_t(op.opd0_rt_pad),
           isa::PadMode(op.pad_mode)};
  if (g.ih < 1 || g.iw < 1)
    ctx.badField("opd0_h, opd0_w", "at least 1",
                 uint64_t(std::min(g.ih, g.iw)));
  if (g.kh < 1 || g.kw < 1)
    ctx.badField("opd1_h, opd1_w", "at least 1",
                 uint64_t(std::min(g.kh, g.kw)));
  if (g.strideY < 1 || g.strideX < 1)
    ctx.badField("res_op_y_str, res_op_x_str", "at least 1", 0);
  if (g.mode != isa::PadMode::Constant && (g.insertY || g.insertX))
    ctx.badField("pad_mode", "constant (0) with inserted zeros", op.pad_mode);
  if (g.mode == isa::PadMode::Reflect &&
      (std::max(g.up, g.down) >= g.ih || std::max(g.left, g.right) >= g.iw))
    ctx.badField("pad_mode", "pads below the input size to reflect",
                 op.pad_mode);
  auto check = [&](const char *field, int64_t out, int64_t stride, int64_t k,
                   int64_t dilation, int64_t have) {
    int64_t need = (out - 1) * stride + (k - 1) * dilation + 1;
    if (need > have)
      ctx.fault(std::string(field) +
                ": expected windows within the padded "
                "input of " +
                std::to_string(have) + ", got " + std::to_string(need));
  };
  check("res0_h", g.oh, g.strideY, g.kh, g.dilationY, g.paddedH());
  check("res0_w", g.ow, g.strideX, g.kw, g.dilationX, g.paddedW());
  return g;
}

/// Where each padded row or column comes from.
constexpr int64_t kFromPad = -1, kFromInsert = -2;

/// For every position of a padded line of `size` elements: the element it
/// shows, kFromPad or kFromInsert (H9).
std::vector<int64_t> padMap(int64_t size, int64_t insert, int64_t before,
                            int64_t after, isa::PadMode mode);

/// Offsets of the output positions [first, first + count) in the padded plane.
void windowOffsets(const Window &g, int64_t first, int64_t count,
                   int64_t *offsets);

/// Up to kTile output positions, computed together.
struct PixelTile {
  int64_t first, count;
  int64_t offsets[kTile] = {}; ///< in the padded plane
  bool contiguous;

  PixelTile(const Window &g, int64_t first)
      : first(first), count(std::min<int64_t>(kTile, g.pixels() - first)) {
    windowOffsets(g, first, count, offsets);
    contiguous = offsets[count - 1] - offsets[0] == count - 1;
  }
  /// values[t] = plane[offsets[t]]; those beyond `count` stay.
  template <class T> void gather(const T *plane, T *values) const {
    if (contiguous) {
      std::memcpy(values, plane + offsets[0], size_t(count) * sizeof(T));
      return;
    }
    for (int64_t t = 0; t < count; ++t)
      values[t] = plane[offsets[t]];
  }
};

/// One channel of the input, padded and with its inserted zeros: paddedH rows
/// of paddedW elements. `load(row, to)` writes the iw elements of an input row.
template <class T, class Load>
void padPlane(const Window &g, const std::vector<int64_t> &rows,
              const std::vector<int64_t> &cols, T padValue, Load load, T *out) {
  const int64_t width = g.paddedW();
  const bool plainCols = g.insertX == 0;
  std::vector<T> line(size_t(g.iw));
  for (int64_t y = 0; y < int64_t(rows.size()); ++y) {
    T *to = out + y * width;
    if (rows[size_t(y)] == kFromPad) {
      std::fill_n(to, width, padValue);
      continue;
    }
    if (rows[size_t(y)] == kFromInsert) {
      for (int64_t x = 0; x < width; ++x)
        to[x] = cols[size_t(x)] == kFromPad ? padValue : T(0);
      continue;
    }
    if (plainCols) {
      load(rows[size_t(y)], to + g.left);
      for (int64_t x = 0; x < g.left; ++x)
        to[x] = cols[size_t(x)] == kFromPad ? padValue
                                            : to[g.left + cols[size_t(x)]];
      for (int64_t x = g.left + g.iw; x < width; ++x)
        to[x] = cols[size_t(x)] == kFromPad ? padValue
                                            : to[g.left + cols[size_t(x)]];
      continue;
    }
    load(rows[size_t(y)], line.data());
    for (int64_t x = 0; x < width; ++x) {
      int64_t from = cols[size_t(x)];
      to[x] = from == kFromPad      ? padValue
              : from == kFromInsert ? T(0)
                                    : line[size_t(from)];
    }
  }
}

} // namespace tpumlir::cmodel
