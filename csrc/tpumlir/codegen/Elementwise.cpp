#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Halves.h"
#include "tpumlir/codegen/Integers.h"
#include "tpumlir/codegen/Map.h"
#include "tpumlir/codegen/Math.h"
#include "tpumlir/codegen/Quantized.h"

using namespace mlir;

namespace tpumlir::codegen {

namespace {

using Inputs = ArrayRef<Local>;
using isa::ArOp;

/// (((a op b) op c) op ...), then the fused Relu.
template <typename OpTy> MapProblem chain(OpTy op, ArOp what) {
  MapProblem problem(op);
  problem.strides = true;
  problem.native = problem.inputs.size() == 2 && mayBeNative(problem, op);
  problem.compute = [=](Emitter &em, Math &, const Local &out, Inputs in,
                        Inputs) {
    em.ar(what, out, in[0], in[1]);
    for (const Local &next : in.drop_front(2))
      em.ar(what, out, out, next);
  };
  return problem;
}

/// Greatest or least operand; NaN if one is. The chip's max returns the second
/// operand if one is not a number, its min the first: only the other one has to
/// be looked at.
template <typename OpTy> MapProblem extreme(OpTy op, ArOp what) {
  MapProblem problem(op, 1);
  problem.strides = true;
  problem.native = mayBeNative(problem, op);
  problem.compute = [=](Emitter &em, Math &, const Local &out, Inputs in,
                        Inputs scratch) {
    Local t = aligned(scratch[0].addr, scratch[0].size, out.dtype);
    Local best = in[0];
    for (const Local &next : in.drop_front()) {
      if (what == ArOp::Max)
        em.ar(what, out, next, best);
      else
        em.ar(what, out, best, next);
      if (isa::isFloat(out.dtype)) {
        em.abs(t, next);
        em.select(isa::CmpOp::SelGt, out, asBits(t),
                  Operand::integer(infinityBits(out.dtype)), t, out);
      }
      best = out;
    }
  };
  return problem;
}

/// One input; `compute(out, in)` without scratch, one operation.
template <typename OpTy, typename Compute>
MapProblem unary(OpTy op, Compute compute) {
  MapProblem problem(op);
  problem.strides = true;
  problem.native = mayBeNative(problem, op);
  problem.compute = [=](Emitter &em, Math &, const Local &out, Inputs in,
                        Inputs) mutable { compute(em, out, in[0]); };
  return problem;
}

/// An operation with a number as its first operand, or its second one.
template <typename OpTy>
MapProblem withNumber(OpTy op, ArOp what, bool isSecond = false) {
  return unary(op, [=](Emitter &em, const Local &out, const Local &in) mutable {
    const Operand number = numberOf(op.getConstVal(), out.dtype);
    if (isSecond)
      em.ar(what, out, in, number);
    else
      em.ar(what, out, number, in);
  });
}

} // namespace

template <> MapProblem mapOf(tpu::AddOp op) {
  return isQuantized(op.getOutput()) ? quantizedAdd(op) : chain(op, ArOp::Add);
}
template <> MapProblem mapOf(tpu::MulOp op) {
  return isQuantized(op.getOutput()) ? quantizedMul(op) : chain(op, ArOp::Mul);
}
template <> MapProblem mapOf(tpu::MaxOp op) { return extreme(op, ArOp::Max); }
template <> MapProblem mapOf(tpu::MinOp op) { return extreme(op, ArOp::Min); }

template <> MapProblem mapOf(tpu::SubOp op) {
  MapProblem problem = chain(op, ArOp::Sub);
  if (op.getIsReverse())
    std::swap(problem.inputs[0], problem.inputs[1]);
  return problem;
}

template <> MapProblem mapOf(tpu::DivOp op) {
  const isa::DType type = dtypeOf(op.getOutput());
  const bool isInteger = type == isa::DType::I32;
  MapProblem problem(op, isInteger ? 6 : 2);
  if (op.getIsReverse())
    std::swap(problem.inputs[0], problem.inputs[1]);
  problem.whole = isInteger;
  problem.compute = [=](Emitter &em, Math &math, const Local &out, Inputs in,
                        Inputs t) {
    if (isInteger)
      return emitDivide(em, out, t[0].as(isa::DType::I32), in[0], in[1],
                        t.drop_front());
    math.roundsTo(type);
    math.divide(out, in[0], in[1], t[0], t[1]);
    math.roundsTo(isa::DType::F32);
  };
  return problem;
}

template <> MapProblem mapOf(tpu::ModOp op) {
  MapProblem problem(op, 7);
  problem.whole = true;
  problem.compute = [=](Emitter &em, Math &math, const Local &out, Inputs in,
                        Inputs t) mutable {
    const Local &x = in[0], &y = in[1];
    if (out.dtype == isa::DType::I32)
      emitDivide(em, t[0].as(isa::DType::I32), out, x, y, t.drop_front());
    else
      math.fmod(out, x, y, t);
    if (op.getFmod())
      return;
    // With the sign of the divisor: a rest of the other sign is one divisor
    // too far.
    Local signs = t[0].as(isa::DType::I32), moved = t[1].as(out.dtype);
    em.ar(ArOp::Xor, signs, out.as(isa::DType::I32), y.as(isa::DType::I32));
    em.ar(ArOp::Add, moved, out, y);
    em.select(isa::CmpOp::SelLt, moved, signs, Operand::integer(0), moved, out);
    // -0 of a float is 0, too.
    Local size = t[2].as(out.dtype);
    em.abs(size, out);
    em.select(isa::CmpOp::SelEq, out, size, numberOf(0, out.dtype), out, moved);
  };
  return problem;
}

template <> MapProblem mapOf(tpu::Pow3Op op) {
  MapProblem problem(op, 6);
  problem.whole = true;
  if (dtypeOf(op.getOutput()) != isa::DType::I32)
    problem.tables = {Table::Exp, Table::Atanh};
  problem.compute = [=](Emitter &em, Math &math, const Local &out, Inputs in,
                        Inputs t) {
    if (out.dtype == isa::DType::I32)
      emitPower(em, out, in[0], in[1], t);
    else
      math.pow(out, in[0], in[1], t);
  };
  return problem;
}

template <> MapProblem mapOf(tpu::ReciprocalOp op) {
  MapProblem problem(op, 2);
  problem.compute = [=](Emitter &em, Math &math, const Local &out, Inputs in,
                        Inputs t) mutable {
    math.divide(out, float(op.getConstVal()), in[0], t[0], t[1]);
  };
  return problem;
}

template <> MapProblem mapOf(tpu::ScaleOp op) {
  MapProblem problem(op);
  problem.strides = true;
  problem.perChannel = {1, 2};
  problem.compute = [=](Emitter &em, Math &, const Local &out, Inputs in,
                        Inputs) {
    em.ar(ArOp::Mul, out, in[0], in[1]);
    em.ar(ArOp::Add, out, out, in[2]);
  };
  return problem;
}

template <> MapProblem mapOf(tpu::PReluOp op) {
  MapProblem problem(op, 1);
  problem.strides = true;
  // max(0, x) + slope * min(0, x): one of the terms is 0, so the sum is exact.
  problem.compute = [=](Emitter &em, Math &, const Local &out, Inputs in,
                        Inputs scratch) {
    atMost(em, scratch[0], in[0], 0);
    em.ar(ArOp::Mul, scratch[0], scratch[0], in[1]);
    atLeast(em, out, in[0], 0);
    em.ar(ArOp::Add, out, out, scratch[0]);
  };
  return problem;
}

//===----------------------------------------------------------------------===//
// One operand
//===----------------------------------------------------------------------===//

template <> MapProblem mapOf(tpu::AddConstOp op) {
  return withNumber(op, ArOp::Add);
}
template <> MapProblem mapOf(tpu::MulConstOp op) {
  return withNumber(op, ArOp::Mul);
}
template <> MapProblem mapOf(tpu::MaxConstOp op) {
  return withNumber(op, ArOp::Max);
}
/// The chip's min returns its first operand if one is not a number.
template <> MapProblem mapOf(tpu::MinConstOp op) {
  return withNumber(op, ArOp::Min, /*isSecond=*/true);
}
template <> MapProblem mapOf(tpu::SubConstOp op) {
  return withNumber(op, ArOp::Sub, /*isSecond=*/!op.getIsReverse());
}

template <> MapProblem mapOf(tpu::ReluOp op) {
  return unary(op, [=](Emitter &em, const Local &out, const Local &in) mutable {
    atLeast(em, out, in, 0);
    if (op.getReluLimit() >= 0)
      atMost(em, out, out, float(op.getReluLimit()));
  });
}

template <> MapProblem mapOf(tpu::LeakyReluOp op) {
  // x and alpha x cross at 0: the greater one is right for alpha <= 1. Rounding
  // alpha x to a half before that, not after, changes no order.
  return unary(op, [=](Emitter &em, const Local &out, const Local &in) mutable {
    em.ar(ArOp::Mul, out, in, float(op.getAlpha()));
    em.ar(op.getAlpha() <= 1 ? ArOp::Max : ArOp::Min, out, out, in);
  });
}

template <> MapProblem mapOf(tpu::ClipOp op) {
  return unary(op, [=](Emitter &em, const Local &out, const Local &in) mutable {
    atLeast(em, out, in, float(op.getMin()));
    atMost(em, out, out, float(op.getMax()));
  });
}

template <> MapProblem mapOf(tpu::ActiveOp op) {
  const ActiveNeeds needs = needsOf(op.getMode());
  MapProblem problem(op, needs.scratch);
  problem.tables.assign(needs.tables.begin(), needs.tables.end());
  SmallVector<double> coeffs;
  if (auto given = op.getCoeffs())
    coeffs = *given;
  problem.compute = [=](Emitter &em, Math &math, const Local &out, Inputs in,
                        Inputs scratch) mutable {
    if (needs.mayBeRough)
      math.roundsTo(dtypeOf(op.getOutput()));
    emitActive(em, math, op.getMode(), coeffs, out, in[0], scratch);
    math.roundsTo(isa::DType::F32);
  };
  return problem;
}

template <> MapProblem mapOf(tpu::CastOp op) {
  if (isQuantized(op.getInput()) || isQuantized(op.getOutput()))
    return quantizedCast(op);
  isa::DType from = dtypeOf(op.getInput()), to = dtypeOf(op.getOutput());
  bool halves = isa::isFloat(from) && isa::isFloat(to) &&
                from != isa::DType::F32 && to != isa::DType::F32;
  MapProblem problem(op);
  // The chip does not convert between the half types: that goes through F32.
  problem.native = !halves;
  problem.strides = true;
  problem.compute = [=](Emitter &em, Math &, const Local &out, Inputs in,
                        Inputs) {
    if (halves)
      return em.copyLocal(out, in[0]);
    bool drops = isa::isFloat(from) && !isa::isFloat(to);
    em.cast(out, in[0],
            drops ? support::Rounding::TowardZero
                  : support::Rounding::HalfToEven);
  };
  return problem;
}

} // namespace tpumlir::codegen
