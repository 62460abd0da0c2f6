#include "tpumlir/compare/Figures.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tpumlir::compare {
namespace {

// The scratch of a block stays in the first-level cache.
constexpr int64_t kBlock = 1024;

constexpr float kF16Largest = 65504.0f;
constexpr float kF16Normal = 0x1p-14f;
// Half the least number of F16 and what is below become 0.
constexpr float kF16Lost = 0x1p-25f;

// Divisions take most of the time of a walk. One is left out where its result
// is known not to exceed what has been found, with room for the rounding of
// both ways to tell.
constexpr double kBelow = 1 - 0x1p-50;

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
    double known = total.maxRel * kBelow, beyond = 0;
#pragma omp simd reduction(max : beyond)
    for (int64_t i = 0; i < n; ++i) {
      double reference = std::abs(y[i]);
      double counted = reference > 0 ? error[i] : 0;
      double more = counted > known * reference ? 1 : 0;
      beyond = more > beyond ? more : beyond;
    }
    if (beyond == 0)
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

/// `allowedOf(start, n)` gives of a block a function of i and y: what element i
/// of it is allowed, whose reference is y.
template <class T, class Blocks>
Excess excessOver(std::span<const T> a, std::span<const T> b,
                  Blocks allowedOf) {
  Excess total;
  double ratio[kBlock];
  auto size = static_cast<int64_t>(a.size());
  for (int64_t start = 0; start < size; start += kBlock) {
    int64_t n = std::min(kBlock, size - start);
    auto allowed = allowedOf(start, n);
    double known = std::min(total.largest, 1.0) * kBelow, beyond = 0;
#pragma omp simd reduction(max : beyond)
    for (int64_t i = 0; i < n; ++i) {
      auto y = static_cast<double>(b[start + i]);
      double error = std::abs(static_cast<double>(a[start + i]) - y);
      double more = error > known * allowed(i, y) ? 1 : 0;
      beyond = more > beyond ? more : beyond;
    }
    if (beyond == 0)
      continue;
    double largest = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < n; ++i) {
      auto y = static_cast<double>(b[start + i]);
      double error = std::abs(static_cast<double>(a[start + i]) - y);
      double r = error / allowed(i, y);
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

/// The sizes of the elements of an operand from `start` on, and their errors.
template <class T>
void load(const Operand<T> &operand, int64_t start, int64_t n, double *value,
          double *error) {
  bool one = operand.want.size() == 1;
  const T *want = operand.want.data() + (one ? 0 : start);
  int64_t count = one ? 1 : n;
  if (operand.got.empty()) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      value[i] = std::abs(static_cast<double>(want[i]));
      error[i] = operand.relative * value[i] + operand.floor;
    }
  } else {
    const T *got = operand.got.data() + (one ? 0 : start);
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      auto x = static_cast<double>(want[i]);
      value[i] = std::abs(x);
      error[i] = std::abs(static_cast<double>(got[i]) - x);
    }
  }
  if (one) {
    std::fill(value + 1, value + n, value[0]);
    std::fill(error + 1, error + n, error[0]);
  }
}

/// What an operation explains, block by block.
template <class T> class Explained {
public:
  explicit Explained(const Operation<T> &operation)
      : operation(operation), values(operation.operands.size() * kBlock),
        errors(values.size()) {}

  /// What the elements from `start` on may be off, infinity where that is not
  /// finite.
  const double *block(int64_t start, int64_t n) {
    const T *result = operation.result.data() + start;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i)
      room[i] = operation.relative * std::abs(static_cast<double>(result[i])) +
                operation.smallest;
    size_t count = operation.operands.size();
    for (size_t k = 0; k < count; ++k)
      load(operation.operands[k], start, n, &values[k * kBlock],
           &errors[k * kBlock]);
    for (size_t k = 0; k < count; ++k)
      if (operation.product)
        addFactor(k, n);
      else
        addTerm(k, n);
    constexpr double kInf = std::numeric_limits<double>::infinity();
#pragma omp simd
    for (int64_t i = 0; i < n; ++i)
      room[i] = room[i] < kInf ? room[i] : kInf;
    return room;
  }

private:
  void addTerm(size_t k, int64_t n) {
    const double *value = &values[k * kBlock], *error = &errors[k * kBlock];
#pragma omp simd
    for (int64_t i = 0; i < n; ++i)
      room[i] =
          room[i] + operation.gain * error[i] + operation.relative * value[i];
  }

  void addFactor(size_t k, int64_t n) {
    std::fill(others, others + n, 1.0);
    for (size_t j = 0; j < operation.operands.size(); ++j) {
      if (j == k)
        continue;
      const double *value = &values[j * kBlock], *error = &errors[j * kBlock];
#pragma omp simd
      for (int64_t i = 0; i < n; ++i)
        others[i] *= value[i] + error[i];
    }
    const double *error = &errors[k * kBlock];
#pragma omp simd
    for (int64_t i = 0; i < n; ++i)
      room[i] += operation.gain * error[i] * others[i];
  }

  const Operation<T> &operation;
  std::vector<double> values, errors; ///< a block of each operand
  double room[kBlock], others[kBlock];
};

template <class T>
Excess beyond(std::span<const T> a, std::span<const T> b,
              Explained<T> explained) {
  return excessOver(a, b, [&explained](int64_t start, int64_t n) {
    const double *room = explained.block(start, n);
    return [room](int64_t i, double) { return room[i]; };
  });
}

} // namespace

template <class T>
Excess excess(std::span<const T> a, std::span<const T> b, double relative,
              double floor) {
  return excessOver(a, b, [relative, floor](int64_t, int64_t) {
    return [relative, floor](int64_t, double y) {
      return relative * std::abs(y) + floor;
    };
  });
}

template <class T>
Excess unexplained(std::span<const T> a, std::span<const T> b,
                   const Operation<T> &operation) {
  return beyond(a, b, Explained<T>(operation));
}

template Similarity similarity(std::span<const float>, std::span<const float>,
                               double);
template Similarity similarity(std::span<const double>, std::span<const double>,
                               double);
template Excess excess(std::span<const float>, std::span<const float>, double,
                       double);
template Excess excess(std::span<const double>, std::span<const double>, double,
                       double);
template Excess unexplained(std::span<const float>, std::span<const float>,
                            const Operation<float> &);
template Excess unexplained(std::span<const double>, std::span<const double>,
                            const Operation<double> &);

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
