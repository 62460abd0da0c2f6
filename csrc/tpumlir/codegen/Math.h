#pragma once

#include "tpumlir/codegen/Context.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

/// Elementary functions as sequences of TIU commands on aligned F32 tensors.
/// Accuracy: a few ulp where the result is not tiny; each function says where
/// it is less. NaN stays NaN. Source of the coefficients: Taylor series.
namespace tpumlir::codegen {

/// Coefficients that a function's polynomials take, in every lane.
enum class Table {
  Exp,   ///< 1 / k!
  Tanh,  ///< of tanh(x) / x in x^2
  Erf,   ///< of erf(x) / x in x^2
  Erfc,  ///< of ln(erfc(z) / t) + z^2 in t = 1 / (1 + z / 2)
  Atanh, ///< of atanh(s) / s in s^2
  Expm1, ///< of (e^x - 1) / x in x
};
inline constexpr size_t kTables = 6;

/// Lays out tables once per op and computes with them.
class Math {
public:
  explicit Math(Emitter &em) : em(em) {}

  /// Emits the tables that `names` lists.
  void prepare(LaneMemory &memory, llvm::ArrayRef<Table> names);

  // y is the result. Tensors are whole, aligned and of one size; t.. are
  // scratch. Where y may be x, x is read only before y is written.

  /// y = min(max(x, lo), hi); y may be x.
  void clamp(const Local &y, const Local &x, float lo, float hi);
  /// e^x for x held in [lo, hi]; below -87.3 it is 0. y may be x.
  void exp(const Local &y, const Local &x, const Local &t0, const Local &t1,
           float lo = -88, float hi = 89);
  /// 1 / (1 + e^(-factor x)); y may be x.
  void sigmoid(const Local &y, const Local &x, const Local &t0, const Local &t1,
               float factor = 1);
  void tanh(const Local &y, const Local &x, const Local &t0, const Local &t1);
  void sqrt(const Local &y, const Local &x, const Local &t0);
  void rsqrt(const Local &y, const Local &x, const Local &t0);
  /// a / b; an infinite b counts as the greatest number. b may broadcast.
  void divide(const Local &y, const Operand &a, const Operand &b,
              const Local &t0);
  void log(const Local &y, const Local &x, const Local &t0, const Local &t1,
           const Local &t2);
  /// ln(1 + e^x).
  void softplus(const Local &y, const Local &x, const Local &t0,
                const Local &t1);
  void erf(const Local &y, const Local &x, const Local &t0, const Local &t1,
           const Local &t2);
  /// e^x - 1.
  void expm1(const Local &y, const Local &x, const Local &t0, const Local &t1);

private:
  void polynomial(const Local &y, const Local &x, Table name);

  Emitter &em;
  Local tables[kTables]; ///< of those that were prepared; its width counts
};

/// How many scratch tensors a mode needs, and its tables.
struct ActiveNeeds {
  int scratch;
  llvm::SmallVector<Table, 2> tables;
};
ActiveNeeds needsOf(tpu::ActiveMode mode);

/// y = mode(x). `scratch` are needsOf(mode).scratch tensors like x.
void emitActive(Emitter &em, Math &math, tpu::ActiveMode mode,
                llvm::ArrayRef<double> coeffs, const Local &y, const Local &x,
                llvm::ArrayRef<Local> scratch);

} // namespace tpumlir::codegen
