#pragma once

#include "tpumlir/codegen/Tiles.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <optional>

namespace tpumlir::codegen {

/// A tensor as [outer, depth, inner]: the middle is reduced.
struct Middle {
  int64_t outer, depth, inner;
};

/// The axes `first` to `last` of a shape as the middle.
Middle middleOf(llvm::ArrayRef<int64_t> shape, int64_t first, int64_t last);

/// Tile of a middle: outer in the lanes, depth as rows, inner as columns.
struct MiddleTile {
  int64_t outer, depth, inner;

  Nchw whole() const { return {1, outer, depth, inner}; }
  Nchw column() const { return {1, outer, 1, inner}; }
};

/// Cuts outer, then inner, then (if it may) depth until the `bytes` of a tile
/// fit into `laneBytes`.
std::optional<MiddleTile>
cutMiddle(const Middle &m, int64_t laneBytes, bool mayCutDepth,
          llvm::function_ref<int64_t(const MiddleTile &)> bytes);

/// Rows [begin, begin + count) of every channel.
Local rowsOf(const Local &x, int64_t begin, int64_t count);

/// Row 0 = row 0 op row 1 op ...; the other rows are lost. Halves are combined
/// with each other, so the number of commands grows with the logarithm.
void reduceRows(Emitter &em, isa::ArOp op, const Local &x);

/// The whole column of rows under one window.
WindowFields columnOf(const Local &local);

/// Whether a window holds all elements of each channel, and so many that they
/// are brought together vector by vector first: a pool has one result and would
/// leave the other units of its vector idle.
bool isLongRow(const Local &x, const WindowFields &window);

/// Sum or maximum of all elements of each channel of an aligned tensor for
/// which `isLongRow` holds; what fills its last vector is lost. `scratch` has
/// room for a vector of each channel.
void reduceLongRow(Emitter &em, bool isMax, const Local &res, const Local &x,
                   int64_t scratch);

/// One vector of F32 for each channel.
constexpr Nchw vectorOf(const Nchw &size) {
  return {size[0], size[1], 1, int64_t(isa::euWidth(isa::DType::F32))};
}
constexpr int64_t vectorBytes(const Nchw &size) {
  return alignedBytes(vectorOf(size));
}

/// All bits set, hence NaN, where an element of `x` is NaN; else 0.
void maskNan(Emitter &em, const Local &res, const Local &x);

/// Into `marks`: NaN for every window with a NaN, else 0; `mask` is lost and
/// may be `x`. Or-ed to an extremum, which loses NaN on the chip, it comes
/// back.
void markNan(Emitter &em, const Local &marks, const Local &mask, const Local &x,
             const WindowFields &window);

/// res = a | b.
void orBits(Emitter &em, const Local &res, const Local &a, const Local &b);

enum class Reduction { Min, Max, Mean, Sum, Prod };

struct MiddleReduction {
  Middle shape;
  Reduction kind;
  Global input, output; ///< the first elements
  bool relu = false;
  double limit = -1;
};

/// Tiles and emits a reduction of any size.
void emitMiddleReduction(Emitter &em, const MiddleReduction &reduction);

} // namespace tpumlir::codegen
