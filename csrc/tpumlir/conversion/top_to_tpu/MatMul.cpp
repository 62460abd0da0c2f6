#include "tpumlir/conversion/top_to_tpu/Lowering.h"

using namespace mlir;

namespace tpumlir {

namespace {

struct MatMulLowering : Lowering<top::MatMulOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::MatMulOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getHdimIsBatch() || !op.getKeepDims())
      return rewriter.notifyMatchFailure(
          op, "expected hdim_is_batch = false and keep_dims = true");
    SmallVector<int64_t> product(top::shapeOf(op.getOutput()));
    if (op.getOutputTranspose()) {
      if (product.size() < 2)
        return rewriter.notifyMatchFailure(
            op, "expected output_transpose on a result of rank 2 or more");
      std::swap(product[product.size() - 1], product[product.size() - 2]);
    }
    // Columns of the product; a rank 1 right operand is one column.
    ArrayRef<int64_t> right = top::shapeOf(op.getRight());
    int64_t columns = right.size() == 1 ? 1 : product.back();
    bool hasBias = !top::isNone(op.getBias());
    bool biasPerColumn =
        hasBias && !op.getOutputTranspose() && right.size() > 1 &&
        top::elementsOf(top::shapeOf(op.getBias())) == columns &&
        top::shapeOf(op.getBias()).back() == columns;
    bool biasApart = hasBias && !biasPerColumn;
    bool plain = !biasApart && !op.getOutputTranspose();

    Value value = tpu::MatMulOp::create(
        rewriter, plain ? op.getLoc() : derivedLoc(op, "product"),
        top::typeLike(op.getInput(), product), op.getInput(), op.getRight(),
        biasPerColumn ? op.getBias() : context.none, context.none, context.none,
        op.getLeftTransposeAttr(), op.getRightTransposeAttr(),
        rewriter.getBoolAttr(op.getDoRelu() && !biasApart),
        op.getReluLimitAttr());
    if (op.getOutputTranspose()) {
      SmallVector<int64_t> order = allAxes(product.size());
      std::swap(order[order.size() - 1], order[order.size() - 2]);
      value = tpu::PermuteOp::create(
          rewriter, biasApart ? derivedLoc(op, "transposed") : op.getLoc(),
          op.getType(), value, context.none, rewriter.getI64ArrayAttr(order));
    }
    if (biasApart)
      value = tpu::AddOp::create(rewriter, op.getLoc(), op.getType(),
                                 ValueRange{value, op.getBias()},
                                 op.getDoReluAttr(), op.getReluLimitAttr());
    rewriter.replaceOp(op, value);
    return success();
  }
};

} // namespace

void populateMatMulLowering(RewritePatternSet &patterns,
                            const LoweringContext &context) {
  patterns.add<MatMulLowering>(patterns.getContext(), context);
}

} // namespace tpumlir
