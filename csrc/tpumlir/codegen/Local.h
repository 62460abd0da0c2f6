#pragma once

#include "tpumlir/isa/Isa.h"

#include <array>
#include <cassert>
#include <cstdint>

/// Tensors as they lie in global memory and in the lanes. Source:
/// docs/hardware.md, layouts.
namespace tpumlir::codegen {

/// Sizes or strides in the order n, c, h, w; elements.
using Nchw = std::array<int64_t, 4>;

/// The largest extent that a command can state: its fields have 16 bits.
inline constexpr int64_t kMaxField = 65535;

/// Bytes of the elements that constants of any type are loaded as.
inline constexpr int64_t kWord = 4;

/// Bits of infinity; those of NaN without its sign are greater.
inline constexpr int32_t kInfinityBits = 0x7f800000;

constexpr int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t roundUp(int64_t a, int64_t b) { return ceilDiv(a, b) * b; }
constexpr int64_t product(const Nchw &d) { return d[0] * d[1] * d[2] * d[3]; }

/// Strides of a dense tensor in global memory.
constexpr Nchw denseStrides(const Nchw &s) {
  return {s[1] * s[2] * s[3], s[2] * s[3], s[3], 1};
}

/// An element of a tensor in global memory, and the type of all of them.
struct Global {
  uint64_t addr;
  isa::DType dtype;

  Global operator+(int64_t elements) const {
    return {addr + uint64_t(elements * int64_t(isa::bytes(dtype))), dtype};
  }
};

/// A tensor in local memory that starts in lane 0. Channel c lies in lane
/// c mod 64, row c div 64; stride[1] leads from row to row.
struct Local {
  int64_t addr = 0; ///< byte offset in each lane
  Nchw size{1, 1, 1, 1};
  Nchw stride{1, 1, 1, 1};
  isa::DType dtype = isa::DType::F32;
  isa::Layout layout = isa::Layout::Aligned;
  /// Every lane holds the same channel; stride[1] is 0.
  bool everyLane = false;
  /// Of integers: the chip takes the sign per operand. Floats have one.
  bool isSigned = true;

  int64_t rows() const { return ceilDiv(size[1], int64_t(isa::kLanes)); }
  int64_t lanes() const {
    return everyLane ? int64_t(isa::kLanes)
                     : std::min<int64_t>(size[1], isa::kLanes);
  }
  /// Bytes from `addr` to the end of the last element, in a lane.
  int64_t bytes() const {
    int64_t last = (size[0] - 1) * stride[0] + (rows() - 1) * stride[1] +
                   (size[2] - 1) * stride[2] + (size[3] - 1) * stride[3];
    return (last + 1) * isa::bytes(dtype);
  }
  /// The same bytes read as another type of the same width.
  Local as(isa::DType type) const {
    assert(isa::bytes(type) == isa::bytes(dtype));
    Local other = *this;
    other.dtype = type;
    return other;
  }
  /// So many elements further on in every lane.
  Local operator+(int64_t elements) const {
    Local other = *this;
    other.addr += elements * int64_t(isa::bytes(dtype));
    return other;
  }
  /// The same, for commands that are told the strides.
  Local strided() const {
    Local other = *this;
    other.layout = isa::Layout::Strided;
    return other;
  }
  /// Some of the elements along an axis; of channels, whole rows of lanes.
  Local part(int axis, int64_t begin, int64_t count) const {
    const int64_t step = axis == 1 ? int64_t(isa::kLanes) : 1;
    Local other = (*this + begin / step * stride[axis]).strided();
    other.size[axis] = count;
    return other;
  }
  /// Batch n, or the one for all.
  Local batch(int64_t n) const {
    Local other = *this + (size[0] > 1 ? n * stride[0] : 0);
    other.size[0] = 1;
    return other;
  }
  /// The same bits as integers without a sign, or with one.
  Local withSign(bool sign) const {
    Local other = *this;
    other.isSigned = sign;
    return other;
  }
};

/// Every `step`-th along an axis, `count` of them.
struct Every {
  int64_t begin, step, count;
};
/// Some of the rows and columns.
inline Local everyNth(const Local &x, const Every &rows, const Every &columns) {
  Local part =
      x.part(2, rows.begin, rows.count).part(3, columns.begin, columns.count);
  part.stride[2] *= rows.step;
  part.stride[3] *= columns.step;
  return part;
}

/// Bytes that an aligned tensor takes in a lane, its last row rounded up.
constexpr int64_t alignedBytes(const Nchw &s,
                               isa::DType dtype = isa::DType::F32) {
  return s[0] * ceilDiv(s[1], isa::kLanes) *
         roundUp(s[2] * s[3] * isa::bytes(dtype), isa::kEuBytes);
}

inline Local aligned(int64_t addr, const Nchw &s,
                     isa::DType dtype = isa::DType::F32) {
  int64_t c = roundUp(s[2] * s[3], isa::euWidth(dtype));
  return {addr,
          s,
          {c * ceilDiv(s[1], isa::kLanes), c, s[3], 1},
          dtype,
          isa::Layout::Aligned};
}

/// Filters and per-channel vectors.
constexpr int64_t compactBytes(const Nchw &s,
                               isa::DType dtype = isa::DType::F32) {
  return s[0] * ceilDiv(s[1], isa::kLanes) * s[2] * s[3] * isa::bytes(dtype);
}

inline Local compact(int64_t addr, const Nchw &s,
                     isa::DType dtype = isa::DType::F32) {
  int64_t c = s[2] * s[3];
  return {addr,
          s,
          {c * ceilDiv(s[1], isa::kLanes), c, s[3], 1},
          dtype,
          isa::Layout::Compact};
}

/// One channel, the same in every lane: a tensor [n, 1, h, w] that counts as
/// [n, c, h, w].
inline Local inEveryLane(int64_t addr, Nchw s, int64_t c,
                         isa::DType dtype = isa::DType::F32) {
  s[1] = 1;
  Local local = aligned(addr, s, dtype);
  local.size[1] = c;
  local.stride[1] = 0;
  local.layout = isa::Layout::Strided;
  local.everyLane = true;
  return local;
}

} // namespace tpumlir::codegen
