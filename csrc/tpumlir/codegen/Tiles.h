#pragma once

#include "tpumlir/codegen/Emitter.h"
#include "tpumlir/codegen/Values.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <functional>

/// What the emitters of the families share: how a tiled op runs, how local
/// memory is handed out, what is done to a tile in place.
namespace tpumlir::codegen {

constexpr bool isHalf(isa::DType type) {
  return type == isa::DType::F16 || type == isa::DType::BF16;
}
/// What arithmetic is done in on elements of a type: halves are only stored.
constexpr isa::DType computeType(isa::DType type) {
  return isHalf(type) ? isa::DType::F32 : type;
}

/// One tile of an op: bring its operands into the lanes, compute, write the
/// result back. Each part may be empty.
struct Step {
  std::function<void()> load, compute, store;
};

/// Runs the steps so that the load of the next tile stands before the store of
/// this one: with two sets of buffers, used in turn, GDMA and TIU overlap. A
/// load must not touch what the step before it computes with.
void runSteps(llvm::ArrayRef<Step> steps);

/// Hands out the bytes of a lane from its start, or from an address on.
class LaneMemory {
public:
  explicit LaneMemory(int64_t begin = 0) : next(begin) {}
  /// Start of `bytes` bytes, aligned for any operand.
  int64_t take(int64_t bytes) {
    int64_t addr = next;
    next += roundUp(bytes, isa::kEuBytes);
    return addr;
  }
  /// An aligned tensor.
  Local tensor(const Nchw &size, isa::DType type = isa::DType::F32) {
    return aligned(take(alignedBytes(size, type)), size, type);
  }
  /// Where a tensor of halves is computed with, compact or aligned or in every
  /// lane as it is; any other one itself.
  Local wide(const Local &local);
  int64_t end() const { return next; }
  int64_t left() const { return int64_t(isa::kLaneBytes) - next; }

private:
  int64_t next = 0;
};

/// Buffers for the tiles of a tensor on its way through local memory: two in
/// its own type, used in turn, so that GDMA moves one tile while TIU works on
/// another. A tensor of a half type that is computed with as F32 (`widens`) has
/// one more; only TIU sees that, so one is enough.
class TileBuffers {
public:
  TileBuffers() = default;
  /// Takes the memory for tiles of up to `size`. With a `count` of 1 there is
  /// one buffer instead of two.
  TileBuffers(LaneMemory &memory, isa::DType type, const Nchw &size,
              int64_t count = 2, bool widens = true);
  /// What the constructor takes.
  static int64_t bytes(isa::DType type, const Nchw &size, int64_t count,
                       bool widens);

  /// The tile as it is loaded or stored.
  Local stored(int64_t slot, const Nchw &size) const {
    return aligned(slots[slot % 2], size, type);
  }
  /// The tile as it is computed with; the same as `stored` unless it widens.
  Local computed(int64_t slot, const Nchw &size) const {
    return widens ? aligned(wide, size, computeType(type)) : stored(slot, size);
  }

private:
  isa::DType type = isa::DType::F32;
  int64_t slots[2] = {0, 0}, wide = 0;
  bool widens = false; ///< and is of a half type
};

/// Brings a tile into the type of `to`, floats rounded half to even; nothing if
/// it has it already.
void castTile(Emitter &em, const Local &to, const Local &from);
/// A tensor as it is computed with, which is another one if it is of halves.
Local widened(Emitter &em, LaneMemory &memory, const Local &local);
/// castTile, or a copy of what has the type already.
void moveTile(Emitter &em, const Local &to, const Local &from);

/// y = max(x, number) and y = min(x, number); NaN stays NaN. If an operand is
/// not a number, the chip's max returns the second one and its min the first.
void atLeast(Emitter &em, const Local &y, const Operand &x, float number);
void atMost(Emitter &em, const Local &y, const Operand &x, float number);

/// A number as an operand beside elements of a type: I32 or a float.
Operand numberOf(double number, isa::DType type);

/// What is fused into an op: max(0, x) and, if `limit` is not negative,
/// min(limit, x).
struct Relu {
  bool does = false;
  double limit = -1;

  template <typename OpTy> static Relu of(OpTy op) {
    if constexpr (requires { op.getDoRelu(); })
      return {op.getDoRelu(), op.getReluLimit()};
    else
      return {};
  }
};
/// In place.
void emitRelu(Emitter &em, const Local &local, const Relu &relu);

/// A part of one axis.
struct Range {
  int64_t begin, size;
};

/// Part `index` of `count` parts of [0, extent), as equal as can be.
inline Range partOf(int64_t extent, int64_t index, int64_t count) {
  int64_t begin = extent * index / count;
  return {begin, extent * (index + 1) / count - begin};
}

/// Cuts [0, extent) into parts of `part`, the last one shorter.
llvm::SmallVector<Range> cut(int64_t extent, int64_t part);

} // namespace tpumlir::codegen
