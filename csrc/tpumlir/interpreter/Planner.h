#pragma once

#include "tpumlir/kernels/Graph.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringSet.h"

namespace tpumlir {

/// A named tensor that goes in or comes out.
struct NamedTensor {
  std::string name;
  kernels::TensorDesc desc; ///< row-major
  mlir::Value value;
};

/// A function, ready to run.
struct Plan {
  std::unique_ptr<kernels::Executable> executable;
  std::vector<NamedTensor> outputs; ///< in the order of the executable's
};

/// `@main` of a module; an error at the module if there is none, or if it is
/// not one block.
mlir::FailureOr<mlir::func::FuncOp> mainFunction(mlir::ModuleOp module);

/// Inputs of a function in the order of its arguments. Their names are those of
/// the `top.Input` ops.
mlir::FailureOr<std::vector<NamedTensor>> inputsOf(mlir::func::FuncOp function);
/// What a function returns.
mlir::FailureOr<std::vector<NamedTensor>>
outputsOf(mlir::func::FuncOp function);
/// Every tensor that an op of the function computes, in order; of two with one
/// name the later.
std::vector<mlir::Value> computedTensors(mlir::func::FuncOp function);

/// Makes the kernels that compute `outputs`, and no others. Failures are errors
/// at the ops concerned.
mlir::FailureOr<Plan> planFunction(mlir::func::FuncOp function,
                                   llvm::ArrayRef<mlir::Value> outputs,
                                   kernels::PackCache &packs);

} // namespace tpumlir
