#include "tpumlir/transforms/top/Patterns.h"

/// A run-time Deconv filter comes as ONNX has it, [ic, oc / group, kernel];
/// everything behind Top wants the layout that constant filters have,
/// [oc / group, ic, kernel]. A Conv filter is laid out alike in both.
using namespace mlir;

namespace tpumlir::top {
namespace {

struct ReorderRuntimeFilter : OpRewritePattern<DeconvOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(DeconvOp op,
                                PatternRewriter &rewriter) const override {
    Value filter = op.getFilter();
    if (op.filterIsOutputMajor() ||
        !llvm::isa<RankedTensorType>(filter.getType()))
      return rewriter.notifyMatchFailure(op, "the layout is right");
    SmallVector<int64_t> order =
        llvm::to_vector(llvm::seq<int64_t>(0, rankOf(filter)));
    std::swap(order[0], order[1]);
    // Already there, the other way round: this op takes what it started from.
    // Others that use the permuted filter keep it.
    auto permute = filter.getDefiningOp<PermuteOp>();
    Value reordered;
    if (permute && permute.getOrder() == order) {
      reordered = permute.getInput();
    } else {
      SmallVector<int64_t> shape(shapeOf(filter));
      std::swap(shape[0], shape[1]);
      std::string name = (tensorName(op.getLoc()) + "_reorder_permute").str();
      reordered = PermuteOp::create(rewriter,
                                    NameLoc::get(rewriter.getStringAttr(name)),
                                    typeLike(filter, shape), filter, order);
    }
    rewriter.modifyOpInPlace(op, [&] {
      op.getFilterMutable().assign(reordered);
      op.setDynweightReorderd(true);
    });
    return success();
  }
};

} // namespace

void populateFilterPatterns(RewritePatternSet &patterns) {
  patterns.add<ReorderRuntimeFilter>(patterns.getContext());
}

} // namespace tpumlir::top
