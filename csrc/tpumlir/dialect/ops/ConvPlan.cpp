#include "tpumlir/dialect/Plan.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/kernels/Conv.h"

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

static ConvGeometry geometryOf(const top::Window &window, int64_t group) {
  auto dims = [](const auto &list) { return Dims(list.begin(), list.end()); };
  return {group, dims(window.stride), dims(window.dilation),
          dims(window.padBegin), dims(window.padEndGiven)};
}

/// Source, filter and, if there is one, bias: each constant or computed.
template <typename Op>
static SmallVector<int> convOperands(Op op, const PlanBuilder &plan) {
  SmallVector<int> inputs{plan.of(op.getInput()), plan.of(op.getFilter())};
  if (PlanBuilder::has(op.getBias()))
    inputs.push_back(plan.of(op.getBias()));
  return inputs;
}

/// Makes the bias a vector, whatever its shape of oc elements.
static void flattenBias(PlanBuilder &plan, SmallVector<int> &inputs) {
  if (inputs.size() > 2)
    inputs[2] = plan.reshape(inputs[2], {plan.desc(inputs[2]).elements()});
}

static Dims convShape(int64_t n, int64_t channels, const top::Window &window) {
  Dims shape{n, channels};
  shape.insert(shape.end(), window.output.begin(), window.output.end());
  return shape;
}

LogicalResult top::ConvOp::plan(PlanBuilder &plan) {
  FailureOr<Window> window = getWindow();
  if (failed(window))
    return failure();
  SmallVector<int> inputs = convOperands(*this, plan);
  flattenBias(plan, inputs);
  Dims shape = convShape(plan.dims(inputs[0])[0], plan.dims(inputs[1])[0],
                         *window);
  int out = plan.add(std::make_unique<ConvNode>(geometryOf(*window, getGroup()),
                                                inputs.size() > 2),
                     inputs, shape);
  return plan.set(getOutput(),
                  plan.relu(out, getDoRelu(),
                            getReluLimit()));
}

LogicalResult top::DeconvOp::plan(PlanBuilder &plan) {
  FailureOr<Window> window = getWindow();
  if (failed(window))
    return failure();
  SmallVector<int> inputs = convOperands(*this, plan);
  flattenBias(plan, inputs);
  bool outputFirst = filterIsOutputMajor();
  int64_t channels = plan.dims(inputs[1])[outputFirst ? 0 : 1] * getGroup();
  Dims shape = convShape(plan.dims(inputs[0])[0], channels, *window);
  int out = plan.add(
      std::make_unique<DeconvNode>(geometryOf(*window, getGroup()),
                                   inputs.size() > 2, outputFirst),
      inputs, shape);
  return plan.set(getOutput(),
                  plan.relu(out, getDoRelu(),
                            getReluLimit()));
}

} // namespace tpumlir
