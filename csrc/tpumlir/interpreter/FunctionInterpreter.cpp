#include "tpumlir/interpreter/FunctionInterpreter.h"

#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/kernels/Dnnl.h"
#include "tpumlir/support/Float.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

//===----------------------------------------------------------------------===//
// The signature
//===----------------------------------------------------------------------===//

/// `@main` of a module; an error at the module if there is none, or if it is
/// not one block.
static FailureOr<func::FuncOp> mainFunction(ModuleOp module) {
  auto function = module.lookupSymbol<func::FuncOp>("main");
  if (!function)
    return module.emitError("expected a function @main, got none");
  if (!function.getBody().hasOneBlock())
    return module.emitError("expected @main to have one block, got ")
           << function.getBody().getBlocks().size();
  return function;
}

/// Appends the description of a value.
static LogicalResult append(std::vector<RuntimeTensor> &list, Value value,
                            StringRef name) {
  FailureOr<TensorDesc> desc = describe(value);
  if (failed(desc))
    return failure();
  list.push_back({name.str(), desc->dtype, std::move(desc->dims)});
  return success();
}

FailureOr<std::unique_ptr<FunctionInterpreter>>
FunctionInterpreter::create(ModuleOp module) {
  FailureOr<func::FuncOp> function = mainFunction(module);
  if (failed(function))
    return failure();
  std::unique_ptr<FunctionInterpreter> made(new FunctionInterpreter(*function));
  if (failed(made->readArguments()) || failed(made->readOutputs()) ||
      failed(made->readTensors()))
    return failure();
  return made;
}

LogicalResult FunctionInterpreter::readArguments() {
  for (BlockArgument argument : function.getArguments()) {
    std::string name;
    for (Operation *user : argument.getUsers())
      if (auto input = llvm::dyn_cast<top::InputOp>(user))
        name = top::tensorName(input.getOutput()).str();
    if (name.empty())
      name = top::tensorName(argument.getLoc()).str();
    if (name.empty())
      name = "arg" + std::to_string(argument.getArgNumber());
    if (failed(append(arguments, argument, name)))
      return failure();
  }
  return success();
}

LogicalResult FunctionInterpreter::readOutputs() {
  Operation *end = function.getBody().front().getTerminator();
  for (auto [i, value] : llvm::enumerate(end->getOperands())) {
    std::string name = top::tensorName(value).str();
    if (name.empty())
      name = "output" + std::to_string(i);
    if (failed(append(returned, value, name)))
      return failure();
    returnedValues.push_back(value);
  }
  return success();
}

LogicalResult FunctionInterpreter::readTensors() {
  llvm::StringMap<size_t> where;
  for (Operation &op : function.getBody().front()) {
    if (llvm::isa<top::WeightOp, top::NoneOp, top::InputOp>(op))
      continue;
    for (Value result : op.getResults()) {
      StringRef name = top::tensorName(result);
      if (name.empty() || !PlanBuilder::has(result))
        continue;
      auto [entry, isNew] = where.insert({name, computedValues.size()});
      if (isNew)
        computedValues.push_back(result);
      else
        computedValues[entry->second] = result;
    }
  }
  for (Value value : computedValues)
    if (failed(append(computed, value, top::tensorName(value))))
      return failure();
  return success();
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

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

/// The numbers of a weight of half precision, or its integers, as f32.
static std::shared_ptr<void> widened(const Weight &weight) {
  size_t count = size_t(weight.elements());
  std::shared_ptr<void> data = allocate(count * sizeof(float));
  auto *to = static_cast<float *>(data.get());
  if (weight.dtype == DType::I8 || weight.dtype == DType::U8) {
    for (size_t i = 0; i < count; ++i)
      to[i] = weight.dtype == DType::I8 ? float(weight.as<int8_t>()[i])
                                        : float(weight.as<uint8_t>()[i]);
    return data;
  }
  const auto *from = weight.as<uint16_t>();
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
  DType want = ElementType::of(op.getOutput())->storage;
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

FailureOr<std::unique_ptr<Executable>>
FunctionInterpreter::compile(ArrayRef<Value> outputs) {
  Graph graph;
  PlanBuilder builder(graph);
  for (BlockArgument argument : function.getArguments()) {
    FailureOr<TensorDesc> desc = describe(argument);
    if (failed(desc))
      return failure();
    builder.begin(function);
    builder.define(argument,
                   builder.given(argument, graph.addInput(std::move(*desc))));
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

  for (Value value : outputs)
    graph.request(builder.shown(value));
  return std::move(graph).compile(packs);
}

//===----------------------------------------------------------------------===//
// Sessions
//===----------------------------------------------------------------------===//

FailureOr<std::shared_ptr<InterpreterSession>>
FunctionInterpreter::prepare(std::span<const std::string> wanted) {
  std::vector<std::string> names(wanted.begin(), wanted.end());
  llvm::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  for (std::shared_ptr<InterpreterSession> &session : sessions)
    if (session->names == names)
      return last = session;

  auto session = std::make_shared<InterpreterSession>();
  session->results = returned;
  std::vector<Value> values = returnedValues;
  llvm::StringSet<> outputs;
  for (const RuntimeTensor &output : returned)
    outputs.insert(output.name);
  for (auto [tensor, value] : llvm::zip_equal(computed, computedValues)) {
    if (!std::binary_search(names.begin(), names.end(), tensor.name) ||
        outputs.contains(tensor.name))
      continue;
    session->results.push_back(tensor);
    values.push_back(value);
  }
  FailureOr<std::unique_ptr<Executable>> executable = compile(values);
  if (failed(executable))
    return failure();
  session->names = std::move(names);
  session->executable = std::move(*executable);
  if (sessions.size() == kSessions)
    sessions.pop_front();
  sessions.push_back(session);
  return last = session;
}

} // namespace tpumlir
