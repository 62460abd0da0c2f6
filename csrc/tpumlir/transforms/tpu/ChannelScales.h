#pragma once

#include "tpumlir/transforms/tpu/Int8.h"

#include "llvm/ADT/DenseSet.h"

/// Tensors of which each channel has a scale of its own (docs/int8.md).
namespace tpumlir {

/// Whether the second axis of a tensor lies over the lanes.
bool isOverLanes(mlir::Value value);

/// Which results of the operations that are chosen for integers these are, and
/// their types.
class ChannelScales {
public:
  ChannelScales(const CalibrationTable &table,
                const llvm::DenseSet<mlir::Operation *> &chosen)
      : table(table), chosen(chosen) {}

  /// Gives each channel of the result of `op` a scale of its own, where all who
  /// read it take that.
  void choose(mlir::Operation *op);

  /// The type of a result with a scale for each channel, or `own`. A bound
  /// other than 0 is not the same in all of them.
  Quantization typeOf(mlir::Value result, const Quantization &own,
                      const LinearForm &form) const;

private:
  bool isTaken(mlir::OpOperand &use) const;

  const CalibrationTable &table;
  const llvm::DenseSet<mlir::Operation *> &chosen;
  llvm::DenseMap<mlir::Value, Quantization> types;
};

} // namespace tpumlir
