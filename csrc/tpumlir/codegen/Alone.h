#pragma once

#include "tpumlir/codegen/LocalKernel.h"

/// An op by itself: its kernel over tiles of its tensors, whose axes may be
/// taken together or apart as the kernel likes. Here are the loops, buffers,
/// loads and stores of all that need no others.
namespace tpumlir::codegen {

/// A rectangle of a kernel's tensors, and the element of each that it begins
/// with; of whole operands, further on than the kernel says.
struct Block {
  LaneView output;
  int64_t begin = 0;
  llvm::SmallVector<LaneView, 3> inputs;
  llvm::SmallVector<int64_t, 3> begins;
  llvm::SmallVector<int64_t, 2> wholes;

  /// The views of a kernel, from their first elements on.
  static Block of(const LocalKernel &kernel);
};

/// The same at `count` places, which lie apart in the output and the inputs.
std::vector<Block> repeated(llvm::ArrayRef<Block> blocks, int64_t count,
                            int64_t stride,
                            llvm::ArrayRef<int64_t> inputStrides);

/// One axis spread over the lanes, up to `width` elements in each, as an output
/// and inputs of that size, or of one element where `isOne` says so.
std::vector<Block> flatBlocks(int64_t total, int64_t width,
                              llvm::ArrayRef<bool> isOne);

/// Emits blocks of an op, tile by tile: batches, channels (by the lanes), rows,
/// columns (by vectors) are halved, in this order, until a tile of them fits,
/// with two buffers for all that is loaded or stored. Of whole operands a tile
/// has those of its channels. False, and no commands, if the least tile does
/// not fit. `most` is what a tile may have at most.
bool emitTiles(Emitter &em, mlir::Operation *op, const LocalKernel &kernel,
               llvm::ArrayRef<Block> blocks,
               const std::optional<Nchw> &most = std::nullopt);
/// The same for all of the kernel's tensors.
bool emitTiles(Emitter &em, mlir::Operation *op, const LocalKernel &kernel);

} // namespace tpumlir::codegen
