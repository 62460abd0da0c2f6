#pragma once

#include <cstdint>
#include <limits>
#include <span>

/// What a verdict on tensors is made of, each in one walk over the elements.
/// Shares nothing with what it judges: standard library only.
namespace tpumlir::compare {

/// Sums and extremes of a tensor `a` and its reference `b`, in float64. An
/// element that both hold as the same infinity or as NaN is left out.
struct Similarity {
  double aa = 0, bb = 0, ab = 0; ///< sums of a a, b b, a b
  double dd = 0;                 ///< sum of the squared differences
  double maxAbs = 0;             ///< the greatest difference
  double maxRel = 0;             ///< and relative to b where b is not 0
  int64_t worst = 0;             ///< where `maxAbs` is
  int64_t finite = 0;            ///< elements that are finite in both
  int64_t strange = 0;           ///< infinite or NaN, and not so in the other
  int64_t firstStrange = -1;
};

/// Compares elements after multiplying them by `scale`.
template <class T>
Similarity similarity(std::span<const T> a, std::span<const T> b, double scale);

/// The elements whose error is more than they are allowed.
struct Excess {
  double largest = 0; ///< the greatest error, in units of what is allowed there
  int64_t worst = 0;
  int64_t count = 0;
};

/// An element is allowed `relative` of its reference plus `floor`. Where the
/// error is not finite, both hold the same infinity or NaN; the caller has seen
/// to that.
template <class T>
Excess excess(std::span<const T> a, std::span<const T> b, double relative,
              double floor);

/// An operand of an operation that works element by element: one element, or
/// as many as the result has. Its error is what `got` is off, or if that is
/// empty what it is allowed: `relative` of its size plus `floor`.
template <class T> struct Operand {
  std::span<const T> want, got;
  double relative = 0, floor = 0;
};

/// What is known of such an operation. `relative` of the result and of what is
/// added up, plus `smallest`, is its own rounding; it enlarges errors by
/// `gain`.
template <class T> struct Operation {
  std::span<const T> result;
  std::span<const Operand<T>> operands;
  bool product = false; ///< of its operands
  double relative = 0, smallest = 0, gain = 0;
};

/// As `excess`, where an element is allowed what the operation explains.
template <class T>
Excess unexplained(std::span<const T> a, std::span<const T> b,
                   const Operation<T> &operation);

/// What a tensor holds and what F16 would make of it.
struct Spread {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  double smallest = std::numeric_limits<double>::infinity(); ///< not 0
  int64_t nonzero = 0, subnormal = 0, lost = 0, nonfinite = 0;
  double signal = 0; ///< sum of squares of what F16 holds
  double noise = 0;  ///< and of the errors of rounding that to F16
};

Spread spread(std::span<const float> values);

} // namespace tpumlir::compare
