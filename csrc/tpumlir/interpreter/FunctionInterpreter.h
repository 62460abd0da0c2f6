#pragma once

#include "tpumlir/interpreter/RuntimeTensor.h"
#include "tpumlir/kernels/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

#include <deque>
#include <span>

namespace tpumlir {

/// What one kind of run computes: the function's outputs, then others; and the
/// kernels for it.
struct InterpreterSession {
  std::vector<std::string> names; ///< of the others; sorted
  std::vector<RuntimeTensor> results;
  std::unique_ptr<kernels::Executable> executable;
};

/// Runs a function of Top or Tpu operations on the CPU. The function and its
/// weights must not change meanwhile. For one thread at a time.
class FunctionInterpreter {
public:
  /// For `@main` of a module. It is looked at no further than its signature and
  /// the types of its tensors; what is wrong is an error there.
  static mlir::FailureOr<std::unique_ptr<FunctionInterpreter>>
  create(mlir::ModuleOp module);

  /// In the order of the arguments, under the names of the `top.Input` ops.
  const std::vector<RuntimeTensor> &inputs() const { return arguments; }
  const std::vector<RuntimeTensor> &outputs() const { return returned; }
  /// Every tensor that an op of the function computes, in order; of two with
  /// one name the later.
  const std::vector<RuntimeTensor> &tensors() const { return computed; }

  /// Makes the kernels that compute the outputs and the tensors `names`, and no
  /// others, unless they are there from a run before. Failures are errors at
  /// the ops concerned. Throws: kernels::GraphError.
  mlir::FailureOr<std::shared_ptr<InterpreterSession>>
  prepare(std::span<const std::string> names);
  /// The one that was prepared last, or null.
  const InterpreterSession *lastSession() const { return last.get(); }

private:
  explicit FunctionInterpreter(mlir::func::FuncOp function)
      : function(function) {}
  mlir::LogicalResult readArguments();
  mlir::LogicalResult readOutputs();
  mlir::LogicalResult readTensors();
  /// The kernels for `outputs`.
  mlir::FailureOr<std::unique_ptr<kernels::Executable>>
  compile(llvm::ArrayRef<mlir::Value> outputs);

  mlir::func::FuncOp function;
  std::vector<RuntimeTensor> arguments, returned, computed;
  std::vector<mlir::Value> returnedValues, computedValues;
  kernels::PackCache packs;
  // Few kinds of runs are in use at a time; the oldest gives way.
  static constexpr size_t kSessions = 8;
  std::deque<std::shared_ptr<InterpreterSession>> sessions;
  std::shared_ptr<InterpreterSession> last;
};

} // namespace tpumlir
