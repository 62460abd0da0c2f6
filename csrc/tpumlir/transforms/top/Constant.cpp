#include "tpumlir/transforms/top/Patterns.h"

#include <cmath>

/// Operands that are one number become attributes. "One number" is a constant
/// whose elements are all equal and that does not widen the result.
using namespace mlir;

namespace tpumlir::top {
namespace {

struct Split {
  Value input;
  double number;
  bool numberFirst;
};

/// The operand that has the result's type, and the other one as a number.
std::optional<Split> splitNumber(Operation *op) {
  if (op->getNumOperands() != 2)
    return std::nullopt;
  for (unsigned i : {1u, 0u}) {
    Value input = op->getOperand(1 - i), other = op->getOperand(i);
    auto inputType = llvm::dyn_cast<RankedTensorType>(input.getType());
    auto type = llvm::dyn_cast<RankedTensorType>(op->getResult(0).getType());
    if (!inputType || !type || inputType.getShape() != type.getShape() ||
        dtypeOf(inputType) != DType::F32)
      continue;
    // Two constants are the business of constant folding.
    if (constantOf(input))
      continue;
    if (std::optional<double> number = splat(other);
        number && std::isfinite(*number))
      return Split{input, *number, i == 0};
  }
  return std::nullopt;
}

template <typename Op, typename Const>
struct SymmetricToConst : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    auto split = splitNumber(op);
    if (!split || op->hasAttr("coeff"))
      return rewriter.notifyMatchFailure(op, "no operand is one number");
    auto fresh = Const::create(
        rewriter, op.getLoc(), TypeRange(op.getType()), split->input,
        rewriter.getNamedAttr("const_val",
                              rewriter.getF64FloatAttr(split->number)));
    for (StringRef name : {"do_relu", "relu_limit"})
      if (Attribute attr = op->getAttr(name))
        fresh->setAttr(name, attr);
    rewriter.replaceOp(op, fresh);
    return success();
  }
};

struct SubToSubConst : OpRewritePattern<SubOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SubOp op,
                                PatternRewriter &rewriter) const override {
    auto split = splitNumber(op);
    if (!split || op.getCoeff())
      return rewriter.notifyMatchFailure(op, "no operand is one number");
    bool reverse = split->numberFirst != op.getIsReverse();
    rewriter.replaceOpWithNewOp<SubConstOp>(op, op.getType(), split->input,
                                            split->number, reverse,
                                            op.getDoRelu(), op.getReluLimit());
    return success();
  }
};

/// x / c is a product, c / x a reciprocal.
struct DivToConst : OpRewritePattern<DivOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(DivOp op,
                                PatternRewriter &rewriter) const override {
    auto split = splitNumber(op);
    if (!split)
      return rewriter.notifyMatchFailure(op, "no operand is one number");
    if (split->numberFirst != op.getIsReverse()) {
      rewriter.replaceOpWithNewOp<ReciprocalOp>(op, op.getType(), split->input,
                                                split->number, op.getDoRelu(),
                                                op.getReluLimit());
      return success();
    }
    double factor = 1.0 / split->number;
    if (!std::isfinite(float(factor)))
      return rewriter.notifyMatchFailure(op, "the divisor is 0 or tiny");
    rewriter.replaceOpWithNewOp<MulConstOp>(op, op.getType(), split->input,
                                            factor, op.getDoRelu(),
                                            op.getReluLimit());
    return success();
  }
};

struct Pow3ToPow : OpRewritePattern<Pow3Op> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(Pow3Op op,
                                PatternRewriter &rewriter) const override {
    auto split = splitNumber(op);
    if (!split)
      return rewriter.notifyMatchFailure(op, "no operand is one number");
    if (split->numberFirst)
      rewriter.replaceOpWithNewOp<Pow2Op>(op, op.getType(), split->input,
                                          split->number);
    else
      rewriter.replaceOpWithNewOp<PowOp>(op, op.getType(), split->input,
                                         split->number);
    return success();
  }
};

/// Powers that cheaper ops compute.
struct SimplifyPow : OpRewritePattern<PowOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(PowOp op,
                                PatternRewriter &rewriter) const override {
    double exponent = op.getExponent();
    if (exponent == 1)
      return replaceByEqual(rewriter, op, op.getInput());
    if (exponent == 2) {
      rewriter.replaceOpWithNewOp<MulOp>(
          op, op.getType(), ValueRange{op.getInput(), op.getInput()});
      return success();
    }
    if (exponent == 0.5) {
      rewriter.replaceOpWithNewOp<SqrtOp>(op, op.getType(), op.getInput());
      return success();
    }
    if (exponent == -1) {
      rewriter.replaceOpWithNewOp<ReciprocalOp>(op, op.getType(),
                                                op.getInput());
      return success();
    }
    return rewriter.notifyMatchFailure(op, "a general power");
  }
};

struct CompareToConst : OpRewritePattern<CompareOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(CompareOp op,
                                PatternRewriter &rewriter) const override {
    auto split = splitNumber(op);
    // CompareConst has no logical modes of two operands.
    if (!split || op.getMode() == CompareMode::And ||
        op.getMode() == CompareMode::Xor)
      return rewriter.notifyMatchFailure(op, "no operand is one number");
    rewriter.replaceOpWithNewOp<CompareConstOp>(op, op.getType(), split->input,
                                                op.getMode(), split->number,
                                                split->numberFirst);
    return success();
  }
};

/// A branch that is one number.
struct WhereToConst : OpRewritePattern<WhereOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(WhereOp op,
                                PatternRewriter &rewriter) const override {
    auto type = llvm::dyn_cast<RankedTensorType>(op.getType());
    if (!type)
      return rewriter.notifyMatchFailure(op, "unranked");
    for (bool first : {true, false}) {
      Value branch = first ? op.getTbrn() : op.getFbrn();
      Value other = first ? op.getFbrn() : op.getTbrn();
      if (isNone(branch) || constantOf(op.getCond()))
        continue;
      std::optional<double> number = splat(branch);
      if (!number)
        continue;
      // Without the branch the others must still span the result.
      FailureOr<SmallVector<int64_t>> rest =
          SmallVector<int64_t>(shapeOf(op.getCond()));
      if (!isNone(other))
        rest = broadcastShapes(op, shapeOf(op.getCond()), shapeOf(other));
      if (failed(rest) || ArrayRef<int64_t>(*rest) != type.getShape())
        continue;
      Value none = NoneOp::create(rewriter, rewriter.getUnknownLoc(),
                                  rewriter.getNoneType());
      rewriter.modifyOpInPlace(op, [&] {
        op->setOperand(first ? 1 : 2, none);
        if (first) {
          op.setXIsConst(true);
          op.setXConstVal(*number);
        } else {
          op.setYIsConst(true);
          op.setYConstVal(*number);
        }
      });
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no branch is one number");
  }
};

/// x + 0, x - 0 and x * 1 are x.
template <typename Op> struct DropNeutral : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    double neutral = llvm::isa<MulConstOp>(op.getOperation()) ? 1.0 : 0.0;
    auto sub = llvm::dyn_cast<SubConstOp>(op.getOperation());
    if (op.getConstVal() != neutral || op.getDoRelu() ||
        (sub && sub.getIsReverse()))
      return rewriter.notifyMatchFailure(op, "it changes its operand");
    return replaceByEqual(rewriter, op, op.getInput());
  }
};

} // namespace

void populateConstantPatterns(RewritePatternSet &patterns) {
  patterns.add<
      SymmetricToConst<AddOp, AddConstOp>, SymmetricToConst<MulOp, MulConstOp>,
      SymmetricToConst<MaxOp, MaxConstOp>, SymmetricToConst<MinOp, MinConstOp>,
      SubToSubConst, DivToConst, Pow3ToPow, SimplifyPow, CompareToConst,
      WhereToConst, DropNeutral<AddConstOp>, DropNeutral<SubConstOp>,
      DropNeutral<MulConstOp>>(patterns.getContext());
}

} // namespace tpumlir::top
