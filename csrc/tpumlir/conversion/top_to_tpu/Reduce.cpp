#include "tpumlir/conversion/top_to_tpu/Lowering.h"

using namespace mlir;

namespace tpumlir {

namespace {

/// Axes in runs that have nothing longer than 1 between them, last run first,
/// so that reducing one does not move the others.
SmallVector<SmallVector<int64_t>> runsOf(ArrayRef<int64_t> axes,
                                         ArrayRef<int64_t> shape) {
  SmallVector<int64_t> sorted(axes);
  llvm::sort(sorted);
  SmallVector<SmallVector<int64_t>> runs;
  for (int64_t axis : sorted) {
    if (!runs.empty()) {
      int64_t last = runs.back().back();
      if (top::elementsOf(shape.slice(last + 1, axis - last - 1)) == 1) {
        runs.back().push_back(axis);
        continue;
      }
    }
    runs.push_back({axis});
  }
  return SmallVector<SmallVector<int64_t>>(llvm::reverse(runs));
}

struct ReduceLowering : Lowering<top::ReduceOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::ReduceOp op,
                                PatternRewriter &rewriter) const override {
    top::ReduceMode mode = op.getMode();
    Value x = op.getInput();
    bool isInt = isIntegerTensor(x);
    if (isInt && (mode == top::ReduceMode::ReduceMean ||
                  mode == top::ReduceMode::ReduceL1))
      return rewriter.notifyMatchFailure(
          op, "expected a sum, a product or an extremum of integers");
    auto active = [&](StringRef name, Value value, tpu::ActiveMode what) {
      return tpu::ActiveOp::create(rewriter, derivedLoc(op, name),
                                   value.getType(), value, what, ArrayAttr());
    };
    top::ReduceMode inner = mode;
    if (mode == top::ReduceMode::ReduceL1) {
      x = active("abs", x, tpu::ActiveMode::ABSVAL);
      inner = top::ReduceMode::ReduceSum;
    }
    if (mode == top::ReduceMode::ReduceL2) {
      x = active("square", x, tpu::ActiveMode::SQUARE);
      inner = top::ReduceMode::ReduceSum;
    }
    SmallVector<int64_t> axes(op.getAxes());
    if (axes.empty())
      axes = allAxes(top::rankOf(x));
    SmallVector<int64_t> shape(top::shapeOf(x));
    auto runs = runsOf(axes, shape);
    bool reshape = false; // a vendor's scalar result of shape [1]
    bool root = mode == top::ReduceMode::ReduceL2;
    SmallVector<int64_t> kept(shape);
    for (int64_t axis : axes)
      kept[axis] = 1;
    reshape = top::shapeOf(op.getOutput()) != ArrayRef<int64_t>(kept);
    for (auto [i, run] : llvm::enumerate(runs)) {
      for (int64_t axis : run)
        shape[axis] = 1;
      bool last = i + 1 == runs.size() && !reshape && !root;
      x = tpu::ReduceOp::create(
          rewriter,
          last ? op.getLoc() : derivedLoc(op, "part" + std::to_string(i)),
          top::typeLike(x, shape), x, context.none, context.none, run, true,
          inner);
    }
    if (root) {
      x = tpu::ActiveOp::create(
          rewriter, reshape ? derivedLoc(op, "root") : op.getLoc(), x.getType(),
          x, tpu::ActiveMode::SQRT, ArrayAttr());
    }
    if (reshape)
      x = tpu::ReshapeOp::create(rewriter, op.getLoc(), op.getType(), x);
    rewriter.replaceOp(op, x);
    return success();
  }
};

struct ArgLowering : Lowering<top::ArgOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::ArgOp op,
                                PatternRewriter &rewriter) const override {
    Value x = op.getInput();
    int64_t axis = axisOf(op.getAxis(), x);
    SmallVector<int64_t> kept(top::shapeOf(x));
    kept[axis] = 1;
    Value index =
        tpu::ArgOp::create(rewriter, derivedLoc(op, "index"),
                           RankedTensorType::get(kept, rewriter.getI32Type()),
                           x, axis, op.getMode(), op.getSelectLastIndex());
    index = tpu::ReshapeOp::create(rewriter, top::resultLoc(op.getIndices()),
                                   op.getIndices().getType(), index);
    Value value = context.none;
    if (!top::isNone(op.getValues())) {
      value = tpu::ReduceOp::create(
          rewriter, derivedLoc(op, "value"), top::typeLike(x, kept), x,
          context.none, context.none, SmallVector<int64_t>{axis}, true,
          op.getMode() == top::ArgMode::ArgMax ? top::ReduceMode::ReduceMax
                                               : top::ReduceMode::ReduceMin);
      value = tpu::ReshapeOp::create(rewriter, top::resultLoc(op.getValues()),
                                     op.getValues().getType(), value);
    }
    rewriter.replaceOp(op, {index, value});
    return success();
  }
};

struct CumSumLowering : Lowering<top::CumSumOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::CumSumOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::CumSumOp>(
        op, op.getType(), op.getInput(), axisOf(op.getAxis(), op.getInput()));
    return success();
  }
};

struct SoftmaxLowering : Lowering<top::SoftmaxOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::SoftmaxOp op,
                                PatternRewriter &rewriter) const override {
    int64_t axis = axisOf(op.getAxis(), op.getInput());
    Value none = context.none;
    rewriter.replaceOpWithNewOp<tpu::SoftmaxOp>(
        op, op.getType(), op.getInput(), none, none, none, none, none,
        rewriter.getSI32IntegerAttr(axis), op.getLogAttr(), op.getBetaAttr());
    return success();
  }
};

} // namespace

void populateReduceLowering(RewritePatternSet &patterns,
                            const LoweringContext &context) {
  patterns.add<ReduceLowering, ArgLowering, CumSumLowering, SoftmaxLowering>(
      patterns.getContext(), context);
}

} // namespace tpumlir
