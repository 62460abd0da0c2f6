#include "tpumlir/dialect/Plan.h"
#include "tpumlir/dialect/top/TopDialect.h"

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

template <typename Op>
static LogicalResult unary(Op op, PlanBuilder &plan, EltOp kind, double p = 0.0,
                           double q = 0.0) {
  return plan.set(op->getResult(0),
                  plan.elementwise(kind, plan.of(op->getOperand(0)), p, q));
}

#define PLAN_UNARY(Op, kind)                                                   \
  LogicalResult top::Op::plan(PlanBuilder &plan) {                             \
    return unary(*this, plan, EltOp::kind);                                    \
  }
PLAN_UNARY(AbsOp, Abs)
PLAN_UNARY(ArccosOp, Acos)
PLAN_UNARY(ArctanhOp, Atanh)
PLAN_UNARY(CeilOp, Ceil)
PLAN_UNARY(CosOp, Cos)
PLAN_UNARY(CoshOp, Cosh)
PLAN_UNARY(ErfOp, Erf)
PLAN_UNARY(ExpOp, Exp)
PLAN_UNARY(FloorOp, Floor)
PLAN_UNARY(HardSwishOp, HardSwish)
PLAN_UNARY(LogOp, Log)
PLAN_UNARY(MishOp, Mish)
PLAN_UNARY(RoundOp, RoundEven)
PLAN_UNARY(RsqrtOp, Rsqrt)
PLAN_UNARY(SignOp, Sign)
PLAN_UNARY(SinOp, Sin)
PLAN_UNARY(SinhOp, Sinh)
PLAN_UNARY(SoftplusOp, Softplus)
PLAN_UNARY(SoftsignOp, Softsign)
PLAN_UNARY(SqrtOp, Sqrt)
PLAN_UNARY(TanOp, Tan)
PLAN_UNARY(TanhOp, Tanh)
#undef PLAN_UNARY

LogicalResult top::SiLUOp::plan(PlanBuilder &plan) {
  return unary(*this, plan, EltOp::Swish, 1.0);
}
LogicalResult top::SwishOp::plan(PlanBuilder &plan) {
  return unary(*this, plan, EltOp::Swish, getBeta());
}
LogicalResult top::EluOp::plan(PlanBuilder &plan) {
  return unary(*this, plan, EltOp::Elu, getAlpha());
}
LogicalResult top::LeakyReluOp::plan(PlanBuilder &plan) {
  return unary(*this, plan, EltOp::LeakyRelu, getAlpha());
}
LogicalResult top::ClipOp::plan(PlanBuilder &plan) {
  return unary(*this, plan, EltOp::Clip, getMin(), getMax());
}
LogicalResult top::HardSigmoidOp::plan(PlanBuilder &plan) {
  return unary(*this, plan, EltOp::HardSigmoid, getAlpha(), getBeta());
}

LogicalResult top::ReluOp::plan(PlanBuilder &plan) {
  return plan.set(getOutput(),
                  plan.relu(plan.of(getInput()), true, getReluLimit()));
}

LogicalResult top::PReluOp::plan(PlanBuilder &plan) {
  return plan.set(getOutput(),
                  plan.elementwise(EltOp::PRelu, {plan.of(getInput()),
                                                  plan.of(getSlope())}));
}

LogicalResult top::SigmoidOp::plan(PlanBuilder &plan) {
  EltProgram program =
      EltProgram::of(getLog() ? EltOp::LogSigmoid : EltOp::Sigmoid);
  if (getScale() != 1.0)
    program.then(EltOp::MulConst, float(getScale()));
  if (getBias() != 0.0)
    program.then(EltOp::AddConst, float(getBias()));
  return plan.set(getOutput(), plan.elementwise(std::move(program),
                                                plan.of(getInput())));
}

LogicalResult top::GELUOp::plan(PlanBuilder &plan) {
  StringRef mode = getApproxMode();
  if (mode == "sigm") // x * sigmoid(1.702 x)
    return unary(*this, plan, EltOp::Swish, 1.702);
  return unary(*this, plan,
               mode == "tanh" ? EltOp::GeluTanh : EltOp::GeluErf);
}

LogicalResult top::CastOp::plan(PlanBuilder &plan) {
  return unary(*this, plan, getTo() == "INT32" ? EltOp::Trunc : EltOp::Copy);
}

} // namespace tpumlir
