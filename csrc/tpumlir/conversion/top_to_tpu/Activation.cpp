#include "tpumlir/conversion/top_to_tpu/Lowering.h"
#include "tpumlir/support/Precisions.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace tpumlir {

namespace {

using top::BitwiseMode;
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
