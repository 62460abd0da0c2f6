#include "tpumlir/compare/Figures.h"

#include <algorithm>
#include <cmath>

namespace tpumlir::compare {
namespace {

// The scratch of a block stays in the first-level cache.
constexpr int64_t kBlock = 1024;

constexpr float kF16Largest = 65504.0f;
constexpr float kF16Normal = 0x1p-14f;
// Half the least number of F16 and what is below become 0.
constexpr float kF16Lost = 0x1p-25f;

bool same(double x, double y) {
  return x == y || (std::isnan(x) && std::isnan(y));
}

} // namespace

template <class T>
Similarity similarity(std::span<const T> a, std::span<const T> b,
                      double scale) {
  Similarity total;
  double x[kBlock], y[kBlock], error[kBlock];
  auto size = static_cast<int64_t>(a.size());
  for (int64_t start = 0; start < size; start += kBlock) {
    int64_t n = std::min(kBlock, size - start);
    double aa = 0, bb = 0, ab = 0, dd = 0, largest = 0;
#pragma omp simd reduction(+ : aa, bb, ab, dd) reduction(max : largest)
    for (int64_t i = 0; i < n; ++i) {
      x[i] = static_cast<double>(a[start + i]) * scale;
      y[i] = static_cast<double>(b[start + i]) * scale;
      double d = std::abs(x[i] - y[i]);
      error[i] = d;
      aa += x[i] * x[i];
      bb += y[i] * y[i];
      ab += x[i] * y[i];
      dd += d * d;
      largest = d > largest ? d : largest;
    }
    total.finite += n;
    if (!std::isfinite(aa + bb)) {
      aa = bb = ab = dd = largest = 0;
      for (int64_t i = 0; i < n; ++i) {
        if (!std::isfinite(x[i]) || !std::isfinite(y[i])) {
          if (!same(x[i], y[i]) && total.strange++ == 0)
            total.firstStrange = start + i;
          --total.finite;
          x[i] = y[i] = error[i] = 0;
        }
        aa += x[i] * x[i];
        bb += y[i] * y[i];
        ab += x[i] * y[i];
        dd += error[i] * error[i];
        largest = std::max(largest, error[i]);
      }
    }
    total.aa += aa;
    total.bb += bb;
    total.ab += ab;
    total.dd += dd;
    if (largest > total.maxAbs) {
      total.maxAbs = largest;
      total.worst = start + (std::find(error, error + n, largest) - error);
    }
    if (largest == 0)
      continue;
    double relative = 0;
#pragma omp simd reduction(max : relative)
    for (int64_t i = 0; i < n; ++i) {
      double r = y[i] != 0 ? error[i] / std::abs(y[i]) : 0;
      relative = r > relative ? r : relative;
    }
    total.maxRel = std::max(total.maxRel, relative);
  }
  return total;
}

namespace {

/// `allowed(i, y)`: what the element i is allowed, whose reference is y.
template <class T, class Allowed>
Excess excessOver(std::span<const T> a, std::span<const T> b, Allowed allowed) {
  Excess total;
  double ratio[kBlock];
  auto size = static_cast<int64_t>(a.size());
  for (int64_t start = 0; start < size; start += kBlock) {
    int64_t n = std::min(kBlock, size - start);
    double largest = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < n; ++i) {
      auto y = static_cast<double>(b[start + i]);
      double error = std::abs(static_cast<double>(a[start + i]) - y);
      double r = error / allowed(start + i, y);
      // Where nothing is off, 0 / 0 is no excess; neither is an error that is
      // infinite or NaN.
      r = error > 0 && error <= std::numeric_limits<double>::max() ? r : 0;
      ratio[i] = r;
      largest = r > largest ? r : largest;
    }
    if (largest > 1)
      total.count += std::count_if(ratio, ratio + n,
                                   [](double value) { return value > 1; });
    if (largest > total.largest) {
      total.largest = largest;
      total.worst = start + (std::find(ratio, ratio + n, largest) - ratio);
    }
  }
  return total;
}

} // namespace

template <class T>
Excess excess(std::span<const T> a, std::span<const T> b, double relative,
              double floor, std::span<const double> room) {
  if (!room.empty())
    return excessOver(a, b, [room](int64_t i, double) { return room[i]; });
  return excessOver(a, b, [relative, floor](int64_t, double y) {
    return relative * std::abs(y) + floor;
  });
}

template Similarity similarity(std::span<const float>, std::span<const float>,
                               double);
template Similarity similarity(std::span<const double>, std::span<const double>,
                               double);
template Excess excess(std::span<const float>, std::span<const float>, double,
                       double, std::span<const double>);
template Excess excess(std::span<const double>, std::span<const double>, double,
                       double, std::span<const double>);

Spread spread(std::span<const float> values) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  Spread total;
  auto size = static_cast<int64_t>(values.size());
  for (int64_t start = 0; start < size; start += kBlock) {
    int64_t n = std::min(kBlock, size - start);
    float low = kInf, high = -kInf, smallest = kInf;
    int32_t nonzero = 0, subnormal = 0, lost = 0, nonfinite = 0;
    double signal = 0, noise = 0;
#pragma omp simd reduction(min : low, smallest) reduction(max : high)          \
    reduction(+ : nonzero, subnormal, lost, nonfinite, signal, noise)
    for (int64_t i = 0; i < n; ++i) {
      float x = values[start + i];
      float magnitude = std::abs(x);
      bool finite = magnitude < kInf;
      bool counts = finite && magnitude > 0;
      nonfinite += !finite;
      low = finite && x < low ? x : low;
      high = finite && x > high ? x : high;
      smallest = counts && magnitude < smallest ? magnitude : smallest;
      nonzero += counts;
      subnormal += counts && magnitude < kF16Normal;
      lost += counts && magnitude <= kF16Lost;
      float held = finite && magnitude <= kF16Largest ? magnitude : 0;
      // The nearest number of 11 bits (Veltkamp's split: the ties may go the
      // other way, with the same error), or below the normal range the nearest
      // multiple of the last place of 0.75, which is F16's least number.
      float split = held * 8193.0f;
      float rounded = split - (split - held);
      float small = (held + 0.75f) - 0.75f;
      double error = held - (held < kF16Normal ? small : rounded);
      signal += static_cast<double>(held) * held;
      noise += error * error;
    }
    total.low = std::min<double>(total.low, low);
    total.high = std::max<double>(total.high, high);
    total.smallest = std::min<double>(total.smallest, smallest);
    total.nonzero += nonzero;
    total.subnormal += subnormal;
    total.lost += lost;
    total.nonfinite += nonfinite;
    total.signal += signal;
    total.noise += noise;
  }
  return total;
}

} // namespace tpumlir::compare
