#include "tpumlir/cmodel/Kernels.h"

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <string_view>

// GCC 12 takes the "undefined" operand of its own AVX-512 intrinsics for an
// uninitialised read.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace tpumlir::cmodel {

float halfBlockSum(const float *a, const float *b) {
  // A product that leaves the range of f32 is an infinity or zero before it
  // counts; all others are exact.
  std::array<double, kHalfBlock> product;
  double largest = 0;
  bool positive = false, negative = false, nan = false;
  for (size_t j = 0; j < kHalfBlock; ++j) {
    float p = a[j] * b[j * kTile];
    product[j] = p;
    positive = positive || p == HUGE_VALF;
    negative = negative || p == -HUGE_VALF;
    nan = nan || p != p;
    largest = std::max(largest, double(std::fabs(p)));
  }
  // An infinity outweighs a NaN; both infinities make one.
  if (positive != negative)
    return positive ? HUGE_VALF : -HUGE_VALF;
  if (positive || nan)
    return std::bit_cast<float>(0xFFC00000);
  if (largest == 0)
    return 0;
  const int unit = std::ilogb(largest) - 24;
  int64_t sum = 0;
  for (double p : product)
    sum += int64_t(std::ldexp(p, -unit));
  return float(std::ldexp(double(sum), unit));
}

namespace {

// Of two NaN operands the first one survives, so the order of the operands is
// part of the result (N2). A compiler takes + and * for commutative; these do
// not let it choose.
#define ORDERED_SSE(op, a, b)                                                  \
  ({                                                                           \
    Vf result_ = (a);                                                          \
    __asm__(op " %1, %0" : "+x"(result_) : "x"(b));                            \
    result_;                                                                   \
  })
#define ORDERED_AVX(op, a, b, reg)                                             \
  ({                                                                           \
    Vf result_;                                                                \
    __asm__(op " %2, %1, %0" : "=" reg(result_) : reg(a), reg(b));             \
    result_;                                                                   \
  })

#define TARGET_INLINE TARGET inline __attribute__((always_inline))

namespace sse2 {
#define TARGET
constexpr size_t kLanes = 4;
constexpr int kRowBlock = 2;
using Vf = __m128;
using Vi = __m128i;
TARGET_INLINE Vf loadF(const float *p) { return _mm_loadu_ps(p); }
TARGET_INLINE void storeF(float *p, Vf v) { _mm_storeu_ps(p, v); }
TARGET_INLINE Vf splatF(float x) { return _mm_set1_ps(x); }
TARGET_INLINE Vf addF(Vf a, Vf b) { return ORDERED_SSE("addps", a, b); }
TARGET_INLINE Vf mulF(Vf a, Vf b) { return ORDERED_SSE("mulps", a, b); }
TARGET_INLINE Vi truncateF(Vf v) { return _mm_cvttps_epi32(v); }
TARGET_INLINE Vf roundI(Vi v) { return _mm_cvtepi32_ps(v); }
TARGET_INLINE Vi bitsOf(Vf v) { return _mm_castps_si128(v); }
TARGET_INLINE Vf floatOf(Vi v) { return _mm_castsi128_ps(v); }
TARGET_INLINE Vi loadI(const void *p) {
  return _mm_loadu_si128(static_cast<const Vi *>(p));
}
TARGET_INLINE void storeI(void *p, Vi v) {
  _mm_storeu_si128(static_cast<Vi *>(p), v);
}
TARGET_INLINE Vi splatI(int x) { return _mm_set1_epi32(x); }
TARGET_INLINE Vi addI(Vi a, Vi b) { return _mm_add_epi32(a, b); }
TARGET_INLINE Vi subI(Vi a, Vi b) { return _mm_sub_epi32(a, b); }
TARGET_INLINE Vi andI(Vi a, Vi b) { return _mm_and_si128(a, b); }
TARGET_INLINE Vi maxI(Vi a, Vi b) {
  Vi more = _mm_cmpgt_epi32(a, b);
  return _mm_or_si128(_mm_and_si128(more, a), _mm_andnot_si128(more, b));
}
TARGET_INLINE Vi pairsI(Vi a, Vi b) { return _mm_madd_epi16(a, b); }
/// Some element is not 0 and not in [low, high); elements are not negative.
TARGET_INLINE bool anyNonZeroOutside(Vi v, int low, int high) {
  Vi bad = _mm_or_si128(_mm_and_si128(_mm_cmpgt_epi32(splatI(low), v),
                                      _mm_cmpgt_epi32(v, _mm_setzero_si128())),
                        _mm_cmpgt_epi32(v, splatI(high - 1)));
  return _mm_movemask_epi8(bad) != 0;
}
#include "tpumlir/cmodel/KernelsImpl.inc"
#undef TARGET
} // namespace sse2

namespace avx2 {
#define TARGET __attribute__((target("avx2")))
constexpr size_t kLanes = 8;
constexpr int kRowBlock = 2;
using Vf = __m256;
using Vi = __m256i;
TARGET_INLINE Vf loadF(const float *p) { return _mm256_loadu_ps(p); }
TARGET_INLINE void storeF(float *p, Vf v) { _mm256_storeu_ps(p, v); }
TARGET_INLINE Vf splatF(float x) { return _mm256_set1_ps(x); }
TARGET_INLINE Vf addF(Vf a, Vf b) { return ORDERED_AVX("vaddps", a, b, "x"); }
TARGET_INLINE Vf mulF(Vf a, Vf b) { return ORDERED_AVX("vmulps", a, b, "x"); }
TARGET_INLINE Vi truncateF(Vf v) { return _mm256_cvttps_epi32(v); }
TARGET_INLINE Vf roundI(Vi v) { return _mm256_cvtepi32_ps(v); }
TARGET_INLINE Vi bitsOf(Vf v) { return _mm256_castps_si256(v); }
TARGET_INLINE Vf floatOf(Vi v) { return _mm256_castsi256_ps(v); }
TARGET_INLINE Vi loadI(const void *p) {
  return _mm256_loadu_si256(static_cast<const Vi *>(p));
}
TARGET_INLINE void storeI(void *p, Vi v) {
  _mm256_storeu_si256(static_cast<Vi *>(p), v);
}
TARGET_INLINE Vi splatI(int x) { return _mm256_set1_epi32(x); }
TARGET_INLINE Vi addI(Vi a, Vi b) { return _mm256_add_epi32(a, b); }
TARGET_INLINE Vi subI(Vi a, Vi b) { return _mm256_sub_epi32(a, b); }
TARGET_INLINE Vi andI(Vi a, Vi b) { return _mm256_and_si256(a, b); }
TARGET_INLINE Vi maxI(Vi a, Vi b) { return _mm256_max_epi32(a, b); }
TARGET_INLINE Vi pairsI(Vi a, Vi b) { return _mm256_madd_epi16(a, b); }
TARGET_INLINE bool anyNonZeroOutside(Vi v, int low, int high) {
  Vi bad = _mm256_or_si256(
      _mm256_and_si256(_mm256_cmpgt_epi32(splatI(low), v),
                       _mm256_cmpgt_epi32(v, _mm256_setzero_si256())),
      _mm256_cmpgt_epi32(v, splatI(high - 1)));
  return _mm256_movemask_epi8(bad) != 0;
}
#include "tpumlir/cmodel/KernelsImpl.inc"
#undef TARGET
} // namespace avx2

namespace avx512 {
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
constexpr size_t kLanes = 16;
constexpr int kRowBlock = 4;
using Vf = __m512;
using Vi = __m512i;
TARGET_INLINE Vf loadF(const float *p) { return _mm512_loadu_ps(p); }
TARGET_INLINE void storeF(float *p, Vf v) { _mm512_storeu_ps(p, v); }
TARGET_INLINE Vf splatF(float x) { return _mm512_set1_ps(x); }
TARGET_INLINE Vf addF(Vf a, Vf b) { return ORDERED_AVX("vaddps", a, b, "v"); }
TARGET_INLINE Vf mulF(Vf a, Vf b) { return ORDERED_AVX("vmulps", a, b, "v"); }
TARGET_INLINE Vi truncateF(Vf v) { return _mm512_cvttps_epi32(v); }
TARGET_INLINE Vf roundI(Vi v) { return _mm512_cvtepi32_ps(v); }
TARGET_INLINE Vi bitsOf(Vf v) { return _mm512_castps_si512(v); }
TARGET_INLINE Vf floatOf(Vi v) { return _mm512_castsi512_ps(v); }
TARGET_INLINE Vi loadI(const void *p) { return _mm512_loadu_si512(p); }
TARGET_INLINE void storeI(void *p, Vi v) { _mm512_storeu_si512(p, v); }
TARGET_INLINE Vi splatI(int x) { return _mm512_set1_epi32(x); }
TARGET_INLINE Vi addI(Vi a, Vi b) { return _mm512_add_epi32(a, b); }
TARGET_INLINE Vi subI(Vi a, Vi b) { return _mm512_sub_epi32(a, b); }
TARGET_INLINE Vi andI(Vi a, Vi b) { return _mm512_and_si512(a, b); }
TARGET_INLINE Vi maxI(Vi a, Vi b) { return _mm512_max_epi32(a, b); }
TARGET_INLINE Vi pairsI(Vi a, Vi b) { return _mm512_madd_epi16(a, b); }
TARGET_INLINE bool anyNonZeroOutside(Vi v, int low, int high) {
  __mmask16 bad = _mm512_cmpgt_epi32_mask(splatI(low), v) &
                  _mm512_cmpgt_epi32_mask(v, _mm512_setzero_si512());
  return (bad | _mm512_cmpgt_epi32_mask(v, splatI(high - 1))) != 0;
}
#include "tpumlir/cmodel/KernelsImpl.inc"
#undef TARGET
} // namespace avx512

} // namespace

void addTap(const float *x, float w, float *sum) {
  const sse2::Vf factor = sse2::splatF(w);
  for (size_t t = 0; t < kTile; t += sse2::kLanes)
    sse2::storeF(sum + t, sse2::addF(sse2::loadF(sum + t),
                                     sse2::mulF(sse2::loadF(x + t), factor)));
}

namespace {
template <auto kOp>
void inOrder(const float *a, const float *b, size_t count, float *to) {
  size_t i = 0;
  for (; i + sse2::kLanes <= count; i += sse2::kLanes)
    sse2::storeF(to + i, kOp(sse2::loadF(a + i), sse2::loadF(b + i)));
  for (; i < count; ++i)
    to[i] = _mm_cvtss_f32(kOp(_mm_set_ss(a[i]), _mm_set_ss(b[i])));
}
} // namespace

void addInOrder(const float *a, const float *b, size_t count, float *to) {
  inOrder<sse2::addF>(a, b, count, to);
}

void mulInOrder(const float *a, const float *b, size_t count, float *to) {
  inOrder<sse2::mulF>(a, b, count, to);
}

namespace {

constexpr std::array kSets = {
    Kernels{"avx512", avx512::f32<false>, avx512::f32<true>,
            avx512::half<false>, avx512::half<true>, avx512::i16},
    Kernels{"avx2", avx2::f32<false>, avx2::f32<true>, avx2::half<false>,
            avx2::half<true>, avx2::i16},
    Kernels{"sse2", sse2::f32<false>, sse2::f32<true>, sse2::half<false>,
            sse2::half<true>, sse2::i16},
};

bool available(std::string_view name) {
  if (name == "avx512")
    return __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  if (name == "avx2")
    return __builtin_cpu_supports("avx2");
  return true;
}

} // namespace

const Kernels *kernelsNamed(const char *name) {
  for (const Kernels &set : kSets)
    if (std::string_view(set.name) == name && available(set.name))
      return &set;
  return nullptr;
}

const Kernels &kernels() {
  static const Kernels &chosen = []() -> const Kernels & {
    if (const char *forced = std::getenv("TPUMLIR_CMODEL_SIMD"))
      if (const Kernels *set = kernelsNamed(forced))
        return *set;
    for (const Kernels &set : kSets)
      if (available(set.name))
        return set;
    return kSets.back();
  }();
  return chosen;
}

} // namespace tpumlir::cmodel
