#pragma once

#include <cstddef>
#include <cstdint>

namespace tpumlir::cmodel {

/// Output positions that one call of a matrix kernel computes together.
constexpr size_t kTile = 32;

/// Products of one block of a half-precision sum (N5).
constexpr size_t kHalfBlock = 32;

/// The inner loops of convolution and matrix product, one set for every vector
/// unit. All sets give the same bits.
///
/// Each computes, for `rows` rows r and kTile columns t, a sum over k of
/// a[r][k] * panel[k][t] in the order and with the roundings of the chip.
struct Kernels {
  const char *name;

  /// f32 (N4): product k is rounded, then added to accumulator k mod 2.
  /// acc is [rows][2][kTile], read and written; panel is [depth][kTile]. Of a
  /// product of two NaN, f32 keeps that of the panel, f32Left that of a.
  void (*f32)(size_t rows, size_t depth, const float *const *a,
              const float *panel, float *acc);
  void (*f32Left)(size_t rows, size_t depth, const float *const *a,
                  const float *panel, float *acc);

  /// f16 and bf16 widened to f32 (N5): blocks of 32 products, aligned, cut and
  /// added exactly, then added to the accumulator in f32. depth is a multiple
  /// of 32; acc is [rows][kTile]. Of a NaN in the accumulator and one in a
  /// block, half keeps the first, halfBlockFirst the second.
  void (*half)(size_t rows, size_t depth, const float *const *a,
               const float *panel, float *acc);
  void (*halfBlockFirst)(size_t rows, size_t depth, const float *const *a,
                         const float *panel, float *acc);

  /// Integers of at most 16 bits, modulo 2^32 (N6). a and panel hold pairs
  /// (k, k + 1): a[r][k / 2] packs two i16, panel is [depth / 2][kTile][2];
  /// depth is even; acc is [rows][kTile].
  void (*i16)(size_t rows, size_t depth, const int32_t *const *a,
              const int16_t *panel, int32_t *acc);
};

/// sum[t] = sum[t] + x[t] * w for kTile elements, both roundings in f32; the
/// operands keep their order (N2).
void addTap(const float *x, float w, float *sum);

/// to[i] = a[i] + b[i] and a[i] * b[i]; of two NaN the one of `a` survives
/// (N2).
void addInOrder(const float *a, const float *b, size_t count, float *to);
void mulInOrder(const float *a, const float *b, size_t count, float *to);

/// The set for this processor. The environment variable
/// TPUMLIR_CMODEL_SIMD=sse2|avx2|avx512 forces one that the processor has.
const Kernels &kernels();

/// The set called `name`, or null when the processor does not have it.
const Kernels *kernelsNamed(const char *name);

/// One block of the half-precision sum for operands that the vector code does
/// not handle: infinities, NaN, products near the ends of the f32 range (N5).
/// `b` has stride kTile.
float halfBlockSum(const float *a, const float *b);

} // namespace tpumlir::cmodel
