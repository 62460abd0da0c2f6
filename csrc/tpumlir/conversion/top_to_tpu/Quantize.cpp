#include "tpumlir/conversion/top_to_tpu/Lowering.h"
#include "tpumlir/transforms/top/Patterns.h"

#include <cmath>

/// QuantizeLinear and DequantizeLinear in float arithmetic, for precisions that
/// have no integers: exactly what the operators say.
using namespace mlir;

namespace tpumlir {

namespace {

/// A scale or a zero point in floats that broadcasts to the input: computed by
/// the network, or constant numbers.
struct Parameter {
  std::string name;
  Value tensor; ///< null while no op has needed the constant as a tensor
  SmallVector<int64_t> shape;
  SmallVector<double> numbers; ///< none if it is computed

  /// The number that all of it is.
  std::optional<double> one() const {
    if (numbers.empty() || !llvm::all_equal(numbers) ||
        !std::isfinite(numbers.front()))
      return std::nullopt;
    return numbers.front();
  }
  bool isAll(double number) const { return one() == number; }

  /// The constants that `function` makes of these.
  template <typename Function>
  Parameter map(StringRef called, Function function) const {
    Parameter result{called.str(), Value(), shape, numbers};
    for (double &number : result.numbers)
      number = function(number);
    return result;
  }
};

/// Float tensors of one shape, each with a name of its own.
class Steps {
public:
  template <typename Op>
  Steps(PatternRewriter &rewriter, Op op, const LoweringContext &context)
      : rewriter(rewriter), op(op), none(context.none), input(op.getInput()),
        type(cast<RankedTensorType>(input.getType())
                 .clone(rewriter.getF32Type())) {}

  Value asFloat(StringRef name, Value x) {
    auto given = cast<RankedTensorType>(x.getType());
    if (given.getElementType().isF32())
      return x;
    return tpu::CastOp::create(rewriter, derivedLoc(op, name),
                               given.clone(rewriter.getF32Type()), x);
  }

  /// Operand `index` of the parameters of `op`, or an attribute of numbers.
  template <typename Op, typename Numbers>
  Parameter parameter(StringRef name, Op op, unsigned index,
                      const Numbers &attribute) {
    Parameter result{name.str(), op.getParameter(index), {}, {}};
    SmallVector<int64_t> given;
    if (!result.tensor) {
      result.numbers.assign(attribute.begin(), attribute.end());
      given = {int64_t(attribute.size())};
    } else {
      given.assign(top::shapeOf(result.tensor));
      result.numbers = constants(result.tensor);
    }
    int64_t axis = axisOf(op.getAxis(), input);
    bool isOne = given.size() <= 1 && top::elementsOf(given) == 1;
    if (isOne) {
      if (type.getRank() > 0)
        result.shape = {1};
    } else if (given.size() == 1) {
      result.shape.assign(type.getRank() - axis, 1);
      result.shape[0] = given[0];
    } else {
      result.shape.assign(type.getShape());
    }
    if (!result.numbers.empty()) {
      result.tensor = Value();
      for (double &number : result.numbers)
        number = double(float(number));
      if (given.size() > 1)
        result.numbers =
            spread(result.numbers, given, axis, *op.getBlockSize());
      return result;
    }
    result.tensor = asFloat(name, result.tensor);
    if (given.size() > 1)
      result.tensor = spread(name, result.tensor, axis, *op.getBlockSize());
    else if (!isOne || given.size() > result.shape.size())
      result.tensor =
          reshape((name + "_axis").str(), result.tensor, result.shape);
    return result;
  }

  Value times(StringRef name, Value x, Parameter &y) {
    return y.isAll(1.0) ? x : product(name, x, y);
  }
  Value product(StringRef name, Value x, Parameter &y) {
    if (std::optional<double> number = y.one())
      return tpu::MulConstOp::create(rewriter, derivedLoc(op, name), type, x,
                                     *number, false, -1.0);
    return binary<tpu::MulOp>(name, x, tensor(y));
  }
  Value over(StringRef name, Value x, Parameter &y) {
    if (std::optional<double> number = y.one())
      if (double factor = 1.0 / *number; std::isfinite(float(factor))) {
        if (factor == 1.0)
          return x;
        return tpu::MulConstOp::create(rewriter, derivedLoc(op, name), type, x,
                                       factor, false, -1.0);
      }
    return tpu::DivOp::create(rewriter, derivedLoc(op, name), type,
                              ValueRange{x, tensor(y)}, false, false, -1.0);
  }
  Value minus(StringRef name, Value x, Parameter &y) {
    std::optional<double> number = y.one();
    if (number == 0.0)
      return x;
    if (number)
      return tpu::SubConstOp::create(rewriter, derivedLoc(op, name), type, x,
                                     *number, false, false, -1.0);
    return minus(name, x, tensor(y));
  }
  Value minus(StringRef name, Value x, Value y) {
    return tpu::SubOp::create(rewriter, derivedLoc(op, name), x.getType(),
                              ValueRange{x, y}, false, false, -1.0);
  }
  Value plus(StringRef name, Value x, Value y) {
    return binary<tpu::AddOp>(name, x, y);
  }
  Value round(StringRef name, Value x) {
    return tpu::ActiveOp::create(rewriter, derivedLoc(op, name), type, x,
                                 tpu::ActiveMode::ROUND, ArrayAttr());
  }
  Value clip(StringRef name, Value x, double low, double high) {
    return tpu::ClipOp::create(rewriter, derivedLoc(op, name), type, x, low,
                               high);
  }

  /// x + y in [low, high]; from 0 on the sum holds it by itself.
  Value saturatedSum(Value x, Parameter *y, double low, double high) {
    bool relu = low == 0;
    if (!y || y->isAll(0.0)) {
      if (relu)
        return tpu::ReluOp::create(rewriter, derivedLoc(op, "clip"), type, x,
                                   high);
    } else if (std::optional<double> number = y->one()) {
      x = tpu::AddConstOp::create(rewriter, derivedLoc(op, "moved"), type, x,
                                  *number, relu, relu ? high : -1.0);
    } else {
      x = tpu::AddOp::create(rewriter, derivedLoc(op, "moved"), type,
                             ValueRange{x, tensor(*y)}, relu,
                             relu ? high : -1.0);
    }
    return relu ? x : clip("clip", x, low, high);
  }

  /// Scales as sums of two numbers of 12 bits each.
  std::pair<Parameter, Parameter> halves(const Parameter &scale) {
    if (!scale.numbers.empty())
      return {scale.map("high", upperHalf), scale.map("low", [](double number) {
                return double(float(number - upperHalf(number)));
              })};
    Value x = scale.tensor;
    Value wide = tpu::MulConstOp::create(rewriter, derivedLoc(op, "wide"),
                                         x.getType(), x, kSplit, false, -1.0);
    Value high = minus("high", wide, minus("spread", wide, x));
    return {Parameter{"high", high, scale.shape, {}},
            Parameter{"low", minus("low", x, high), scale.shape, {}}};
  }

private:
  static constexpr double kSplit = 4097.0; // 2^12 + 1

  /// As floats compute it; doubles hold the products and the differences.
  static double upperHalf(double number) {
    float wide = float(number * kSplit);
    float spread = float(double(wide) - number);
    return double(float(double(wide) - double(spread)));
  }

  /// The numbers of a constant; none of any other tensor.
  static SmallVector<double> constants(Value value) {
    SmallVector<double> numbers;
    if (auto floats = top::constantF32s(value); succeeded(floats))
      numbers.assign(floats->begin(), floats->end());
    else if (auto whole = top::constantI64s(value); succeeded(whole))
      numbers.assign(whole->begin(), whole->end());
    return numbers;
  }

  /// Each number for all indices of its block.
  SmallVector<double> spread(ArrayRef<double> numbers, ArrayRef<int64_t> given,
                             int64_t axis, int64_t block) {
    ArrayRef<int64_t> shape = type.getShape();
    int64_t inner = top::elementsOf(shape.drop_front(axis + 1));
    SmallVector<double> result;
    for (int64_t i = 0; i < type.getNumElements(); ++i) {
      int64_t outer = i / inner / shape[axis], at = i / inner % shape[axis];
      result.push_back(
          numbers[(outer * given[axis] + at / block) * inner + i % inner]);
    }
    return result;
  }
  Value spread(StringRef name, Value x, int64_t axis, int64_t block) {
    SmallVector<int64_t> shape(top::shapeOf(x)), tile(shape.size() + 1, 1);
    if (block > 1) {
      SmallVector<int64_t> open(shape);
      open.insert(open.begin() + axis + 1, 1);
      tile[axis + 1] = block;
      x = reshape((name + "_open").str(), x, open);
      open[axis + 1] = block;
      x = tpu::TileOp::create(rewriter, derivedLoc(op, (name + "_tile").str()),
                              top::typeLike(x, open), x,
                              rewriter.getI64ArrayAttr(tile));
      shape[axis] *= block;
      x = reshape((name + "_blocks").str(), x, shape);
    }
    ArrayRef<int64_t> ends = type.getShape();
    if (ends == ArrayRef<int64_t>(shape))
      return x;
    SmallVector<int64_t> zeros(ends.size(), 0), ones(ends.size(), 1);
    return tpu::SliceOp::create(
        rewriter, derivedLoc(op, (name + "_cut").str()), top::typeLike(x, ends),
        x, none, none, none, none, rewriter.getI64ArrayAttr(zeros),
        rewriter.getI64ArrayAttr(ones), rewriter.getI64ArrayAttr(ends));
  }

  Value reshape(StringRef name, Value x, ArrayRef<int64_t> shape) {
    if (top::shapeOf(x) == shape)
      return x;
    return tpu::ReshapeOp::create(rewriter, derivedLoc(op, name),
                                  top::typeLike(x, shape), x);
  }
  template <typename OpTy> Value binary(StringRef name, Value x, Value y) {
    return OpTy::create(rewriter, derivedLoc(op, name), type, ValueRange{x, y},
                        false, -1.0);
  }
  Value tensor(Parameter &y) {
    if (!y.tensor)
      y.tensor = top::createWeight(
          rewriter, top::partName(top::tensorName(op->getLoc()), y.name),
          y.shape, std::vector<float>(y.numbers.begin(), y.numbers.end()));
    return y.tensor;
  }

  PatternRewriter &rewriter;
  Operation *op;
  Value none, input;
  RankedTensorType type;
};

template <typename Op> Parameter scaleOf(Steps &steps, Op op) {
  return steps.parameter("scale", op, 0,
                         op.getScales().value_or(SmallVector<double>()));
}

template <typename Op>
std::optional<Parameter> zeroPointOf(Steps &steps, Op op) {
  if (!op.getParameter(1) && !op.getZeroPoints())
    return std::nullopt;
  return steps.parameter("zero", op, 1,
                         op.getZeroPoints().value_or(SmallVector<int64_t>()));
}

struct QuantizeLowering : Lowering<top::QuantizeLinearOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::QuantizeLinearOp op,
                                PatternRewriter &rewriter) const override {
    Steps steps(rewriter, op, context);
    Value x = steps.asFloat("float", op.getInput());
    Parameter scale = scaleOf(steps, op);
    std::optional<Parameter> zero = zeroPointOf(steps, op);
    auto [low, high] = top::rangeOf(*op.getTo());
    Value q = steps.over("quotient", x, scale);
    if (high - low < 256)
      q = mended(steps, x, q, scale);
    q = steps.saturatedSum(steps.round("round", q), zero ? &*zero : nullptr,
                           double(low), double(high));
    rewriter.replaceOp(
        op, castToStored(rewriter, op, context, q, op.getType(), *op.getTo()));
    return success();
  }

  /// The quotient as IEEE rounds it, where it is in range: a tie must not be
  /// missed. The chip divides with an error of some units in the last place;
  /// that is mended by the rest. With n the rounded quotient and the scale in
  /// two halves of 12 bits each, n times either half is exact for 8-bit types,
  /// and so are both differences.
  static Value mended(Steps &steps, Value x, Value quotient, Parameter &scale) {
    Value whole = steps.clip("whole", steps.round("near", quotient), -512, 512);
    auto [high, low] = steps.halves(scale);
    Value rest =
        steps.minus("rest_high", x, steps.times("by_high", whole, high));
    rest = steps.minus("rest", rest, steps.times("by_low", whole, low));
    return steps.plus("mended", whole, steps.over("fraction", rest, scale));
  }
};

struct DequantizeLowering : Lowering<top::DequantizeLinearOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::DequantizeLinearOp op,
                                PatternRewriter &rewriter) const override {
    Steps steps(rewriter, op, context);
    Value x = steps.asFloat("float", op.getInput());
    if (std::optional<Parameter> zero = zeroPointOf(steps, op))
      x = steps.minus("moved", x, *zero);
    Parameter scale = scaleOf(steps, op);
    if (scale.isAll(1.0) && !top::isOutput(op.getResult())) {
      rewriter.replaceOp(op, x);
      return success();
    }
    Value y = steps.product("scaled", x, scale);
    y.getDefiningOp()->setLoc(op.getLoc());
    takeRelu(op, y.getDefiningOp(), rewriter);
    rewriter.replaceOp(op, y);
    return success();
  }

  /// The product clamps for a Relu that alone reads it, and has its name; the
  /// lowering of that finds nothing left to do.
  static void takeRelu(top::DequantizeLinearOp op, Operation *product,
                       PatternRewriter &rewriter) {
    if (!op.getOutput().hasOneUse())
      return;
    auto relu = dyn_cast<top::ReluOp>(*op.getOutput().user_begin());
    if (!relu)
      return;
    product->setAttr("do_relu", rewriter.getBoolAttr(true));
    product->setAttr("relu_limit",
                     rewriter.getF64FloatAttr(relu.getReluLimit()));
    product->setLoc(relu.getLoc());
  }
};

} // namespace

void populateQuantizeLowering(RewritePatternSet &patterns,
                              const LoweringContext &context) {
  patterns.add<QuantizeLowering, DequantizeLowering>(patterns.getContext(),
                                                     context);
}

} // namespace tpumlir
