#pragma once

#include "tpumlir/api/Module.h"
#include "tpumlir/interpreter/RuntimeTensor.h"

#include <memory>
#include <span>

namespace tpumlir {

/// What ran for an operation.
struct Implementation {
  std::string op;   ///< such as top.Conv; "output" for the copy of a result
  std::string node; ///< ONNX node, or tensor
  std::string name; ///< oneDNN's name of the code, or "loop:..." for our own
};

struct InterpreterSession; // interpreter/FunctionInterpreter.h

/// Runs `@main` of a module of Top or Tpu operations on the CPU. Nothing but
/// the signature is looked at when it is made; kernels are made at the first
/// run and kept. One run at a time; a second thread waits.
class Interpreter {
public:
  /// Works on a copy of the module; weights are shared.
  explicit Interpreter(const Module &module);
  ~Interpreter();
  Interpreter(Interpreter &&) noexcept;

  const std::vector<RuntimeTensor> &inputs() const;
  const std::vector<RuntimeTensor> &outputs() const;
  /// Every tensor that an operation computes, by its name.
  const std::vector<RuntimeTensor> &tensors() const;

  /// What one kind of run computes: the module's outputs, then others.
  using Session = InterpreterSession;
  /// `names` are of `tensors()`. Makes kernels unless they are there already.
  /// Throws: CompileError.
  std::shared_ptr<Session> prepare(std::span<const std::string> names);
  /// What a run of the session writes, in order.
  static const std::vector<RuntimeTensor> &results(const Session &session);
  /// Row-major data in, in the order of `inputs()`, and out, in the order of
  /// `results()`. Throws: CompileError.
  void run(Session &session, std::span<const void *const> in,
           std::span<void *const> out);
  /// As `run`; answers the seconds that each kernel took, in the order of
  /// `implementations(session)`.
  std::vector<double> runTimed(Session &session,
                               std::span<const void *const> in,
                               std::span<void *const> out);

  /// Bytes that the intermediate tensors of the last session share.
  size_t workspaceBytes() const;
  /// The kernels of the last session that was prepared.
  std::vector<Implementation> implementations() const;
  /// Those of one session.
  std::vector<Implementation> implementations(const Session &session) const;

private:
  struct State;
  std::unique_ptr<State> state;
};

} // namespace tpumlir
