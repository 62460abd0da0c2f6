#pragma once

#include "tpumlir/codegen/LocalKernel.h"

namespace tpumlir::codegen {

/// An elementwise op over operands that broadcast. Tensors of half types are
/// F32 for `compute`, rounded when the result is stored.
struct MapProblem {
  /// Of the operands that an op has and its result.
  template <typename OpTy>
  explicit MapProblem(OpTy op, int scratch = 0)
      : output(op->getResult(0)), scratch(scratch), relu(Relu::of(op)) {
    llvm::copy_if(op->getOperands(), std::back_inserter(inputs),
                  [](mlir::Value value) { return !top::isNone(value); });
  }

  llvm::SmallVector<mlir::Value> inputs;
  mlir::Value output;
  /// F32 tensors of the output's tile that `compute` may use.
  int scratch;
  /// Comes behind `compute`.
  Relu relu;
  /// Tables of `math` that it reads.
  llvm::SmallVector<Table, 2> tables;
  /// Inputs with one element per channel (axis 1) whatever their shape is. The
  /// others broadcast to the output as in numpy.
  llvm::SmallVector<size_t> perChannel;
  /// `compute` takes and gives tensors of the types that they are stored in,
  /// also halves.
  bool native = false;
  /// `compute` wants every input whole and aligned: those that broadcast are
  /// copied first. Otherwise they may have sizes of 1 (or be `everyLane`),
  /// which AR commands take and others do not. The output and scratch tensors
  /// are always whole and aligned.
  bool whole = false;
  /// Inputs are read by AR commands only, which take any strides.
  bool strides = false;
  std::function<void(Emitter &em, Math &math, const Local &output,
                     llvm::ArrayRef<Local> inputs,
                     llvm::ArrayRef<Local> scratch)>
      compute;

  /// F32 tensors of the tile that `run` takes: scratch, and copies.
  int64_t scratchTensors() const;
  /// Computes a tile: `compute` on inputs that are made whole, if it wants it.
  void run(Emitter &em, Math &math, const Local &output,
           llvm::ArrayRef<Local> inputs, llvm::ArrayRef<Local> scratch) const;
};

/// What each elementwise op computes; defined for the ops of MapOps.def.
template <typename OpTy> MapProblem mapOf(OpTy op);

/// Its local form; none if the tensors have no lane view.
Kernels mapKernels(const MapProblem &problem, const MatrixTensors &matrices);

/// The op by itself: its axes taken together where all operands allow it.
mlir::LogicalResult emitMap(Emitter &em, mlir::Operation *op,
                            const MapProblem &problem);

} // namespace tpumlir::codegen
