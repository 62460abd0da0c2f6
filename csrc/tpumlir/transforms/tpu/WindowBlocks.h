#pragma once

#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/IR/BuiltinOps.h"

namespace tpumlir {

/// The part of `window-columns` that deals with few output channels: a
/// convolution of bytes with a constant filter computes neighbouring rows or
/// columns of its result as channels, where that takes fewer cycles.
void computeBlocks(mlir::ModuleOp module);

constexpr int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

} // namespace tpumlir
