#include "tpumlir/conversion/top_to_tpu/Lowering.h"

using namespace mlir;

namespace tpumlir {

namespace {

template <typename OpTy> SmallVector<int64_t> dilationsOf(OpTy op) {
  if (auto dilations = op.getDilations())
    return *dilations;
  return SmallVector<int64_t>(op.getKernelShape().size(), 1);
}

SmallVector<int64_t> joined(ArrayRef<int64_t> begin, ArrayRef<int64_t> end) {
  SmallVector<int64_t> all(begin);
  all.append(end.begin(), end.end());
  return all;
}

struct ConvLowering : Lowering<top::ConvOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::ConvOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getKernelShape().size() > 2)
      return rewriter.notifyMatchFailure(
          op, "expected one or two spatial axes, got three");
    if (auto inserts = op.getInserts())
      if (llvm::any_of(*inserts, [](int64_t zeros) { return zeros != 0; }))
        return rewriter.notifyMatchFailure(
            op, "expected inserts of zero, got others");
    auto window = op.getWindow();
    if (failed(window))
      return failure();
    rewriter.replaceOpWithNewOp<tpu::Conv2DOp>(
        op, op.getType(), op.getInput(), op.getFilter(), op.getBias(),
        rewriter.getI64ArrayAttr(window->kernel),
        rewriter.getI64ArrayAttr(window->stride),
        rewriter.getI64ArrayAttr(joined(window->padBegin, window->padEndGiven)),
        rewriter.getI64IntegerAttr(op.getGroup()),
        rewriter.getI64ArrayAttr(dilationsOf(op)), rewriter.getBoolAttr(false),
        op.getDoReluAttr(), op.getReluLimitAttr(),
        rewriter.getBoolAttr(!top::isNone(op.getBias())),
        op.getWeightIsCoeffAttr());
    return success();
  }
};

struct DeconvLowering : Lowering<top::DeconvOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::DeconvOp op,
                                PatternRewriter &rewriter) const override {
    size_t axes = op.getKernelShape().size();
    if (axes > 2)
      return rewriter.notifyMatchFailure(
          op, "expected one or two spatial axes, got three");
    Value filter = op.getFilter();
    if (!op.filterIsOutputMajor()) {
      // A run-time filter as ONNX has it, [ic, oc / group, ...]: Tpu wants
      // [oc / group, ic, ...].
      SmallVector<int64_t> shape(top::shapeOf(filter)), order{1, 0};
      std::swap(shape[0], shape[1]);
      for (size_t i = 0; i < axes; ++i)
        order.push_back(i + 2);
      filter = tpu::PermuteOp::create(
          rewriter, derivedLoc(op, "filter"), top::typeLike(filter, shape),
          filter, context.none, rewriter.getI64ArrayAttr(order));
    }
    SmallVector<int64_t> extra(axes, 0);
    if (auto padding = op.getOutputPadding(); padding && !padding->empty())
      extra = *padding;
    rewriter.replaceOpWithNewOp<tpu::DeconvOp>(
        op, op.getType(), op.getInput(), filter, op.getBias(),
        op.getKernelShapeAttr(), op.getStridesAttr(), op.getPadsAttr(),
        rewriter.getI64IntegerAttr(op.getGroup()),
        rewriter.getI64ArrayAttr(dilationsOf(op)),
        rewriter.getI64ArrayAttr(extra), op.getDoReluAttr(),
        op.getReluLimitAttr(),
        rewriter.getBoolAttr(!top::isNone(op.getBias())));
    return success();
  }
};

} // namespace

void populateConvLowering(RewritePatternSet &patterns,
                          const LoweringContext &context) {
  patterns.add<ConvLowering, DeconvLowering>(patterns.getContext(), context);
}

} // namespace tpumlir
