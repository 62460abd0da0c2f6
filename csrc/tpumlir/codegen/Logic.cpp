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

/// y = 1 where `x mode b`, else 0, for integers.
void relateIntegers(Emitter &em, CompareMode mode, const Local &y,
                    const Local &x, const Operand &b) {
  Operand one = numberOf(1, y.dtype), zero = numberOf(0, y.dtype);
  switch (mode) {
  case CompareMode::Greater:
    return em.select(CmpOp::SelGt, y, x, b, one, zero);
  case CompareMode::LessOrEqual:
    return em.select(CmpOp::SelGt, y, x, b, zero, one);
  case CompareMode::Less:
    return em.select(CmpOp::SelLt, y, x, b, one, zero);
  case CompareMode::GreaterOrEqual:
    return em.select(CmpOp::SelLt, y, x, b, zero, one);
  case CompareMode::Equal:
    return em.select(CmpOp::SelEq, y, x, b, one, zero);
  case CompareMode::NotEqual:
    return em.select(CmpOp::SelEq, y, x, b, zero, one);
  case CompareMode::And:
  case CompareMode::Not:
  case CompareMode::Xor:
    break;
  }
  llvm_unreachable("no relation");
}

/// The same for F32, false with NaN, but for NotEqual. CMP (docs/numerics.md,
/// N7) has "less" true with NaN unless the bits are equal, and "equal" takes 0
/// and -0 for different: hence equal is what is neither less nor greater.
void relateFloats(Emitter &em, CompareMode mode, const Local &y, const Local &x,
                  const Operand &b, const Local &t) {
  bool differs = mode == CompareMode::NotEqual;
  if (b.isConst && std::isnan(b.number))
    return em.copyLocal(y, differs ? 1.0f : 0.0f);
  if (mode == CompareMode::Greater)
    return em.select(CmpOp::SelGt, y, x, b, 1.0f, 0.0f);
  // With two tensors each of the others is a matter of the first one's NaN
  // alone, less and less or equal after an exchange.
  if (!b.isConst && mode == CompareMode::Less)
    return relateFloats(em, CompareMode::Greater, y, b.local, x, t);
  if (!b.isConst && mode == CompareMode::LessOrEqual)
    return relateFloats(em, CompareMode::GreaterOrEqual, y, b.local, x, t);
  if (mode == CompareMode::Less) {
    em.select(CmpOp::SelLt, y, x, b, 1.0f, 0.0f);
  } else if (mode == CompareMode::LessOrEqual) {
    em.select(CmpOp::SelGt, y, x, b, 0.0f, 1.0f);
  } else if (mode == CompareMode::GreaterOrEqual) {
    em.select(CmpOp::SelLt, y, x, b, 0.0f, 1.0f);
  } else {
    float found = differs ? 1.0f : 0.0f;
    em.select(CmpOp::SelLt, y, x, b, found, 1.0f - found);
    em.select(CmpOp::SelGt, y, x, b, found, y);
  }
  whereNaN(em, y, x, differs ? 1.0f : 0.0f, t);
}

void relate(Emitter &em, CompareMode mode, const Local &y, const Local &x,
            const Operand &b, const Local &t) {
  if (x.dtype == DType::I32)
    relateIntegers(em, mode, y, x, b);
  else
    relateFloats(em, mode, y, x, b, t);
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
  case CompareMode::Equal:
  case CompareMode::NotEqual:
  case CompareMode::And:
  case CompareMode::Not:
  case CompareMode::Xor:
    return mode;
  }
  llvm_unreachable("every mode is listed");
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
  MapProblem problem;
  problem.inputs = {op.getLhs(), op.getRhs()};
  problem.output = op.getOutput();
  problem.scratch = 2;
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
  problem.whole = true;
  return problem;
}

template <> MapProblem mapOf(tpu::CompareConstOp op) {
  MapProblem problem;
  problem.inputs = {op.getInput()};
  problem.output = op.getOutput();
  problem.scratch = 1;
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
  MapProblem problem;
  problem.inputs = {op.getCond()};
  for (Value branch : {op.getTbrn(), op.getFbrn()})
    if (!top::isNone(branch))
      problem.inputs.push_back(branch);
  problem.output = op.getOutput();
  problem.scratch = 1;
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
  problem.whole = true;
  return problem;
}

template <> MapProblem mapOf(tpu::BitwiseOp op) {
  MapProblem problem;
  problem.inputs = {op.getLhs()};
  if (!top::isNone(op.getRhs()))
    problem.inputs.push_back(op.getRhs());
  problem.output = op.getOutput();
  problem.scratch = 2;
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
  problem.whole = true;
  return problem;
}

} // namespace tpumlir::codegen
