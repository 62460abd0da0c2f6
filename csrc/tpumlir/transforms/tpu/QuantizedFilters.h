#pragma once

#include "tpumlir/dialect/tpu/FilterLayout.h"
#include "tpumlir/transforms/tpu/QuantizedWeights.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/DenseMap.h"

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

/// Constants and filters in integers, each made once, whoever multiplies with
/// it: the steps of a recurrence share what they load.
class QuantizedOperands {
public:
  explicit QuantizedOperands(mlir::func::FuncOp function)
      : function(function) {}

  /// A constant with a scale for each index of its first or its last axis.
  const QuantizedWeight &weight(mlir::Value value, unsigned axis);
  /// With so many rows, which are those of `named` in its type.
  const QuantizedWeight &weight(mlir::Value value, unsigned axis, int64_t rows,
                                unsigned named);
  /// A filter of bytes in groups becomes one in fewer, with zeros between their
  /// channels.
  template <typename OpTy> void mergeGroups(OpTy op) {
    const tpu::FilterLayout layout = tpu::FilterLayout::of(op);
    const int64_t k = groupsInOne(layout);
    if (k == 1)
      return;
    mlir::Value &known = merged[{op.getFilter(), layout.group}];
    if (!known)
      known = withMergedGroups(op, op.getFilter(), layout, k, none(op));
    op.getFilterMutable().assign(known);
    op.setGroup(layout.group / k);
  }
  /// Groups of several channels come first in a filter of bytes.
  void orderGroups(tpu::DeconvOp op);
  void orderGroups(tpu::Conv2DOp) {} // they do
  mlir::Value none(mlir::Operation *op);

private:
  mlir::func::FuncOp function;
  mlir::Value noneValue;
  llvm::DenseMap<std::pair<mlir::Value, unsigned>, QuantizedWeight> weights;
  /// Filters in so many groups.
  llvm::DenseMap<std::pair<mlir::Value, int64_t>, mlir::Value> ordered, merged;
};

} // namespace tpumlir
