#pragma once

#include "tpumlir/kernels/VectorMath.h"

#include <cstring>

/// Sums in several lanes that stay in vector registers. Written with vectors of
/// the language: of a loop over an array of lanes, compilers keep the array in
/// memory, or take it apart into single numbers. Arithmetic only: comparisons
/// of such vectors are done one by one.
namespace tpumlir::kernels::lanes {

/// As wide as the widest registers; narrower ones take several.
using Floats [[gnu::vector_size(64), gnu::may_alias]] = float;
using Bits [[gnu::vector_size(64), gnu::may_alias]] = int32_t;
using Doubles [[gnu::vector_size(64), gnu::may_alias]] = double;
using HalfFloats [[gnu::vector_size(32), gnu::may_alias]] = float;
constexpr int64_t kWidth = 16;

// By reference: how vectors are passed by value depends on the processor.
template <typename V> TPUMLIR_INLINE void load(V &v, const float *from) {
  std::memcpy(&v, from, sizeof(V));
}
template <typename V, typename T> TPUMLIR_INLINE void store(T *to, const V &v) {
  std::memcpy(to, &v, sizeof(V));
}

/// Calls `body(from, to)` for pieces of kWidth elements; the last one has its
/// own memory, filled up with copies of the last element.
template <typename Body>
TPUMLIR_INLINE void pieces(const float *x, float *out, int64_t n,
                           const Body &body) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth)
    body(x + i, out + i);
  if (i == n)
    return;
  float from[kWidth], to[kWidth];
  const float last = x[n - 1];
  const int32_t left = int32_t(n - i);
  for (int32_t l = 0; l < int32_t(kWidth); ++l)
    from[l] = l < left ? x[i + l] : last;
  body(from, to);
  for (int32_t l = 0; l < left; ++l)
    out[i + l] = to[l];
}

} // namespace tpumlir::kernels::lanes
