#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Integers.h"
#include "tpumlir/codegen/Map.h"
#include "tpumlir/codegen/Math.h"

using namespace mlir;

namespace tpumlir::codegen {

namespace {

using Inputs = ArrayRef<Local>;
using isa::ArOp;

/// (((a op b) op c) op ...), then the fused Relu.
template <typename OpTy>
LogicalResult emitChain(Emitter &em, OpTy op, ArOp what) {
  MapProblem problem;
  problem.inputs.assign(op.getInputs().begin(), op.getInputs().end());
  problem.output = op.getOutput();
  problem.compute = [&](const Local &out, Inputs in, Inputs) {
    em.ar(what, out, in[0], in[1]);
    for (const Local &next : in.drop_front(2))
      em.ar(what, out, out, next);
    emitRelu(em, out, op.getDoRelu(), op.getReluLimit());
  };
  return emitMap(em, op, problem);
}

/// Greatest or least operand; NaN if one is. The chip's max returns the second
/// operand if one is not a number, its min the first: only the other one has to
/// be looked at.
template <typename OpTy>
LogicalResult emitExtreme(Emitter &em, OpTy op, ArOp what) {
  MapProblem problem;
  problem.inputs.assign(op.getInputs().begin(), op.getInputs().end());
  problem.output = op.getOutput();
  problem.scratch = 1;
  problem.compute = [&](const Local &out, Inputs in, Inputs scratch) {
    const Local &t = scratch[0];
    Local best = in[0];
    for (const Local &next : in.drop_front()) {
      if (what == ArOp::Max)
        em.ar(what, out, next, best);
      else
        em.ar(what, out, best, next);
      if (out.dtype == isa::DType::F32) {
        em.abs(t, next);
        em.select(isa::CmpOp::SelGt, out, t.as(isa::DType::I32),
                  Operand::integer(kInfinityBits), t, out);
      }
      best = out;
    }
    emitRelu(em, out, op.getDoRelu(), op.getReluLimit());
  };
  return emitMap(em, op, problem);
}

/// One input; `compute(out, in)` without scratch.
template <typename OpTy, typename Compute>
LogicalResult emitUnary(Emitter &em, OpTy op, Compute compute) {
  MapProblem problem;
  problem.inputs = {op.getInput()};
  problem.output = op.getOutput();
  problem.compute = [&](const Local &out, Inputs in, Inputs) {
    compute(out, in[0]);
    if constexpr (requires { op.getDoRelu(); })
      emitRelu(em, out, op.getDoRelu(), op.getReluLimit());
  };
  return emitMap(em, op, problem);
}

} // namespace

template <> LogicalResult emit(Emitter &em, tpu::AddOp op) {
  return emitChain(em, op, ArOp::Add);
}
template <> LogicalResult emit(Emitter &em, tpu::MulOp op) {
  return emitChain(em, op, ArOp::Mul);
}
template <> LogicalResult emit(Emitter &em, tpu::MaxOp op) {
  return emitExtreme(em, op, ArOp::Max);
}
template <> LogicalResult emit(Emitter &em, tpu::MinOp op) {
  return emitExtreme(em, op, ArOp::Min);
}

template <> LogicalResult emit(Emitter &em, tpu::SubOp op) {
  MapProblem problem;
  problem.inputs.assign(op.getInputs().begin(), op.getInputs().end());
  if (op.getIsReverse())
    std::swap(problem.inputs[0], problem.inputs[1]);
  problem.output = op.getOutput();
  problem.compute = [&](const Local &out, Inputs in, Inputs) {
    em.ar(ArOp::Sub, out, in[0], in[1]);
    emitRelu(em, out, op.getDoRelu(), op.getReluLimit());
  };
  return emitMap(em, op, problem);
}

template <> LogicalResult emit(Emitter &em, tpu::DivOp op) {
  Math math(em);
  MapProblem problem;
  problem.inputs.assign(op.getInputs().begin(), op.getInputs().end());
  if (op.getIsReverse())
    std::swap(problem.inputs[0], problem.inputs[1]);
  problem.output = op.getOutput();
  bool isInteger = dtypeOf(op.getOutput()) == isa::DType::I32;
  problem.scratch = isInteger ? 6 : 2;
  problem.compute = [&](const Local &out, Inputs in, Inputs t) {
    if (isInteger)
      emitDivide(em, out, t[0].as(isa::DType::I32), in[0], in[1],
                 t.drop_front());
    else
      math.divide(out, in[0], in[1], t[0], t[1]);
    emitRelu(em, out, op.getDoRelu(), op.getReluLimit());
  };
  return isInteger ? emitWholeMap(em, op, problem) : emitMap(em, op, problem);
}

template <> LogicalResult emit(Emitter &em, tpu::ModOp op) {
  Math math(em);
  MapProblem problem;
  problem.inputs.assign(op.getInputs().begin(), op.getInputs().end());
  problem.output = op.getOutput();
  problem.scratch = 7;
  problem.compute = [&](const Local &out, Inputs in, Inputs t) {
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
  return emitWholeMap(em, op, problem);
}

template <> LogicalResult emit(Emitter &em, tpu::Pow3Op op) {
  Math math(em);
  MapProblem problem;
  problem.inputs.assign(op.getInputs().begin(), op.getInputs().end());
  problem.output = op.getOutput();
  problem.scratch = 6;
  if (dtypeOf(op.getOutput()) != isa::DType::I32)
    math.prepare(problem.memory, {Table::Exp, Table::Atanh});
  problem.compute = [&](const Local &out, Inputs in, Inputs t) {
    if (out.dtype == isa::DType::I32)
      emitPower(em, out, in[0], in[1], t);
    else
      math.pow(out, in[0], in[1], t);
  };
  return emitWholeMap(em, op, problem);
}

template <> LogicalResult emit(Emitter &em, tpu::ReciprocalOp op) {
  Math math(em);
  MapProblem problem;
  problem.inputs = {op.getInput()};
  problem.output = op.getOutput();
  problem.scratch = 2;
  problem.compute = [&](const Local &out, Inputs in, Inputs t) {
    math.divide(out, float(op.getConstVal()), in[0], t[0], t[1]);
    emitRelu(em, out, op.getDoRelu(), op.getReluLimit());
  };
  return emitMap(em, op, problem);
}

template <> LogicalResult emit(Emitter &em, tpu::ScaleOp op) {
  MapProblem problem;
  problem.inputs = {op.getInput(), op.getScale(), op.getBias()};
  problem.output = op.getOutput();
  problem.perChannel = {1, 2};
  problem.compute = [&](const Local &out, Inputs in, Inputs) {
    em.ar(ArOp::Mul, out, in[0], in[1]);
    em.ar(ArOp::Add, out, out, in[2]);
    emitRelu(em, out, op.getDoRelu(), op.getReluLimit());
  };
  return emitMap(em, op, problem);
}

template <> LogicalResult emit(Emitter &em, tpu::PReluOp op) {
  MapProblem problem;
  problem.inputs = {op.getInput(), op.getSlope()};
  problem.output = op.getOutput();
  problem.scratch = 1;
  // max(0, x) + slope * min(0, x): one of the terms is 0, so the sum is exact.
  problem.compute = [&](const Local &out, Inputs in, Inputs scratch) {
    atMost(em, scratch[0], in[0], 0);
    em.ar(ArOp::Mul, scratch[0], scratch[0], in[1]);
    atLeast(em, out, in[0], 0);
    em.ar(ArOp::Add, out, out, scratch[0]);
  };
  return emitMap(em, op, problem);
}

//===----------------------------------------------------------------------===//
// One operand
//===----------------------------------------------------------------------===//

template <> LogicalResult emit(Emitter &em, tpu::AddConstOp op) {
  return emitUnary(em, op, [&](const Local &out, const Local &in) {
    em.ar(ArOp::Add, out, numberOf(op.getConstVal(), out.dtype), in);
  });
}

template <> LogicalResult emit(Emitter &em, tpu::MulConstOp op) {
  return emitUnary(em, op, [&](const Local &out, const Local &in) {
    em.ar(ArOp::Mul, out, numberOf(op.getConstVal(), out.dtype), in);
  });
}

template <> LogicalResult emit(Emitter &em, tpu::MaxConstOp op) {
  return emitUnary(em, op, [&](const Local &out, const Local &in) {
    em.ar(ArOp::Max, out, numberOf(op.getConstVal(), out.dtype), in);
  });
}

template <> LogicalResult emit(Emitter &em, tpu::MinConstOp op) {
  return emitUnary(em, op, [&](const Local &out, const Local &in) {
    em.ar(ArOp::Min, out, in, numberOf(op.getConstVal(), out.dtype));
  });
}

template <> LogicalResult emit(Emitter &em, tpu::SubConstOp op) {
  return emitUnary(em, op, [&](const Local &out, const Local &in) {
    Operand number = numberOf(op.getConstVal(), out.dtype);
    if (op.getIsReverse())
      em.ar(ArOp::Sub, out, number, in);
    else
      em.ar(ArOp::Sub, out, in, number);
  });
}

template <> LogicalResult emit(Emitter &em, tpu::ReluOp op) {
  return emitUnary(em, op, [&](const Local &out, const Local &in) {
    atLeast(em, out, in, 0);
    if (op.getReluLimit() >= 0)
      atMost(em, out, out, float(op.getReluLimit()));
  });
}

template <> LogicalResult emit(Emitter &em, tpu::LeakyReluOp op) {
  // x and alpha x cross at 0: the greater one is right for alpha <= 1.
  return emitUnary(em, op, [&](const Local &out, const Local &in) {
    em.ar(ArOp::Mul, out, in, float(op.getAlpha()));
    em.ar(op.getAlpha() <= 1 ? ArOp::Max : ArOp::Min, out, out, in);
  });
}

template <> LogicalResult emit(Emitter &em, tpu::ClipOp op) {
  Math math(em);
  return emitUnary(em, op, [&](const Local &out, const Local &in) {
    math.clamp(out, in, float(op.getMin()), float(op.getMax()));
  });
}

template <> LogicalResult emit(Emitter &em, tpu::ActiveOp op) {
  Math math(em);
  ActiveNeeds needs = needsOf(op.getMode());
  MapProblem problem;
  math.prepare(problem.memory, needs.tables);
  problem.inputs = {op.getInput()};
  problem.output = op.getOutput();
  problem.scratch = needs.scratch;
  SmallVector<double> coeffs;
  if (auto given = op.getCoeffs())
    coeffs = *given;
  problem.compute = [&](const Local &out, Inputs in, Inputs scratch) {
    emitActive(em, math, op.getMode(), coeffs, out, in[0], scratch);
  };
  return emitMap(em, op, problem);
}

} // namespace tpumlir::codegen
