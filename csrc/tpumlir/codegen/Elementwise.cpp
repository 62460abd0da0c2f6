#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Map.h"
#include "tpumlir/codegen/Math.h"

#include "llvm/ADT/TypeSwitch.h"

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

LogicalResult emitSub(Emitter &em, tpu::SubOp op) {
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

LogicalResult emitDiv(Emitter &em, tpu::DivOp op) {
  Math math(em);
  MapProblem problem;
  problem.inputs.assign(op.getInputs().begin(), op.getInputs().end());
  if (op.getIsReverse())
    std::swap(problem.inputs[0], problem.inputs[1]);
  problem.output = op.getOutput();
  problem.scratch = 1;
  problem.compute = [&](const Local &out, Inputs in, Inputs scratch) {
    math.divide(out, in[0], in[1], scratch[0]);
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

LogicalResult emitReciprocal(Emitter &em, tpu::ReciprocalOp op) {
  Math math(em);
  MapProblem problem;
  problem.inputs = {op.getInput()};
  problem.output = op.getOutput();
  problem.scratch = 1;
  problem.compute = [&](const Local &out, Inputs in, Inputs scratch) {
    math.divide(out, float(op.getConstVal()), in[0], scratch[0]);
    emitRelu(em, out, op.getDoRelu(), op.getReluLimit());
  };
  return emitMap(em, op, problem);
}

LogicalResult emitScale(Emitter &em, tpu::ScaleOp op) {
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

LogicalResult emitPRelu(Emitter &em, tpu::PReluOp op) {
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

} // namespace

LogicalResult emitElementwise(Emitter &em, Operation *op) {
  auto withConst = [&](auto op, ArOp what) {
    return emitUnary(em, op, [&](const Local &out, const Local &in) {
      em.ar(what, out, float(op.getConstVal()), in);
    });
  };
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](tpu::AddOp op) { return emitChain(em, op, ArOp::Add); })
      .Case([&](tpu::MulOp op) { return emitChain(em, op, ArOp::Mul); })
      .Case([&](tpu::MaxOp op) { return emitChain(em, op, ArOp::Max); })
      .Case([&](tpu::MinOp op) { return emitChain(em, op, ArOp::Min); })
      .Case([&](tpu::SubOp op) { return emitSub(em, op); })
      .Case([&](tpu::DivOp op) { return emitDiv(em, op); })
      .Case([&](tpu::AddConstOp op) { return withConst(op, ArOp::Add); })
      .Case([&](tpu::MulConstOp op) { return withConst(op, ArOp::Mul); })
      .Case([&](tpu::MaxConstOp op) {
        return emitUnary(em, op, [&](const Local &out, const Local &in) {
          atLeast(em, out, in, float(op.getConstVal()));
        });
      })
      .Case([&](tpu::MinConstOp op) {
        return emitUnary(em, op, [&](const Local &out, const Local &in) {
          atMost(em, out, in, float(op.getConstVal()));
        });
      })
      .Case([&](tpu::SubConstOp op) {
        return emitUnary(em, op, [&](const Local &out, const Local &in) {
          float number = float(op.getConstVal());
          if (op.getIsReverse())
            em.ar(ArOp::Sub, out, number, in);
          else
            em.ar(ArOp::Sub, out, in, number);
        });
      })
      .Case([&](tpu::ReciprocalOp op) { return emitReciprocal(em, op); })
      .Case([&](tpu::ScaleOp op) { return emitScale(em, op); })
      .Case([&](tpu::PReluOp op) { return emitPRelu(em, op); })
      .Case([&](tpu::ReluOp op) {
        return emitUnary(em, op, [&](const Local &out, const Local &in) {
          atLeast(em, out, in, 0);
          if (op.getReluLimit() >= 0)
            atMost(em, out, out, float(op.getReluLimit()));
        });
      })
      .Case([&](tpu::LeakyReluOp op) {
        // x and alpha x cross at 0: the greater one is right for alpha <= 1.
        return emitUnary(em, op, [&](const Local &out, const Local &in) {
          em.ar(ArOp::Mul, out, in, float(op.getAlpha()));
          em.ar(op.getAlpha() <= 1 ? ArOp::Max : ArOp::Min, out, out, in);
        });
      })
      .Case([&](tpu::ClipOp op) {
        Math math(em);
        return emitUnary(em, op, [&](const Local &out, const Local &in) {
          math.clamp(out, in, float(op.getMin()), float(op.getMax()));
        });
      })
      .Default([](Operation *op) -> LogicalResult {
        return op->emitError("expected an op with code generation, got ")
               << op->getName();
      });
}

LogicalResult emitActive(Emitter &em, tpu::ActiveOp op) {
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
