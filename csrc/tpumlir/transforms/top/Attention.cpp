#include "tpumlir/transforms/top/Patterns.h"

/// The scale of an attention, wherever an exporter puts it: into the softmax if
/// it stands before that, into the weights of the projection if it stands
/// behind the reshapes that make heads of it.
using namespace mlir;

namespace tpumlir::top {
namespace {

/// Whether the value serves its one user only.
bool isInner(Value value) { return value.hasOneUse() && !isOutput(value); }

/// softmax(c * x), c a positive number, is a softmax with `beta`.
struct FactorIntoSoftmax : OpRewritePattern<SoftmaxOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SoftmaxOp op,
                                PatternRewriter &rewriter) const override {
    auto mul = op.getInput().getDefiningOp<MulConstOp>();
    if (!mul || !isInner(op.getInput()) || !hasNoRelu(mul) ||
        !(mul.getConstVal() > 0))
      return rewriter.notifyMatchFailure(op, "no factor before it");
    rewriter.modifyOpInPlace(op, [&] {
      op.getInputMutable().assign(mul.getInput());
      op.setBetaAttr(
          rewriter.getF64FloatAttr(op.getBeta() * mul.getConstVal()));
    });
    return success();
  }
};

/// Whether a factor behind `op` goes into its weights, see Affine.cpp.
bool takesFactor(Operation *op) {
  if (!op || !hasNoRelu(op))
    return false;
  if (auto matmul = llvm::dyn_cast<MatMulOp>(op))
    return succeeded(constantF32s(matmul.getRight())) &&
           !matmul.getOutputTranspose() && rankOf(matmul.getRight()) >= 2 &&
           (isNone(matmul.getBias()) || constantOf(matmul.getBias()));
  if (auto conv = llvm::dyn_cast<ConvOp>(op))
    return succeeded(constantF32s(conv.getFilter())) &&
           (isNone(conv.getBias()) || constantOf(conv.getBias()));
  return false;
}

/// c * move(matmul(x)) is move(c * matmul(x)), move a chain of reshapes and
/// permutes: the factor disappears in the weights. What the tensors in between
/// hold changes, and so do their names.
struct FactorThroughMoves : OpRewritePattern<MulConstOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MulConstOp op,
                                PatternRewriter &rewriter) const override {
    if (!hasNoRelu(op))
      return rewriter.notifyMatchFailure(op, "it has a Relu");
    SmallVector<Operation *> moves;
    Value source = op.getInput();
    while (isInner(source) && llvm::isa_and_nonnull<ReshapeOp, PermuteOp>(
                                  source.getDefiningOp())) {
      moves.push_back(source.getDefiningOp());
      source = moves.back()->getOperand(0);
    }
    if (moves.empty() || !isInner(source) ||
        !takesFactor(source.getDefiningOp()))
      return rewriter.notifyMatchFailure(op, "no weights behind moves");
    Value scaled = MulConstOp::create(rewriter, scaledLoc(source),
                                      withoutRange(source.getType()), source,
                                      op.getConstVal(), false, -1.0);
    for (Operation *move : llvm::reverse(moves)) {
      Operation *fresh = rewriter.clone(*move);
      fresh->setOperand(0, scaled);
      fresh->setLoc(scaledLoc(move->getResult(0)));
      scaled = fresh->getResult(0);
      scaled.setType(withoutRange(scaled.getType()));
    }
    replaceByFused(rewriter, op, scaled.getDefiningOp());
    return success();
  }

  static Location scaledLoc(Value value) {
    return partLoc(resultLoc(value), "scaled");
  }
};

} // namespace

void populateAttentionPatterns(RewritePatternSet &patterns) {
  patterns.add<FactorIntoSoftmax, FactorThroughMoves>(patterns.getContext());
}

} // namespace tpumlir::top
