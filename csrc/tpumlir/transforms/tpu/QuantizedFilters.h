#pragma once

#include "tpumlir/dialect/tpu/FilterLayout.h"

#include "mlir/IR/Builders.h"

/// Filters in groups, as commands on integers take them, and biases that are
/// computed.
namespace tpumlir {

/// How many groups of a convolution in groups become one, with zeros between
/// their channels: as few as fill whole rows of lanes, or all; one of a
/// depthwise convolution. A command takes 64 output channels and a cube of
/// input channels as fast as a few.
int64_t groupsInOne(const tpu::FilterLayout &layout);

/// The layout with that many groups in each.
tpu::FilterLayout inFewerGroups(tpu::FilterLayout layout);

/// The filter of a transposed convolution with its groups first: floats of a
/// constant, with what the model states of their integers, or what is computed.
/// `none` is the top.None of the function.
mlir::Value withGroupsFirst(tpu::DeconvOp op, mlir::Value none);

/// The filter of `op`, of bytes and with its groups first, with `k` groups in
/// each of fewer.
mlir::Value withMergedGroups(mlir::Operation *op, mlir::Value filter,
                             const tpu::FilterLayout &layout, int64_t k,
                             mlir::Value none);

/// The pairs of factor and offset of the product `op`, to whose offsets the
/// network adds `bias` times `factor`. They are floats: no step of the sums
/// rounds the bias, and nothing but the result's own bounds holds it.
mlir::Value withComputedBias(mlir::Operation *op, llvm::ArrayRef<float> pairs,
                             mlir::Value bias, double factor);

} // namespace tpumlir
