#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace tpumlir::compare {

/// What a tensor held over any number of samples: extremes, moments and how
/// often each magnitude was there, for either sign.
///
/// The width of a bin is a power of two, so a number is put into its bin
/// without rounding, and two bins make one of twice the width exactly: the
/// result depends on what was added, never on its order. The width is the least
/// one for which the bins reach the greatest magnitude, so more than half of
/// them are below it.
class Histogram {
public:
  /// `bins` for each sign, even.
  explicit Histogram(int64_t bins);

  void add(std::span<const float> values);
  /// Adds what another one of as many bins has seen.
  void add(const Histogram &other);

  /// Of |x| in [i, i + 1) * width(), first of x < 0, then of x >= 0.
  std::span<const int64_t> counts(bool negative) const {
    return {tally.data() + (negative ? 0 : bins), static_cast<size_t>(bins)};
  }
  /// 0 as long as nothing but zeros was added.
  double width() const;

  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  double sum = 0, squares = 0;
  int64_t count = 0; ///< finite numbers
  int64_t zeros = 0; ///< of these
  int64_t nan = 0, infinite = 0;
  const int64_t bins;

private:
  /// Widens the bins until they reach `magnitude`.
  void reach(double magnitude);
  void widen(int exponent);

  std::vector<int64_t> tally; ///< negative, then the others
  int exponent = kNone;       ///< of the width
  static constexpr int kNone = std::numeric_limits<int>::min();
};

} // namespace tpumlir::compare
