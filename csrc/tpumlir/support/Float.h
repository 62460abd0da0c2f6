#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

/// Numeric primitives that every stage shares: the rounding modes and half
/// precision. Rules (N..) are those of docs/numerics.md.
namespace tpumlir::support {

/// Rounding modes, with the codes of the hardware's rounding fields.
enum class Rounding : uint8_t {
  HalfToEven = 0,
  HalfAwayFromZero = 1,
  TowardZero = 2,
  Floor = 3,
  Ceil = 4,
  HalfUp = 5,   ///< ties toward +infinity
  HalfDown = 6, ///< ties toward -infinity
};

inline constexpr unsigned kRoundings = 7;

constexpr const char *name(Rounding mode) {
  constexpr const char *names[kRoundings] = {
      "half to even", "half away from zero",
      "toward zero",  "floor",
      "ceil",         "half up",
      "half down"};
  return unsigned(mode) < kRoundings ? names[unsigned(mode)] : "?";
}

/// Whether a magnitude cut down to `kept` has to grow by one, given what was
/// cut off: `half` = its highest bit, `rest` = any bit below that.
constexpr bool roundsAway(Rounding mode, bool negative, bool keptIsOdd,
                          bool half, bool rest) {
  switch (mode) {
  case Rounding::HalfToEven:
    return half && (rest || keptIsOdd);
  case Rounding::HalfAwayFromZero:
    return half;
  case Rounding::TowardZero:
    return false;
  case Rounding::Floor:
    return negative && (half || rest);
  case Rounding::Ceil:
    return !negative && (half || rest);
  case Rounding::HalfUp:
    return half && (rest || !negative);
  case Rounding::HalfDown:
    return half && (rest || negative);
  }
  return false;
}

/// value / 2^shift, rounded to an integer; shift 0..63.
constexpr int64_t shiftRightRounded(int64_t value, unsigned shift,
                                    Rounding mode) {
  if (shift == 0)
    return value;
  bool negative = value < 0;
  uint64_t magnitude = negative ? 0 - uint64_t(value) : uint64_t(value);
  uint64_t kept = magnitude >> shift;
  bool half = magnitude >> (shift - 1) & 1;
  bool rest = (magnitude & ((uint64_t(1) << (shift - 1)) - 1)) != 0;
  kept += roundsAway(mode, negative, kept & 1, half, rest);
  return negative ? -int64_t(kept) : int64_t(kept);
}

/// A float rounded to an integer that stays a float, with its sign also where
/// it becomes 0. NaN, infinities and values without a fraction come back as
/// they are.
template <class Float> Float roundToInteger(Float value, Rounding mode) {
  // Cut the magnitude: its fraction is exact, that of value - floor is not.
  Float magnitude = std::abs(value);
  Float kept = std::trunc(magnitude);
  Float fraction = magnitude - kept;
  if (!(fraction > 0)) // Also NaN, and infinity - infinity.
    return value;
  bool odd = kept < Float(0x1p53) && (uint64_t(kept) & 1) != 0;
  if (roundsAway(mode, value < 0, odd, fraction >= Float(0.5),
                 fraction != Float(0.5)))
    kept += 1;
  return std::copysign(kept, value);
}

/// f16 bits to f32, exact; NaN payloads move to the high bits.
constexpr float f16ToF32(uint16_t half) {
  uint32_t sign = uint32_t(half & 0x8000) << 16;
  uint32_t exponent = half >> 10 & 0x1F;
  uint32_t fraction = half & 0x3FF;
  if (exponent == 0x1F)
    return std::bit_cast<float>(sign | 0x7F800000 | fraction << 13);
  if (exponent != 0)
    return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  // Zero or subnormal: fraction * 2^-24.
  float magnitude = float(fraction) * 0x1p-24F;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

/// f32 to f16 bits, rounded once. Overflow gives infinity where the mode
/// rounds up in magnitude, else the largest finite value; NaN stays a quiet
/// NaN with the top of its payload.
constexpr uint16_t f32ToF16(float value, Rounding mode = Rounding::HalfToEven) {
  uint32_t word = std::bit_cast<uint32_t>(value);
  bool negative = word >> 31;
  uint16_t sign = uint16_t(word >> 16 & 0x8000);
  uint32_t magnitude = word & 0x7FFFFFFF;
  if (magnitude > 0x7F800000)
    return uint16_t(sign | 0x7E00 | (magnitude >> 13 & 0x3FF));
  if (magnitude == 0x7F800000)
    return uint16_t(sign | 0x7C00);
  uint32_t exponent = magnitude >> 23;
  // Significand with its hidden bit; f32 subnormals are below half of the
  // least f16, so their missing hidden bit only matters as "not zero".
  uint32_t significand = (magnitude & 0x7FFFFF) | (exponent ? 0x800000 : 0);
  // Normal results drop 13 bits, subnormal ones more.
  unsigned drop = exponent >= 113 ? 13 : std::min(126 - exponent, 26U);
  uint32_t kept = significand >> drop;
  bool half = significand >> (drop - 1) & 1;
  bool rest = (significand & ((1U << (drop - 1)) - 1)) != 0;
  kept += roundsAway(mode, negative, kept & 1, half, rest);
  // The hidden bit, if there, counts as the first exponent step: a carry out
  // of the fraction moves into the exponent by itself.
  uint32_t bits = exponent >= 113 ? ((exponent - 113) << 10) + kept : kept;
  if (bits >= 0x7C00) {
    bool away = roundsAway(mode, negative, true, true, true);
    return uint16_t(sign | (away ? 0x7C00 : 0x7BFF));
  }
  return uint16_t(sign | bits);
}

/// bf16 bits to f32, exact.
constexpr float bf16ToF32(uint16_t half) {
  return std::bit_cast<float>(uint32_t(half) << 16);
}

/// f32 to bf16 bits, rounded once; overflow and NaN as in f32ToF16.
constexpr uint16_t f32ToBf16(float value,
                             Rounding mode = Rounding::HalfToEven) {
  uint32_t word = std::bit_cast<uint32_t>(value);
  uint32_t magnitude = word & 0x7FFFFFFF;
  if (magnitude > 0x7F800000)
    return uint16_t(word >> 16 | 0x40);
  if (magnitude == 0x7F800000)
    return uint16_t(word >> 16);
  bool negative = word >> 31;
  uint32_t kept = magnitude >> 16;
  kept += roundsAway(mode, negative, kept & 1, magnitude >> 15 & 1,
                     (magnitude & 0x7FFF) != 0);
  // A carry into the exponent reaches infinity only where the mode rounds up.
  return uint16_t((negative ? 0x8000U : 0U) | kept);
}

} // namespace tpumlir::support
