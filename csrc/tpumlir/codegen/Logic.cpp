#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Map.h"

#include <cmath>

/// Comparison, choice and bits.
using namespace mlir;

namespace tpumlir::codegen {

namespace {

using Inputs = ArrayRef<Local>;
using isa::ArOp;
using isa::CmpOp;
using isa::DType;
using top::BitwiseMode;
using top::CompareMode;

/// y = number where x is NaN.
void whereNaN(Emitter &em, const Local &y, const Local &x, float number,
              const Local &t) {
  em.abs(t, x);
  em.select(CmpOp::SelGt, y, t.as(DType::I32), Operand::integer(kInfinityBits),
            number, y);
}

/// A relation as a comparison of the chip that holds, or does not.
struct Relation {
  CmpOp op;
  bool holds;
};

Relation relationOf(CompareMode mode) {
  switch (mode) {
  case CompareMode::Greater:
    return {CmpOp::SelGt, true};
  case CompareMode::LessOrEqual:
    return {CmpOp::SelGt, false};
  case CompareMode::Less:
    return {CmpOp::SelLt, true};
  case CompareMode::GreaterOrEqual:
    return {CmpOp::SelLt, false};
  case CompareMode::Equal:
    return {CmpOp::SelEq, true};
  case CompareMode::NotEqual:
    return {CmpOp::SelEq, false};
  case CompareMode::And:
  case CompareMode::Not:
  case CompareMode::Xor:
    break;
  }
  llvm_unreachable("no relation");
}

/// The relation of b to a that `mode` is of a to b.
CompareMode exchanged(CompareMode mode) {
  switch (mode) {
  case CompareMode::Greater:
    return CompareMode::Less;
  case CompareMode::GreaterOrEqual:
    return CompareMode::LessOrEqual;
  case CompareMode::Less:
    return CompareMode::Greater;
  case CompareMode::LessOrEqual:
    return CompareMode::GreaterOrEqual;
  default: // the same for both
    return mode;
  }
}

/// y = 1 where `x mode b`, else 0, for integers.
void relateIntegers(Emitter &em, CompareMode mode, const Local &y,
                    const Local &x, const Operand &b) {
  const Relation relation = relationOf(mode);
  em.select(relation.op, y, x, b, numberOf(relation.holds, y.dtype),
            numberOf(!relation.holds, y.dtype));
}

/// The same for F32, false with NaN, but for NotEqual. CMP (docs/numerics.md,
/// N7) has "less" true with NaN unless the bits are equal, and "equal" takes 0
/// and -0 for different: hence equal is what is neither less nor greater.
void relateFloats(Emitter &em, CompareMode mode, const Local &y, const Local &x,
                  const Operand &b, const Local &t) {
  const float found = mode == CompareMode::NotEqual ? 1.0f : 0.0f;
  if (b.isConst && std::isnan(b.number))
    return em.copyLocal(y, found);
  // With two tensors each of the others is a matter of the first one's NaN
  // alone, less and less or equal after an exchange.
  if (!b.isConst &&
      (mode == CompareMode::Less || mode == CompareMode::LessOrEqual))
    return relateFloats(em, exchanged(mode), y, b.local, x, t);
  const Relation relation = relationOf(mode);
  if (relation.op == CmpOp::SelEq) {
    em.select(CmpOp::SelLt, y, x, b, found, 1.0f - found);
    em.select(CmpOp::SelGt, y, x, b, found, y);
  } else {
    em.select(relation.op, y, x, b, float(relation.holds),
              float(!relation.holds));
  }
  if (mode != CompareMode::Greater)
    whereNaN(em, y, x, found, t);
}

void relate(Emitter &em, CompareMode mode, const Local &y, const Local &x,
            const Operand &b, const Local &t) {
  if (x.dtype == DType::I32)
    relateIntegers(em, mode, y, x, b);
  else
    relateFloats(em, mode, y, x, b, t);
}

/// What a truth value is compared with 0 by: floats have a -0 too.
Local truthOf(Emitter &em, const Local &x, const Local &t) {
  if (x.dtype == DType::I32)
    return x;
  em.abs(t, x);
  return t;
}

/// y = 1 where x is not 0.
void emitTruth(Emitter &em, const Local &y, const Local &x, const Local &t) {
  Local truth = truthOf(em, x, t);
  em.select(CmpOp::SelEq, y, truth, numberOf(0, x.dtype), numberOf(0, y.dtype),
            numberOf(1, y.dtype));
}

} // namespace

template <> MapProblem mapOf(tpu::CompareOp op) {
  MapProblem problem(op, 2);
  problem.whole = true;
  problem.compute = [=](Emitter &em, Math &, const Local &out, Inputs in,
                        Inputs t) mutable {
    CompareMode mode = op.getMode();
    if (mode != CompareMode::And && mode != CompareMode::Xor)
      return relate(em, mode, out, in[0], in[1], t[0]);
    Local right = t[1].as(out.dtype);
    emitTruth(em, out, in[0], t[0]);
    emitTruth(em, right, in[1], t[0]);
    if (mode == CompareMode::And)
      em.ar(ArOp::Mul, out, out, right);
    else
      em.select(CmpOp::SelEq, out, out, right, numberOf(0, out.dtype),
                numberOf(1, out.dtype));
  };
  return problem;
}

template <> MapProblem mapOf(tpu::CompareConstOp op) {
  MapProblem problem(op, 1);
  CompareMode mode = op.getMode();
  if (op.getInversed())
    mode = exchanged(mode);
  problem.compute = [=](Emitter &em, Math &, const Local &out, Inputs in,
                        Inputs t) mutable {
    Operand zero = numberOf(0, in[0].dtype);
    if (mode == CompareMode::Not)
      return em.select(CmpOp::SelEq, out, truthOf(em, in[0], t[0]), zero,
                       numberOf(1, out.dtype), numberOf(0, out.dtype));
    relate(em, mode, out, in[0], numberOf(op.getConstVal(), in[0].dtype), t[0]);
  };
  return problem;
}

template <> MapProblem mapOf(tpu::WhereOp op) {
  MapProblem problem(op, 1);
  problem.whole = true;
  problem.compute = [=](Emitter &em, Math &, const Local &out, Inputs in,
                        Inputs t) mutable {
    size_t next = 1;
    auto branch = [&](Value value, double number) -> Operand {
      return top::isNone(value) ? numberOf(number, out.dtype)
                                : Operand(in[next++]);
    };
    Operand yes = branch(op.getTbrn(), op.getXConstVal());
    Operand no = branch(op.getFbrn(), op.getYConstVal());
    em.select(CmpOp::SelEq, out, truthOf(em, in[0], t[0]),
              numberOf(0, in[0].dtype), no, yes);
  };
  return problem;
}

template <> MapProblem mapOf(tpu::BitwiseOp op) {
  MapProblem problem(op, 2);
  problem.whole = true;
  problem.compute = [=](Emitter &em, Math &, const Local &out, Inputs in,
                        Inputs t) mutable {
    Operand other = in.size() == 2
                        ? Operand(in[1])
                        : Operand::integer(int32_t(op.getConstVal()));
    bool isLeft = false, isLogical = true;
    switch (op.getMode()) {
    case BitwiseMode::And:
      return em.ar(ArOp::And, out, in[0], other);
    case BitwiseMode::Or:
      return em.ar(ArOp::Or, out, in[0], other);
    case BitwiseMode::Xor:
      return em.ar(ArOp::Xor, out, in[0], other);
    case BitwiseMode::ShiftLeft:
      isLeft = true;
      break;
    case BitwiseMode::ShiftRight:
      break;
    case BitwiseMode::ShiftRightSigned:
      isLogical = false;
      break;
    }
    // Amounts of 32 and more, also negative ones, shift everything out; AR
    // takes them modulo 32.
    if (other.isConst && other.number >= 0 && other.number < 32)
      return em.shift(
          out, in[0],
          Operand::integer(int32_t(isLeft ? other.number : -other.number)),
          isLogical);
    Local amount = t[0].as(DType::I32), result = t[1].as(DType::I32);
    em.copyLocal(amount, other);
    em.ar(ArOp::And, result, amount, Operand::integer(31));
    if (!isLeft)
      em.ar(ArOp::Sub, result, Operand::integer(0), result);
    em.shift(result, in[0], result, isLogical);
    Local gone = out;
    if (isLogical)
      em.copyLocal(gone, Operand::integer(0));
    else
      em.shift(gone, in[0], Operand::integer(-31), false);
    em.select(CmpOp::SelGt, out, amount.withSign(false), Operand::integer(31),
              gone, result);
  };
  return problem;
}

} // namespace tpumlir::codegen
