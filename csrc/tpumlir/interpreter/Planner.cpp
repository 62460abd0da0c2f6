#include "tpumlir/interpreter/Planner.h"

#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/kernels/Dnnl.h"
#include "tpumlir/support/Float.h"

#include "mlir/IR/Diagnostics.h"

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

FailureOr<func::FuncOp> mainFunction(ModuleOp module) {
  auto function = module.lookupSymbol<func::FuncOp>("main");
  if (!function)
    return module.emitError("expected a function @main, got none");
  if (!function.getBody().hasOneBlock())
    return module.emitError("expected @main to have one block, got ")
           << function.getBody().getBlocks().size();
  return function;
}

static FailureOr<NamedTensor> named(Value value, StringRef name) {
  FailureOr<TensorDesc> desc = describe(value);
  if (failed(desc))
    return failure();
  return NamedTensor{name.str(), std::move(*desc), value};
}

FailureOr<std::vector<NamedTensor>> inputsOf(func::FuncOp function) {
  std::vector<NamedTensor> inputs;
  for (BlockArgument argument : function.getArguments()) {
    std::string name;
    for (Operation *user : argument.getUsers())
      if (auto input = llvm::dyn_cast<top::InputOp>(user))
        name = top::tensorName(input.getOutput()).str();
    if (name.empty())
      name = top::tensorName(argument.getLoc()).str();
    if (name.empty())
      name = "arg" + std::to_string(argument.getArgNumber());
    FailureOr<NamedTensor> input = named(argument, name);
    if (failed(input))
      return failure();
    inputs.push_back(std::move(*input));
  }
  return inputs;
}

FailureOr<std::vector<NamedTensor>> outputsOf(func::FuncOp function) {
  std::vector<NamedTensor> outputs;
  Operation *end = function.getBody().front().getTerminator();
  for (auto [i, value] : llvm::enumerate(end->getOperands())) {
    std::string name = top::tensorName(value).str();
    if (name.empty())
      name = "output" + std::to_string(i);
    FailureOr<NamedTensor> output = named(value, name);
    if (failed(output))
      return failure();
    outputs.push_back(std::move(*output));
  }
  return outputs;
}

std::vector<Value> computedTensors(func::FuncOp function) {
  std::vector<Value> values;
  llvm::StringMap<size_t> where;
  for (Operation &op : function.getBody().front()) {
    if (llvm::isa<top::WeightOp, top::NoneOp, top::InputOp>(op))
      continue;
    for (Value result : op.getResults()) {
      StringRef name = top::tensorName(result);
      if (name.empty() || !PlanBuilder::has(result))
        continue;
      auto [entry, isNew] = where.insert({name, values.size()});
      if (isNew)
        values.push_back(result);
      else
        values[entry->second] = result;
    }
  }
  return values;
}

/// Operations that the outputs depend on.
static llvm::DenseSet<Operation *> neededOps(ArrayRef<Value> outputs) {
  llvm::DenseSet<Operation *> needed;
  SmallVector<Value> open(outputs);
  while (!open.empty()) {
    Operation *op = open.pop_back_val().getDefiningOp();
    if (op && needed.insert(op).second)
      llvm::append_range(open, op->getOperands());
  }
  return needed;
}

/// The numbers of a weight of half precision as f32.
static std::shared_ptr<void> widened(const Weight &weight) {
  size_t count = size_t(weight.elements());
  std::shared_ptr<void> data = allocate(count * sizeof(float));
  const auto *from = weight.as<uint16_t>();
  auto *to = static_cast<float *>(data.get());
  bool isF16 = weight.dtype == DType::F16;
  for (size_t i = 0; i < count; ++i)
    to[i] = isF16 ? support::f16ToF32(from[i]) : support::bf16ToF32(from[i]);
  return data;
}

static LogicalResult planWeight(top::WeightOp op, PlanBuilder &plan,
                                Graph &graph) {
  FailureOr<TensorDesc> desc = describe(op.getOutput());
  if (failed(desc))
    return failure();
  const Weight *weight = op.getWeight();
  if (!weight)
    return op.emitOpError("expected data in the weight file, got none");
  if (weight->elements() != desc->elements())
    return op.emitOpError("expected ")
           << desc->elements() << " elements in the weight file, got "
           << weight->elements();
  DType want = *dtypeOf(op.getOutput());
  if (weight->dtype != want)
    return op.emitOpError("expected ")
           << dtypeName(want) << " in the weight file, got "
           << dtypeName(weight->dtype);
  int id = want == desc->dtype
               ? graph.addConstant(std::move(*desc), weight->data.get())
               : graph.addConstant(std::move(*desc), widened(*weight));
  plan.define(op.getOutput(), id);
  return success();
}

FailureOr<Plan> planFunction(func::FuncOp function, ArrayRef<Value> outputs,
                             PackCache &packs) {
  Graph graph;
  PlanBuilder builder(graph);
  for (BlockArgument argument : function.getArguments()) {
    FailureOr<TensorDesc> desc = describe(argument);
    if (failed(desc))
      return failure();
    builder.begin(function);
    builder.define(argument,
                   builder.rounded(argument, graph.addInput(std::move(*desc))));
  }

  llvm::DenseSet<Operation *> needed = neededOps(outputs);
  bool ok = true;
  for (Operation &op : function.getBody().front().without_terminator()) {
    if (!needed.contains(&op) || llvm::isa<top::NoneOp>(op))
      continue;
    if (auto weight = llvm::dyn_cast<top::WeightOp>(op)) {
      ok &= succeeded(planWeight(weight, builder, graph));
      continue;
    }
    auto planned = llvm::dyn_cast<PlanOpInterface>(op);
    if (!planned) {
      ok = false;
      op.emitOpError("expected an operation that the interpreter runs");
      continue;
    }
    // Its operands are there only if all before it went well.
    if (!ok)
      continue;
    builder.begin(&op);
    ok &= succeeded(planned.plan(builder));
  }
  if (!ok)
    return failure();

  Plan plan;
  for (Value value : outputs) {
    FailureOr<NamedTensor> output = named(value, top::tensorName(value));
    if (failed(output))
      return failure();
    plan.outputs.push_back(std::move(*output));
    graph.request(builder.of(value));
  }
  plan.executable = std::move(graph).compile(packs);
  return plan;
}

} // namespace tpumlir
