#pragma once

#include "tpumlir/codegen/Emitter.h"

#include "mlir/IR/Value.h"
#include "llvm/ADT/ArrayRef.h"

#include <functional>

/// What the emitters of the families share: where values lie, how a tiled op
/// runs, how local memory is handed out.
namespace tpumlir::codegen {

/// Global address of a value that has its place.
uint64_t addressOf(mlir::Value value);

/// One tile of an op: bring its operands into the lanes, compute, write the
/// result back. Each part may be empty.
struct Step {
  std::function<void()> load, compute, store;
};

/// Runs the steps so that the load of the next tile stands before the store of
/// this one: with two sets of buffers, used in turn, GDMA and TIU overlap. A
/// load must not touch what the step before it computes with.
void runSteps(llvm::ArrayRef<Step> steps);

/// Hands out the bytes of a lane from its start.
class LaneMemory {
public:
  /// Start of `bytes` bytes, aligned for any operand.
  int64_t take(int64_t bytes) {
    int64_t addr = next;
    next += roundUp(bytes, isa::kEuBytes);
    return addr;
  }
  int64_t left() const { return int64_t(isa::kLaneBytes) - next; }

private:
  int64_t next = 0;
};

/// y = max(x, number) and y = min(x, number); NaN stays NaN. If an operand is
/// not a number, the chip's max returns the second one and its min the first.
void atLeast(Emitter &em, const Local &y, const Operand &x, float number);
void atMost(Emitter &em, const Local &y, const Operand &x, float number);

/// max(0, x) and, if `limit` is not negative, min(limit, x), in place.
void emitRelu(Emitter &em, const Local &local, bool doRelu, double limit);

/// A part of one axis.
struct Range {
  int64_t begin, size;
};

/// Cuts [0, extent) into parts of `part`, the last one shorter.
llvm::SmallVector<Range> cut(int64_t extent, int64_t part);

} // namespace tpumlir::codegen
