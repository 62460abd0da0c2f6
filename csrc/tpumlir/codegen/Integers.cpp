#include "tpumlir/codegen/Integers.h"

namespace tpumlir::codegen {

using isa::ArOp;
using isa::CmpOp;
using isa::DType;
using llvm::ArrayRef;
using support::Rounding;

void emitDivide(Emitter &em, const Local &quotient, const Local &rest,
                const Local &x, const Local &y, ArrayRef<Local> t) {
  // With magnitudes; |-2^31| is 2^31 without a sign, and every rest below is
  // less than that. The float quotient, at most 2^-20 of it wrong with its
  // roundings, gives the high digits, that of the rest the low ones.
  constexpr float kWrong = 0x1p-19f;
  const Local &q = quotient, &r = rest, &fy = t[1];
  Local ax = t[2].as(DType::I32), ay = t[3].as(DType::I32);
  Local part = t[4].as(DType::I32);
  em.cast(t[0], x, Rounding::HalfToEven);
  em.abs(t[0], t[0]);
  em.cast(fy, y, Rounding::HalfToEven);
  em.abs(fy, fy);
  em.abs(ax, x);
  em.abs(ay, y);
  // Never too small, so that the rest is at most the divisor.
  em.div(t[0], t[0], fy);
  em.ar(ArOp::Mul, t[0], t[0], 1 + kWrong);
  em.cast(q, t[0], Rounding::TowardZero);
  em.ar(ArOp::Mul, part, q, ay);
  em.ar(ArOp::Sub, r, ax, part);
  // Never too small in magnitude: the rest is negative if not tiny.
  em.cast(t[0], r, Rounding::HalfToEven);
  em.div(t[0], t[0], fy);
  em.ar(ArOp::Mul, t[0], t[0], 1 - kWrong);
  em.cast(part, t[0], Rounding::Floor);
  em.ar(ArOp::Add, q, q, part);
  em.ar(ArOp::Mul, part, part, ay);
  em.ar(ArOp::Sub, r, r, part);
  // Now r may be below 0 or reach the divisor, by less than one divisor.
  em.select(CmpOp::SelLt, part, r, whole(0), whole(1), whole(0));
  em.ar(ArOp::Sub, q, q, part);
  em.ar(ArOp::Mul, part, part, ay);
  em.ar(ArOp::Add, r, r, part);
  em.select(CmpOp::SelLt, part, r.withSign(false), ay.withSign(false), whole(0),
            whole(1));
  em.ar(ArOp::Add, q, q, part);
  em.ar(ArOp::Mul, part, part, ay);
  em.ar(ArOp::Sub, r, r, part);
  // Signs.
  em.ar(ArOp::Sub, part, whole(0), r);
  em.select(CmpOp::SelLt, r, x, whole(0), part, r);
  em.ar(ArOp::Sub, part, whole(0), q);
  em.ar(ArOp::Xor, ax, x, y);
  em.select(CmpOp::SelLt, q, ax, whole(0), part, q);
  em.select(CmpOp::SelEq, q, y, whole(0), whole(0), q);
  em.select(CmpOp::SelEq, r, y, whole(0), x, r);
}

void emitPower(Emitter &em, const Local &result, const Local &x, const Local &y,
               ArrayRef<Local> t) {
  Local square = t[0].as(DType::I32), product = t[1].as(DType::I32);
  Local bit = t[2].as(DType::I32);
  em.copyLocal(square, x);
  em.copyLocal(result, whole(1));
  for (int i = 0; i < 31; ++i) {
    em.ar(ArOp::Mul, product, result, square);
    em.ar(ArOp::And, bit, y, whole(int32_t(1) << i));
    em.select(CmpOp::SelEq, result, bit, whole(0), result, product);
    if (i < 30)
      em.ar(ArOp::Mul, square, square, square);
  }
  // Below 0 only 1 and -1 have powers other than 0.
  em.ar(ArOp::And, bit, y, whole(1));
  em.select(CmpOp::SelEq, product, bit, whole(0), whole(1), whole(-1));
  em.select(CmpOp::SelEq, product, x, whole(-1), product, whole(0));
  em.select(CmpOp::SelEq, product, x, whole(1), whole(1), product);
  em.select(CmpOp::SelLt, result, y, whole(0), product, result);
}

} // namespace tpumlir::codegen
