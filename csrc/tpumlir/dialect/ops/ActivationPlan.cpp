#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/kernels/Layout.h"

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
PLAN_UNARY(ArccoshOp, Acosh)
PLAN_UNARY(ArcsinOp, Asin)
PLAN_UNARY(ArcsinhOp, Asinh)
PLAN_UNARY(ArctanOp, Atan)
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
                  plan.elementwise(EltOp::PRelu,
                                   {plan.of(getInput()), plan.of(getSlope())}));
}

LogicalResult top::SigmoidOp::plan(PlanBuilder &plan) {
  EltProgram program =
      EltProgram::of(getLog() ? EltOp::LogSigmoid : EltOp::Sigmoid);
  if (getScale() != 1.0)
    program.then(EltOp::MulConst, float(getScale()));
  if (getBias() != 0.0)
    program.then(EltOp::AddConst, float(getBias()));
  return plan.set(getOutput(),
                  plan.elementwise(std::move(program), plan.of(getInput())));
}

LogicalResult top::GELUOp::plan(PlanBuilder &plan) {
  switch (getApproxMode()) {
  case GELUMode::normal:
    return unary(*this, plan, EltOp::GeluErf);
  case GELUMode::tanh:
    return unary(*this, plan, EltOp::GeluTanh);
  case GELUMode::sigm: // x * sigmoid(1.702 x)
    return unary(*this, plan, EltOp::Swish, 1.702);
  }
  llvm_unreachable("every mode is listed");
}

/// Keeps the low bits of integers, with a sign or without.
static int wrap(PlanBuilder &plan, int in, int64_t bits, bool isSigned) {
  if (!isSigned)
    return plan.elementwise(EltOp::BitAnd,
                            {in, plan.number((1 << bits) - 1, DType::I32)});
  int distance = plan.number(32 - double(bits), DType::I32);
  int up = plan.elementwise(EltOp::ShiftLeft, {in, distance});
  return plan.elementwise(EltOp::ShiftRightSigned, {up, distance});
}

LogicalResult top::CastOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput());
  StringRef to = getTo();
  FailureOr<TensorDesc> want = describe(getOutput());
  if (failed(want))
    return failure();
  if (to == "INT32" && want->dtype == DType::F32) // the vendor's way
    return unary(*this, plan, EltOp::Trunc);
  if (to == "F16" || to == "BF16")
    return unary(*this, plan, to == "F16" ? EltOp::RoundF16 : EltOp::RoundBF16);
  int out =
      plan.add(std::make_unique<CastNode>(), in, plan.dims(in), want->dtype);
  if (auto stored = symbolizeStoredType(to))
    out = wrap(plan, out, bitsOf(*stored), isSigned(*stored));
  // The numbers that it is wrapped with have one axis, also beside a scalar.
  return plan.set(getOutput(), plan.reshape(out, plan.dims(in)));
}

//===----------------------------------------------------------------------===//
// Tpu
//===----------------------------------------------------------------------===//

LogicalResult tpu::ActiveOp::plan(PlanBuilder &plan) {
  SmallVector<double> coeffs = getCoeffs().value_or(SmallVector<double>());
  coeffs.resize(2, 0.0);
  EltOp kind = [&] {
    switch (getMode()) {
    case ActiveMode::TANH:
      return EltOp::Tanh;
    case ActiveMode::SIGMOID:
      return EltOp::Sigmoid;
    case ActiveMode::EXP:
      return EltOp::Exp;
    case ActiveMode::ELU:
      return EltOp::Elu;
    case ActiveMode::SQRT:
      return EltOp::Sqrt;
    case ActiveMode::SQUARE:
      return EltOp::Square;
    case ActiveMode::RSQRT:
      return EltOp::Rsqrt;
    case ActiveMode::ABSVAL:
      return EltOp::Abs;
    case ActiveMode::LN:
      return EltOp::Log;
    case ActiveMode::ROUND:
      return EltOp::RoundEven;
    case ActiveMode::CEIL:
      return EltOp::Ceil;
    case ActiveMode::FLOOR:
      return EltOp::Floor;
    case ActiveMode::MISH:
      return EltOp::Mish;
    case ActiveMode::SWISH:
      return EltOp::Swish;
    case ActiveMode::HSWISH:
      return EltOp::HardSwish;
    case ActiveMode::SILU:
      coeffs[0] = 1.0;
      return EltOp::Swish;
    case ActiveMode::SIGN:
      return EltOp::Sign;
    case ActiveMode::GELU:
      return EltOp::GeluErf;
    case ActiveMode::ERF:
      return EltOp::Erf;
    case ActiveMode::HSIGMOID:
      return EltOp::HardSigmoid;
    case ActiveMode::LOG_SIGMOID:
      return EltOp::LogSigmoid;
    case ActiveMode::SOFT_PLUS:
      return EltOp::Softplus;
    case ActiveMode::SOFT_SIGN:
      return EltOp::Softsign;
    case ActiveMode::SIN:
      return EltOp::Sin;
    case ActiveMode::COS:
      return EltOp::Cos;
    case ActiveMode::TAN:
      return EltOp::Tan;
    case ActiveMode::ARCSIN:
      return EltOp::Asin;
    case ActiveMode::ARCCOS:
      return EltOp::Acos;
    case ActiveMode::ARCTAN:
      return EltOp::Atan;
    case ActiveMode::SINH:
      return EltOp::Sinh;
    case ActiveMode::COSH:
      return EltOp::Cosh;
    case ActiveMode::ARCSINH:
      return EltOp::Asinh;
    case ActiveMode::ARCCOSH:
      return EltOp::Acosh;
    case ActiveMode::ARCTANH:
      return EltOp::Atanh;
    case ActiveMode::TGELU:
      return EltOp::GeluTanh;
    case ActiveMode::TO_F16:
      return EltOp::RoundF16;
    case ActiveMode::TO_BF16:
      return EltOp::RoundBF16;
    case ActiveMode::QGELU:
      coeffs[0] = 1.702;
      return EltOp::Swish;
    }
    llvm_unreachable("every mode is listed");
  }();
  return unary(*this, plan, kind, coeffs[0], coeffs[1]);
}

LogicalResult tpu::ReluOp::plan(PlanBuilder &plan) {
  return plan.set(getOutput(),
                  plan.relu(plan.of(getInput()), true, getReluLimit()));
}
LogicalResult tpu::LeakyReluOp::plan(PlanBuilder &plan) {
  return unary(*this, plan, EltOp::LeakyRelu, getAlpha());
}
LogicalResult tpu::ClipOp::plan(PlanBuilder &plan) {
  return unary(*this, plan, EltOp::Clip, getMin(), getMax());
}
LogicalResult tpu::PReluOp::plan(PlanBuilder &plan) {
  return plan.set(getOutput(),
                  plan.elementwise(EltOp::PRelu,
                                   {plan.of(getInput()), plan.of(getSlope())}));
}

} // namespace tpumlir
