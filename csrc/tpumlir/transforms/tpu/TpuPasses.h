#pragma once

#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace tpumlir {

#define GEN_PASS_DECL
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

#define GEN_PASS_REGISTRATION
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

} // namespace tpumlir
