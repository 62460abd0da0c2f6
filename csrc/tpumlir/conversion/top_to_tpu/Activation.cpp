#include "tpumlir/conversion/top_to_tpu/Lowering.h"
#include "tpumlir/support/Precisions.h"

#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;

namespace tpumlir {

namespace {

using tpu::ActiveMode;

/// The function of tpu.Active with the kernel of a Top op and as many numbers.
template <typename From> consteval ActiveMode modeOf() {
  for (const tpu::ActiveOp::Function &function : tpu::ActiveOp::kFunctions)
    if (function.kernel == From::kKernel && function.coeffs == From::kNumbers &&
        function.number == 0)
      return function.mode;
  throw "tpu/Activation.td has no function with this kernel";
}

/// An op that is one kernel -> tpu.Active.
template <typename From> struct KernelLowering : Lowering<From> {
  using Lowering<From>::Lowering;

  LogicalResult matchAndRewrite(From op,
                                PatternRewriter &rewriter) const override {
    if (dtypeOf(op.getType()) != DType::F32)
      return rewriter.notifyMatchFailure(op, "expected floats");
    ArrayAttr coeffs;
    if (From::kNumbers)
      coeffs = rewriter.getF64ArrayAttr(op.kernelNumbers());
    rewriter.replaceOpWithNewOp<tpu::ActiveOp>(op, op.getType(), op.getInput(),
                                               modeOf<From>(), coeffs);
    return success();
  }
};

/// A pattern for each of `Ops` that is one kernel.
template <typename... Ops>
void addKernelLowerings(RewritePatternSet &patterns,
                        const LoweringContext &context) {
  auto add = [&]<typename Op>(Op *) {
    if constexpr (requires { Op::kKernel; })
      patterns.add<KernelLowering<Op>>(patterns.getContext(), context);
  };
  (add(static_cast<Ops *>(nullptr)), ...);
}

struct SiLULowering : Lowering<top::SiLUOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::SiLUOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::ActiveOp>(op, op.getType(), op.getInput(),
                                               ActiveMode::SILU, ArrayAttr());
    return success();
  }
};

struct GELULowering : Lowering<top::GELUOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::GELUOp op,
                                PatternRewriter &rewriter) const override {
    ActiveMode mode = llvm::StringSwitch<ActiveMode>(op.getApproxMode())
                          .Case("tanh", ActiveMode::TGELU)
                          .Case("sigm", ActiveMode::QGELU)
                          .Default(ActiveMode::GELU);
    rewriter.replaceOpWithNewOp<tpu::ActiveOp>(op, op.getType(), op.getInput(),
                                               mode, ArrayAttr());
    return success();
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
    auto castTo = [&](Location loc) -> Value {
      return tpu::CastOp::create(rewriter, loc, op.getType(), value);
    };
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
    bool isByte = to.ends_with("INT8"), isWord = to.ends_with("INT16");
    bool casts = getElementTypeOrSelf(value.getType()) != want;
    if (!isByte && !isWord) {
      if (casts)
        rewriter.replaceOp(op, castTo(op.getLoc()));
      else
        rewriter.replaceOpWithNewOp<tpu::ReshapeOp>(op, op.getType(), value);
      return success();
    }
    if (casts)
      value = castTo(derivedLoc(op, "i32"));
    auto bits = [&](Location loc, StringRef mode, int64_t number) {
      value = tpu::BitwiseOp::create(rewriter, loc, op.getType(), value,
                                     context.none, mode, number);
    };
    if (to.starts_with("U")) {
      bits(op.getLoc(), "And", isByte ? 0xff : 0xffff);
    } else { // the sign is that of the highest bit that stays
      bits(derivedLoc(op, "high"), "ShiftLeft", isByte ? 24 : 16);
      bits(op.getLoc(), "ShiftRightSigned", isByte ? 24 : 16);
    }
    rewriter.replaceOp(op, value);
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
  addKernelLowerings<
#define GET_OP_LIST
#include "tpumlir/dialect/top/TopOpList.inc"
      >(patterns, context);
  patterns.add<SiLULowering, SigmoidLowering, ReluLowering, LeakyReluLowering,
               PReluLowering, ClipLowering, GELULowering, CastLowering,
               IntegerAbsLowering, IntegerSignLowering>(patterns.getContext(),
                                                        context);
}

} // namespace tpumlir
