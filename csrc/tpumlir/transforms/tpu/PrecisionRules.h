#pragma once

#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

namespace tpumlir {

/// Which ops of a function a half precision must not compute, by the graph and
/// its constants alone: the same model gives the same answer whatever is fed.
/// docs/precision.md states the rules.
struct WideOps {
  /// Ops that compute in F32, each with its rule: "(P4) ...".
  llvm::DenseMap<mlir::Operation *, llvm::StringRef> why;
  /// Convolutions that compute in the half if their filter is stored times two
  /// to this power.
  llvm::DenseMap<mlir::Operation *, int> shifted;
  /// Ops that move data on the way to those: they take inputs and constants as
  /// they are, in F32, and follow every other operand.
  llvm::DenseSet<mlir::Operation *> movers;
};

/// `forIntegers`: those that integers of 8 bits with a scale must not compute
/// either; of whole numbers these hold 0 and 1.
WideOps findWideOps(mlir::func::FuncOp function, mlir::FloatType half,
                    bool forIntegers = false);

} // namespace tpumlir
