#pragma once

#include "tpumlir/pipeline/Module.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

namespace tpumlir {

/// The MLIR side of Module. Each module has a context of its own: its weights
/// live in the context's Top dialect.
class ModuleImpl {
public:
  /// A context with every dialect loaded and threading off.
  ModuleImpl();
  mlir::MLIRContext &context() { return *ctx; }
  WeightStore &weights();

private:
  std::unique_ptr<mlir::MLIRContext> ctx;

public:
  mlir::OwningOpRef<mlir::ModuleOp> module; // dies before its context
};

} // namespace tpumlir
