#include "tpumlir/dialect/Plan.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/kernels/Index.h"

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

static Dims shapeOfResult(Value value) {
  ArrayRef<int64_t> shape = top::shapeOf(value);
  return {shape.begin(), shape.end()};
}

LogicalResult top::GatherOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput()), indices = plan.of(getIndices());
  FailureOr<int64_t> axis = resolveAxis(*this, getAxis(), rankOf(getInput()));
  if (failed(axis))
    return failure();
  // The axis is replaced by the indices' shape; whether one index leaves an
  // axis shows in the result only.
  Dims shape = plan.dims(in);
  const Dims &by = plan.dims(indices);
  shape.erase(shape.begin() + *axis);
  shape.insert(shape.begin() + *axis, by.begin(), by.end());
  int out = plan.add(std::make_unique<GatherNode>(*axis), {in, indices}, shape);
  return plan.set(getOutput(), plan.reshape(out, shapeOfResult(getOutput())));
}

LogicalResult top::GatherElementsOp::plan(PlanBuilder &plan) {
  FailureOr<int64_t> axis = resolveAxis(*this, getAxis(), rankOf(getInput()));
  if (failed(axis))
    return failure();
  int indices = plan.of(getIndices());
  return plan.set(getOutput(),
                  plan.add(std::make_unique<GatherElementsNode>(*axis),
                           {plan.of(getInput()), indices}, plan.dims(indices)));
}

LogicalResult top::GatherNDOp::plan(PlanBuilder &plan) {
  return plan.set(getOutput(),
                  plan.add(std::make_unique<GatherNDNode>(getBatchDims()),
                           {plan.of(getInput()), plan.of(getIndices())},
                           shapeOfResult(getOutput())));
}

/// Top numbers the reductions of scatter as the vendor does.
static FailureOr<ScatterMode> scatterMode(Operation *op, int64_t reduction) {
  if (reduction == 0)
    return ScatterMode::Replace;
  return op->emitOpError("expected reduction 0 (replace), got ") << reduction;
}

LogicalResult top::ScatterElementsOp::plan(PlanBuilder &plan) {
  FailureOr<int64_t> axis = resolveAxis(*this, getAxis(), rankOf(getInput()));
  FailureOr<ScatterMode> mode = scatterMode(*this, getReduction());
  if (failed(axis) || failed(mode))
    return failure();
  int in = plan.of(getInput());
  auto node = std::make_unique<ScatterElementsNode>(*axis, *mode);
  return plan.set(getOutput(),
                  plan.add(std::move(node),
                           {in, plan.of(getIndices()), plan.of(getUpdates())},
                           plan.dims(in)));
}

LogicalResult top::ScatterNDOp::plan(PlanBuilder &plan) {
  FailureOr<ScatterMode> mode = scatterMode(*this, getReduction());
  if (failed(mode))
    return failure();
  int in = plan.of(getInputData());
  return plan.set(getOutput(),
                  plan.add(std::make_unique<ScatterNDNode>(*mode),
                           {in, plan.of(getIndices()), plan.of(getUpdates())},
                           plan.dims(in)));
}

LogicalResult top::TopKOp::plan(PlanBuilder &plan) {
  FailureOr<int64_t> axis = resolveAxis(*this, getAxis(), rankOf(getInput()));
  if (failed(axis))
    return failure();
  Value shown = PlanBuilder::has(getValues()) ? getValues() : getIndices();
  if (!PlanBuilder::has(shown))
    return success(); // neither result is wanted
  Dims shape = shapeOfResult(shown);
  DType type = DType::F32;
  if (PlanBuilder::has(getIndices())) {
    FailureOr<TensorDesc> desc = describe(getIndices());
    if (failed(desc))
      return failure();
    type = desc->dtype;
  }
  int out = plan.addMany(
      std::make_unique<TopKNode>(*axis, getLargest()), plan.of(getInput()),
      {TensorDesc::plain(DType::F32, shape), TensorDesc::plain(type, shape)});
  if (PlanBuilder::has(getValues()) && failed(plan.set(getValues(), out)))
    return failure();
  return PlanBuilder::has(getIndices()) ? plan.set(getIndices(), out + 1)
                                        : success();
}

LogicalResult top::TriluOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput());
  return plan.set(getOutput(), plan.add(std::make_unique<TriluNode>(
                                            getUpper() != 0, getDiagonal()),
                                        in, plan.dims(in)));
}

} // namespace tpumlir
