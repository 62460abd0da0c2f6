#pragma once

#include "tpumlir/codegen/LocalKernel.h"

namespace tpumlir::codegen {

/// A tensor as [outer, depth, inner]: the middle is reduced.
struct Middle {
  int64_t outer, depth, inner;
};

/// The axes `first` to `last` of a shape as the middle.
Middle middleOf(llvm::ArrayRef<int64_t> shape, int64_t first, int64_t last);

/// The views of such a tensor, outer in the lanes, depth as rows, inner as
/// columns; and of one with a row for all of the depth.
LaneView wholeOf(const Middle &m);
LaneView columnsOf(const Middle &m);

/// Rows [begin, begin + count) of every channel.
inline Local rowsOf(const Local &x, int64_t begin, int64_t count) {
  return x.part(2, begin, count);
}

/// Row 0 = row 0 op row 1 op ...; the other rows are lost. Halves are combined
/// with each other, so the number of commands grows with the logarithm.
void reduceRows(Emitter &em, isa::ArOp op, const Local &x);

/// The whole column of rows under one window; a whole row of so many columns.
WindowFields columnOf(const Local &local);
WindowFields rowWindow(int64_t columns);

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

/// Emits a reduction of any size; its op has one result.
mlir::LogicalResult emitReduction(Emitter &em, mlir::Operation *op,
                                  mlir::Value input, const Middle &shape,
                                  Reduction kind, const Relu &relu = {});

} // namespace tpumlir::codegen
