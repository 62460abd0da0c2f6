#pragma once

#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/IR/PatternMatch.h"

/// Top -> Tpu, one pattern per op. The result of the op keeps its location, and
/// so its name; tensors in between get derived names.
namespace tpumlir {

/// What every pattern sees.
struct LoweringContext {
  /// The one `top.None` of the function.
  mlir::Value none;
};

template <typename OpTy> struct Lowering : mlir::OpRewritePattern<OpTy> {
  Lowering(mlir::MLIRContext *ctx, const LoweringContext &context)
      : mlir::OpRewritePattern<OpTy>(ctx), context(context) {}
  const LoweringContext &context;
};

/// 0, 1, ... rank - 1.
inline llvm::SmallVector<int64_t> allAxes(int64_t rank) {
  llvm::SmallVector<int64_t> axes;
  for (int64_t axis = 0; axis < rank; ++axis)
    axes.push_back(axis);
  return axes;
}

/// An axis that may count from the end, in range already, from the start.
inline int64_t axisOf(int64_t axis, mlir::Value tensor) {
  return axis < 0 ? axis + top::rankOf(tensor) : axis;
}

/// Name of a tensor between `op` and the ops that it becomes: "y::sum".
inline mlir::Location derivedLoc(mlir::Operation *op, llvm::StringRef suffix) {
  return top::partLoc(op->getLoc(), suffix);
}

/// The slices of `input` along `axis` that `indices` (each in range) choose, in
/// order: as Slice, Tile and Concat or, if that takes many copies, as Gather.
/// The result's location is `loc`.
mlir::Value takeAlongAxis(mlir::PatternRewriter &rewriter, mlir::Operation *op,
                          mlir::Location loc, const LoweringContext &context,
                          mlir::Value input, int64_t axis,
                          llvm::ArrayRef<int64_t> indices);

/// Floats or integers as integers of fewer bits, which wrap around; `type` is
/// that of the result, which has the name of `op`.
mlir::Value castToStored(mlir::PatternRewriter &rewriter, mlir::Operation *op,
                         const LoweringContext &context, mlir::Value value,
                         mlir::Type type, top::StoredType to);

void populateConvLowering(mlir::RewritePatternSet &, const LoweringContext &);
void populateMatMulLowering(mlir::RewritePatternSet &, const LoweringContext &);
void populatePoolLowering(mlir::RewritePatternSet &, const LoweringContext &);
void populateElementwiseLowering(mlir::RewritePatternSet &,
                                 const LoweringContext &);
void populateActivationLowering(mlir::RewritePatternSet &,
                                const LoweringContext &);
void populateNormLowering(mlir::RewritePatternSet &, const LoweringContext &);
void populateReduceLowering(mlir::RewritePatternSet &, const LoweringContext &);
void populateIndexLowering(mlir::RewritePatternSet &, const LoweringContext &);
void populateResizeLowering(mlir::RewritePatternSet &, const LoweringContext &);
void populateQuantizeLowering(mlir::RewritePatternSet &,
                              const LoweringContext &);
void populateLayoutLowering(mlir::RewritePatternSet &, const LoweringContext &);

} // namespace tpumlir
