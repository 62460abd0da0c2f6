#include "tpumlir/transforms/top/Patterns.h"

#include <cmath>

/// Activations into the op before them, and small graphs that exporters write
/// for one activation.
using namespace mlir;

namespace tpumlir::top {
namespace {

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
    double limit = op.getReluLimit();
    if (!hasNoRelu(producer))
      limit = tighter(
          limit,
          producer->getAttrOfType<FloatAttr>("relu_limit").getValueAsDouble());
    fresh->setAttr("do_relu", rewriter.getBoolAttr(true));
    fresh->setAttr("relu_limit", rewriter.getF64FloatAttr(limit));
    replaceByFused(rewriter, op, fresh);
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
      !sameButRange(op.getInputs()[0].getType(), op.getType()) ||
      !sameButRange(op.getInputs()[1].getType(), op.getType()))
    return std::nullopt;
  return std::pair(op.getInputs()[0], op.getInputs()[1]);
}

/// Replaces `op` by what `create(x, gate)` makes of the product x * gate, its
/// factors in either order, where nothing else reads the gate. Null is no
/// match.
template <typename Create>
LogicalResult replaceGated(PatternRewriter &rewriter, Operation *op,
                           MulOp product, Create create) {
  auto factors = factorsOf(product);
  if (!factors)
    return rewriter.notifyMatchFailure(op, "not a product of two alike");
  for (auto [x, gate] :
       {*factors, std::pair(factors->second, factors->first)}) {
    if (!gate.hasOneUse())
      continue;
    if (Operation *fresh = create(x, gate)) {
      rewriter.replaceOp(op, fresh);
      return success();
    }
  }
  return rewriter.notifyMatchFailure(op, "no gate of the other factor");
}

/// The argument of a plain sigmoid.
Value sigmoidArgument(Value value) {
  auto sigmoid = value.getDefiningOp<SigmoidOp>();
  bool plain = sigmoid && sigmoid.getScale() == 1 && sigmoid.getBias() == 0 &&
               !sigmoid.getLog();
  return plain ? sigmoid.getInput() : Value();
}

/// x * sigmoid(x).
struct MulToSiLU : OpRewritePattern<MulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MulOp op,
                                PatternRewriter &rewriter) const override {
    return replaceGated(
        rewriter, op, op, [&](Value x, Value gate) -> Operation * {
          if (sigmoidArgument(gate) != x)
            return nullptr;
          return SiLUOp::create(rewriter, op.getLoc(), op.getType(), x);
        });
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
    return replaceGated(
        rewriter, op, op, [&](Value x, Value gate) -> Operation * {
          auto hard = gate.getDefiningOp<HardSigmoidOp>();
          if (!hard || hard.getInput() != x ||
              !isNear(hard.getAlpha(), 1.0 / 6) || !isNear(hard.getBeta(), 0.5))
            return nullptr;
          return HardSwishOp::create(rewriter, op.getLoc(), op.getType(), x);
        });
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
    return replaceGated(
        rewriter, op, mul, [&](Value x, Value gate) -> Operation * {
          auto sum = clippedSumOf(gate);
          if (!sum || sum->input != x || !isNear(sum->addend, 3.0) ||
              !isNear(sum->limit, 6.0))
            return nullptr;
          return HardSwishOp::create(rewriter, op.getLoc(), op.getType(), x);
        });
  }
};

//===----------------------------------------------------------------------===//
// Swish, Mish, GELU
//===----------------------------------------------------------------------===//

/// x * sigmoid(beta * x).
struct MulToSwish : OpRewritePattern<MulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MulOp op,
                                PatternRewriter &rewriter) const override {
    return replaceGated(
        rewriter, op, op, [&](Value x, Value gate) -> Operation * {
          Value argument = sigmoidArgument(gate);
          auto scaled =
              argument ? argument.getDefiningOp<MulConstOp>() : MulConstOp();
          if (!scaled || !scaled->hasOneUse() || scaled.getDoRelu() ||
              scaled.getInput() != x)
            return nullptr;
          return SwishOp::create(rewriter, op.getLoc(), op.getType(), x,
                                 scaled.getConstVal());
        });
  }
};

/// x * tanh(softplus(x)).
struct MulToMish : OpRewritePattern<MulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MulOp op,
                                PatternRewriter &rewriter) const override {
    return replaceGated(
        rewriter, op, op, [&](Value x, Value gate) -> Operation * {
          auto tanh = gate.getDefiningOp<TanhOp>();
          auto softplus =
              tanh ? tanh.getInput().getDefiningOp<SoftplusOp>() : SoftplusOp();
          if (!softplus || !softplus->hasOneUse() || softplus.getInput() != x)
            return nullptr;
          return MishOp::create(rewriter, op.getLoc(), op.getType(), x);
        });
  }
};

/// The operand of `value + 1`, if it is that and nothing else reads it.
Value withoutOne(Value value) {
  auto add = value.getDefiningOp<AddConstOp>();
  if (!add || add.getDoRelu() || !value.hasOneUse() ||
      !isNear(add.getConstVal(), 1.0))
    return {};
  return add.getInput();
}

/// Whether `value` is `factor` times x to the power of `power`.
bool isMonomial(Value value, double factor, Value x, size_t power) {
  Product product = flattenProduct(value);
  return isNear(product.factor, factor) && product.factors.size() == power &&
         llvm::all_equal(product.factors) && product.factors.front() == x;
}

/// Whether `value` is sqrt(2 / pi) (x + 0.044715 x^3), as a sum or with x drawn
/// out of it.
bool isTanhArgument(Value value, Value x) {
  constexpr double kCubic = 0.044715;
  Product product = flattenProduct(value);
  if (!isNear(product.factor, std::sqrt(2.0 / M_PI)))
    return false;
  if (product.factors.size() == 2) {
    auto [a, b] = std::pair(product.factors[0], product.factors[1]);
    Value square = withoutOne(a == x ? b : a);
    return (a == x || b == x) && square && isMonomial(square, kCubic, x, 2);
  }
  if (product.factors.size() != 1)
    return false;
  auto sum = product.factors.front().getDefiningOp<AddOp>();
  if (!sum || sum.getInputs().size() != 2 || sum.getDoRelu() ||
      sum.getCoeff() || !sum->hasOneUse())
    return false;
  auto [a, b] = std::pair(sum.getInputs()[0], sum.getInputs()[1]);
  return (a == x && isMonomial(b, kCubic, x, 3)) ||
         (b == x && isMonomial(a, kCubic, x, 3));
}

/// x / 2 * (1 + erf(x / sqrt(2))) and its tanh approximation, the factors in
/// any order.
template <typename Op> struct ProductToGelu : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    if (op.getDoRelu())
      return rewriter.notifyMatchFailure(op, "a relu follows");
    Product product = flattenProduct(op.getOutput());
    if (product.factors.size() != 2 || !isNear(product.factor, 0.5))
      return rewriter.notifyMatchFailure(op, "not half of a product of two");
    for (size_t i : {0, 1}) {
      Value x = product.factors[i], gate = withoutOne(product.factors[1 - i]);
      if (!gate || !gate.hasOneUse())
        continue;
      std::optional<GELUMode> mode;
      if (auto erf = gate.template getDefiningOp<ErfOp>()) {
        if (isMonomial(erf.getInput(), M_SQRT1_2, x, 1))
          mode = GELUMode::normal;
      } else if (auto tanh = gate.template getDefiningOp<TanhOp>()) {
        if (isTanhArgument(tanh.getInput(), x))
          mode = GELUMode::tanh;
      }
      if (!mode)
        continue;
      rewriter.replaceOp(
          op,
          GELUOp::create(rewriter, op.getLoc(), TypeRange(op.getType()), x,
                         rewriter.getNamedAttr("approx_mode",
                                               rewriter.getStringAttr(
                                                   stringifyGELUMode(*mode)))));
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no gate of GELU");
  }
};

} // namespace

void populateActivationPatterns(RewritePatternSet &patterns) {
  patterns.add<FuseReluIntoProducer, ClipToRelu, MaxConstToRelu,
               PReluToLeakyRelu, MulToSiLU, MulConstToHardSigmoid,
               MulToHardSwish, MulConstToHardSwish, MulToSwish, MulToMish,
               ProductToGelu<MulOp>, ProductToGelu<MulConstOp>>(
      patterns.getContext());
}

} // namespace tpumlir::top
