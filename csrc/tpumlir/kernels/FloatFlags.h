#pragma once

#include "tpumlir/kernels/Parallel.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace tpumlir::kernels {

/// Watches whether any thread of the team meets an invalid operation: one with
/// a NaN in a comparison, maximum or minimum, or one that makes a NaN.
///
/// oneDNN's clamping post-ops turn a NaN into a bound, silently but for the
/// sticky flag that the processor sets then. Looking at it costs two empty
/// parallel regions per run; clamping exactly would cost a pass over memory per
/// operation.
class InvalidWatch {
public:
#if defined(__x86_64__)
  /// `team`: whether more threads than this one are to be watched.
  explicit InvalidWatch(bool team) : team(team), saved(_mm_getcsr()) {
#pragma omp parallel if (team)
    _mm_setcsr(_mm_getcsr() & ~kFlags);
  }
  ~InvalidWatch() { _mm_setcsr(saved); }
  bool seen() const {
    unsigned flags = 0;
#pragma omp parallel reduction(| : flags) if (team)
    flags |= _mm_getcsr();
    return flags & kInvalid;
  }

private:
  static constexpr unsigned kInvalid = 1, kFlags = 0x3f;
  bool team;
  unsigned saved;
#else
  explicit InvalidWatch(bool) {}
  bool seen() const { return true; }
#endif
};

} // namespace tpumlir::kernels
