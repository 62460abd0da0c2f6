#include "tpumlir/conversion/top_to_tpu/Lowering.h"
#include "tpumlir/support/Precisions.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace tpumlir {

namespace {

using top::BitwiseMode;
using tpu::ActiveMode;

/// A function without parameters -> tpu.Active.
template <typename From, ActiveMode mode>
struct ActiveLowering : Lowering<From> {
  using Lowering<From>::Lowering;

  LogicalResult matchAndRewrite(From op,
                                PatternRewriter &rewriter) const override {
    if (dtypeOf(op.getType()) != DType::F32)
      return rewriter.notifyMatchFailure(op, "expected floats");
    rewriter.replaceOpWithNewOp<tpu::ActiveOp>(op, op.getType(), op.getInput(),
                                               mode, ArrayAttr());
    return success();
  }
};

struct GELULowering : Lowering<top::GELUOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::GELUOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::ActiveOp>(op, op.getType(), op.getInput(),
                                               modeOf(op.getApproxMode()),
                                               ArrayAttr());
    return success();
  }

  static ActiveMode modeOf(top::GELUMode mode) {
    switch (mode) {
    case top::GELUMode::normal:
      return ActiveMode::GELU;
    case top::GELUMode::tanh:
      return ActiveMode::TGELU;
    case top::GELUMode::sigm:
      return ActiveMode::QGELU;
    }
    llvm_unreachable("every mode is listed");
  }
};

/// |x| and the sign of integers, by maxima and minima.
struct IntegerAbsLowering : Lowering<top::AbsOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::AbsOp op,
                                PatternRewriter &rewriter) const override {
    if (dtypeOf(op.getType()) == DType::F32)
      return rewriter.notifyMatchFailure(op, "expected integers");
    Value negative = tpu::SubConstOp::create(
        rewriter, derivedLoc(op, "negative"), op.getType(), op.getInput(), 0.0,
        true, false, -1.0);
    rewriter.replaceOpWithNewOp<tpu::MaxOp>(
        op, op.getType(), ValueRange{op.getInput(), negative}, false, -1.0);
    return success();
  }
};

struct IntegerSignLowering : Lowering<top::SignOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::SignOp op,
                                PatternRewriter &rewriter) const override {
    if (dtypeOf(op.getType()) == DType::F32)
      return rewriter.notifyMatchFailure(op, "expected integers");
    Value atLeast =
        tpu::MaxConstOp::create(rewriter, derivedLoc(op, "least"), op.getType(),
                                op.getInput(), -1.0, false, -1.0);
    rewriter.replaceOpWithNewOp<tpu::MinConstOp>(op, op.getType(), atLeast, 1.0,
                                                 false, -1.0);
    return success();
  }
};

/// A cast of the element type, then what `to` asks for beyond that.
struct CastLowering : Lowering<top::CastOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::CastOp op,
                                PatternRewriter &rewriter) const override {
    StringRef to = op.getTo();
    Value value = op.getInput();
    Type want = getElementTypeOrSelf(op.getType());
    const PrecisionInfo *precision = findPrecision(to);
    if (precision && precision->isHalf()) {
      rewriter.replaceOpWithNewOp<tpu::ActiveOp>(
          op, op.getType(), value,
          precision->storage == DType::F16 ? ActiveMode::TO_F16
                                           : ActiveMode::TO_BF16,
          ArrayAttr());
      return success();
    }
    if (to == "INT32" && want.isF32()) // the vendor's way: a whole float
      return rewriter.notifyMatchFailure(op, "expected an i32 result");
    if (auto stored = top::symbolizeStoredType(to)) {
      rewriter.replaceOp(op, castToStored(rewriter, op, context, value,
                                          op.getType(), *stored));
      return success();
    }
    if (getElementTypeOrSelf(value.getType()) != want)
      rewriter.replaceOpWithNewOp<tpu::CastOp>(op, op.getType(), value);
    else
      rewriter.replaceOpWithNewOp<tpu::ReshapeOp>(op, op.getType(), value);
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
    if (isDone(op)) {
      rewriter.replaceOp(op, op.getInput());
      return success();
    }
    rewriter.replaceOpWithNewOp<tpu::ReluOp>(op, op.getType(), op.getInput(),
                                             op.getReluLimit());
    return success();
  }

  /// Whether a lowering that came before has taken the relu, and its name.
  static bool isDone(top::ReluOp op) {
    auto factor = op.getInput().getDefiningOp<tpu::MulConstOp>();
    auto product = op.getInput().getDefiningOp<tpu::MulOp>();
    auto same = [&](auto taken) {
      return taken && taken.getDoRelu() &&
             taken.getReluLimit() == op.getReluLimit() &&
             taken->getLoc() == op->getLoc();
    };
    return same(factor) || same(product);
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

Value castToStored(PatternRewriter &rewriter, Operation *op,
                   const LoweringContext &context, Value value, Type type,
                   top::StoredType to) {
  int64_t bitCount = top::bitsOf(to);
  if (getElementTypeOrSelf(value.getType()) != getElementTypeOrSelf(type))
    value = tpu::CastOp::create(rewriter, derivedLoc(op, "i32"), type, value);
  auto bits = [&](Location loc, BitwiseMode mode, int64_t number) -> Value {
    return tpu::BitwiseOp::create(rewriter, loc, type, value, context.none,
                                  mode, number);
  };
  if (!top::isSigned(to))
    return bits(op->getLoc(), BitwiseMode::And, (1 << bitCount) - 1);
  // The sign is that of the highest bit that stays.
  value = bits(derivedLoc(op, "high"), BitwiseMode::ShiftLeft, 32 - bitCount);
  return bits(op->getLoc(), BitwiseMode::ShiftRightSigned, 32 - bitCount);
}

void populateActivationLowering(RewritePatternSet &patterns,
                                const LoweringContext &context) {
  patterns.add<
      ActiveLowering<top::AbsOp, ActiveMode::ABSVAL>,
      ActiveLowering<top::CeilOp, ActiveMode::CEIL>,
      ActiveLowering<top::ErfOp, ActiveMode::ERF>,
      ActiveLowering<top::ExpOp, ActiveMode::EXP>,
      ActiveLowering<top::FloorOp, ActiveMode::FLOOR>,
      ActiveLowering<top::ArccosOp, ActiveMode::ARCCOS>,
      ActiveLowering<top::ArccoshOp, ActiveMode::ARCCOSH>,
      ActiveLowering<top::ArcsinOp, ActiveMode::ARCSIN>,
      ActiveLowering<top::ArcsinhOp, ActiveMode::ARCSINH>,
      ActiveLowering<top::ArctanOp, ActiveMode::ARCTAN>,
      ActiveLowering<top::ArctanhOp, ActiveMode::ARCTANH>,
      ActiveLowering<top::CosOp, ActiveMode::COS>,
      ActiveLowering<top::CoshOp, ActiveMode::COSH>,
      ActiveLowering<top::SinOp, ActiveMode::SIN>,
      ActiveLowering<top::SinhOp, ActiveMode::SINH>,
      ActiveLowering<top::TanOp, ActiveMode::TAN>,
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
      ClipLowering, GELULowering, CastLowering, IntegerAbsLowering,
      IntegerSignLowering>(patterns.getContext(), context);
}

} // namespace tpumlir
