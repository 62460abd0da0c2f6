#include "tpumlir/dialect/ops/QuantPlan.h"

#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/kernels/Layout.h"
#include "tpumlir/kernels/Lut.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

ArrayRef<int8_t> constantBytes(Value value) {
  const Weight *weight = top::constantOf(value);
  if (!weight || dtypeBytes(weight->dtype) != 1)
    return {};
  return {weight->as<int8_t>(), size_t(weight->elements())};
}

int64_t largestOf(const Quantization &type) {
  return std::max(type.greatest() - type.zeroPoint,
                  type.zeroPoint - type.least());
}

PlanBuilder::Id centred(PlanBuilder &plan, PlanBuilder::Id id,
                        const Quantization &type) {
  if (type.zeroPoint == 0)
    return id;
  return plan.elementwise(EltOp::AddConst, id, -double(type.zeroPoint));
}

/// A vector that broadcasts along an axis of a tensor.
static PlanBuilder::Id along(PlanBuilder &plan, PlanBuilder::Id vector,
                             PlanBuilder::Id tensor, int64_t axis) {
  Dims shape(plan.dims(tensor).size(), 1);
  shape[size_t(axis)] = plan.desc(vector).elements();
  return plan.reshape(vector, std::move(shape));
}

/// sum * multi[.., 0] + multi[.., 1], of the function of this number.
static PlanBuilder::Id scaled(PlanBuilder &plan, PlanBuilder::Id sum,
                              PlanBuilder::Id multi, int64_t axis,
                              int64_t function = 0) {
  const int64_t count = plan.dims(sum)[size_t(axis)];
  multi = plan.reshape(multi, {plan.desc(multi).elements() / 2, 2});
  auto column = [&](int64_t index) {
    auto id = plan.add(
        std::make_unique<SliceNode>(Dims{function * count, index}, Dims{1, 1}),
        multi, {count, 1});
    return along(plan, id, sum, axis);
  };
  auto y = plan.elementwise(EltOp::Mul, {sum, column(0)});
  return plan.elementwise(EltOp::Add, {y, column(1)});
}

static PlanBuilder::Id stored(PlanBuilder &plan, PlanBuilder::Id y,
                              const StoredRange &range) {
  y = plan.elementwise(EltOp::RoundEven, y);
  return plan.elementwise(EltOp::Clip, y, double(range.least),
                          double(range.greatest));
}

PlanBuilder::Id requantized(PlanBuilder &plan, PlanBuilder::Id sum,
                            PlanBuilder::Id multi, int64_t axis,
                            const std::optional<Quantization> &type,
                            bool doRelu, double limit) {
  auto y = scaled(plan, sum, multi, axis);
  if (!type)
    return plan.relu(y, doRelu, limit);
  const StoredRange range = heldBy(*type, doRelu, limit);
  y = stored(plan, y, range);
  if (plan.desc(multi).elements() == 2 * plan.dims(sum)[size_t(axis)])
    return y;
  auto other = stored(plan, scaled(plan, sum, multi, axis, 1), range);
  return plan.elementwise(EltOp::Max, {y, other});
}

PlanBuilder::Id wholeSum(PlanBuilder &plan, ArrayRef<PlanBuilder::Id> parts,
                         ArrayRef<int64_t> offsets, int64_t axis) {
  const bool moves = llvm::any_of(offsets, [](int64_t o) { return o != 0; });
  if (parts.size() == 1) {
    if (!moves)
      return parts[0];
    // Two exact numbers: their sum is rounded once.
    std::vector<float> numbers(offsets.begin(), offsets.end());
    auto vector = plan.constant({int64_t(numbers.size())}, numbers);
    return plan.elementwise(EltOp::Add,
                            {parts[0], along(plan, vector, parts[0], axis)});
  }
  auto sum = plan.cast(parts[0], DType::I32);
  for (PlanBuilder::Id part : parts.drop_front())
    sum = plan.elementwise(EltOp::Add, {sum, plan.cast(part, DType::I32)});
  if (moves) {
    std::vector<int32_t> numbers(offsets.begin(), offsets.end());
    auto vector = plan.constant({int64_t(numbers.size())}, numbers);
    sum = plan.elementwise(EltOp::Add, {sum, along(plan, vector, sum, axis)});
  }
  return plan.cast(sum, DType::F32);
}

FailureOr<std::vector<float>> evaluated(ArrayRef<Operation *> ops,
                                        const std::vector<float> &numbers) {
  MLIRContext *context = ops.front()->getContext();
  const int64_t count = int64_t(numbers.size());
  auto row = RankedTensorType::get({count}, Float32Type::get(context));
  Block block;
  IRMapping mapping;
  mapping.map(ops.front()->getOperand(0),
              block.addArgument(row, ops.front()->getLoc()));
  Graph graph;
  PlanBuilder plan(graph);
  plan.define(block.getArgument(0),
              graph.addInput(TensorDesc::plain(DType::F32, {count})));
  OpBuilder builder(context);
  builder.setInsertionPointToEnd(&block);
  Value result;
  for (Operation *op : ops) {
    Operation *copy = builder.clone(*op, mapping);
    result = copy->getResult(0);
    result.setType(row);
    plan.begin(copy);
    if (failed(llvm::cast<PlanOpInterface>(copy).plan(plan)))
      return failure();
  }
  graph.request(plan.of(result));
  std::vector<float> results(numbers.size());
  PackCache packs;
  const void *in[] = {numbers.data()};
  void *out[] = {results.data()};
  std::move(graph).compile(packs)->run(in, out);
  return results;
}

LogicalResult tpu::LutOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput());
  int table = plan.reshape(plan.of(getTable()), {256});
  return plan.set(getOutput(), plan.add(std::make_unique<LutNode>(),
                                        {in, table}, plan.dims(in)));
}

LogicalResult tpu::RequantFpOp::plan(PlanBuilder &plan) {
  Quantization type = *Quantization::of(getOutput());
  int y = plan.elementwise(EltOp::MulConst, plan.of(getInput()), getScale());
  y = plan.elementwise(EltOp::AddConst, y, getOffset());
  y = plan.elementwise(EltOp::RoundEven, y);
  return plan.set(getOutput(),
                  plan.elementwise(
                      EltOp::Clip, y, double(getLeast().value_or(type.least())),
                      double(getGreatest().value_or(type.greatest()))));
}

LogicalResult tpu::RequantFpAxisOp::plan(PlanBuilder &plan) {
  Quantization type = *Quantization::ofAny(getOutput());
  return plan.set(
      getOutput(),
      stored(plan, scaled(plan, plan.of(getInput()), plan.of(getMulti()), 1),
             {getLeast().value_or(type.least()),
              getGreatest().value_or(type.greatest())}));
}

LogicalResult tpu::MulFpAxisOp::plan(PlanBuilder &plan) {
  auto operand = [&](Value value) {
    return centred(plan, plan.of(value), *Quantization::ofAny(value));
  };
  int product =
      plan.elementwise(EltOp::Mul, {operand(getInput()), operand(getGate())});
  return plan.set(getOutput(),
                  requantized(plan, product, plan.of(getMulti()), 1,
                              *Quantization::ofAny(getOutput()), false, -1.0));
}

} // namespace tpumlir
