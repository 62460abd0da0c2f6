#include "tpumlir/conversion/top_to_tpu/Lowering.h"

using namespace mlir;

namespace tpumlir {

namespace {

/// Shorthand for the chains that norms become.
class Chain {
public:
  Chain(PatternRewriter &rewriter, Operation *op,
        const LoweringContext &context)
      : rewriter(rewriter), op(op), none(context.none) {}

  Value reshape(StringRef name, Value x, ArrayRef<int64_t> shape) {
    if (top::shapeOf(x) == shape)
      return x;
    return tpu::ReshapeOp::create(rewriter, loc(name), top::typeLike(x, shape),
                                  x);
  }
  Value active(StringRef name, Value x, tpu::ActiveMode mode) {
    return tpu::ActiveOp::create(rewriter, loc(name), x.getType(), x, mode,
                                 ArrayAttr());
  }
  Value mean(StringRef name, Value x, ArrayRef<int64_t> axes) {
    SmallVector<int64_t> shape(top::shapeOf(x));
    for (int64_t axis : axes)
      shape[axis] = 1;
    return tpu::ReduceOp::create(rewriter, loc(name), top::typeLike(x, shape),
                                 x, none, none, SmallVector<int64_t>(axes),
                                 true, top::ReduceMode::ReduceMean);
  }
  Value addConst(StringRef name, Value x, double value) {
    return tpu::AddConstOp::create(rewriter, loc(name), x.getType(), x, value,
                                   false, -1.0);
  }
  Value mulConst(StringRef name, Value x, double value) {
    return tpu::MulConstOp::create(rewriter, loc(name), x.getType(), x, value,
                                   false, -1.0);
  }
  /// The result has the type of `x`; an empty name is the op's own.
  template <typename OpTy> Value binary(StringRef name, Value x, Value y) {
    if constexpr (std::is_same_v<OpTy, tpu::SubOp>)
      return OpTy::create(rewriter, loc(name), x.getType(), ValueRange{x, y},
                          false, false, -1.0);
    else
      return OpTy::create(rewriter, loc(name), x.getType(), ValueRange{x, y},
                          false, -1.0);
  }
  /// (x - mean) / sqrt(variance + eps), over `axes`.
  Value normalize(Value x, ArrayRef<int64_t> axes, double eps) {
    Value centred = binary<tpu::SubOp>("centred", x, mean("mean", x, axes));
    return scaleToOne(centred, axes, eps);
  }
  /// x / sqrt(mean(x * x) + eps).
  Value scaleToOne(Value x, ArrayRef<int64_t> axes, double eps) {
    Value square = active("square", x, tpu::ActiveMode::SQUARE);
    Value sum = addConst("eps", mean("variance", square, axes), eps);
    return binary<tpu::MulOp>("normal", x,
                              active("rsqrt", sum, tpu::ActiveMode::RSQRT));
  }
  /// x * weight + bias, either may be none, with factors of `shape`; the last
  /// op carries the name of the original. Replaces the op.
  void finish(Value x, Value weight, Value bias, ArrayRef<int64_t> shape,
              Type type) {
    bool hasWeight = !top::isNone(weight), hasBias = !top::isNone(bias);
    if (hasWeight)
      x = binary<tpu::MulOp>("weighted", x, reshape("weight", weight, shape));
    if (hasBias)
      x = binary<tpu::AddOp>("shifted", x, reshape("bias", bias, shape));
    if (x.getType() != type)
      x = tpu::ReshapeOp::create(rewriter, op->getLoc(), type, x);
    else
      x.getDefiningOp()->setLoc(op->getLoc());
    rewriter.replaceOp(op, x);
  }

private:
  Location loc(StringRef name) { return derivedLoc(op, name); }
  PatternRewriter &rewriter;
  Operation *op;
  Value none;
};

struct ScaleLowering : Lowering<top::ScaleOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::ScaleOp op,
                                PatternRewriter &rewriter) const override {
    Value bias = op.getBias();
    if (top::isNone(bias)) {
      int64_t channels = top::shapeOf(op.getInput())[1];
      bias = top::createWeight(
          rewriter, top::partName(top::tensorName(op.getLoc()), "bias"),
          {channels}, std::vector<float>(channels, 0.0f));
    }
    rewriter.replaceOpWithNewOp<tpu::ScaleOp>(
        op, op.getType(), op.getInput(), op.getScale(), bias, context.none,
        op.getDoReluAttr(), op.getReluLimitAttr());
    return success();
  }
};

struct BatchNormLowering : Lowering<top::BatchNormOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::BatchNormOp op,
                                PatternRewriter &rewriter) const override {
    // scale = gamma / sqrt(variance + eps), bias = beta - mean * scale, at run
    // time: constants have been folded into top.Scale or a convolution.
    Chain chain(rewriter, op, context);
    int64_t channels = top::shapeOf(op.getInput())[1];
    Value variance = chain.reshape("variance", op.getVariance(), {channels});
    Value scale =
        chain.active("rsqrt", chain.addConst("eps", variance, op.getEpsilon()),
                     tpu::ActiveMode::RSQRT);
    if (!top::isNone(op.getGamma()))
      scale = chain.binary<tpu::MulOp>(
          "scale", scale, chain.reshape("gamma", op.getGamma(), {channels}));
    Value shift = chain.binary<tpu::MulOp>(
        "shift", chain.reshape("mean", op.getMean(), {channels}), scale);
    Value bias;
    if (!top::isNone(op.getBeta()))
      bias = chain.binary<tpu::SubOp>(
          "bias", chain.reshape("beta", op.getBeta(), {channels}), shift);
    else
      bias = tpu::MulConstOp::create(rewriter, derivedLoc(op, "bias"),
                                     shift.getType(), shift, -1.0, false, -1.0);
    rewriter.replaceOpWithNewOp<tpu::ScaleOp>(
        op, op.getType(), op.getInput(), scale, bias, context.none,
        op.getDoReluAttr(), op.getReluLimitAttr());
    return success();
  }
};

struct LayerNormLowering : Lowering<top::LayerNormOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::LayerNormOp op,
                                PatternRewriter &rewriter) const override {
    Chain chain(rewriter, op, context);
    ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
    int64_t axis = axisOf(op.getAxis(), op.getInput());
    SmallVector<int64_t> axes = allAxes(shape.size());
    axes.erase(axes.begin(), axes.begin() + axis);
    Value x = chain.normalize(op.getInput(), axes, op.getEps());
    chain.finish(x, op.getWeight(), op.getBias(), shape.drop_front(axis),
                 op.getType());
    return success();
  }
};

/// Over the spatial axes of groups of channels, a parameter per channel.
template <typename OpTy> struct GroupNormLowering : Lowering<OpTy> {
  using Lowering<OpTy>::Lowering;

  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    Chain chain(rewriter, op, this->context);
    ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
    int64_t groups = shape[1];
    if constexpr (requires { op.getNumGroups(); })
      groups = op.getNumGroups();
    int64_t spatial = top::elementsOf(shape.drop_front(2));
    Value x = chain.reshape("grouped", op.getInput(),
                            {shape[0], groups, shape[1] / groups * spatial});
    x = chain.normalize(x, {2}, op.getEps());
    x = chain.reshape("channels", x, {shape[0], shape[1], spatial});
    chain.finish(x, op.getWeight(), op.getBias(), {shape[1], 1}, op.getType());
    return success();
  }
};

struct RMSNormLowering : Lowering<top::RMSNormOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::RMSNormOp op,
                                PatternRewriter &rewriter) const override {
    Chain chain(rewriter, op, context);
    ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
    Value x = chain.scaleToOne(op.getInput(), {int64_t(shape.size()) - 1},
                               op.getEps());
    chain.finish(x, op.getGamma(), context.none, {shape.back()}, op.getType());
    return success();
  }
};

struct PixelNormLowering : Lowering<top::PixelNormOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::PixelNormOp op,
                                PatternRewriter &rewriter) const override {
    Chain chain(rewriter, op, context);
    ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
    SmallVector<int64_t> perChannel(shape.size() - 1, 1);
    perChannel[0] = shape[1];
    chain.finish(chain.normalize(op.getInput(), {1}, op.getEps()),
                 op.getWeight(), op.getBias(), perChannel, op.getType());
    return success();
  }
};

struct LRNLowering : Lowering<top::LRNOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::LRNOp op,
                                PatternRewriter &rewriter) const override {
    // The mean square over `size` channels is a mean pool along them, on planes
    // of channels x places. The base is positive, so that its power is
    // e^(-beta ln base).
    Chain chain(rewriter, op, context);
    ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
    int64_t size = op.getSize();
    Value x = chain.active("square", op.getInput(), tpu::ActiveMode::SQUARE);
    x = chain.reshape(
        "planes", x,
        {shape[0], 1, shape[1], top::elementsOf(shape.drop_front(2))});
    x = tpu::Pool2DOp::create(
        rewriter, derivedLoc(op, "mean"), x.getType(), x,
        rewriter.getI64ArrayAttr({size, 1}), rewriter.getI64ArrayAttr({1, 1}),
        rewriter.getI64ArrayAttr({(size - 1) / 2, 0, size / 2, 0}), ArrayAttr(),
        tpu::PoolModeAttr::get(rewriter.getContext(), tpu::PoolMode::Avg),
        rewriter.getBoolAttr(true), rewriter.getBoolAttr(false),
        rewriter.getF64FloatAttr(-1.0));
    x = chain.reshape("channels", x, shape);
    x = chain.addConst("base", chain.mulConst("alpha", x, op.getAlpha()),
                       op.getBias());
    x = chain.mulConst("power", chain.active("ln", x, tpu::ActiveMode::LN),
                       -op.getBeta());
    x = chain.active("factor", x, tpu::ActiveMode::EXP);
    rewriter.replaceOpWithNewOp<tpu::MulOp>(
        op, op.getType(), ValueRange{op.getInput(), x}, false, -1.0);
    return success();
  }
};

} // namespace

void populateNormLowering(RewritePatternSet &patterns,
                          const LoweringContext &context) {
  patterns.add<ScaleLowering, BatchNormLowering, LayerNormLowering,
               GroupNormLowering<top::InstanceNormOp>,
               GroupNormLowering<top::GroupNormOp>, RMSNormLowering,
               PixelNormLowering, LRNLowering>(patterns.getContext(), context);
}

} // namespace tpumlir
