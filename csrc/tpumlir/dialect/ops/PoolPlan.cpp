#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/kernels/Pool.h"

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

template <typename Op>
static LogicalResult planPool(Op op, PlanBuilder &plan, PoolMode mode) {
  FailureOr<top::Window> window = op.getWindow();
  if (failed(window))
    return failure();
  auto dims = [](const auto &list) { return Dims(list.begin(), list.end()); };
  PoolGeometry geometry{mode,
                        dims(window->kernel),
                        dims(window->stride),
                        dims(window->dilation),
                        dims(window->padBegin),
                        dims(window->padEndGiven)};
  int in = plan.of(op.getInput());
  Dims shape{plan.dims(in)[0], plan.dims(in)[1]};
  Dims dropped = shape;
  shape.insert(shape.end(), window->output.begin(), window->output.end());
  int out =
      plan.add(std::make_unique<PoolNode>(std::move(geometry)), in, shape);
  out = plan.relu(out, op.getDoRelu(), op.getReluLimit());
  return plan.set(op.getOutput(),
                  op.getKeepdims() ? out : plan.reshape(out, dropped));
}

LogicalResult top::MaxPoolOp::plan(PlanBuilder &plan) {
  return planPool(*this, plan, PoolMode::Max);
}

LogicalResult top::AvgPoolOp::plan(PlanBuilder &plan) {
  return planPool(*this, plan,
                  getCountIncludePad() ? PoolMode::AverageIncludingPad
                                       : PoolMode::AverageExcludingPad);
}

LogicalResult top::AdaptiveAvgPoolOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput());
  Dims shape{plan.dims(in)[0], plan.dims(in)[1]};
  for (int64_t extent : getOutputSize())
    shape.push_back(extent);
  return plan.set(getOutput(),
                  plan.add(std::make_unique<AdaptiveAvgPoolNode>(), in, shape));
}

/// The window as the attributes state it.
template <typename Op>
static LogicalResult planStated(Op op, PlanBuilder &plan) {
  auto dims = [](ArrayRef<int64_t> list) {
    return Dims(list.begin(), list.end());
  };
  SmallVector<int64_t> pads = op.getPads();
  size_t axes = pads.size() / 2;
  PoolGeometry geometry{
      op.getPoolMode() == tpu::PoolMode::Max ? PoolMode::Max
                                             : PoolMode::AverageIncludingPad,
      dims(op.getKernelShape()),
      dims(op.getStrides()),
      dims(op.getDilations().value_or(SmallVector<int64_t>(axes, 1))),
      dims(ArrayRef(pads).take_front(axes)),
      dims(ArrayRef(pads).drop_front(axes))};
  int out =
      plan.add(std::make_unique<PoolNode>(std::move(geometry)),
               plan.of(op.getInput()), dims(top::shapeOf(op.getOutput())));
  return plan.set(op.getOutput(),
                  plan.relu(out, op.getDoRelu(), op.getReluLimit()));
}

LogicalResult tpu::Pool1DOp::plan(PlanBuilder &plan) {
  return planStated(*this, plan);
}
LogicalResult tpu::Pool2DOp::plan(PlanBuilder &plan) {
  return planStated(*this, plan);
}

} // namespace tpumlir
