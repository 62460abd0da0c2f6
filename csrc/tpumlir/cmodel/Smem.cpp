#include "tpumlir/cmodel/Smem.h"

#include <array>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <numbers>

#include "tpumlir/support/Float.h"

namespace tpumlir::cmodel {
namespace {

using Real = long double;
/// Coefficient number k of a series.
using Series = std::function<Real(int)>;

constexpr Real kPi = std::numbers::pi_v<Real>;
constexpr Real kTwoPi = 2 * kPi;

Real factorial(int k) {
  Real product = 1;
  for (int i = 2; i <= k; ++i)
    product *= i;
  return product;
}

Real sign(int k) { return k % 2 ? -1 : 1; }

/// Coefficient of y^(2k+1) of tan y, from tan' = 1 + tan^2: a sum of positive
/// terms, hence without cancellation.
Real tangent(int k) {
  std::array<Real, 32> t{1};
  for (int i = 1; i <= k; ++i) {
    Real sum = 0;
    for (int j = 0; j < i; ++j)
      sum += t[j] * t[i - 1 - j];
    t[i] = sum / (2 * i + 1);
  }
  return t[k];
}

Real expCoefficient(int k) { return 1 / factorial(k); }
Real logCoefficient(int k) { return k == 0 ? 0 : sign(k + 1) / k; }
Real sinCoefficient(int k) {
  return sign(k) * std::pow(kTwoPi, Real(2 * k + 1)) / factorial(2 * k + 1);
}
Real cosCoefficient(int k) {
  return sign(k) * std::pow(kTwoPi, Real(2 * k)) / factorial(2 * k);
}
Real arcsinCoefficient(int k) {
  Real c = 1; // (2k)! / (4^k k!^2)
  for (int i = 1; i <= k; ++i)
    c *= Real(2 * i - 1) / Real(2 * i);
  return c / (2 * k + 1);
}
Real arctanCoefficient(int k) { return sign(k) / (2 * k + 1); }
Real tanCoefficient(int k) {
  return tangent(k) * std::pow(kPi, Real(2 * k + 1));
}

/// Exponent polynomial of the complementary error function: the Chebyshev fit
/// known as erfcc (Press et al., Numerical Recipes, 6.2).
constexpr std::array<double, 10> kErf = {
    -1.26551223, 1.00002368,  .37409196,  .09678418,  -.18628806,
    .27886807,   -1.13520398, 1.48851587, -.82215223, .17087277};

} // namespace

void fillStaticMemory(std::span<std::byte> smem) {
  std::memset(smem.data(), 0, smem.size());
  auto words = [&](size_t offset, int count, const Series &f) {
    for (int k = 0; k < count; ++k) {
      float value = float(double(f(k)));
      assert(offset + 4 * size_t(k) + 4 <= smem.size());
      std::memcpy(&smem[offset + 4 * size_t(k)], &value, sizeof value);
    }
  };
  auto halves = [&](size_t offset, int count, bool brain, const Series &f) {
    for (int k = 0; k < count; ++k) {
      double value = double(f(k));
      uint16_t bits = brain ? support::f32ToBf16(float(value))
                            : support::f32ToF16(float(value));
      std::memcpy(&smem[offset + 2 * size_t(k)], &bits, sizeof bits);
    }
  };
  words(0x000, 192, [](int i) { return std::exp(double(i - 103)); });
  words(0x400, 32, expCoefficient);
  words(0x480, 64, logCoefficient);
  words(0x580, int(kErf.size()), [](int k) { return kErf[size_t(k)]; });
  for (uint32_t i = 0; i < 64; ++i)
    std::memcpy(&smem[0x5C0 + 4 * i], &i, sizeof i);
  words(0x6C0, 32, sinCoefficient);
  words(0x740, 32, cosCoefficient);
  words(0x7C0, 64, arcsinCoefficient);
  words(0x8C0, 32, tanCoefficient);
  // 1/12! and beyond are zero in f16: the table has twelve terms.
  halves(0x940, 12, false, expCoefficient);
  halves(0x980, 16, true, expCoefficient);
  halves(0x9C0, 16, false, logCoefficient);
  halves(0xA00, 16, true, logCoefficient);
  halves(0xA40, 16, false, sinCoefficient);
  halves(0xA80, 16, true, sinCoefficient);
  halves(0xAC0, 16, false, cosCoefficient);
  halves(0xB00, 16, true, cosCoefficient);
  words(0xB40, 32, arctanCoefficient);
}

} // namespace tpumlir::cmodel
