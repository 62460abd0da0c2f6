#include "tpumlir/conversion/top_to_tpu/Lowering.h"

#include <cmath>
#include <limits>

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

/// A constant operand of one number.
Value number(PatternRewriter &rewriter, Operation *op, StringRef what,
             double value) {
  std::string name = top::partName(top::tensorName(op->getLoc()), what);
  return top::createWeight(rewriter, name, {1},
                           std::vector<float>{float(value)});
}

/// Whole exponents up to here become products.
constexpr double kMostFactors = 64;

struct PowLowering : Lowering<top::PowOp> {
  using Lowering::Lowering;

  /// x^e by squares, then the reciprocal if e is negative.
  static Value product(PatternRewriter &rewriter, top::PowOp op, int64_t e) {
    int64_t rest = std::abs(e), power = 1;
    Value square = op.getInput(), result;
    auto times = [&](Value a, Value b, const std::string &suffix) -> Value {
      return tpu::MulOp::create(
          rewriter, suffix.empty() ? op.getLoc() : derivedLoc(op, suffix),
          op.getType(), ValueRange{a, b}, false, -1.0);
    };
    while (true) {
      bool isLast = rest == 1;
      if (rest % 2)
        result = !result ? square
                         : times(result, square,
                                 isLast && e > 0
                                     ? ""
                                     : "product" + std::to_string(power));
      if (isLast)
        break;
      rest /= 2;
      power *= 2;
      bool isResult = rest == 1 && !result && e > 0;
      square = times(square, square,
                     isResult ? "" : "power" + std::to_string(power));
    }
    if (e > 0)
      return result;
    return tpu::ReciprocalOp::create(rewriter, op.getLoc(), op.getType(),
                                     result, 1.0, false, -1.0);
  }

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
    else if (e == std::trunc(e) && e != 0 && std::abs(e) <= kMostFactors)
      y = product(rewriter, op, int64_t(e));
    else if (e == std::trunc(e))
      y = tpu::Pow3Op::create(
          rewriter, loc, op.getType(),
          ValueRange{x, number(rewriter, op, "exponent", e)});
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
    if (op.getConstVal() <= 0 || !std::isfinite(op.getConstVal())) {
      rewriter.replaceOpWithNewOp<tpu::Pow3Op>(
          op, op.getType(),
          ValueRange{number(rewriter, op, "base", op.getConstVal()),
                     op.getInput()});
      return success();
    }
    Value scaled = tpu::MulConstOp::create(
        rewriter, derivedLoc(op, "scaled"), op.getType(), op.getInput(),
        std::log(op.getConstVal()), false, -1.0);
    rewriter.replaceOp(
        op, active(rewriter, op.getLoc(), scaled, tpu::ActiveMode::EXP));
    return success();
  }
};

//===----------------------------------------------------------------------===//
// Comparison, choice, bits
//===----------------------------------------------------------------------===//

struct ModLowering : Lowering<top::ModOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::ModOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::ModOp>(op, op.getType(), op.getInputs(),
                                            op.getFmod());
    return success();
  }
};

struct Pow3Lowering : Lowering<top::Pow3Op> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::Pow3Op op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::Pow3Op>(op, op.getType(), op.getInputs());
    return success();
  }
};

struct CompareLowering : Lowering<top::CompareOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::CompareOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::CompareOp>(op, op.getType(), op.getLhs(),
                                                op.getRhs(), op.getMode());
    return success();
  }
};

struct CompareConstLowering : Lowering<top::CompareConstOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::CompareConstOp op,
                                PatternRewriter &rewriter) const override {
    top::CompareMode mode = op.getMode();
    double number = op.getConstVal();
    // With the truth of the number known: x, not x, or never.
    if (mode == top::CompareMode::And)
      mode =
          number != 0 ? top::CompareMode::NotEqual : top::CompareMode::Greater;
    if (mode == top::CompareMode::Xor)
      mode = number != 0 ? top::CompareMode::Not : top::CompareMode::NotEqual;
    if (op.getMode() == top::CompareMode::And ||
        op.getMode() == top::CompareMode::Xor)
      number = mode == top::CompareMode::Greater ? greatest(op.getInput()) : 0;
    rewriter.replaceOpWithNewOp<tpu::CompareConstOp>(
        op, op.getType(), op.getInput(), mode, number, op.getInversed());
    return success();
  }

  /// What nothing is greater than.
  static double greatest(Value value) {
    return dtypeOf(value) == DType::F32
               ? std::numeric_limits<double>::infinity()
               : double(std::numeric_limits<int32_t>::max());
  }
};

struct WhereLowering : Lowering<top::WhereOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::WhereOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::WhereOp>(
        op, op.getType(), op.getCond(), op.getTbrn(), op.getFbrn(),
        op.getXIsConst(), op.getYIsConst(), op.getXConstVal(),
        op.getYConstVal());
    return success();
  }
};

struct BitwiseLowering : Lowering<top::BitwiseOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::BitwiseOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::BitwiseOp>(
        op, op.getType(), op.getInputs()[0], op.getInputs()[1], op.getMode());
    return success();
  }
};

struct LogicalAndLowering : Lowering<top::LogicalAndOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::LogicalAndOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::CompareOp>(
        op, op.getType(), op.getInputs()[0], op.getInputs()[1],
        top::CompareMode::And);
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
               DivConstLowering, PowLowering, Pow2Lowering, Pow3Lowering,
               ModLowering, CompareLowering, CompareConstLowering,
               WhereLowering, BitwiseLowering, LogicalAndLowering>(
      patterns.getContext(), context);
}

} // namespace tpumlir
