#include "tpumlir/transforms/top/Patterns.h"

/// LayerNorm and RMSNorm, which exporters of older opsets write as sums and
/// quotients.
using namespace mlir;

namespace tpumlir::top {
namespace {

/// x / sqrt(radicand): the last op of a normalisation.
struct Quotient {
  Value numerator, radicand;
};

/// The radicand if `value` is 1 / sqrt(radicand) and nothing else reads it.
Value inverseRootOf(Value value) {
  if (!value.hasOneUse())
    return {};
  if (auto rsqrt = value.getDefiningOp<RsqrtOp>())
    return rsqrt.getInput();
  if (auto power = value.getDefiningOp<PowOp>())
    return power.getExponent() == -0.5 ? power.getInput() : Value();
  auto reciprocal = value.getDefiningOp<ReciprocalOp>();
  if (!reciprocal || reciprocal.getConstVal() != 1 || reciprocal.getDoRelu() ||
      !reciprocal.getInput().hasOneUse())
    return {};
  auto root = reciprocal.getInput().getDefiningOp<SqrtOp>();
  return root ? root.getInput() : Value();
}

std::optional<Quotient> quotientOf(MulOp op) {
  if (op.getInputs().size() != 2)
    return std::nullopt;
  for (unsigned i : {0u, 1u})
    if (Value radicand = inverseRootOf(op.getInputs()[1 - i]))
      return Quotient{op.getInputs()[i], radicand};
  return std::nullopt;
}

std::optional<Quotient> quotientOf(DivOp op) {
  Value over = op.getInputs()[op.getIsReverse() ? 1 : 0];
  Value under = op.getInputs()[op.getIsReverse() ? 0 : 1];
  auto root = under.getDefiningOp<SqrtOp>();
  if (!root || !under.hasOneUse())
    return std::nullopt;
  return Quotient{over, root.getInput()};
}

/// Mean over the last axes, kept as 1. `axis` is the first of them.
struct Mean {
  Value input;
  int64_t axis;
};
std::optional<Mean> meanOf(Value value) {
  auto reduce = value.getDefiningOp<ReduceOp>();
  if (!reduce || reduce.getMode() != ReduceMode::ReduceMean ||
      !reduce.getKeepdims())
    return std::nullopt;
  SmallVector<int64_t> axes = reduce.getAxes();
  llvm::sort(axes);
  int64_t rank = rankOf(reduce.getInput()), axis = rank - int64_t(axes.size());
  if (axes.empty() || !llvm::equal(axes, llvm::seq<int64_t>(axis, rank)))
    return std::nullopt;
  return Mean{reduce.getInput(), axis};
}

/// x if `value` is x - mean(x) over the axes from `axis` on.
Value centredOf(Value value, int64_t axis) {
  auto difference = value.getDefiningOp<SubOp>();
  if (!difference || difference.getDoRelu() || difference.getCoeff() ||
      difference.getIsReverse())
    return {};
  Value x = difference.getInputs()[0];
  std::optional<Mean> mean = meanOf(difference.getInputs()[1]);
  return mean && mean->input == x && mean->axis == axis ? x : Value();
}

/// c / sqrt(mean(c * c) + eps): LayerNorm if c is x - mean(x), else RMSNorm.
/// Some exporters compute c twice.
template <typename Op> struct QuotientToNorm : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    std::optional<Quotient> quotient;
    if (hasNoRelu(op))
      quotient = quotientOf(op);
    if (!quotient ||
        !sameButRange(quotient->numerator.getType(), op.getType()) ||
        !quotient->radicand.hasOneUse())
      return rewriter.notifyMatchFailure(op, "not over a square root");
    auto sum = quotient->radicand.template getDefiningOp<AddConstOp>();
    if (!sum || sum.getDoRelu() || sum.getConstVal() < 0 ||
        !sum.getInput().hasOneUse())
      return rewriter.notifyMatchFailure(op, "no epsilon under the root");
    std::optional<Mean> mean = meanOf(sum.getInput());
    if (!mean || !mean->input.hasOneUse())
      return rewriter.notifyMatchFailure(op, "no mean under the root");
    Product square = flattenProduct(mean->input);
    if (square.factor != 1 || square.factors.size() != 2 ||
        square.factors[0] != square.factors[1])
      return rewriter.notifyMatchFailure(op, "no mean of squares");
    Value c = square.factors[0];
    int64_t rank = rankOf(op.getOutput());

    Value centred = centredOf(c, mean->axis);
    if (centred && centredOf(quotient->numerator, mean->axis) == centred) {
      ArrayRef<int64_t> normalised =
          shapeOf(op.getOutput()).drop_front(mean->axis);
      Value none = noneBefore(rewriter, op);
      rewriter.replaceOpWithNewOp<LayerNormOp>(
          op, op.getType(), centred, none, none,
          rewriter.getI64ArrayAttr(normalised),
          rewriter.getSI32IntegerAttr(int32_t(mean->axis)),
          rewriter.getF64FloatAttr(sum.getConstVal()));
      return success();
    }
    if (quotient->numerator != c || mean->axis != rank - 1)
      return rewriter.notifyMatchFailure(op, "the numerator is another tensor");
    Value none = noneBefore(rewriter, op);
    rewriter.replaceOp(
        op,
        RMSNormOp::create(
            rewriter, op.getLoc(), TypeRange(op.getType()), ValueRange{c, none},
            rewriter.getNamedAttr(
                "eps", rewriter.getF64FloatAttr(sum.getConstVal()))));
    return success();
  }

  static Value noneBefore(PatternRewriter &rewriter, Operation *op) {
    return NoneOp::create(rewriter, op->getLoc(), rewriter.getNoneType());
  }
};

/// The norm before `op` if `op` alone reads it, and the other operand if that
/// has one element per normalised one and does not widen the result.
template <typename NormOp, typename Op>
std::optional<std::pair<NormOp, Value>> normAndParameter(Op op) {
  if (op.getInputs().size() != 2)
    return std::nullopt;
  for (unsigned i : {0u, 1u}) {
    auto norm = op.getInputs()[i].template getDefiningOp<NormOp>();
    if (!norm || !norm->hasOneUse() ||
        !sameButRange(norm.getType(), op.getType()))
      continue;
    int64_t axis = rankOf(norm.getOutput()) - 1;
    if constexpr (std::is_same_v<NormOp, LayerNormOp>)
      axis = norm.getAxis();
    Value parameter = op.getInputs()[1 - i];
    ArrayRef<int64_t> shape = shapeOf(parameter);
    if (axis >= 0 &&
        shape.drop_while([](int64_t extent) { return extent == 1; }) ==
            shapeOf(norm.getOutput())
                .drop_front(axis)
                .drop_while([](int64_t extent) { return extent == 1; }))
      return std::pair(norm, parameter);
  }
  return std::nullopt;
}

/// The norm with another parameter in the place of `op`, which may follow the
/// definition of that parameter.
template <typename NormOp>
void replaceWithNorm(PatternRewriter &rewriter, Operation *op, NormOp norm,
                     unsigned operand, Value parameter) {
  rewriter.setInsertionPoint(op);
  Operation *fresh = rewriter.clone(*norm);
  fresh->setOperand(operand, parameter);
  replaceByFused(rewriter, op, fresh);
}

/// norm * weight.
template <typename NormOp> struct FactorIntoNorm : OpRewritePattern<MulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MulOp op,
                                PatternRewriter &rewriter) const override {
    auto found = normAndParameter<NormOp>(op);
    if (!found || op.getDoRelu() || !isNone(found->first->getOperand(1)))
      return rewriter.notifyMatchFailure(op, "no norm without a weight");
    if constexpr (std::is_same_v<NormOp, LayerNormOp>)
      if (!isNone(found->first.getBias()))
        return rewriter.notifyMatchFailure(op, "the norm has a bias");
    replaceWithNorm(rewriter, op, found->first, 1, found->second);
    return success();
  }
};

/// norm + bias.
struct AddendIntoNorm : OpRewritePattern<AddOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AddOp op,
                                PatternRewriter &rewriter) const override {
    auto found = normAndParameter<LayerNormOp>(op);
    if (!found || op.getDoRelu() || op.getCoeff() ||
        !isNone(found->first.getBias()))
      return rewriter.notifyMatchFailure(op, "no norm without a bias");
    replaceWithNorm(rewriter, op, found->first, 2, found->second);
    return success();
  }
};

} // namespace

void populateNormPatterns(RewritePatternSet &patterns) {
  patterns.add<QuotientToNorm<MulOp>, QuotientToNorm<DivOp>,
               FactorIntoNorm<LayerNormOp>, FactorIntoNorm<RMSNormOp>,
               AddendIntoNorm>(patterns.getContext());
}

} // namespace tpumlir::top
