#include "tpumlir/api/Interpreter.h"

#include "tpumlir/api/ModuleImpl.h"
#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/top/TopUtils.h"
#include "tpumlir/interpreter/Planner.h"

#include <deque>
#include <mutex>

using namespace mlir;

namespace tpumlir {

class Interpreter::Session {
public:
  std::vector<std::string> names; ///< sorted
  Plan plan;
  std::vector<RuntimeTensor> results;
};

struct Interpreter::State {
  explicit State(Module copy) : module(std::move(copy)) {}

  Module module;
  func::FuncOp function;
  std::vector<RuntimeTensor> inputs, outputs, tensors;
  std::vector<Value> outputValues, tensorValues;
  kernels::PackCache packs;
  // Few kinds of runs are in use at a time; the oldest gives way.
  static constexpr size_t kSessions = 8;
  std::deque<std::shared_ptr<Session>> sessions;
  std::shared_ptr<Session> last;
  std::mutex mutex;
};

size_t RuntimeTensor::bytes() const {
  size_t count = dtypeBytes(dtype);
  for (int64_t extent : shape)
    count *= size_t(extent);
  return count;
}

static RuntimeTensor toRuntime(const NamedTensor &tensor) {
  return {tensor.name, tensor.desc.dtype, tensor.desc.dims};
}

Interpreter::Interpreter(const Module &module)
    : state(std::make_unique<State>(module.clone())) {
  ModuleImpl &impl = state->module.get();
  DiagnosticCapture errors(impl.context());
  auto check = [&](auto result) {
    if (failed(result))
      errors.raise(CompileError::Kind::Verify, "not a module that can be run");
    return std::move(*result);
  };
  state->function = check(mainFunction(impl.module()));
  for (const NamedTensor &input : check(inputsOf(state->function)))
    state->inputs.push_back(toRuntime(input));
  for (const NamedTensor &output : check(outputsOf(state->function))) {
    state->outputs.push_back(toRuntime(output));
    state->outputValues.push_back(output.value);
  }
  for (Value value : computedTensors(state->function)) {
    kernels::TensorDesc desc = check(describe(value));
    state->tensors.push_back(
        {top::tensorName(value).str(), desc.dtype, desc.dims});
    state->tensorValues.push_back(value);
  }
}

Interpreter::~Interpreter() = default;
Interpreter::Interpreter(Interpreter &&) noexcept = default;

const std::vector<RuntimeTensor> &Interpreter::inputs() const {
  return state->inputs;
}
const std::vector<RuntimeTensor> &Interpreter::outputs() const {
  return state->outputs;
}
const std::vector<RuntimeTensor> &Interpreter::tensors() const {
  return state->tensors;
}

[[noreturn]] static void raise(const kernels::GraphError &error) {
  throw CompileError(
      CompileError::Kind::Unsupported,
      {{"'" + error.op + "' op " + error.what(), error.name, {}}});
}

std::shared_ptr<Interpreter::Session>
Interpreter::prepare(std::span<const std::string> wanted) {
  std::lock_guard lock(state->mutex);
  std::vector<std::string> names(wanted.begin(), wanted.end());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  for (std::shared_ptr<Session> &session : state->sessions)
    if (session->names == names)
      return state->last = session;

  auto session = std::make_shared<Session>();
  session->names = names;
  session->results = state->outputs;
  std::vector<Value> values = state->outputValues;
  for (size_t i = 0; i < state->tensors.size(); ++i) {
    const RuntimeTensor &tensor = state->tensors[i];
    if (!std::binary_search(names.begin(), names.end(), tensor.name) ||
        std::any_of(state->outputs.begin(), state->outputs.end(),
                    [&](const RuntimeTensor &output) {
                      return output.name == tensor.name;
                    }))
      continue;
    session->results.push_back(tensor);
    values.push_back(state->tensorValues[i]);
  }
  DiagnosticCapture errors(state->module.get().context());
  try {
    FailureOr<Plan> plan = planFunction(state->function, values, state->packs);
    if (failed(plan))
      errors.raise(CompileError::Kind::Unsupported, "cannot be interpreted");
    session->plan = std::move(*plan);
  } catch (const kernels::GraphError &error) {
    raise(error);
  }
  if (state->sessions.size() == State::kSessions)
    state->sessions.pop_front();
  state->sessions.push_back(session);
  return state->last = session;
}

const std::vector<RuntimeTensor> &Interpreter::results(const Session &session) {
  return session.results;
}

void Interpreter::run(Session &session, std::span<const void *const> in,
                      std::span<void *const> out) {
  std::lock_guard lock(state->mutex);
  try {
    session.plan.executable->run(in, out);
  } catch (const kernels::GraphError &error) {
    raise(error);
  }
}

size_t Interpreter::workspaceBytes() const {
  std::lock_guard lock(state->mutex);
  return state->last ? state->last->plan.executable->arenaBytes() : 0;
}

std::vector<Implementation> Interpreter::implementations() const {
  std::lock_guard lock(state->mutex);
  std::vector<Implementation> list;
  if (state->last)
    for (const kernels::Executable::Step &step :
         state->last->plan.executable->steps())
      list.push_back({step.op, step.name, step.kernel->implementation()});
  return list;
}

} // namespace tpumlir
