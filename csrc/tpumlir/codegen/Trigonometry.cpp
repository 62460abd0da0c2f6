#include "tpumlir/codegen/Math.h"

#include <limits>

/// Circular and hyperbolic functions and their inverses.
namespace tpumlir::codegen {

using isa::ArOp;
using isa::CmpOp;
using isa::DType;
using llvm::ArrayRef;
using support::Rounding;

namespace {

constexpr float kPi = 3.14159265f, kHalfPi = 1.57079633f;
constexpr float kLn2 = 0.693147181f;

/// pi / 2 in parts of 8 bits and a rest: the product of one with a number below
/// 2^16 is exact, and so are the differences until the last ones.
constexpr float kHalfPiParts[] = {0x1.92p+0f, 0x1.fap-12f, 0x1.54p-20f,
                                  0x1.1p-30f, 0x1.68p-39f, 0x1.84698ap-48f};
/// 2^16 times pi / 2.
constexpr float kFarthest = 102943.0f;

/// Below these the logarithm, or the difference of exponentials, loses digits.
constexpr float kSmallLog1p = 0.35f, kSmallSinh = 0.75f;
/// From here on x^2 + 1 is x^2 for the logarithm of the sum.
constexpr float kGreatArea = 4096.0f;

} // namespace

//===----------------------------------------------------------------------===//
// Circular
//===----------------------------------------------------------------------===//

void Math::quarterTurns(const Local &r, const Local &n, const Local &x,
                        const Local &t) {
  em.ar(ArOp::Mul, n, x, 1 / kHalfPi);
  em.cast(n, n, Rounding::HalfToEven);
  bool isFirst = true;
  for (float part : kHalfPiParts) {
    em.ar(ArOp::Mul, t, n, part);
    em.ar(ArOp::Sub, r, isFirst ? x : r, t);
    isFirst = false;
  }
  em.abs(t, x);
  em.select(CmpOp::SelLt, r, t, kFarthest, r, kNaN);
  // That comparison holds for NaN too, but then r is NaN already.
  em.cast(n.as(DType::I32), n, Rounding::HalfToEven);
}

void Math::sinCos(const Local &sin, const Local &cos, const Local &r,
                  const Local &t) {
  em.ar(ArOp::Mul, t, r, r);
  polynomial(cos, t, Table::Cos);
  polynomial(sin, t, Table::Sin);
  em.ar(ArOp::Mul, sin, sin, r);
}

void Math::wave(const Local &y, const Local &x, int quarters,
                ArrayRef<Local> t) {
  const Local &r = t[0], &cos = t[1], &s = t[2];
  Local n = t[3].as(DType::I32), odd = s.as(DType::I32);
  quarterTurns(r, t[3], x, s);
  sinCos(y, cos, r, s);
  if (quarters)
    em.ar(ArOp::Add, n, n, Operand::integer(quarters));
  em.ar(ArOp::And, odd, n, Operand::integer(1));
  em.select(CmpOp::SelEq, y, odd, Operand::integer(0), y, cos);
  em.ar(ArOp::And, odd, n, Operand::integer(2));
  em.ar(ArOp::Mul, cos, y, -1.0f);
  em.select(CmpOp::SelEq, y, odd, Operand::integer(0), y, cos);
}

void Math::sin(const Local &y, const Local &x, ArrayRef<Local> t) {
  wave(y, x, 0, t);
}

void Math::cos(const Local &y, const Local &x, ArrayRef<Local> t) {
  wave(y, x, 1, t);
}

void Math::tan(const Local &y, const Local &x, ArrayRef<Local> t) {
  // sin / cos, or -cos / sin after an odd number of quarter turns.
  const Local &r = t[0], &cos = t[1], &s = t[2];
  Local odd = t[3].as(DType::I32);
  quarterTurns(r, t[3], x, s);
  sinCos(y, cos, r, s);
  em.ar(ArOp::And, odd, odd, Operand::integer(1));
  em.ar(ArOp::Mul, s, y, -1.0f);
  em.select(CmpOp::SelEq, r, odd, Operand::integer(0), y, cos);
  em.select(CmpOp::SelEq, s, odd, Operand::integer(0), cos, s);
  em.div(y, r, s);
}

void Math::signOf(const Local &y, const Local &x, const Local &t) {
  em.ar(ArOp::Mul, t, y, -1.0f);
  em.select(CmpOp::SelLt, y, x, 0.0f, t, y);
}

void Math::smallAsin(const Local &y, const Local &x, const Local &t) {
  em.ar(ArOp::Mul, t, x, x);
  polynomial(y, t, Table::Asin);
  em.ar(ArOp::Mul, y, y, x);
}

void Math::asin(const Local &y, const Local &x, ArrayRef<Local> t) {
  // For |x| > 1/2: pi/2 - 2 asin(sqrt((1 - |x|) / 2)).
  const Local &a = t[0], &s = t[1];
  em.abs(a, x);
  em.ar(ArOp::Sub, s, 1.0f, a);
  em.ar(ArOp::Mul, s, s, 0.5f);
  sqrt(y, s, t[2]);
  em.select(CmpOp::SelGt, s, a, 0.5f, y, a); // NaN passes as |x|
  smallAsin(y, s, t[2]);
  em.ar(ArOp::Mul, s, y, 2.0f);
  em.ar(ArOp::Sub, s, kHalfPi, s);
  em.select(CmpOp::SelGt, y, a, 0.5f, s, y);
  signOf(y, x, s);
}

void Math::acos(const Local &y, const Local &x, ArrayRef<Local> t) {
  // 2 asin(sqrt((1 - |x|) / 2)) for |x| > 1/2, of pi for negative x; else
  // pi/2 - asin(x).
  const Local &a = t[0], &s = t[1];
  em.abs(a, x);
  em.ar(ArOp::Sub, s, 1.0f, a);
  em.ar(ArOp::Mul, s, s, 0.5f);
  sqrt(y, s, t[2]);
  em.select(CmpOp::SelGt, s, a, 0.5f, y, x);
  smallAsin(y, s, t[2]);
  em.ar(ArOp::Mul, s, y, 2.0f);
  em.ar(ArOp::Sub, t[2], kPi, s);
  em.select(CmpOp::SelLt, s, x, 0.0f, t[2], s);
  em.ar(ArOp::Sub, y, kHalfPi, y);
  em.select(CmpOp::SelGt, y, a, 0.5f, s, y);
}

void Math::atan(const Local &y, const Local &x, ArrayRef<Local> t) {
  // atan(a) = base + atan(p / q) with |p / q| <= tan(pi / 8).
  constexpr float kTan1 = 0.414213562f, kTan3 = 2.41421356f;
  const Local &a = t[0], &p = t[1], &q = t[2];
  em.abs(a, x);
  atMost(em, a, a, kMax); // NaN stays
  em.ar(ArOp::Sub, p, a, 1.0f);
  em.ar(ArOp::Add, q, a, 1.0f);
  em.select(CmpOp::SelGt, p, a, kTan1, p, a);
  em.select(CmpOp::SelGt, q, a, kTan1, q, 1.0f);
  em.select(CmpOp::SelGt, p, a, kTan3, -1.0f, p);
  em.select(CmpOp::SelGt, q, a, kTan3, a, q);
  em.div(p, p, q);
  em.ar(ArOp::Mul, q, p, p);
  polynomial(y, q, Table::Atan);
  em.ar(ArOp::Mul, y, y, p);
  em.select(CmpOp::SelGt, q, a, kTan1, kHalfPi / 2, 0.0f);
  em.select(CmpOp::SelGt, q, a, kTan3, kHalfPi, q);
  em.ar(ArOp::Add, y, y, q);
  signOf(y, x, q);
}

//===----------------------------------------------------------------------===//
// Hyperbolic
//===----------------------------------------------------------------------===//

void Math::halfExponentials(const Local &y, const Local &t, const Local &x,
                            const Local &t0, const Local &t1) {
  // (e^(|x| / 2))^2: e^|x| alone overflows before its half does.
  em.abs(y, x);
  em.ar(ArOp::Mul, y, y, 0.5f);
  exp(y, y, t0, t1);
  em.ar(ArOp::Mul, t, y, 0.5f);
  em.ar(ArOp::Mul, y, y, t);
  reciprocal(t, 0.25f, y, t0);
}

void Math::sinh(const Local &y, const Local &x, ArrayRef<Local> t) {
  halfExponentials(y, t[0], x, t[1], t[2]);
  em.ar(ArOp::Sub, y, y, t[0]);
  signOf(y, x, t[0]);
  em.ar(ArOp::Mul, t[0], x, x);
  polynomial(t[1], t[0], Table::Sinh);
  em.ar(ArOp::Mul, t[1], t[1], x);
  em.abs(t[0], x);
  em.select(CmpOp::SelLt, y, t[0], kSmallSinh, t[1], y);
}

void Math::cosh(const Local &y, const Local &x, ArrayRef<Local> t) {
  halfExponentials(y, t[0], x, t[1], t[2]);
  em.ar(ArOp::Add, y, y, t[0]);
}

void Math::log1p(const Local &y, const Local &x, ArrayRef<Local> t) {
  em.ar(ArOp::Add, t[3], x, 1.0f);
  log(y, t[3], t[0], t[1], t[2]);
  // For small x as for ln: 2 atanh(x / (x + 2)).
  em.ar(ArOp::Add, t[0], x, 2.0f);
  em.div(t[0], x, t[0]);
  em.ar(ArOp::Mul, t[1], t[0], t[0]);
  polynomial(t[2], t[1], Table::Atanh);
  em.ar(ArOp::Mul, t[2], t[2], t[0]);
  em.ar(ArOp::Mul, t[2], t[2], 2.0f);
  em.abs(t[0], x);
  em.select(CmpOp::SelLt, y, t[0], kSmallLog1p, t[2], y);
}

void Math::asinh(const Local &y, const Local &x, ArrayRef<Local> t) {
  // ln(1 + a + a^2 / (1 + sqrt(1 + a^2))); ln(2a) for great a = |x|.
  const Local &a = t[4], &u = t[5];
  em.abs(a, x);
  atMost(em, u, a, kGreatArea);
  em.ar(ArOp::Mul, t[0], u, u);
  em.ar(ArOp::Add, t[1], t[0], 1.0f);
  sqrt(t[2], t[1], t[3]);
  em.ar(ArOp::Add, t[2], t[2], 1.0f);
  em.div(t[0], t[0], t[2]);
  em.ar(ArOp::Add, u, u, t[0]);
  log1p(y, u, t.take_front(4));
  log(u, a, t[0], t[1], t[2]);
  em.ar(ArOp::Add, u, u, kLn2);
  em.select(CmpOp::SelGt, y, a, kGreatArea, u, y);
  signOf(y, x, u);
}

void Math::acosh(const Local &y, const Local &x, ArrayRef<Local> t) {
  // ln(1 + v + sqrt(2v + v^2)), v = x - 1; ln(2x) for great x.
  const Local &v = t[4], &u = t[5];
  em.ar(ArOp::Sub, v, x, 1.0f);
  atMost(em, v, v, kGreatArea);
  em.ar(ArOp::Add, t[0], v, 2.0f);
  em.ar(ArOp::Mul, t[0], t[0], v);
  sqrt(u, t[0], t[1]);
  em.ar(ArOp::Add, u, u, v);
  log1p(y, u, t.take_front(4));
  log(u, x, t[0], t[1], t[2]);
  em.ar(ArOp::Add, u, u, kLn2);
  em.select(CmpOp::SelGt, y, x, kGreatArea, u, y);
  em.select(CmpOp::SelLt, y, x, 1.0f, kNaN, y);
}

void Math::atanh(const Local &y, const Local &x, ArrayRef<Local> t) {
  // ln(1 + 2a / (1 - a)) / 2, a = |x|; the quotient is -2 for infinite a.
  const Local &u = t[4];
  em.abs(t[0], x);
  atMost(em, t[0], t[0], 0x1p60f);
  em.ar(ArOp::Sub, t[1], 1.0f, t[0]);
  em.ar(ArOp::Mul, t[0], t[0], 2.0f);
  em.div(u, t[0], t[1]);
  log1p(y, u, t.take_front(4));
  em.ar(ArOp::Mul, y, y, 0.5f);
  signOf(y, x, t[0]);
}

} // namespace tpumlir::codegen
