#include "tpumlir/dialect/ops/QuantPlan.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/kernels/Conv.h"
#include "tpumlir/kernels/Pool.h"
#include "tpumlir/kernels/Reduce.h"

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

/// The mean of integers: their sum, exactly, then its scale.
template <typename Op> static LogicalResult planMean(Op op, PlanBuilder &plan) {
  auto dims = [](ArrayRef<int64_t> list) {
    return Dims(list.begin(), list.end());
  };
  const Quantization from = *Quantization::of(op.getInput());
  const Quantization to = *Quantization::of(op.getOutput());
  SmallVector<int64_t> kernel = op.getKernelShape(), pads = op.getPads();
  const size_t axes = kernel.size();
  const int64_t count = top::elementsOf(kernel);
  int x = centred(plan, plan.of(op.getInput()), from);
  const Dims in = plan.dims(x), out = dims(top::shapeOf(op.getOutput()));
  const bool isGlobal =
      llvm::all_of(pads, [](int64_t pad) { return pad == 0; }) &&
      ArrayRef<int64_t>(kernel) == ArrayRef<int64_t>(in).drop_front(2);
  int sum;
  if (isGlobal) {
    Dims reduced;
    for (size_t i = 0; i < axes; ++i)
      reduced.push_back(int64_t(i) + 2);
    sum = plan.add(std::make_unique<ReduceNode>(ReduceMode::Sum, reduced), x,
                   out);
  } else {
    ConvGeometry geometry{
        in[1], dims(op.getStrides()),
        dims(op.getDilations().value_or(SmallVector<int64_t>(axes, 1))),
        dims(ArrayRef(pads).take_front(axes)),
        dims(ArrayRef(pads).drop_front(axes))};
    Dims filter{in[1], 1};
    filter.insert(filter.end(), kernel.begin(), kernel.end());
    int ones =
        plan.constant(filter, std::vector<float>(size_t(in[1] * count), 1.0f));
    sum = plan.add(std::make_unique<ConvNode>(std::move(geometry), false),
                   {x, ones}, out);
  }
  // That of what is stored, whose borders are zero points.
  sum = plan.elementwise(EltOp::AddConst, sum, double(from.zeroPoint * count));
  RescaledMean mean = RescaledMean::of(from, to, count);
  int y = plan.elementwise(EltOp::MulConst, sum, mean.factor);
  y = plan.elementwise(EltOp::AddConst, y, mean.offset);
  y = plan.elementwise(EltOp::RoundEven, y);
  return plan.set(op.getOutput(),
                  plan.elementwise(EltOp::Clip, y, double(to.least()),
                                   double(to.greatest())));
}

/// The window as the attributes state it.
template <typename Op>
static LogicalResult planStated(Op op, PlanBuilder &plan) {
  auto dims = [](ArrayRef<int64_t> list) {
    return Dims(list.begin(), list.end());
  };
  if (isQuantized(op.getInput()) && op.getPoolMode() == tpu::PoolMode::Avg)
    return planMean(op, plan);
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
