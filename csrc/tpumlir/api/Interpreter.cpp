#include "tpumlir/api/Interpreter.h"

#include "tpumlir/api/ModuleImpl.h"
#include "tpumlir/interpreter/FunctionInterpreter.h"

#include <mutex>

using namespace mlir;

namespace tpumlir {

struct Interpreter::State {
  explicit State(Module copy) : module(std::move(copy)) {}

  Module module;
  std::unique_ptr<FunctionInterpreter> function;
  std::mutex mutex;
};

Interpreter::Interpreter(const Module &module)
    : state(std::make_unique<State>(module.clone())) {
  ModuleImpl &impl = state->module.get();
  DiagnosticCapture errors(impl.context());
  auto function = FunctionInterpreter::create(impl.module());
  if (failed(function))
    errors.raise(CompileError::Kind::Verify, "not a module that can be run");
  state->function = std::move(*function);
}

Interpreter::~Interpreter() = default;
Interpreter::Interpreter(Interpreter &&) noexcept = default;

const std::vector<RuntimeTensor> &Interpreter::inputs() const {
  return state->function->inputs();
}
const std::vector<RuntimeTensor> &Interpreter::outputs() const {
  return state->function->outputs();
}
const std::vector<RuntimeTensor> &Interpreter::tensors() const {
  return state->function->tensors();
}

[[noreturn]] static void raise(const kernels::GraphError &error) {
  throw CompileError(
      CompileError::Kind::Unsupported,
      {{"'" + error.op + "' op " + error.what(), error.name, {}}});
}

std::shared_ptr<InterpreterSession>
Interpreter::prepare(std::span<const std::string> names) {
  std::lock_guard lock(state->mutex);
  DiagnosticCapture errors(state->module.get().context());
  try {
    FailureOr<std::shared_ptr<InterpreterSession>> session =
        state->function->prepare(names);
    if (failed(session))
      errors.raise(CompileError::Kind::Unsupported, "cannot be interpreted");
    return *session;
  } catch (const kernels::GraphError &error) {
    raise(error);
  }
}

const std::vector<RuntimeTensor> &
Interpreter::results(const InterpreterSession &session) {
  return session.results;
}

void Interpreter::run(InterpreterSession &session,
                      std::span<const void *const> in,
                      std::span<void *const> out) {
  std::lock_guard lock(state->mutex);
  try {
    session.executable->run(in, out);
  } catch (const kernels::GraphError &error) {
    raise(error);
  }
}

std::vector<double> Interpreter::runTimed(InterpreterSession &session,
                                          std::span<const void *const> in,
                                          std::span<void *const> out) {
  std::lock_guard lock(state->mutex);
  std::vector<double> seconds(session.executable->steps().size());
  try {
    session.executable->run(in, out, seconds);
  } catch (const kernels::GraphError &error) {
    raise(error);
  }
  return seconds;
}

size_t Interpreter::workspaceBytes() const {
  std::lock_guard lock(state->mutex);
  const InterpreterSession *last = state->function->lastSession();
  return last ? last->executable->arenaBytes() : 0;
}

static std::vector<Implementation> listed(const InterpreterSession &session) {
  std::vector<Implementation> list;
  for (const kernels::Executable::Step &step : session.executable->steps())
    list.push_back({step.op, step.name, step.kernel->implementation()});
  return list;
}

std::vector<Implementation> Interpreter::implementations() const {
  std::lock_guard lock(state->mutex);
  const InterpreterSession *last = state->function->lastSession();
  return last ? listed(*last) : std::vector<Implementation>();
}

std::vector<Implementation>
Interpreter::implementations(const InterpreterSession &session) const {
  std::lock_guard lock(state->mutex);
  return listed(session);
}

} // namespace tpumlir
