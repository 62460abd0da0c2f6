#include "tpumlir/conversion/top_to_tpu/Lowering.h"

using namespace mlir;

namespace tpumlir {

namespace {

using tpu::ActiveMode;

/// A function without parameters -> tpu.Active.
template <typename From, ActiveMode mode>
struct ActiveLowering : Lowering<From> {
  using Lowering<From>::Lowering;

  LogicalResult matchAndRewrite(From op,
                                PatternRewriter &rewriter) const override {
    if constexpr (requires { op.getApproxMode(); })
      if (op.getApproxMode() != "normal")
        return rewriter.notifyMatchFailure(op, "expected approx_mode normal");
    rewriter.replaceOpWithNewOp<tpu::ActiveOp>(op, op.getType(), op.getInput(),
                                               mode, ArrayAttr());
    return success();
  }
};

/// A function whose parameters become `coeffs`.
template <typename From, ActiveMode mode, auto... Parameters>
struct CoeffLowering : Lowering<From> {
  using Lowering<From>::Lowering;

  LogicalResult matchAndRewrite(From op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::ActiveOp>(
        op, op.getType(), op.getInput(), mode,
        rewriter.getF64ArrayAttr({(op.*Parameters)()...}));
    return success();
  }
};

struct SigmoidLowering : Lowering<top::SigmoidOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::SigmoidOp op,
                                PatternRewriter &rewriter) const override {
    bool plain = op.getScale() == 1 && op.getBias() == 0;
    if (op.getLog() && !plain)
      return rewriter.notifyMatchFailure(
          op, "expected scale 1 and bias 0 with log");
    Value y = tpu::ActiveOp::create(
        rewriter, plain ? op.getLoc() : derivedLoc(op, "sigmoid"), op.getType(),
        op.getInput(),
        op.getLog() ? ActiveMode::LOG_SIGMOID : ActiveMode::SIGMOID,
        ArrayAttr());
    if (!plain) {
      y = tpu::MulConstOp::create(rewriter, derivedLoc(op, "scaled"),
                                  op.getType(), y, op.getScale(), false, -1.0);
      y = tpu::AddConstOp::create(rewriter, op.getLoc(), op.getType(), y,
                                  op.getBias(), false, -1.0);
    }
    rewriter.replaceOp(op, y);
    return success();
  }
};

struct ReluLowering : Lowering<top::ReluOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::ReluOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::ReluOp>(op, op.getType(), op.getInput(),
                                             op.getReluLimit());
    return success();
  }
};

struct LeakyReluLowering : Lowering<top::LeakyReluOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::LeakyReluOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::LeakyReluOp>(op, op.getType(),
                                                  op.getInput(), op.getAlpha());
    return success();
  }
};

struct PReluLowering : Lowering<top::PReluOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::PReluOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::PReluOp>(op, op.getType(), op.getInput(),
                                              op.getSlope());
    return success();
  }
};

struct ClipLowering : Lowering<top::ClipOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::ClipOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::ClipOp>(op, op.getType(), op.getInputs(),
                                             op.getMin(), op.getMax());
    return success();
  }
};

} // namespace

void populateActivationLowering(RewritePatternSet &patterns,
                                const LoweringContext &context) {
  patterns.add<
      ActiveLowering<top::AbsOp, ActiveMode::ABSVAL>,
      ActiveLowering<top::CeilOp, ActiveMode::CEIL>,
      ActiveLowering<top::ErfOp, ActiveMode::ERF>,
      ActiveLowering<top::ExpOp, ActiveMode::EXP>,
      ActiveLowering<top::FloorOp, ActiveMode::FLOOR>,
      ActiveLowering<top::GELUOp, ActiveMode::GELU>,
      ActiveLowering<top::HardSwishOp, ActiveMode::HSWISH>,
      ActiveLowering<top::LogOp, ActiveMode::LN>,
      ActiveLowering<top::MishOp, ActiveMode::MISH>,
      ActiveLowering<top::RoundOp, ActiveMode::ROUND>,
      ActiveLowering<top::RsqrtOp, ActiveMode::RSQRT>,
      ActiveLowering<top::SiLUOp, ActiveMode::SILU>,
      ActiveLowering<top::SignOp, ActiveMode::SIGN>,
      ActiveLowering<top::SoftplusOp, ActiveMode::SOFT_PLUS>,
      ActiveLowering<top::SoftsignOp, ActiveMode::SOFT_SIGN>,
      ActiveLowering<top::SqrtOp, ActiveMode::SQRT>,
      ActiveLowering<top::TanhOp, ActiveMode::TANH>,
      CoeffLowering<top::EluOp, ActiveMode::ELU, &top::EluOp::getAlpha>,
      CoeffLowering<top::SwishOp, ActiveMode::SWISH, &top::SwishOp::getBeta>,
      CoeffLowering<top::HardSigmoidOp, ActiveMode::HSIGMOID,
                    &top::HardSigmoidOp::getAlpha,
                    &top::HardSigmoidOp::getBeta>,
      SigmoidLowering, ReluLowering, LeakyReluLowering, PReluLowering,
      ClipLowering>(patterns.getContext(), context);
}

} // namespace tpumlir
