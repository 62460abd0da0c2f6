#pragma once

#include "tpumlir/codegen/Local.h"

#include "mlir/IR/Operation.h"
#include "llvm/ADT/SmallVector.h"

/// Where the tensors of a program can be read while it runs: what a debugger
/// shows, and what `tpumlir verify` compares.
namespace tpumlir::codegen {

/// Some elements of a tensor, as [n, c, h, w]: where they stand among all of
/// them, which are counted row by row.
struct Piece {
  mlir::Value value;
  int64_t begin = 0;
  Nchw stride{0, 0, 0, 0};
  int64_t slice = 0; ///< of a group, or the tile of an op by itself
};

/// A piece with its place in memory, and the commands behind which it is there.
struct PiecePlace {
  mlir::Operation *op; ///< that has loaded, computed or stored it
  Piece piece;
  isa::Engine engine;
  size_t segment;
  /// It is there when command `last` of the engine has ended, with 0 from the
  /// start. Those from `first` on made it; none if that is behind `last`.
  uint64_t first, last;
  bool isLocal;
  uint64_t addr; ///< of a lane, or as GDMA sees it
  Nchw size, stride;
  bool everyLane;
  /// Places that are read to make it, from its first command on.
  llvm::SmallVector<size_t, 2> reads;
  bool isDropped = false; ///< it turned out not to be the final values
};

} // namespace tpumlir::codegen
