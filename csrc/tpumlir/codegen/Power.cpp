#include "tpumlir/codegen/Integers.h"
#include "tpumlir/codegen/Math.h"

/// Powers and remainders of floats.
namespace tpumlir::codegen {

using isa::ArOp;
using isa::CmpOp;
using isa::DType;
using llvm::ArrayRef;
using support::Rounding;

namespace {

/// Bits of the least number.
constexpr int32_t kTinyBits = 0x00800000;

/// Whole results up to here are nearer to the computed ones than any other.
constexpr float kExactPower = 0x1p17f;

} // namespace

void Math::pow(const Local &result, const Local &x, const Local &y,
               ArrayRef<Local> t) {
  // e^(y ln |x|), then the cases that this does not get. Source of the special
  // cases: C, annex F.10.4.4.
  const Local &a = t[3], &isWhole = t[4], &isOdd = t[5];
  em.abs(a, x);
  log(result, a, t[0], t[1], t[2]);
  em.ar(ArOp::Mul, t[2], result, y);
  exp(result, t[2], t[0], t[1]);
  em.select(CmpOp::SelEq, result, a, 1.0f, 1.0f, result);
  // Whether y is whole, which infinities are, and odd.
  em.cast(t[0], y, Rounding::Floor);
  em.ar(ArOp::Sub, t[0], y, t[0]);
  em.abs(t[1], y);
  em.select(CmpOp::SelEq, t[0], t[1], kInf, 0.0f, t[0]);
  em.select(CmpOp::SelEq, isWhole, t[0], 0.0f, 1.0f, 0.0f);
  em.ar(ArOp::Mul, t[0], y, 0.5f);
  em.cast(t[1], t[0], Rounding::Floor);
  em.ar(ArOp::Sub, t[0], t[0], t[1]);
  em.select(CmpOp::SelEq, isOdd, t[0], 0.5f, 1.0f, 0.0f);
  // Whole powers of whole numbers are whole.
  em.cast(t[0], x, Rounding::Floor);
  em.ar(ArOp::Sub, t[0], x, t[0]);
  em.select(CmpOp::SelEq, t[0], t[0], 0.0f, isWhole, 0.0f);
  em.select(CmpOp::SelGt, t[0], y, 0.0f, t[0], 0.0f);
  em.select(CmpOp::SelGt, t[0], result, kExactPower, 0.0f, t[0]);
  em.cast(t[1], result, Rounding::HalfToEven);
  em.select(CmpOp::SelEq, result, t[0], 1.0f, t[1], result);
  // Negative finite numbers have whole powers only; -0 has a sign too.
  em.ar(ArOp::Mul, t[0], result, -1.0f);
  em.select(CmpOp::SelEq, t[0], isOdd, 1.0f, t[0], result);
  em.select(CmpOp::SelEq, t[1], isWhole, 1.0f, t[0], kNaN);
  em.select(CmpOp::SelEq, t[1], a, kInf, t[0], t[1]);
  em.select(CmpOp::SelLt, t[1], x, 0.0f, t[1], t[0]);
  em.select(CmpOp::SelLt, result, x.as(DType::I32), whole(0), t[1], result);
  // NaN, but 1^y and x^0 are 1 for it too.
  em.abs(t[0], y);
  Local bits = t[0].as(DType::I32);
  em.select(CmpOp::SelGt, result, bits, whole(kInfinityBits), t[0], result);
  em.select(CmpOp::SelEq, result, x, 1.0f, 1.0f, result);
  em.select(CmpOp::SelLt, result, bits, whole(kTinyBits), 1.0f, result);
}

void Math::fmod(const Local &result, const Local &x, const Local &y,
                ArrayRef<Local> t) {
  // Long division of the mantissas, seven bits at a time: exponents differ by
  // at most 253.
  constexpr int kBits = 7, kDifference = 254;
  Local a = t[0].as(DType::I32), b = t[1].as(DType::I32);
  Local e = t[2].as(DType::I32), n = t[3].as(DType::I32);
  Local q = t[5].as(DType::I32), rest = t[6].as(DType::I32);
  auto mantissa = [&](const Local &to, const Local &bits) {
    em.ar(ArOp::And, to, bits, whole(0x7fffff));
    em.ar(ArOp::Or, to, to, whole(0x800000));
  };
  em.abs(t[0], x);
  em.abs(t[1], y);
  em.shift(e, a, whole(-23), false);
  em.shift(n, b, whole(-23), false);
  em.ar(ArOp::Sub, e, e, n);
  mantissa(a, a);
  mantissa(b, b);
  em.cast(t[4], b, Rounding::HalfToEven);
  em.div(t[4], 1.0f, t[4]); // 1 / b within 5 ulp
  // a = a * 2^distance mod b; the estimate of the quotient is never too great
  // and at most 1 too small.
  auto step = [&](const Operand &distance) {
    em.shift(a, a, distance, true);
    em.cast(t[5], a, Rounding::HalfToEven);
    em.ar(ArOp::Mul, t[5], t[5], t[4]);
    em.ar(ArOp::Mul, t[5], t[5], 1 - 0x1p-19f);
    em.cast(q, t[5], Rounding::Floor);
    em.ar(ArOp::Mul, q, q, b);
    em.ar(ArOp::Sub, a, a, q);
    em.ar(ArOp::Sub, rest, a, b);
    em.select(CmpOp::SelLt, a, rest, whole(0), a, rest);
  };
  // First the difference mod 7, then whole steps, of which an element takes as
  // many as its difference has.
  em.ar(ArOp::Max, n, e, whole(0));
  for (int amount = 32 * kBits; amount >= kBits; amount /= 2) {
    em.ar(ArOp::Sub, q, n, whole(amount));
    em.select(CmpOp::SelLt, n, q, whole(0), n, q);
  }
  step(n);
  const Local &before = n;
  for (int done = kBits; done < kDifference; done += kBits) {
    em.copyLocal(before, a);
    step(whole(kBits));
    em.select(CmpOp::SelLt, a, e, whole(done), before, a);
  }
  // a * 2^(exponent of y): 2^-23 a < 2, times a power of two.
  em.cast(t[5], a, Rounding::HalfToEven);
  em.ar(ArOp::Mul, t[5], t[5], 0x1p-23f);
  em.ar(ArOp::And, rest, y.as(DType::I32), whole(kInfinityBits));
  em.ar(ArOp::Mul, t[5], t[5], t[6]);
  // Where |x| < |y| it is x itself.
  em.abs(t[0], x);
  em.abs(t[1], y);
  signOf(t[5], x, t[6]);
  em.select(CmpOp::SelGt, result, t[1], t[0], x, t[5]);
  em.select(CmpOp::SelLt, result, b, whole(kTinyBits), kNaN, result);
  em.select(CmpOp::SelLt, result, a, whole(kInfinityBits), result, kNaN);
  em.select(CmpOp::SelGt, result, b, whole(kInfinityBits), t[1], result);
}

} // namespace tpumlir::codegen
