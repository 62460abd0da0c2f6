#pragma once

#include "tpumlir/codegen/Tiles.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

#include <limits>

/// Elementary functions as sequences of TIU commands on aligned F32 tensors.
/// Accuracy: a few ulp where the result is not tiny; each function says where
/// it is less. NaN stays NaN. Source of the coefficients: Taylor series.
namespace tpumlir::codegen {

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kMax = std::numeric_limits<float>::max();
inline constexpr float kInf = std::numeric_limits<float>::infinity();

/// Coefficients that a function's polynomials take, in every lane.
enum class Table {
  Exp,   ///< 1 / k!
  Tanh,  ///< of tanh(x) / x in x^2
  Erf,   ///< of erf(x) / x in x^2
  Erfc,  ///< of ln(erfc(z) / t) + z^2 in t = 1 / (1 + z / 2)
  Atanh, ///< of atanh(s) / s in s^2
  Expm1, ///< of (e^x - 1) / x in x
  Sin,   ///< of sin(x) / x in x^2
  Cos,   ///< of cos(x) in x^2
  Asin,  ///< of asin(x) / x in x^2
  Atan,  ///< of atan(x) / x in x^2
  Sinh,  ///< of sinh(x) / x in x^2
};
inline constexpr size_t kTables = 11;

/// Lays out tables once per op and computes with them.
class Math {
public:
  explicit Math(Emitter &em) : em(em) {}

  /// Emits the tables that `names` lists.
  void prepare(LaneMemory &memory, llvm::ArrayRef<Table> names);

  /// What follows is rounded to this type in the end. For a half, e^x has fewer
  /// terms and a division fewer iterations: both within 2^-15 instead of some
  /// ulp of F32, an eighth of what the rounding to F16 does.
  void roundsTo(isa::DType type);

  // y is the result. Tensors are whole, aligned and of one size; t.. are
  // scratch. Where y may be x, x is read only before y is written.

  /// y = min(max(x, lo), hi); y may be x.
  void clamp(const Local &y, const Local &x, float lo, float hi);
  /// e^x for x held in [lo, hi]; below -87.3 it is 0. y or t1 may be x.
  void exp(const Local &y, const Local &x, const Local &t0, const Local &t1,
           float lo = -88, float hi = 89);
  /// 1 / (1 + e^(-factor x)); y may be x.
  void sigmoid(const Local &y, const Local &x, const Local &t0, const Local &t1,
               float factor = 1);
  void tanh(const Local &y, const Local &x, const Local &t0, const Local &t1);
  void sqrt(const Local &y, const Local &x, const Local &t0);
  void rsqrt(const Local &y, const Local &x, const Local &t0);
  /// a / b as IEEE has it for infinities, zeros and NaN. Both may broadcast.
  void divide(const Local &y, const Operand &a, const Local &b, const Local &t0,
              const Local &t1);
  /// a / b by the reciprocal root, of finite numbers of ordinary size.
  void quotient(const Local &y, const Operand &a, const Operand &b);
  /// number / b for a number of at most 1 and a b that is not below 2^-100;
  /// 0 where b is above 2^126.
  void reciprocal(const Local &y, float number, const Local &b,
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
  /// ln(1 + x).
  void log1p(const Local &y, const Local &x, llvm::ArrayRef<Local> t); // 4

  // The trigonometric functions hold for |x| < 102943 and are NaN beyond: one
  // turn of 2^16 quarters is as far as the reduction is exact.
  void sin(const Local &y, const Local &x, llvm::ArrayRef<Local> t);   // 4
  void cos(const Local &y, const Local &x, llvm::ArrayRef<Local> t);   // 4
  void tan(const Local &y, const Local &x, llvm::ArrayRef<Local> t);   // 4
  void asin(const Local &y, const Local &x, llvm::ArrayRef<Local> t);  // 3
  void acos(const Local &y, const Local &x, llvm::ArrayRef<Local> t);  // 3
  void atan(const Local &y, const Local &x, llvm::ArrayRef<Local> t);  // 3
  void sinh(const Local &y, const Local &x, llvm::ArrayRef<Local> t);  // 3
  void cosh(const Local &y, const Local &x, llvm::ArrayRef<Local> t);  // 3
  void asinh(const Local &y, const Local &x, llvm::ArrayRef<Local> t); // 6
  void acosh(const Local &y, const Local &x, llvm::ArrayRef<Local> t); // 6
  void atanh(const Local &y, const Local &x, llvm::ArrayRef<Local> t); // 5

  /// x to the power of y for all numbers; whole powers of whole numbers up to
  /// 2^17 are exact.
  void pow(const Local &result, const Local &x, const Local &y,
           llvm::ArrayRef<Local> t); // 6
  /// The remainder of x / y with the sign of x, exact; NaN for y = 0 and for
  /// infinite x.
  void fmod(const Local &result, const Local &x, const Local &y,
            llvm::ArrayRef<Local> t); // 7

private:
  void polynomial(const Local &y, const Local &x, Table name);
  /// r in [-pi/4, pi/4] and whole n with x = n pi/2 + r; NaN for great x.
  void quarterTurns(const Local &r, const Local &n, const Local &x,
                    const Local &t);
  /// sin and cos of r.
  void sinCos(const Local &sin, const Local &cos, const Local &r,
              const Local &t);
  /// sin(x + quarters pi/2).
  void wave(const Local &y, const Local &x, int quarters,
            llvm::ArrayRef<Local> t);
  /// y for x >= 0, -y else: what an odd function of |x| becomes.
  void signOf(const Local &y, const Local &x, const Local &t);
  /// asin of |x| <= 1/2, by its series.
  void smallAsin(const Local &y, const Local &x, const Local &t);
  /// y = e^|x| / 2 and t = e^-|x| / 2.
  void halfExponentials(const Local &y, const Local &t, const Local &x,
                        const Local &t0, const Local &t1);

  Emitter &em;
  bool isRough = false;  ///< see roundsTo
  Local tables[kTables]; ///< of those that were prepared; its width counts
};

/// What a mode needs, see ActiveModes.def.
struct ActiveNeeds {
  int scratch;
  llvm::SmallVector<Table, 3> tables;
  bool mayBeRough;
};
ActiveNeeds needsOf(tpu::ActiveMode mode);

/// y = mode(x). `scratch` are needsOf(mode).scratch tensors like x.
void emitActive(Emitter &em, Math &math, tpu::ActiveMode mode,
                llvm::ArrayRef<double> coeffs, const Local &y, const Local &x,
                llvm::ArrayRef<Local> scratch);

} // namespace tpumlir::codegen
