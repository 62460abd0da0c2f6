#pragma once

#include "tpumlir/dialect/top/TopDialect.h"

#include "mlir/IR/PatternMatch.h"

/// The rewrites of `canonicalize`, by family, and what they share.
namespace tpumlir::top {

/// BatchNorm, Scale and constant factors and addends into weights.
void populateAffinePatterns(mlir::RewritePatternSet &patterns);
/// Relu and its kin into `do_relu`; SiLU, HardSwish, GELU, ... recognised.
void populateActivationPatterns(mlir::RewritePatternSet &patterns);
/// Constant operands into attributes.
void populateConstantPatterns(mlir::RewritePatternSet &patterns);
/// Reshape, Permute, Slice, Pad and other movers of data.
void populateLayoutPatterns(mlir::RewritePatternSet &patterns);
/// Run-time filters of Deconv.
void populateFilterPatterns(mlir::RewritePatternSet &patterns);
/// LayerNorm and RMSNorm out of the sums that exporters write for them.
void populateNormPatterns(mlir::RewritePatternSet &patterns);
/// Transposed operands of MatMul.
void populateMatMulPatterns(mlir::RewritePatternSet &patterns);

/// The scale of an attention into weights or the softmax.
void populateAttentionPatterns(mlir::RewritePatternSet &patterns);

/// Whether the model returns the value.
bool isOutput(mlir::Value value);

/// Replaces the single result of `op` by an equal value; refused for a model
/// output, whose name would be lost.
mlir::LogicalResult replaceByEqual(mlir::PatternRewriter &rewriter,
                                   mlir::Operation *op, mlir::Value equal);

/// Whether two types are the same but for the ranges of a calibration.
inline bool sameButRange(mlir::Type a, mlir::Type b) {
  return withoutRange(a) == withoutRange(b);
}

/// Replaces the single result of `op` by that of `fresh`, which computes the
/// same tensor: it has its name, and its range.
void replaceByFused(mlir::PatternRewriter &rewriter, mlir::Operation *op,
                    mlir::Operation *fresh);

/// The constant as doubles, one per channel of an operand of shape `shape`
/// whose channels are on `axis`; failure if `value` is not a constant of one
/// element or of one per channel. One element is repeated.
mlir::FailureOr<llvm::SmallVector<double>>
perChannel(mlir::Value value, llvm::ArrayRef<int64_t> shape, int64_t axis);

/// The number that every element of a constant equals.
std::optional<double> splat(mlir::Value value);

/// Whether a constant of a model is `want` up to the rounding of f32.
bool isNear(double value, double want);

/// A value as a number times tensors of its own type.
struct Product {
  double factor = 1.0;
  llvm::SmallVector<mlir::Value> factors;
};
/// Takes `value` apart through products, whole powers and constant factors that
/// nothing else reads; the value itself, once, if it is none of these.
Product flattenProduct(mlir::Value value);

/// The op's `do_relu` is false (or it has none).
bool hasNoRelu(mlir::Operation *op);

/// A new constant, f32, under `base` or a free name like it.
mlir::Value weightFrom(mlir::OpBuilder &builder, llvm::StringRef base,
                       llvm::ArrayRef<int64_t> shape,
                       llvm::ArrayRef<double> data);

} // namespace tpumlir::top
