#pragma once

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

/// Passes over the Top dialect, under the vendor's names; see TopPasses.td.
namespace tpumlir {

#define GEN_PASS_DECL
#include "tpumlir/transforms/top/TopPasses.h.inc"

#define GEN_PASS_REGISTRATION
#include "tpumlir/transforms/top/TopPasses.h.inc"

/// Gives a function the types of its arguments and of what it returns.
void adoptBodyTypes(mlir::func::FuncOp func);

} // namespace tpumlir
