#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

/// Elementary functions without branches or calls, so that loops over them are
/// vectorised. Errors are a few units in the last place; NaN, infinities and
/// subnormal results are those of <cmath>.
namespace tpumlir::kernels::vec {

#define TPUMLIR_INLINE [[gnu::always_inline]] inline

/// 2^n for n in [-126, 127].
TPUMLIR_INLINE float exp2i(int32_t n) {
  return std::bit_cast<float>(uint32_t(n + 127) << 23);
}

TPUMLIR_INLINE float exp(float x) {
  // Past these the result is infinite or zero; written so that NaN passes.
  x = x > 90.0f ? 90.0f : x;
  x = x < -110.0f ? -110.0f : x;
  // Adding 1.5 * 2^23 rounds to an integer, which then lies in the low bits.
  constexpr float kRound = 12582912.0f;
  float shifted = x * 1.44269504f + kRound;
  int32_t n = int32_t(std::bit_cast<uint32_t>(shifted) -
                      std::bit_cast<uint32_t>(kRound));
  n = n > 140 ? 140 : n < -170 ? -170 : n; // for the bits of NaN
  float k = shifted - kRound;
  float r = x - k * 0.693359375f; // ln 2 in two pieces, the first exact in k
  r = r + k * 2.12194440e-4f;
  float p = 1.0f / 5040.0f; // Taylor series, |r| <= ln(2) / 2
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  int32_t half = n >> 1; // in two steps: 2^n may be out of range
  return p * exp2i(half) * exp2i(n - half);
}

TPUMLIR_INLINE float log(float x) {
  bool subnormal = x < 1.17549435e-38f;
  float scaled = subnormal ? x * 8388608.0f : x;
  uint32_t bits = std::bit_cast<uint32_t>(scaled);
  // Mantissa into [sqrt(1/2), sqrt(2)).
  int32_t e = int32_t(bits - 0x3f3504f3) >> 23;
  float m = std::bit_cast<float>(bits - (uint32_t(e) << 23));
  float k = float(e) - (subnormal ? 23.0f : 0.0f);
  float f = m - 1.0f;
  float s = f / (2.0f + f); // log(m) = 2 atanh(s)
  float z = s * s;
  float p = 1.0f / 9.0f;
  p = p * z + 1.0f / 7.0f;
  p = p * z + 1.0f / 5.0f;
  p = p * z + 1.0f / 3.0f;
  float tail = 2.0f * s * z * p + k * -2.12194440e-4f;
  float r = (tail + 2.0f * s) + k * 0.693359375f;
  constexpr float kInf = std::numeric_limits<float>::infinity();
  r = x == kInf ? kInf : r;
  r = x == 0.0f ? -kInf : r;
  return x >= 0.0f ? r : std::numeric_limits<float>::quiet_NaN();
}

TPUMLIR_INLINE float tanh(float x) {
  float a = std::fabs(x);
  float z = x * x;
  // Odd Taylor polynomial near zero, where 1 - 2 / (exp(2a) + 1) cancels.
  float p = -929569.0f / 638512875.0f;
  p = p * z + 21844.0f / 6081075.0f;
  p = p * z - 1382.0f / 155925.0f;
  p = p * z + 62.0f / 2835.0f;
  p = p * z - 17.0f / 315.0f;
  p = p * z + 2.0f / 15.0f;
  p = p * z - 1.0f / 3.0f;
  float near = x + x * z * p;
  float far = 1.0f - 2.0f / (vec::exp(2.0f * a) + 1.0f);
  return a < 0.4f ? near : std::copysign(far, x);
}

TPUMLIR_INLINE float sigmoid(float x) { return 1.0f / (1.0f + vec::exp(-x)); }

TPUMLIR_INLINE float erf(float x) {
  float a = std::fabs(x);
  float z = x * x;
  // |x| < 1: Taylor series, 2 / sqrt(pi) * sum (-1)^n x^(2n+1) / (n! (2n+1)).
  float p = 1.0f / 76204800.0f;
  p = p * z - 1.0f / 6894720.0f;
  p = p * z + 1.0f / 685440.0f;
  p = p * z - 1.0f / 75600.0f;
  p = p * z + 1.0f / 9360.0f;
  p = p * z - 1.0f / 1320.0f;
  p = p * z + 1.0f / 216.0f;
  p = p * z - 1.0f / 42.0f;
  p = p * z + 0.1f;
  p = p * z - 1.0f / 3.0f;
  float near = (x + x * z * p) * 1.12837917f;
  // Beyond: 1 - exp(q(|x|)), q fitted to log(erfc) on [1, 4] (error 1.3e-9).
  float t = a > 4.2f ? 4.2f : a;
  float q = -1.82731310e-5f;
  q = q * t + 3.96456191e-4f;
  q = q * t - 3.95812513e-3f;
  q = q * t + 2.44757086e-2f;
  q = q * t - 1.07145302e-1f;
  q = q * t - 6.34514451e-1f;
  q = q * t - 1.12886512f;
  q = q * t + 2.35814005e-5f;
  float far = std::copysign(1.0f - vec::exp(q), x);
  return a < 1.0f ? near : far;
}

/// log(1 + exp(x)).
TPUMLIR_INLINE float softplus(float x) {
  float m = x > 0.0f ? x : 0.0f;
  float e = vec::exp(-std::fabs(x));
  // log1p: the rounding of 1 + e is divided out again.
  float u = 1.0f + e;
  float d = u == 1.0f ? 1.0f : u - 1.0f; // 0 / 0 would be noted (FloatFlags.h)
  float l = u == 1.0f ? e : vec::log(u) * (e / d);
  return x == x ? m + l : x;
}

/// The number of f16 nearest to x, half to even; from 65520 on it is infinite
/// (docs/numerics.md, N3). f16 keeps its subnormal numbers.
TPUMLIR_INLINE float roundToF16(float x) {
  // Adding 2^23 units in the last place of the result, and subtracting them
  // again, rounds to such units: 2^(e - 10) for 2^e <= |x|, 2^-24 at least.
  float a = std::fabs(x);
  uint32_t e = std::bit_cast<uint32_t>(a) & 0x7F800000;
  e = e < 113U << 23 ? 113U << 23 : e;
  e = e > 143U << 23 ? 143U << 23 : e;
  float shift = std::bit_cast<float>(e + (13U << 23));
  float r = (a + shift) - shift;
  r = r > 65504.0f ? std::numeric_limits<float>::infinity() : r;
  return std::copysign(r, x);
}

/// The number of bf16 nearest to x, half to even; subnormal numbers are zero
/// (docs/numerics.md, N3).
TPUMLIR_INLINE float roundToBf16(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000;
  rounded = (bits & 0x7F800000) == 0 ? bits & 0x80000000 : rounded;
  return x == x ? std::bit_cast<float>(rounded) : x;
}

} // namespace tpumlir::kernels::vec
