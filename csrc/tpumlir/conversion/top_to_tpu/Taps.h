#pragma once

#include "tpumlir/conversion/top_to_tpu/Lowering.h"

/// Windows as slices: what the window fields of the commands cannot say.
namespace tpumlir {

/// Greatest dilation that the commands hold; greater ones become slices.
constexpr int64_t kMaxWindowDilation = 15;

/// Elements under a dilated window from the axis `first` on, gaps included.
int64_t windowExtent(const top::Window &window, size_t first = 0);
/// Greatest such extent: a plane of it takes a quarter of a lane.
constexpr int64_t kMaxWindowExtent = 16384;

/// Names and builds the ops that one Top op becomes.
class TapBuilder {
public:
  TapBuilder(mlir::PatternRewriter &rewriter, mlir::Operation *op,
             const LoweringContext &context)
      : rewriter(rewriter), op(op), none(context.none) {}

  /// A location that nothing else of this op has.
  mlir::Location fresh(llvm::StringRef name);
  mlir::Value reshape(mlir::Value x, llvm::ArrayRef<int64_t> shape);
  mlir::Value permute(mlir::Value x, llvm::ArrayRef<int64_t> order);
  /// `before` and `behind` elements of `value` around an axis.
  mlir::Value pad(mlir::Value x, size_t axis, int64_t before, int64_t behind,
                  double value);
  /// `count` elements of an axis from `begin` on, `step` apart.
  mlir::Value slice(mlir::Value x, size_t axis, int64_t begin, int64_t step,
                    int64_t count);
  mlir::Value concat(mlir::ValueRange parts, int64_t axis);

private:
  mlir::PatternRewriter &rewriter;
  mlir::Operation *op;
  mlir::Value none;
  int64_t count = 0;
};

} // namespace tpumlir
