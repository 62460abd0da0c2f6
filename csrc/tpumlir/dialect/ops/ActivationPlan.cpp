#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/kernels/Layout.h"

#include <algorithm>

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

template <typename Op>
static LogicalResult unary(Op op, PlanBuilder &plan, EltOp kind, double p = 0.0,
                           double q = 0.0) {
  return plan.set(op->getResult(0),
                  plan.elementwise(kind, plan.of(op->getOperand(0)), p, q));
}

/// Whether the kernel of each op that names one is there.
template <typename... Ops> static consteval bool kernelsAreThere() {
  auto isThere = []<typename Op>(Op *) {
    if constexpr (requires { Op::kKernel; })
      return findEltOp(Op::kKernel).has_value();
    else
      return true;
  };
  return (isThere(static_cast<Ops *>(nullptr)) && ...);
}
static_assert(kernelsAreThere<
#define GET_OP_LIST
#include "tpumlir/dialect/top/TopOpList.inc"
                  >(),
              "top/Activation.td names a kernel that kernels/Elementwise.h "
              "does not have");

LogicalResult detail::planKernel(PlanBuilder &plan, Operation *op,
                                 std::string_view kernel,
                                 ArrayRef<double> numbers) {
  return unary(op, plan, *findEltOp(kernel), numbers.empty() ? 0.0 : numbers[0],
               numbers.size() < 2 ? 0.0 : numbers[1]);
}

LogicalResult top::SiLUOp::plan(PlanBuilder &plan) {
  return unary(*this, plan, EltOp::Swish, 1.0);
}
LogicalResult top::LeakyReluOp::plan(PlanBuilder &plan) {
  return unary(*this, plan, EltOp::LeakyRelu, getAlpha());
}
LogicalResult top::ClipOp::plan(PlanBuilder &plan) {
  return unary(*this, plan, EltOp::Clip, getMin(), getMax());
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
  int out = plan.cast(in, want->dtype);
  if (auto stored = symbolizeStoredType(to))
    out = wrap(plan, out, bitsOf(*stored), isSigned(*stored));
  // The numbers that it is wrapped with have one axis, also beside a scalar.
  return plan.set(getOutput(), plan.reshape(out, plan.dims(in)));
}

//===----------------------------------------------------------------------===//
// Tpu
//===----------------------------------------------------------------------===//

static_assert(
    std::ranges::all_of(tpu::ActiveOp::kFunctions,
                        [](const tpu::ActiveOp::Function &function) {
                          return findEltOp(function.kernel).has_value();
                        }),
    "tpu/Activation.td names a kernel that kernels/Elementwise.h "
    "does not have");

LogicalResult tpu::ActiveOp::plan(PlanBuilder &plan) {
  SmallVector<double> numbers{function().number};
  if (function().coeffs)
    numbers = *getCoeffs();
  return tpumlir::detail::planKernel(plan, *this, function().kernel, numbers);
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
