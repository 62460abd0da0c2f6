#pragma once

#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Quant/IR/Quant.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace tpumlir {

/// A model output must be memory that the run writes: a result of `function`
/// (of Tpu operations) that is a constant or an input is copied.
void copyUnwrittenResults(mlir::func::FuncOp function);

/// `value` with other elements, right behind it, named `name::f16`, or
/// `name::int8` where these are integers that stand for numbers.
mlir::Value createCast(mlir::Value value, mlir::Type element);

/// Model outputs are f32 under their own names: results of `function` in a half
/// type become casts, and the half tensors `name::f16`.
void castResultsToF32(mlir::func::FuncOp function);

/// Whether every tensor of a module of Tpu operations has its place; an error
/// at each that has none.
mlir::LogicalResult checkPlaced(mlir::ModuleOp module);

#define GEN_PASS_DECL
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

#define GEN_PASS_REGISTRATION
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

} // namespace tpumlir
