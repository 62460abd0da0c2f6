#include "tpumlir/dialect/ops/QuantPlan.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

#include <cmath>

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

//===----------------------------------------------------------------------===//
// Several tensors
//===----------------------------------------------------------------------===//

/// Operands one after the other, each times its coefficient if there are any.
static int chain(PlanBuilder &plan, EltOp op, ValueRange operands,
                 ArrayRef<double> coeff = {}) {
  int result = -1;
  for (auto [i, operand] : llvm::enumerate(operands)) {
    int id = plan.of(operand);
    if (!coeff.empty() && coeff[i] != 1.0)
      id = plan.elementwise(EltOp::MulConst, id, coeff[i]);
    result = i == 0 ? id : plan.elementwise(op, {result, id});
  }
  return result;
}

template <typename Op>
static LogicalResult planChain(Op op, PlanBuilder &plan, EltOp kind) {
  return plan.set(op.getOutput(), chain(plan, kind, op.getInputs()));
}

template <typename Op>
static LogicalResult planFused(Op op, PlanBuilder &plan, int out) {
  return plan.set(op.getOutput(),
                  plan.relu(out, op.getDoRelu(), op.getReluLimit()));
}

/// First and second operand, or the other way.
template <typename Op>
static LogicalResult planOrdered(Op op, PlanBuilder &plan, EltOp kind,
                                 SmallVector<double> coeff = {}) {
  SmallVector<Value> inputs(op.getInputs());
  if (op.getIsReverse()) {
    std::reverse(inputs.begin(), inputs.end());
    std::reverse(coeff.begin(), coeff.end());
  }
  return planFused(op, plan, chain(plan, kind, inputs, coeff));
}

LogicalResult top::AddOp::plan(PlanBuilder &plan) {
  SmallVector<double> coeff = getCoeff().value_or(SmallVector<double>());
  return planFused(*this, plan, chain(plan, EltOp::Add, getInputs(), coeff));
}

LogicalResult top::SubOp::plan(PlanBuilder &plan) {
  SmallVector<double> coeff = getCoeff().value_or(SmallVector<double>());
  return planOrdered(*this, plan, EltOp::Sub, coeff);
}

LogicalResult top::MulOp::plan(PlanBuilder &plan) {
  return planFused(*this, plan, chain(plan, EltOp::Mul, getInputs()));
}

LogicalResult top::DivOp::plan(PlanBuilder &plan) {
  return planOrdered(*this, plan, EltOp::Div);
}

LogicalResult top::MaxOp::plan(PlanBuilder &plan) {
  return planChain(*this, plan, EltOp::Max);
}
LogicalResult top::MinOp::plan(PlanBuilder &plan) {
  return planChain(*this, plan, EltOp::Min);
}
LogicalResult top::ModOp::plan(PlanBuilder &plan) {
  return planChain(*this, plan, getFmod() ? EltOp::Fmod : EltOp::Mod);
}
LogicalResult top::Pow3Op::plan(PlanBuilder &plan) {
  return planChain(*this, plan, EltOp::Pow);
}
LogicalResult top::LogicalAndOp::plan(PlanBuilder &plan) {
  return planChain(*this, plan, EltOp::And);
}

//===----------------------------------------------------------------------===//
// With a number
//===----------------------------------------------------------------------===//

/// An operand and `const_val`, then the op's relu.
template <typename Op>
static LogicalResult planConst(Op op, PlanBuilder &plan, EltOp kind,
                               double sign = 1.0) {
  return planFused(
      op, plan,
      plan.elementwise(kind, plan.of(op.getInput()), sign * op.getConstVal()));
}

template <typename Op>
static LogicalResult planSubConst(Op op, PlanBuilder &plan) {
  return op.getIsReverse() ? planConst(op, plan, EltOp::RsubConst)
                           : planConst(op, plan, EltOp::AddConst, -1.0);
}

LogicalResult top::AddConstOp::plan(PlanBuilder &plan) {
  return planConst(*this, plan, EltOp::AddConst);
}
LogicalResult top::SubConstOp::plan(PlanBuilder &plan) {
  return planSubConst(*this, plan);
}
LogicalResult top::MulConstOp::plan(PlanBuilder &plan) {
  return planConst(*this, plan, EltOp::MulConst);
}
LogicalResult top::ReciprocalOp::plan(PlanBuilder &plan) {
  return planConst(*this, plan, EltOp::RdivConst);
}

LogicalResult top::DivConstOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput());
  return planFused(
      *this, plan,
      plan.elementwise(getIsReverse() ? EltOp::RdivConst : EltOp::DivConst, in,
                       getConstVal()));
}

LogicalResult top::MaxConstOp::plan(PlanBuilder &plan) {
  return plan.set(
      getOutput(),
      plan.elementwise(EltOp::MaxConst, plan.of(getInput()), getConstVal()));
}

LogicalResult top::MinConstOp::plan(PlanBuilder &plan) {
  return plan.set(
      getOutput(),
      plan.elementwise(EltOp::MinConst, plan.of(getInput()), getConstVal()));
}

LogicalResult top::Pow2Op::plan(PlanBuilder &plan) {
  return plan.set(
      getOutput(),
      plan.elementwise(EltOp::ConstPow, plan.of(getInput()), getConstVal()));
}

LogicalResult top::PowOp::plan(PlanBuilder &plan) {
  double exponent = getExponent();
  int in = plan.of(getInput());
  return plan.set(getOutput(),
                  exponent == 2.0
                      ? plan.elementwise(EltOp::Square, in)
                      : plan.elementwise(EltOp::PowConst, in, exponent));
}

//===----------------------------------------------------------------------===//
// Comparison and choice
//===----------------------------------------------------------------------===//

template <typename Op>
static LogicalResult planCompare(Op op, PlanBuilder &plan) {
  auto kind = [&] {
    switch (op.getMode()) {
    case top::CompareMode::Equal:
      return EltOp::Equal;
    case top::CompareMode::NotEqual:
      return EltOp::NotEqual;
    case top::CompareMode::Greater:
      return EltOp::Greater;
    case top::CompareMode::GreaterOrEqual:
      return EltOp::GreaterEqual;
    case top::CompareMode::Less:
      return EltOp::Less;
    case top::CompareMode::LessOrEqual:
      return EltOp::LessEqual;
    case top::CompareMode::And:
      return EltOp::And;
    case top::CompareMode::Xor:
      return EltOp::Xor;
    case top::CompareMode::Not:
      break;
    }
    llvm_unreachable("the verifier refuses Not of two operands");
  }();
  return plan.set(
      op.getOutput(),
      plan.elementwise(kind, {plan.of(op.getLhs()), plan.of(op.getRhs())}));
}

/// A relation to the number, or whether the input is 0. `inversed` has the
/// number on the left.
template <typename Op>
static LogicalResult planRelation(Op op, PlanBuilder &plan) {
  int in = plan.of(op.getInput());
  bool inversed = op.getInversed();
  EltOp kind = EltOp::EqualConst;
  switch (op.getMode()) {
  case top::CompareMode::Not:
    return plan.set(op.getOutput(), plan.elementwise(EltOp::IsZero, in));
  case top::CompareMode::Equal:
    kind = EltOp::EqualConst;
    break;
  case top::CompareMode::NotEqual:
    kind = EltOp::NotEqualConst;
    break;
  case top::CompareMode::Greater:
    kind = inversed ? EltOp::LessConst : EltOp::GreaterConst;
    break;
  case top::CompareMode::GreaterOrEqual:
    kind = inversed ? EltOp::LessEqualConst : EltOp::GreaterEqualConst;
    break;
  case top::CompareMode::Less:
    kind = inversed ? EltOp::GreaterConst : EltOp::LessConst;
    break;
  case top::CompareMode::LessOrEqual:
    kind = inversed ? EltOp::GreaterEqualConst : EltOp::LessEqualConst;
    break;
  case top::CompareMode::And:
  case top::CompareMode::Xor:
    llvm_unreachable("not a relation");
  }
  return plan.set(op.getOutput(), plan.elementwise(kind, in, op.getConstVal()));
}

template <typename Op>
static LogicalResult planWhere(Op op, PlanBuilder &plan) {
  FailureOr<TensorDesc> want = describe(op.getOutput());
  if (failed(want))
    return failure();
  auto branch = [&](Value value, double number) {
    return PlanBuilder::has(value) ? plan.of(value)
                                   : plan.number(number, want->dtype);
  };
  int yes = branch(op.getTbrn(), op.getXConstVal());
  int no = branch(op.getFbrn(), op.getYConstVal());
  return plan.set(
      op.getOutput(),
      plan.elementwise(EltOp::Select, {plan.of(op.getCond()), yes, no}));
}

static EltOp bitwiseOp(top::BitwiseMode mode) {
  switch (mode) {
  case top::BitwiseMode::And:
    return EltOp::BitAnd;
  case top::BitwiseMode::Or:
    return EltOp::BitOr;
  case top::BitwiseMode::Xor:
    return EltOp::BitXor;
  case top::BitwiseMode::ShiftLeft:
    return EltOp::ShiftLeft;
  case top::BitwiseMode::ShiftRight:
    return EltOp::ShiftRight;
  case top::BitwiseMode::ShiftRightSigned:
    return EltOp::ShiftRightSigned;
  }
  llvm_unreachable("every mode is listed");
}

LogicalResult top::BitwiseOp::plan(PlanBuilder &plan) {
  return planChain(*this, plan, bitwiseOp(getMode()));
}

LogicalResult top::CompareOp::plan(PlanBuilder &plan) {
  return planCompare(*this, plan);
}

LogicalResult top::CompareConstOp::plan(PlanBuilder &plan) {
  CompareMode mode = getMode();
  int in = plan.of(getInput());
  if (mode == CompareMode::And || mode == CompareMode::Xor) {
    // With the truth of the number known, one of four functions of the input.
    bool truth = getConstVal() != 0.0;
    int isZero = plan.elementwise(EltOp::IsZero, in);
    bool wantsZero = mode == CompareMode::Xor && truth;
    int out = wantsZero ? isZero : plan.elementwise(EltOp::IsZero, isZero);
    if (mode == CompareMode::And && !truth)
      out = plan.elementwise(EltOp::LessConst, isZero, 0.0); // never
    return plan.set(getOutput(), out);
  }
  return planRelation(*this, plan);
}

LogicalResult top::WhereOp::plan(PlanBuilder &plan) {
  return planWhere(*this, plan);
}

//===----------------------------------------------------------------------===//
// Tpu
//===----------------------------------------------------------------------===//

/// round(x), held in what an op's result stores.
template <typename Op>
static LogicalResult planStored(Op op, PlanBuilder &plan, int x) {
  Quantization type = *Quantization::of(op.getOutput());
  x = plan.elementwise(EltOp::RoundEven, x);
  if (type.zeroPoint != 0 && std::is_same_v<Op, tpu::AddOp>)
    x = plan.elementwise(EltOp::AddConst, x, double(type.zeroPoint));
  StoredRange range = heldBy(type, op.getDoRelu(), op.getReluLimit());
  return plan.set(op.getOutput(),
                  plan.elementwise(EltOp::Clip, x, double(range.least),
                                   double(range.greatest)));
}

/// The operands without their zero points, and their types.
template <typename Op>
static SmallVector<int> centredInputs(Op op, PlanBuilder &plan,
                                      SmallVectorImpl<Quantization> &types) {
  SmallVector<int> inputs;
  for (Value value : op.getInputs()) {
    types.push_back(*Quantization::of(value));
    inputs.push_back(centred(plan, plan.of(value), types.back()));
  }
  return inputs;
}

/// See RescaledSum: every step is a whole number that F32 holds.
static LogicalResult planQuantized(tpu::AddOp op, PlanBuilder &plan) {
  SmallVector<Quantization> types;
  SmallVector<int> inputs = centredInputs(op, plan, types);
  RescaledSum sum = *RescaledSum::of(types, *Quantization::of(op.getOutput()));
  for (auto [input, factor] : llvm::zip_equal(inputs, sum.factors))
    input = plan.elementwise(EltOp::MulConst, input, double(factor));
  int x = plan.elementwise(EltOp::Add, inputs);
  return planStored(
      op, plan,
      plan.elementwise(EltOp::MulConst, x, std::ldexp(1.0, -sum.shift)));
}

/// The product of integers, times a factor, plus the zero point.
static LogicalResult planQuantized(tpu::MulOp op, PlanBuilder &plan) {
  SmallVector<Quantization> types;
  SmallVector<int> inputs = centredInputs(op, plan, types);
  Quantization result = *Quantization::of(op.getOutput());
  int x = plan.elementwise(EltOp::Mul, inputs);
  x = plan.elementwise(
      EltOp::MulConst, x,
      productFactor({types[0].scale, types[1].scale}, result.scale));
  x = plan.elementwise(EltOp::AddConst, x, double(result.zeroPoint));
  return planStored(op, plan, x);
}

LogicalResult tpu::AddOp::plan(PlanBuilder &plan) {
  if (isQuantized(getOutput()))
    return planQuantized(*this, plan);
  return planFused(*this, plan, chain(plan, EltOp::Add, getInputs()));
}
LogicalResult tpu::SubOp::plan(PlanBuilder &plan) {
  return planOrdered(*this, plan, EltOp::Sub);
}
LogicalResult tpu::MulOp::plan(PlanBuilder &plan) {
  if (isQuantized(getOutput()))
    return planQuantized(*this, plan);
  return planFused(*this, plan, chain(plan, EltOp::Mul, getInputs()));
}
LogicalResult tpu::DivOp::plan(PlanBuilder &plan) {
  return planOrdered(*this, plan, EltOp::Div);
}
LogicalResult tpu::MaxOp::plan(PlanBuilder &plan) {
  return planFused(*this, plan, chain(plan, EltOp::Max, getInputs()));
}
LogicalResult tpu::MinOp::plan(PlanBuilder &plan) {
  return planFused(*this, plan, chain(plan, EltOp::Min, getInputs()));
}
LogicalResult tpu::AddConstOp::plan(PlanBuilder &plan) {
  return planConst(*this, plan, EltOp::AddConst);
}
LogicalResult tpu::SubConstOp::plan(PlanBuilder &plan) {
  return planSubConst(*this, plan);
}
LogicalResult tpu::MulConstOp::plan(PlanBuilder &plan) {
  return planConst(*this, plan, EltOp::MulConst);
}
LogicalResult tpu::MaxConstOp::plan(PlanBuilder &plan) {
  return planConst(*this, plan, EltOp::MaxConst);
}
LogicalResult tpu::MinConstOp::plan(PlanBuilder &plan) {
  return planConst(*this, plan, EltOp::MinConst);
}
LogicalResult tpu::ReciprocalOp::plan(PlanBuilder &plan) {
  return planConst(*this, plan, EltOp::RdivConst);
}
LogicalResult tpu::ModOp::plan(PlanBuilder &plan) {
  return planChain(*this, plan, getFmod() ? EltOp::Fmod : EltOp::Mod);
}
LogicalResult tpu::Pow3Op::plan(PlanBuilder &plan) {
  return planChain(*this, plan, EltOp::Pow);
}
LogicalResult tpu::CompareOp::plan(PlanBuilder &plan) {
  return planCompare(*this, plan);
}
LogicalResult tpu::CompareConstOp::plan(PlanBuilder &plan) {
  return planRelation(*this, plan);
}
LogicalResult tpu::WhereOp::plan(PlanBuilder &plan) {
  return planWhere(*this, plan);
}
LogicalResult tpu::BitwiseOp::plan(PlanBuilder &plan) {
  int rhs = PlanBuilder::has(getRhs())
                ? plan.of(getRhs())
                : plan.number(double(getConstVal()), DType::I32);
  return plan.set(getOutput(), plan.elementwise(bitwiseOp(getMode()),
                                                {plan.of(getLhs()), rhs}));
}

} // namespace tpumlir
