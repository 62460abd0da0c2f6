#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/FilterLayout.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/kernels/Conv.h"
#include "tpumlir/kernels/Layout.h"

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

static Dims toDims(ArrayRef<int64_t> list) {
  return {list.begin(), list.end()};
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
  Dims shape =
      convShape(plan.dims(inputs[0])[0], plan.dims(inputs[1])[0], *window);
  int out = plan.add(std::make_unique<ConvNode>(geometryOf(*window, getGroup()),
                                                inputs.size() > 2),
                     inputs, shape);
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
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
  int out =
      plan.add(std::make_unique<DeconvNode>(geometryOf(*window, getGroup()),
                                            inputs.size() > 2, outputFirst),
               inputs, shape);
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
}

//===----------------------------------------------------------------------===//
// Tpu
//===----------------------------------------------------------------------===//

/// The window as the attributes state it: nothing is left to be resolved.
template <typename Op> static ConvGeometry statedGeometry(Op op) {
  SmallVector<int64_t> pads = op.getPads();
  size_t axes = pads.size() / 2;
  return {op.getGroup(), toDims(op.getStrides()), toDims(op.getDilations()),
          toDims(ArrayRef(pads).take_front(axes)),
          toDims(ArrayRef(pads).drop_front(axes))};
}

/// The filter with its axes apart, brought from the layout that the op states
/// into the one that the kernel takes, `GOIK` or `OGIK`.
template <typename Op>
static int filterIn(tpu::FilterOrder order, Op op, PlanBuilder &plan, int id) {
  tpu::FilterLayout layout = tpu::FilterLayout::of(op);
  const int64_t group = layout.group, oc = layout.oc, ic = layout.ic,
                taps = layout.taps();
  if (layout.order == tpu::FilterOrder::Cubes) {
    const int64_t blocks = layout.blocks(), cube = layout.cube;
    id = plan.reshape(id, {group * oc, blocks, taps, cube});
    id = plan.reshape(plan.permute(id, {0, 1, 3, 2}),
                      {group * oc, blocks * cube, taps});
    id = plan.add(std::make_unique<SliceNode>(Dims{0, 0, 0}, Dims{1, 1, 1}), id,
                  {group * oc, ic, taps});
    layout.order = tpu::FilterOrder::GOIK;
  }
  if (layout.order != order) {
    bool groupsFirst = layout.order == tpu::FilterOrder::GOIK;
    id = plan.reshape(
        id, {groupsFirst ? group : oc, groupsFirst ? oc : group, ic * taps});
    id = plan.permute(id, {1, 0, 2});
  }
  return plan.reshape(id, toDims(layout.in(order).shape()));
}

LogicalResult tpu::Conv2DOp::plan(PlanBuilder &plan) {
  SmallVector<int> inputs = convOperands(*this, plan);
  flattenBias(plan, inputs);
  Dims shape = toDims(top::shapeOf(getOutput()));
  inputs[1] = filterIn(FilterOrder::GOIK, *this, plan, inputs[1]);
  if (getDoKernelRotate()) {
    Dims offsets(shape.size(), 0), steps(shape.size(), 1);
    for (size_t d = 2; d < shape.size(); ++d) {
      offsets[d] = plan.dims(inputs[1])[d] - 1;
      steps[d] = -1;
    }
    Dims turned = plan.dims(inputs[1]);
    inputs[1] = plan.add(std::make_unique<SliceNode>(offsets, steps), inputs[1],
                         turned);
  }
  int out = plan.add(
      std::make_unique<ConvNode>(statedGeometry(*this), inputs.size() > 2),
      inputs, shape);
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
}

LogicalResult tpu::DeconvOp::plan(PlanBuilder &plan) {
  SmallVector<int> inputs = convOperands(*this, plan);
  flattenBias(plan, inputs);
  Dims shape = toDims(top::shapeOf(getOutput()));
  inputs[1] = filterIn(FilterOrder::OGIK, *this, plan, inputs[1]);
  int out = plan.add(std::make_unique<DeconvNode>(statedGeometry(*this),
                                                  inputs.size() > 2, true),
                     inputs, shape);
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
}

} // namespace tpumlir
