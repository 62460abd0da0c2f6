#include "tpumlir/transforms/top/Patterns.h"

#include <cmath>

/// Activations into the op before them, and small graphs that exporters write
/// for one activation.
using namespace mlir;

namespace tpumlir::top {
namespace {

/// Whether a constant of a model is `want` up to the rounding of f32.
bool isNear(double value, double want) {
  return std::abs(value - want) <= 1e-6 * std::max(1.0, std::abs(want));
}

//===----------------------------------------------------------------------===//
// Relu
//===----------------------------------------------------------------------===//

/// The smaller of two upper limits, where a negative one is none.
double tighter(double a, double b) {
  if (a < 0)
    return b;
  return b < 0 ? a : std::min(a, b);
}

/// Relu into the `do_relu` of the op before it.
struct FuseReluIntoProducer : OpRewritePattern<ReluOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReluOp op,
                                PatternRewriter &rewriter) const override {
    Operation *producer = op.getInput().getDefiningOp();
    if (!producer || !producer->hasTrait<SupportFuseRelu>() ||
        !op.getInput().hasOneUse())
      return rewriter.notifyMatchFailure(op, "no op that takes a relu alone");
    rewriter.setInsertionPoint(op);
    Operation *fresh = rewriter.clone(*producer);
    fresh->setLoc(op.getLoc());
    double limit = op.getReluLimit();
    if (!hasNoRelu(producer))
      limit = tighter(
          limit,
          producer->getAttrOfType<FloatAttr>("relu_limit").getValueAsDouble());
    fresh->setAttr("do_relu", rewriter.getBoolAttr(true));
    fresh->setAttr("relu_limit", rewriter.getF64FloatAttr(limit));
    rewriter.replaceOp(op, fresh->getResults());
    return success();
  }
};

/// Clip from 0 is a Relu with a limit.
struct ClipToRelu : OpRewritePattern<ClipOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ClipOp op,
                                PatternRewriter &rewriter) const override {
    // f32's greatest number and infinity stand for no limit.
    constexpr double kGreatest = 3.4028234663852886e38;
    double limit = op.getMax() >= kGreatest ? -1.0 : op.getMax();
    if (op.getMin() != 0 || op.getMax() <= 0)
      return rewriter.notifyMatchFailure(op, "not from 0 upwards");
    rewriter.replaceOpWithNewOp<ReluOp>(op, op.getType(), op.getInputs(),
                                        limit);
    return success();
  }
};

/// max(x, 0).
struct MaxConstToRelu : OpRewritePattern<MaxConstOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MaxConstOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getConstVal() != 0)
      return rewriter.notifyMatchFailure(op, "not with 0");
    rewriter.replaceOpWithNewOp<ReluOp>(op, op.getType(), op.getInput(), -1.0);
    return success();
  }
};

/// PRelu whose slopes are all equal.
struct PReluToLeakyRelu : OpRewritePattern<PReluOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(PReluOp op,
                                PatternRewriter &rewriter) const override {
    std::optional<double> slope = splat(op.getSlope());
    if (!slope || !std::isfinite(*slope))
      return rewriter.notifyMatchFailure(op, "slopes differ or are not known");
    rewriter.replaceOpWithNewOp<LeakyReluOp>(op, op.getType(), op.getInput(),
                                             *slope);
    return success();
  }
};

//===----------------------------------------------------------------------===//
// SiLU, HardSigmoid, HardSwish
//===----------------------------------------------------------------------===//

/// The two operands of a plain product of two tensors of one shape.
std::optional<std::pair<Value, Value>> factorsOf(MulOp op) {
  if (op.getInputs().size() != 2 || op.getDoRelu() ||
      op.getInputs()[0].getType() != op.getType() ||
      op.getInputs()[1].getType() != op.getType())
    return std::nullopt;
  return std::pair(op.getInputs()[0], op.getInputs()[1]);
}

/// x * sigmoid(x).
struct MulToSiLU : OpRewritePattern<MulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MulOp op,
                                PatternRewriter &rewriter) const override {
    auto factors = factorsOf(op);
    if (!factors)
      return rewriter.notifyMatchFailure(op, "not a product of two alike");
    for (auto [x, gate] :
         {*factors, std::pair(factors->second, factors->first)}) {
      auto sigmoid = gate.getDefiningOp<SigmoidOp>();
      if (!sigmoid || !gate.hasOneUse() || sigmoid.getInput() != x ||
          sigmoid.getScale() != 1 || sigmoid.getBias() != 0 || sigmoid.getLog())
        continue;
      rewriter.replaceOpWithNewOp<SiLUOp>(op, op.getType(), x);
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no sigmoid of the other factor");
  }
};

/// clip(x + b, 0, limit): the form that an AddConst with a fused Relu has.
struct ClippedSum {
  Value input;
  double addend, limit;
};
std::optional<ClippedSum> clippedSumOf(Value value) {
  auto add = value.getDefiningOp<AddConstOp>();
  if (!add || !add.getDoRelu() || add.getReluLimit() <= 0)
    return std::nullopt;
  return ClippedSum{add.getInput(), add.getConstVal(), add.getReluLimit()};
}

/// clip(x + b, 0, 1 / c) * c.
struct MulConstToHardSigmoid : OpRewritePattern<MulConstOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MulConstOp op,
                                PatternRewriter &rewriter) const override {
    auto sum = clippedSumOf(op.getInput());
    if (!sum || op.getDoRelu() || !op.getInput().hasOneUse() ||
        !isNear(sum->limit * op.getConstVal(), 1.0))
      return rewriter.notifyMatchFailure(op, "not clip(x + b, 0, 1 / c) * c");
    double alpha = 1.0 / sum->limit;
    rewriter.replaceOpWithNewOp<HardSigmoidOp>(op, op.getType(), sum->input,
                                               alpha, sum->addend * alpha);
    return success();
  }
};

/// x * hard_sigmoid(x) with alpha 1/6 and beta 1/2.
struct MulToHardSwish : OpRewritePattern<MulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MulOp op,
                                PatternRewriter &rewriter) const override {
    auto factors = factorsOf(op);
    if (!factors)
      return rewriter.notifyMatchFailure(op, "not a product of two alike");
    for (auto [x, gate] :
         {*factors, std::pair(factors->second, factors->first)}) {
      auto hard = gate.getDefiningOp<HardSigmoidOp>();
      if (!hard || !gate.hasOneUse() || hard.getInput() != x ||
          !isNear(hard.getAlpha(), 1.0 / 6) || !isNear(hard.getBeta(), 0.5))
        continue;
      rewriter.replaceOpWithNewOp<HardSwishOp>(op, op.getType(), x);
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no hard sigmoid of the other");
  }
};

/// x * clip(x + 3, 0, 6) / 6.
struct MulConstToHardSwish : OpRewritePattern<MulConstOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MulConstOp op,
                                PatternRewriter &rewriter) const override {
    auto mul = op.getInput().getDefiningOp<MulOp>();
    if (!mul || op.getDoRelu() || !op.getInput().hasOneUse() ||
        !isNear(op.getConstVal() * 6, 1.0))
      return rewriter.notifyMatchFailure(op, "not a sixth of a product");
    auto factors = factorsOf(mul);
    if (!factors)
      return rewriter.notifyMatchFailure(op, "not a product of two alike");
    for (auto [x, gate] :
         {*factors, std::pair(factors->second, factors->first)}) {
      auto sum = clippedSumOf(gate);
      if (!sum || !gate.hasOneUse() || sum->input != x ||
          !isNear(sum->addend, 3.0) || !isNear(sum->limit, 6.0))
        continue;
      rewriter.replaceOpWithNewOp<HardSwishOp>(op, op.getType(), x);
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no clip(x + 3, 0, 6)");
  }
};

} // namespace

void populateActivationPatterns(RewritePatternSet &patterns) {
  patterns.add<FuseReluIntoProducer, ClipToRelu, MaxConstToRelu,
               PReluToLeakyRelu, MulToSiLU, MulConstToHardSigmoid,
               MulToHardSwish, MulConstToHardSwish>(patterns.getContext());
}

} // namespace tpumlir::top
