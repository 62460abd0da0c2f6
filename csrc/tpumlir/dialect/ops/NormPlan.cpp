#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/kernels/Norm.h"
#include "tpumlir/kernels/Pool.h"

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

/// x * scale + bias, both per channel; bias may be -1.
static int scaleChannels(PlanBuilder &plan, int x, int scale, int bias) {
  int64_t rank = int64_t(plan.dims(x).size());
  int out = plan.elementwise(EltOp::Mul, {x, plan.perChannel(scale, rank)});
  if (bias >= 0)
    out = plan.elementwise(EltOp::Add, {out, plan.perChannel(bias, rank)});
  return out;
}

LogicalResult top::BatchNormOp::plan(PlanBuilder &plan) {
  // On vectors of one element per channel: constant ones are folded when the
  // plan is compiled, computed ones cost little.
  auto vector = [&](Value value) {
    int id = plan.of(value);
    return plan.reshape(id, {plan.desc(id).elements()});
  };
  EltProgram program = EltProgram::of(EltOp::AddConst, float(getEpsilon()));
  program.then(EltOp::Rsqrt);
  int scale = plan.elementwise(std::move(program), vector(getVariance()));
  if (PlanBuilder::has(getGamma()))
    scale = plan.elementwise(EltOp::Mul, {scale, vector(getGamma())});
  int shift = plan.elementwise(EltOp::Mul, {vector(getMean()), scale});
  shift = PlanBuilder::has(getBeta())
              ? plan.elementwise(EltOp::Sub, {vector(getBeta()), shift})
              : plan.elementwise(EltOp::Neg, shift);
  int out = scaleChannels(plan, plan.of(getInput()), scale, shift);
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
}

LogicalResult top::ScaleOp::plan(PlanBuilder &plan) {
  int bias = PlanBuilder::has(getBias()) ? plan.of(getBias()) : -1;
  int out = scaleChannels(plan, plan.of(getInput()), plan.of(getScale()), bias);
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
}

/// A norm with the affine operands that are there.
static LogicalResult planNorm(PlanBuilder &plan, Value input, Value weight,
                              Value bias, Value output, NormGeometry geometry) {
  int in = plan.of(input);
  SmallVector<int> inputs{in};
  for (Value operand : {weight, bias})
    if (PlanBuilder::has(operand)) {
      int id = plan.of(operand);
      inputs.push_back(plan.reshape(id, {plan.desc(id).elements()}));
    }
  auto node = std::make_unique<NormNode>(geometry, PlanBuilder::has(weight),
                                         PlanBuilder::has(bias));
  return plan.set(output, plan.add(std::move(node), inputs, plan.dims(in)));
}

LogicalResult top::LayerNormOp::plan(PlanBuilder &plan) {
  FailureOr<int64_t> axis = resolveAxis(*this, getAxis(), rankOf(getInput()));
  if (failed(axis))
    return failure();
  return planNorm(plan, getInput(), getWeight(), getBias(), getOutput(),
                  {.axis = *axis, .eps = float(getEps())});
}

LogicalResult top::InstanceNormOp::plan(PlanBuilder &plan) {
  return planNorm(plan, getInput(), getWeight(), getBias(), getOutput(),
                  {.over = NormGeometry::Over::Groups,
                   .groups = shapeOf(getInput())[1],
                   .eps = float(getEps())});
}

LogicalResult top::GroupNormOp::plan(PlanBuilder &plan) {
  return planNorm(plan, getInput(), getWeight(), getBias(), getOutput(),
                  {.over = NormGeometry::Over::Groups,
                   .groups = int64_t(getNumGroups()),
                   .eps = float(getEps())});
}

LogicalResult top::PixelNormOp::plan(PlanBuilder &plan) {
  return planNorm(
      plan, getInput(), getWeight(), getBias(), getOutput(),
      {.over = NormGeometry::Over::Channel, .eps = float(getEps())});
}

LogicalResult top::RMSNormOp::plan(PlanBuilder &plan) {
  return planNorm(plan, getInput(), getGamma(), Value(), getOutput(),
                  {.axis = rankOf(getInput()) - 1,
                   .centred = false,
                   .eps = float(getEps())});
}

LogicalResult top::LRNOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput());
  auto node = std::make_unique<LrnNode>(getSize(), float(getAlpha()),
                                        float(getBeta()), float(getBias()));
  return plan.set(getOutput(), plan.add(std::move(node), in, plan.dims(in)));
}

LogicalResult tpu::ScaleOp::plan(PlanBuilder &plan) {
  int out = scaleChannels(plan, plan.of(getInput()), plan.of(getScale()),
                          plan.of(getBias()));
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
}

} // namespace tpumlir
