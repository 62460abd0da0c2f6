#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/kernels/Index.h"

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

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

static kernels::ScatterMode scatterMode(top::ScatterMode mode) {
  switch (mode) {
  case top::ScatterMode::none:
    return kernels::ScatterMode::Replace;
  case top::ScatterMode::add:
    return kernels::ScatterMode::Add;
  case top::ScatterMode::mul:
    return kernels::ScatterMode::Mul;
  case top::ScatterMode::max:
    return kernels::ScatterMode::Max;
  case top::ScatterMode::min:
    return kernels::ScatterMode::Min;
  }
  llvm_unreachable("every mode is listed");
}

/// Top has the number of the mode.
static FailureOr<kernels::ScatterMode> scatterMode(Operation *op,
                                                   int64_t reduction) {
  std::optional<top::ScatterMode> mode = top::symbolizeScatterMode(reduction);
  if (reduction < 0 || !mode)
    return op->emitOpError("expected a reduction in [0, 4], got ") << reduction;
  return scatterMode(*mode);
}

LogicalResult top::ScatterElementsOp::plan(PlanBuilder &plan) {
  FailureOr<int64_t> axis = resolveAxis(*this, getAxis(), rankOf(getInput()));
  FailureOr<kernels::ScatterMode> mode = scatterMode(*this, getReduction());
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
  FailureOr<kernels::ScatterMode> mode = scatterMode(*this, getReduction());
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
      {TensorDesc::plain(plan.desc(plan.of(getInput())).dtype, shape),
       TensorDesc::plain(type, shape)});
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

//===----------------------------------------------------------------------===//
// Tpu
//===----------------------------------------------------------------------===//

LogicalResult tpu::FlatIndicesOp::plan(PlanBuilder &plan) {
  SmallVector<int64_t> extents = getExtents();
  auto node =
      std::make_unique<FlatIndicesNode>(Dims(extents.begin(), extents.end()));
  return plan.set(getOutput(),
                  plan.add(std::move(node), plan.of(getIndices()),
                           shapeOfResult(getOutput()), DType::I32));
}

LogicalResult tpu::GatherOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput()), indices = plan.of(getIndices());
  std::unique_ptr<Node> node;
  if (int64_t batch = getBatchDims()) {
    Dims tuples = plan.dims(indices);
    tuples.push_back(1);
    indices = plan.reshape(indices, tuples);
    node = std::make_unique<GatherNDNode>(batch);
  } else {
    node = std::make_unique<GatherNode>(getAxis());
  }
  return plan.set(getOutput(), plan.add(std::move(node), {in, indices},
                                        shapeOfResult(getOutput())));
}

LogicalResult tpu::GatherElementsOp::plan(PlanBuilder &plan) {
  return plan.set(getOutput(),
                  plan.add(std::make_unique<GatherElementsNode>(getAxis()),
                           {plan.of(getInput()), plan.of(getIndices())},
                           shapeOfResult(getOutput())));
}

LogicalResult tpu::ScatterElementsOp::plan(PlanBuilder &plan) {
  auto node = std::make_unique<ScatterElementsNode>(
      getAxis(), scatterMode(getReduction()));
  return plan.set(getOutput(),
                  plan.add(std::move(node),
                           {plan.of(getInput()), plan.of(getIndices()),
                            plan.of(getUpdates())},
                           shapeOfResult(getOutput())));
}

LogicalResult tpu::ScatterNDOp::plan(PlanBuilder &plan) {
  Dims tuples = plan.dims(plan.of(getIndices()));
  tuples.push_back(1);
  int indices = plan.reshape(plan.of(getIndices()), tuples);
  return plan.set(
      getOutput(),
      plan.add(std::make_unique<ScatterNDNode>(scatterMode(getReduction())),
               {plan.of(getInputData()), indices, plan.of(getUpdates())},
               shapeOfResult(getOutput())));
}

LogicalResult tpu::TopKOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput());
  Dims shape = shapeOfResult(getValues());
  int out =
      plan.addMany(std::make_unique<TopKNode>(int64_t(shape.size()) - 1,
                                              getLargest(), getFirstIndex()),
                   in,
                   {TensorDesc::plain(plan.desc(in).dtype, shape),
                    TensorDesc::plain(DType::I32, shape)});
  return success(succeeded(plan.set(getValues(), out)) &&
                 succeeded(plan.set(getIndices(), out + 1)));
}

LogicalResult tpu::TriluOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput());
  return plan.set(getOutput(), plan.add(std::make_unique<TriluNode>(
                                            getUpper(), getDiagonal()),
                                        in, plan.dims(in)));
}

} // namespace tpumlir
