#include "tpumlir/conversion/top_to_tpu/Lowering.h"

using namespace mlir;

namespace tpumlir {

namespace {

bool isAll(const std::optional<SmallVector<double>> &coeff, double want) {
  return !coeff || llvm::all_of(*coeff, [&](double c) { return c == want; });
}

/// Ops with the same operands and attributes in both dialects.
template <typename From, typename To>
struct BroadcastLowering : Lowering<From> {
  using Lowering<From>::Lowering;

  LogicalResult matchAndRewrite(From op,
                                PatternRewriter &rewriter) const override {
    SmallVector<Value> inputs(op.getInputs());
    if constexpr (requires { op.getCoeff(); }) {
      if (!isAll(op.getCoeff(), 1.0)) {
        auto coeff = *op.getCoeff();
        for (size_t i = 0; i < inputs.size(); ++i)
          if (coeff[i] != 1.0)
            inputs[i] = tpu::MulConstOp::create(
                rewriter, derivedLoc(op, "term" + std::to_string(i)),
                inputs[i].getType(), inputs[i], coeff[i], false, -1.0);
      }
    }
    bool doRelu = false;
    double limit = -1.0;
    if constexpr (requires { op.getDoRelu(); }) {
      doRelu = op.getDoRelu();
      limit = op.getReluLimit();
    }
    if (inputs.size() == 1) { // variadic, of one operand: x * 1
      rewriter.replaceOpWithNewOp<tpu::MulConstOp>(op, op.getType(), inputs[0],
                                                   1.0, doRelu, limit);
      return success();
    }
    if constexpr (requires { op.getIsReverse(); })
      rewriter.replaceOpWithNewOp<To>(op, op.getType(), inputs,
                                      op.getIsReverse(), doRelu, limit);
    else
      rewriter.replaceOpWithNewOp<To>(op, op.getType(), inputs, doRelu, limit);
    return success();
  }
};

template <typename From, typename To> struct ConstLowering : Lowering<From> {
  using Lowering<From>::Lowering;

  LogicalResult matchAndRewrite(From op,
                                PatternRewriter &rewriter) const override {
    bool doRelu = false;
    double limit = -1.0;
    if constexpr (requires { op.getDoRelu(); }) {
      doRelu = op.getDoRelu();
      limit = op.getReluLimit();
    }
    if constexpr (requires { op.getIsReverse(); })
      rewriter.replaceOpWithNewOp<To>(op, op.getType(), op.getInput(),
                                      op.getConstVal(), op.getIsReverse(),
                                      doRelu, limit);
    else
      rewriter.replaceOpWithNewOp<To>(op, op.getType(), op.getInput(),
                                      op.getConstVal(), doRelu, limit);
    return success();
  }
};

struct DivConstLowering : Lowering<top::DivConstOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::DivConstOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getIsReverse())
      rewriter.replaceOpWithNewOp<tpu::ReciprocalOp>(
          op, op.getType(), op.getInput(), op.getConstVal(), op.getDoRelu(),
          op.getReluLimit());
    else
      rewriter.replaceOpWithNewOp<tpu::MulConstOp>(
          op, op.getType(), op.getInput(), 1.0 / op.getConstVal(),
          op.getDoRelu(), op.getReluLimit());
    return success();
  }
};

//===----------------------------------------------------------------------===//
// Powers
//===----------------------------------------------------------------------===//

Value active(PatternRewriter &rewriter, Location loc, Value x,
             tpu::ActiveMode mode) {
  return tpu::ActiveOp::create(rewriter, loc, x.getType(), x, mode,
                               ArrayAttr());
}

struct PowLowering : Lowering<top::PowOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::PowOp op,
                                PatternRewriter &rewriter) const override {
    double e = op.getExponent();
    Value x = op.getInput();
    Location loc = op.getLoc();
    Value y;
    if (e == 0.5)
      y = active(rewriter, loc, x, tpu::ActiveMode::SQRT);
    else if (e == -0.5)
      y = active(rewriter, loc, x, tpu::ActiveMode::RSQRT);
    else if (e == 2)
      y = active(rewriter, loc, x, tpu::ActiveMode::SQUARE);
    else if (e == 1)
      y = tpu::MulConstOp::create(rewriter, loc, op.getType(), x, 1.0, false,
                                  -1.0);
    else if (e == -1)
      y = tpu::ReciprocalOp::create(rewriter, loc, op.getType(), x, 1.0, false,
                                    -1.0);
    else if (e >= 3 && e <= 8 && e == int(e))
      y = tpu::MulOp::create(rewriter, loc, op.getType(),
                             SmallVector<Value>(size_t(e), x), false, -1.0);
    else if (e == int(e))
      return rewriter.notifyMatchFailure(
          op, "expected a fractional exponent or one in [-1, 8]");
    else { // e^(ln(x) * exponent); NaN for negative x, as it should be
      Value log =
          active(rewriter, derivedLoc(op, "log"), x, tpu::ActiveMode::LN);
      Value scaled = tpu::MulConstOp::create(rewriter, derivedLoc(op, "scaled"),
                                             op.getType(), log, e, false, -1.0);
      y = active(rewriter, loc, scaled, tpu::ActiveMode::EXP);
    }
    rewriter.replaceOp(op, y);
    return success();
  }
};

struct Pow2Lowering : Lowering<top::Pow2Op> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::Pow2Op op,
                                PatternRewriter &rewriter) const override {
    if (op.getConstVal() <= 0)
      return rewriter.notifyMatchFailure(op, "expected a positive base");
    Value scaled = tpu::MulConstOp::create(
        rewriter, derivedLoc(op, "scaled"), op.getType(), op.getInput(),
        std::log(op.getConstVal()), false, -1.0);
    rewriter.replaceOp(
        op, active(rewriter, op.getLoc(), scaled, tpu::ActiveMode::EXP));
    return success();
  }
};

} // namespace

void populateElementwiseLowering(RewritePatternSet &patterns,
                                 const LoweringContext &context) {
  patterns.add<BroadcastLowering<top::AddOp, tpu::AddOp>,
               BroadcastLowering<top::SubOp, tpu::SubOp>,
               BroadcastLowering<top::MulOp, tpu::MulOp>,
               BroadcastLowering<top::DivOp, tpu::DivOp>,
               BroadcastLowering<top::MaxOp, tpu::MaxOp>,
               BroadcastLowering<top::MinOp, tpu::MinOp>,
               ConstLowering<top::AddConstOp, tpu::AddConstOp>,
               ConstLowering<top::SubConstOp, tpu::SubConstOp>,
               ConstLowering<top::MulConstOp, tpu::MulConstOp>,
               ConstLowering<top::MaxConstOp, tpu::MaxConstOp>,
               ConstLowering<top::MinConstOp, tpu::MinConstOp>,
               ConstLowering<top::ReciprocalOp, tpu::ReciprocalOp>,
               DivConstLowering, PowLowering, Pow2Lowering>(
      patterns.getContext(), context);
}

} // namespace tpumlir
