#pragma once

#include "tpumlir/codegen/Tiles.h"

namespace tpumlir::codegen {

/// An elementwise op over operands that broadcast. Tensors of half types are
/// F32 for `compute`, rounded when the result is stored.
struct MapProblem {
  llvm::SmallVector<mlir::Value> inputs;
  mlir::Value output;
  /// F32 tensors of the output's tile that `compute` may use.
  int scratch = 0;
  /// Bytes of a lane that are taken already (tables).
  LaneMemory memory;
  /// Inputs with one element per channel (axis 1) whatever their shape is. The
  /// others broadcast to the output as in numpy.
  llvm::SmallVector<size_t> perChannel;
  /// `compute` takes and gives tensors of the types that they are stored in,
  /// also halves.
  bool native = false;
  /// Inputs may have sizes of 1 (or be `everyLane`), which AR commands take and
  /// others do not; the output and scratch tensors are whole and aligned.
  std::function<void(const Local &output, llvm::ArrayRef<Local> inputs,
                     llvm::ArrayRef<Local> scratch)>
      compute;
};

/// Tiles the op, loads, computes, stores.
mlir::LogicalResult emitMap(Emitter &em, mlir::Operation *op,
                            const MapProblem &problem);

/// As emitMap, but `compute` gets every input whole and aligned: those that
/// broadcast are copied, in further scratch tensors.
mlir::LogicalResult emitWholeMap(Emitter &em, mlir::Operation *op,
                                 const MapProblem &problem);

} // namespace tpumlir::codegen
