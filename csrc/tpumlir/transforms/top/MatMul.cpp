#include "tpumlir/transforms/top/Patterns.h"

/// MatMul reads a transposed operand as it lies.
using namespace mlir;

namespace tpumlir::top {
namespace {

/// The permute that only exchanges the last two axes, if `value` is one.
PermuteOp transposeOf(Value value) {
  auto permute = value.getDefiningOp<PermuteOp>();
  if (!permute)
    return {};
  SmallVector<int64_t> order = permute.getOrder();
  if (order.size() < 2)
    return {};
  std::swap(order[order.size() - 1], order[order.size() - 2]);
  return llvm::equal(order, llvm::seq<int64_t>(0, order.size())) ? permute
                                                                 : PermuteOp();
}

struct TransposeIntoMatMul : OpRewritePattern<MatMulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MatMulOp op,
                                PatternRewriter &rewriter) const override {
    PermuteOp left = transposeOf(op.getInput());
    PermuteOp right = transposeOf(op.getRight());
    if (!left && !right)
      return rewriter.notifyMatchFailure(op, "no transposed operand");
    rewriter.modifyOpInPlace(op, [&] {
      if (left) {
        op.getInputMutable().assign(left.getInput());
        op.setLeftTranspose(!op.getLeftTranspose());
      }
      if (right) {
        op.getRightMutable().assign(right.getInput());
        op.setRightTranspose(!op.getRightTranspose());
      }
    });
    return success();
  }
};

} // namespace

void populateMatMulPatterns(RewritePatternSet &patterns) {
  patterns.add<TransposeIntoMatMul>(patterns.getContext());
}

} // namespace tpumlir::top
