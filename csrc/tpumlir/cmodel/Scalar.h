#pragma once

#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/isa/Chip.h"
#include "tpumlir/support/Float.h"

#include <bit>
#include <cmath>
#include <cstdint>

/// Arithmetic of single elements that several families share
/// (docs/numerics.md).
namespace tpumlir::cmodel {

/// A denormal becomes a zero of its sign (N2); NaN payloads stay.
inline float flushed(float value) {
  uint32_t word = std::bit_cast<uint32_t>(value);
  return std::bit_cast<float>(word & 0x7F800000 ? word : word & 0x80000000);
}

/// (N7): NaN in any operand or equal operands give the second one.
inline float maxFloat(float a, float b) { return flushed(a > b ? a : b); }
/// (N7): NaN in any operand gives the first one, equal operands the second.
inline float minFloat(float a, float b) { return flushed(b <= a ? b : a); }

/// 1 / sqrt(x) by Newton steps from the bit-shift seed (N8).
inline float reciprocalRoot(float x, int iterations) {
  float y = std::bit_cast<float>(0x5F3759DF - (std::bit_cast<int32_t>(x) >> 1));
  float half = x * 0.5F;
  for (int i = 0; i < iterations; ++i)
    y = y * (1.5F - (half * y) * y);
  return y;
}

/// a / b as the chip does it (N9).
inline float divide(float a, float b, int iterations) {
  float r = reciprocalRoot(std::fabs(b), iterations);
  float square = r * r;
  return square * (std::signbit(b) ? -a : a);
}

/// A denormal as the least normal number: not zero for floor and ceil (N10).
inline float normalised(float value) {
  uint32_t word = std::bit_cast<uint32_t>(value);
  if ((word & 0x7F800000) == 0 && (word & 0x7FFFFF) != 0)
    return std::bit_cast<float>((word & 0x80000000) | 0x00800000);
  return value;
}

/// A float to an integer of 64 bits; the caller saturates. NaN is 0, and what
/// is out of range goes to the ends of the range. Denormals count here: floor
/// and ceil see them (N10).
inline int64_t floatToInteger(float value, support::Rounding mode) {
  uint32_t word = std::bit_cast<uint32_t>(value);
  if ((word & 0x7FFFFFFF) > 0x7F800000)
    return 0;
  float rounded = support::roundToInteger(normalised(value), mode);
  if (rounded >= 0x1p40F)
    return int64_t(1) << 40;
  if (rounded <= -0x1p40F)
    return -(int64_t(1) << 40);
  return int64_t(rounded);
}

/// An integer of at most 33 bits to f32, rounded once (N10).
inline float integerToFloat(int64_t value, support::Rounding mode) {
  uint64_t magnitude = uint64_t(value < 0 ? -value : value);
  int extra = std::bit_width(magnitude) - 24;
  if (extra <= 0)
    return float(value);
  int64_t kept = support::shiftRightRounded(value, unsigned(extra), mode);
  return std::ldexp(float(kept), extra);
}

/// The cast of f32 to half precision (N3): denormals are zero, a NaN becomes
/// 0x7FFF with its sign, and f16 takes 65536 and more for infinity in every
/// mode.
inline uint16_t castToHalf(float value, isa::DType type,
                           support::Rounding mode) {
  uint32_t word = std::bit_cast<uint32_t>(value);
  uint16_t sign = uint16_t(word >> 16 & 0x8000);
  uint32_t magnitude = word & 0x7FFFFFFF;
  if (magnitude > 0x7F800000)
    return sign | 0x7FFF;
  if (magnitude < 0x00800000)
    return sign;
  if (type == isa::DType::BF16)
    return support::f32ToBf16(value, mode);
  return magnitude >= 0x47800000 ? uint16_t(sign | 0x7C00)
                                 : support::f32ToF16(value, mode);
}

/// An intermediate result in the precision of its type: f32 as it is, halves
/// rounded to half precision (N11).
inline float halfRounded(float value, isa::DType type) {
  if (type == isa::DType::F16)
    return support::f16ToF32(narrowF16(value));
  if (type == isa::DType::BF16)
    return support::bf16ToF32(narrowBf16(value));
  return value;
}

} // namespace tpumlir::cmodel
