#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/kernels/Reduce.h"

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

template <typename Op>
static LogicalResult planReduce(Op op, PlanBuilder &plan) {
  FailureOr<SmallVector<int64_t>> axes =
      top::resolveAxes(op, op.getAxes(), top::rankOf(op.getInput()));
  if (failed(axes))
    return failure();
  auto mode = [&] {
    switch (op.getMode()) {
    case top::ReduceMode::ReduceMin:
      return kernels::ReduceMode::Min;
    case top::ReduceMode::ReduceMax:
      return kernels::ReduceMode::Max;
    case top::ReduceMode::ReduceMean:
      return kernels::ReduceMode::Mean;
    case top::ReduceMode::ReduceL2:
      return kernels::ReduceMode::L2;
    case top::ReduceMode::ReduceL1:
      return kernels::ReduceMode::L1;
    case top::ReduceMode::ReduceSum:
      return kernels::ReduceMode::Sum;
    case top::ReduceMode::ReduceProd:
      return kernels::ReduceMode::Prod;
    }
    llvm_unreachable("every mode is listed");
  }();
  int in = plan.of(op.getInput());
  Dims kept = plan.dims(in);
  for (int64_t axis : *axes)
    kept[size_t(axis)] = 1;
  int out = plan.add(
      std::make_unique<ReduceNode>(mode, Dims(axes->begin(), axes->end())), in,
      kept);
  return plan.set(op.getOutput(),
                  plan.reshape(out, shapeOfResult(op.getOutput())));
}

LogicalResult top::ReduceOp::plan(PlanBuilder &plan) {
  return planReduce(*this, plan);
}
LogicalResult tpu::ReduceOp::plan(PlanBuilder &plan) {
  return planReduce(*this, plan);
}

LogicalResult top::ArgOp::plan(PlanBuilder &plan) {
  FailureOr<int64_t> axis = resolveAxis(*this, getAxis(), rankOf(getInput()));
  FailureOr<TensorDesc> indices = describe(getIndices());
  if (failed(axis) || failed(indices))
    return failure();
  int in = plan.of(getInput());
  Dims kept = plan.dims(in);
  kept[size_t(*axis)] = 1;
  bool values = PlanBuilder::has(getValues());
  std::vector<TensorDesc> results{TensorDesc::plain(indices->dtype, kept)};
  if (values)
    results.push_back(TensorDesc::plain(plan.desc(in).dtype, kept));
  int out = plan.addMany(
      std::make_unique<ArgNode>(*axis, getMode() == top::ArgMode::ArgMax,
                                getSelectLastIndex()),
      in, results);
  if (failed(plan.set(getIndices(),
                      plan.reshape(out, shapeOfResult(getIndices())))))
    return failure();
  if (!values)
    return success();
  return plan.set(getValues(),
                  plan.reshape(out + 1, shapeOfResult(getValues())));
}

LogicalResult tpu::ArgOp::plan(PlanBuilder &plan) {
  auto node = std::make_unique<ArgNode>(
      getAxis(), getMode() == top::ArgMode::ArgMax, getSelectLastIndex());
  return plan.set(getOutput(),
                  plan.add(std::move(node), plan.of(getInput()),
                           shapeOfResult(getOutput()), DType::I32));
}

template <typename Op>
static LogicalResult planCumSum(Op op, PlanBuilder &plan) {
  FailureOr<int64_t> axis =
      top::resolveAxis(op, op.getAxis(), top::rankOf(op.getInput()));
  if (failed(axis))
    return failure();
  int in = plan.of(op.getInput());
  return plan.set(op.getOutput(),
                  plan.add(std::make_unique<CumSumNode>(*axis, false, false),
                           in, plan.dims(in)));
}

LogicalResult top::CumSumOp::plan(PlanBuilder &plan) {
  return planCumSum(*this, plan);
}
LogicalResult tpu::CumSumOp::plan(PlanBuilder &plan) {
  return planCumSum(*this, plan);
}

template <typename Op>
static LogicalResult planSoftmax(Op op, PlanBuilder &plan) {
  FailureOr<int64_t> axis =
      top::resolveAxis(op, op.getAxis(), top::rankOf(op.getInput()));
  if (failed(axis))
    return failure();
  int in = plan.of(op.getInput());
  auto node =
      std::make_unique<SoftmaxNode>(*axis, op.getLog(), float(op.getBeta()));
  return plan.set(op.getOutput(), plan.add(std::move(node), in, plan.dims(in)));
}

LogicalResult top::SoftmaxOp::plan(PlanBuilder &plan) {
  return planSoftmax(*this, plan);
}
LogicalResult tpu::SoftmaxOp::plan(PlanBuilder &plan) {
  return planSoftmax(*this, plan);
}

} // namespace tpumlir
