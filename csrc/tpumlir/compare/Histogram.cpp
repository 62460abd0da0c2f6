#include "tpumlir/compare/Histogram.h"

#include <algorithm>
#include <cmath>

// Compiled for three generations of vector units; the loader picks one.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define TPUMLIR_CLONED                                                         \
  __attribute__((target_clones("default", "arch=haswell", "arch=x86-64-v4")))
#else
#define TPUMLIR_CLONED
#endif

namespace tpumlir::compare {
namespace {

// Small enough that a block stays in the first-level cache between its walks.
constexpr int64_t kChunk = 2048;

// 2^-e is a normal float for every e from here to what the greatest float
// needs.
constexpr int kLeastExponent = -120;

struct Extremes {
  float low = std::numeric_limits<float>::infinity();
  float high = -std::numeric_limits<float>::infinity();
  double sum = 0, squares = 0;
  int64_t zeros = 0, strange = 0;
};

TPUMLIR_CLONED
void extremesOf(const float *values, int64_t n, Extremes &total) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  float low = total.low, high = total.high;
  double sum = 0, squares = 0;
  int32_t zeros = 0, strange = 0;
#pragma omp simd reduction(min : low) reduction(max : high)                    \
    reduction(+ : sum, squares, zeros, strange)
  for (int64_t i = 0; i < n; ++i) {
    float x = values[i];
    bool finite = std::abs(x) < kInf;
    double counted = finite ? x : 0;
    strange += !finite;
    zeros += x == 0;
    low = finite && x < low ? x : low;
    high = finite && x > high ? x : high;
    sum += counted;
    squares += counted * counted;
  }
  total.low = low;
  total.high = high;
  total.sum += sum;
  total.squares += squares;
  total.zeros += zeros;
  total.strange += strange;
}

/// The place of each number in the tally; NaN and infinity get the one behind
/// it.
TPUMLIR_CLONED
void placesOf(const float *values, int64_t n, float scale, int32_t bins,
              int32_t *places) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    float magnitude = std::abs(values[i]);
    bool finite = magnitude < kInf;
    // Exact, for the scale is a power of two, or so small that the bin is 0.
    auto bin = static_cast<int32_t>((finite ? magnitude : 0.0f) * scale);
    int32_t place = values[i] < 0 ? bin : bin + bins;
    places[i] = finite ? place : 2 * bins;
  }
}

} // namespace

Histogram::Histogram(int64_t bins)
    : bins(bins), tally(static_cast<size_t>(2 * bins)) {}

double Histogram::width() const {
  return exponent == kNone ? 0 : std::ldexp(1.0, exponent);
}

void Histogram::reach(double magnitude) {
  if (magnitude == 0)
    return;
  int least = kLeastExponent;
  if (exponent != kNone)
    least = exponent;
  while (magnitude >= std::ldexp(static_cast<double>(bins), least))
    ++least;
  widen(least);
}

void Histogram::widen(int to) {
  if (exponent != kNone)
    for (; exponent < to; ++exponent)
      for (int64_t first : {int64_t(0), bins}) {
        int64_t *side = tally.data() + first;
        for (int64_t i = 0; i < bins / 2; ++i)
          side[i] = side[2 * i] + side[2 * i + 1];
        std::fill(side + bins / 2, side + bins, 0);
      }
  exponent = to;
}

void Histogram::add(std::span<const float> values) {
  auto size = static_cast<int64_t>(values.size());
  Extremes seen;
  for (int64_t start = 0; start < size; start += kChunk)
    extremesOf(values.data() + start, std::min(kChunk, size - start), seen);
  if (seen.strange)
    for (float x : values) {
      nan += std::isnan(x);
      infinite += std::isinf(x);
    }
  int64_t finite = size - seen.strange;
  count += finite;
  zeros += seen.zeros;
  sum += seen.sum;
  squares += seen.squares;
  if (finite == 0)
    return;
  low = std::min<double>(low, seen.low);
  high = std::max<double>(high, seen.high);
  reach(std::max(std::abs(low), std::abs(high)));
  if (exponent == kNone) { // zeros alone, which are in bin 0 whatever its width
    tally[static_cast<size_t>(bins)] += finite;
    return;
  }

  // The same bin comes again and again (zeros, a background), and an increment
  // waits for the one before it: neighbours count in tables of their own.
  constexpr int kTables = 4;
  auto scale = static_cast<float>(std::ldexp(1.0, -exponent));
  auto places = static_cast<size_t>(2 * bins + 1);
  int32_t place[kChunk];
  bool few = size < 2 * bins;
  std::vector<uint32_t> tables(few ? 0 : kTables * places);
  int64_t counted = 0;
  auto flush = [&] {
    for (int k = 0; k < kTables; ++k)
      for (size_t i = 0; i + 1 < places; ++i)
        tally[i] += tables[static_cast<size_t>(k) * places + i];
    std::fill(tables.begin(), tables.end(), 0);
    counted = 0;
  };
  for (int64_t start = 0; start < size; start += kChunk) {
    int64_t n = std::min(kChunk, size - start);
    placesOf(values.data() + start, n, scale, static_cast<int32_t>(bins),
             place);
    if (few) {
      for (int64_t i = 0; i < n; ++i)
        if (static_cast<size_t>(place[i]) + 1 < places)
          ++tally[static_cast<size_t>(place[i])];
      continue;
    }
    uint32_t *table[kTables];
    for (int k = 0; k < kTables; ++k)
      table[k] = tables.data() + static_cast<size_t>(k) * places;
    int64_t i = 0;
    for (; i + kTables <= n; i += kTables)
      for (int k = 0; k < kTables; ++k)
        ++table[k][place[i + k]];
    for (; i < n; ++i)
      ++table[0][place[i]];
    counted += n;
    if (counted > std::numeric_limits<int32_t>::max())
      flush();
  }
  if (!few)
    flush();
}

void Histogram::add(const Histogram &other) {
  low = std::min(low, other.low);
  high = std::max(high, other.high);
  sum += other.sum;
  squares += other.squares;
  count += other.count;
  zeros += other.zeros;
  nan += other.nan;
  infinite += other.infinite;
  Histogram same = other;
  if (count)
    reach(std::max(std::abs(low), std::abs(high)));
  if (exponent != kNone)
    same.widen(exponent);
  for (size_t i = 0; i < tally.size(); ++i)
    tally[i] += same.tally[i];
}

} // namespace tpumlir::compare
