#include "tpumlir/transforms/tpu/Numbers.h"

#include "tpumlir/dialect/tpu/FilterLayout.h"

#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;

namespace tpumlir {

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kSmallestNormal = 0x1p-14;

bool isWholeNumber(double number) { return number == std::trunc(number); }

/// Every number of i32: nothing is known of it.
Numbers anyInteger() {
  return {true, true, double(std::numeric_limits<int32_t>::min()),
          double(std::numeric_limits<int32_t>::max())};
}

/// Every integer of a tensor of integers: the bytes of a picture are small.
Numbers anyOf(Value value) {
  return dtypeOf(value) == DType::U8 ? Numbers{true, true, 0, 255}
                                     : anyInteger();
}

Numbers number(double value) {
  return {isWholeNumber(value), false, value, value};
}

/// inf * 0 is 0: the factor is bounded by what it is, not by what it may be.
double times(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }

Numbers within(Numbers facts, double low, double high) {
  facts.low = low;
  facts.high = high;
  return facts;
}

/// The facts of arithmetic on `a` and `b`; whole if both are.
Numbers combined(const Numbers &a, const Numbers &b, double low, double high) {
  bool whole = a.whole && b.whole;
  return {whole, whole && (a.fromIntegers || b.fromIntegers),
          std::isnan(low) ? -kInf : low, std::isnan(high) ? kInf : high};
}

Numbers add(const Numbers &a, const Numbers &b) {
  return combined(a, b, a.low + b.low, a.high + b.high);
}
Numbers subtract(const Numbers &a, const Numbers &b) {
  return combined(a, b, a.low - b.high, a.high - b.low);
}
Numbers multiply(const Numbers &a, const Numbers &b) {
  double ends[] = {times(a.low, b.low), times(a.low, b.high),
                   times(a.high, b.low), times(a.high, b.high)};
  return combined(a, b, *std::min_element(ends, ends + 4),
                  *std::max_element(ends, ends + 4));
}
Numbers remainder(const Numbers &a, const Numbers &b) {
  double most = b.magnitude();
  return combined(a, b, a.low >= 0 && b.low >= 0 ? 0 : -most, most);
}

/// Elements of either.
Numbers either(const Numbers &a, const Numbers &b) {
  return {a.whole && b.whole, a.fromIntegers || b.fromIntegers,
          std::min(a.low, b.low), std::max(a.high, b.high)};
}

Numbers clipped(const Numbers &a, double low, double high) {
  Numbers result =
      within(a, std::clamp(a.low, low, high), std::clamp(a.high, low, high));
  result.whole &= a.low >= low || isWholeNumber(low);
  result.whole &= a.high <= high || isWholeNumber(high);
  return result;
}

/// A sum of `count` products of elements of `a` and `b`.
Numbers dot(const Numbers &a, const Numbers &b, int64_t count) {
  double most = times(double(count), times(a.magnitude(), b.magnitude()));
  return combined(a, b, -most, most);
}

Numbers sumOf(const Numbers &a, int64_t count) {
  return combined(a, a, std::min(a.low, times(a.low, double(count))),
                  std::max(a.high, times(a.high, double(count))));
}

/// Wraps like i32 does; the fused Relu of an op on floats.
Numbers finished(Operation *op, Numbers facts) {
  if (op->getNumResults() && isIntegerTensor(op->getResult(0))) {
    Numbers any = anyInteger();
    if (facts.low < any.low || facts.high > any.high)
      return any;
    facts.whole = facts.fromIntegers = true;
  }
  auto relu = op->getAttrOfType<BoolAttr>("do_relu");
  if (!relu || !relu.getValue())
    return facts;
  auto limit = op->getAttrOfType<FloatAttr>("relu_limit");
  double most = limit ? limit.getValueAsDouble() : -1;
  return clipped(facts, 0, most < 0 ? kInf : most);
}

} // namespace

const ConstantNumbers *NumberAnalysis::constant(Value value) const {
  auto found = constants.find(value);
  return found == constants.end() ? nullptr : &found->second;
}

NumberAnalysis::NumberAnalysis(func::FuncOp function) {
  for (Value argument : function.getArguments())
    if (isIntegerTensor(argument))
      known[argument] = anyOf(argument);
  for (Operation &op : function.getBody().front())
    visit(op);
}

void NumberAnalysis::visit(Operation &op) {
  auto input = [&](unsigned i) { return of(op.getOperand(i)); };
  auto set = [&](Numbers facts, unsigned result = 0) {
    known[op.getResult(result)] = finished(&op, facts);
  };
  /// Left to right over all operands.
  auto fold = [&](Numbers (*step)(const Numbers &, const Numbers &)) {
    Numbers facts = input(0);
    for (unsigned i = 1; i < op.getNumOperands(); ++i)
      facts = step(facts, input(i));
    set(facts);
  };
  /// With a number on the right, or on the left if reversed.
  auto withNumber = [&](Numbers (*step)(const Numbers &, const Numbers &),
                        double value, bool reversed = false) {
    set(reversed ? step(number(value), input(0))
                 : step(input(0), number(value)));
  };
  for (Value result : op.getResults())
    if (isIntegerTensor(result))
      known[result] = anyOf(result);

  llvm::TypeSwitch<Operation *>(&op)
      .Case([&](top::WeightOp weight) {
        const Weight *data = weight.getWeight();
        if (!data)
          return;
        if (data->dtype == DType::F32) {
          ConstantNumbers facts;
          const auto *values = data->as<float>();
          for (int64_t i = 0; i < data->elements(); ++i) {
            double value = values[i], size = std::abs(value);
            facts.whole &= isWholeNumber(value);
            facts.low = std::min(facts.low, value);
            facts.high = std::max(facts.high, value);
            if (std::isfinite(value))
              facts.largest = std::max(facts.largest, size);
            facts.nonzero += size > 0;
            facts.small += size > 0 && size < kSmallestNormal;
          }
          constants[weight.getOutput()] = facts;
          if (data->elements())
            known[weight.getOutput()] = {facts.whole, false, facts.low,
                                         facts.high};
        } else if (auto values = top::constantI64s(weight.getOutput());
                   succeeded(values) && !values->empty()) {
          auto [low, high] =
              std::minmax_element(values->begin(), values->end());
          known[weight.getOutput()] = {true, true, double(*low), double(*high)};
        }
      })
      .Case([&](tpu::CastOp cast) {
        Numbers facts = input(0);
        if (isIntegerTensor(cast.getInput()) || isFloatTensor(cast.getOutput()))
          return set(facts);
        if (auto type = Quantization::of(cast.getOutput())) {
          facts = within(
              facts, double(type->least() - type->zeroPoint) * type->scale,
              double(type->greatest() - type->zeroPoint) * type->scale);
          facts.whole = facts.fromIntegers = false;
          return set(facts);
        }
        facts = within(facts, std::trunc(facts.low), std::trunc(facts.high));
        facts.whole = facts.fromIntegers = true;
        set(facts);
      })
      .Case<tpu::AddOp>([&](auto) { fold(add); })
      .Case<tpu::MulOp>([&](auto) { fold(multiply); })
      .Case<tpu::MaxOp>([&](auto) {
        fold([](const Numbers &a, const Numbers &b) {
          return within(either(a, b), std::max(a.low, b.low),
                        std::max(a.high, b.high));
        });
      })
      .Case<tpu::MinOp>([&](auto) {
        fold([](const Numbers &a, const Numbers &b) {
          return within(either(a, b), std::min(a.low, b.low),
                        std::min(a.high, b.high));
        });
      })
      .Case([&](tpu::SubOp sub) {
        set(sub.getIsReverse() ? subtract(input(1), input(0))
                               : subtract(input(0), input(1)));
      })
      .Case([&](tpu::DivOp div) {
        if (!isIntegerTensor(div.getOutput()))
          return;
        // Of integers: the quotient is never larger than the dividend.
        double most = input(div.getIsReverse() ? 1 : 0).magnitude();
        Numbers by = input(div.getIsReverse() ? 0 : 1);
        Numbers of = input(div.getIsReverse() ? 1 : 0);
        bool positive = of.low >= 0 && by.low >= 0;
        double least = std::max(1.0, by.low);
        set(within(anyInteger(), positive ? 0 : -most,
                   positive ? std::floor(most / least) : most));
      })
      .Case<tpu::ModOp>([&](auto) { set(remainder(input(0), input(1))); })
      .Case([&](tpu::AddConstOp add_) { withNumber(add, add_.getConstVal()); })
      .Case([&](tpu::SubConstOp sub) {
        withNumber(subtract, sub.getConstVal(), sub.getIsReverse());
      })
      .Case(
          [&](tpu::MulConstOp mul) { withNumber(multiply, mul.getConstVal()); })
      .Case([&](tpu::MaxConstOp max) {
        set(clipped(input(0), max.getConstVal(), kInf));
      })
      .Case([&](tpu::MinConstOp min) {
        set(clipped(input(0), -kInf, min.getConstVal()));
      })
      .Case([&](tpu::ClipOp clip) {
        double low = clip.getMin();
        set(clipped(input(0), low, std::max(low, clip.getMax())));
      })
      .Case([&](tpu::ReluOp relu) {
        double limit = relu.getReluLimit();
        set(clipped(input(0), 0, limit < 0 ? kInf : limit));
      })
      .Case([&](tpu::ActiveOp active) {
        Numbers x = input(0);
        double most = x.magnitude();
        switch (active.getMode()) {
        case tpu::ActiveMode::FLOOR:
        case tpu::ActiveMode::CEIL:
        case tpu::ActiveMode::ROUND:
          // What rounding makes counts as an integer of the model.
          return set({true, true, std::floor(x.low), std::ceil(x.high)});
        case tpu::ActiveMode::ABSVAL:
          return set(within(x, 0, most));
        case tpu::ActiveMode::SIGN:
          return set({true, x.fromIntegers, -1, 1});
        case tpu::ActiveMode::SQUARE:
          return set(combined(x, x, 0, times(most, most)));
        case tpu::ActiveMode::SIGMOID:
        case tpu::ActiveMode::HSIGMOID:
          return set({false, false, 0, 1});
        case tpu::ActiveMode::TANH:
        case tpu::ActiveMode::ERF:
        case tpu::ActiveMode::SIN:
        case tpu::ActiveMode::COS:
          return set({false, false, -1, 1});
        default:
          return;
        }
      })
      .Case<tpu::SoftmaxOp>([&](tpu::SoftmaxOp softmax) {
        set({false, false, softmax.getLog() ? -kInf : 0,
             softmax.getLog() ? 0.0 : 1.0});
      })
      .Case<tpu::CompareOp, tpu::CompareConstOp>([&](auto) {
        bool from = llvm::any_of(op.getOperands(), [&](Value operand) {
          return of(operand).fromIntegers;
        });
        set({true, from, 0, 1});
      })
      .Case([&](tpu::WhereOp where) {
        Numbers yes = where.getXIsConst() ? number(where.getXConstVal())
                                          : of(where.getTbrn());
        Numbers no = where.getYIsConst() ? number(where.getYConstVal())
                                         : of(where.getFbrn());
        set(either(yes, no));
      })
      .Case([&](tpu::BitwiseOp bits) {
        if (!top::isNone(bits.getRhs()))
          return;
        auto value = int64_t(bits.getConstVal());
        Numbers x = input(0);
        if (bits.getMode() == top::BitwiseMode::And && value >= 0)
          return set(within(anyInteger(), 0, double(value)));
        if (bits.getMode() == top::BitwiseMode::ShiftRightSigned &&
            value >= 0 && value < 32)
          return set(within(anyInteger(),
                            std::floor(std::ldexp(x.low, -int(value))),
                            std::floor(std::ldexp(x.high, -int(value)))));
      })
      .Case([&](tpu::ArgOp arg) {
        set(within(anyInteger(), 0,
                   double(top::shapeOf(arg.getInput())[arg.getAxis()] - 1)));
      })
      .Case([&](tpu::TopKOp top) {
        set(input(0));
        auto first = double(top.getFirstIndex());
        double last = first + double(top::shapeOf(top.getInput()).back() - 1);
        known[top.getIndices()] = within(anyInteger(), first, last);
      })
      .Case([&](tpu::FlatIndicesOp rows) {
        double count = 1;
        for (int64_t extent : rows.getExtents())
          count *= double(extent);
        set(within(anyInteger(), -1, count - 1));
      })
      .Case([&](tpu::ReduceOp reduce) {
        Numbers x = input(0);
        int64_t count = top::elementsOf(top::shapeOf(reduce.getInput())) /
                        top::elementsOf(top::shapeOf(reduce.getOutput()));
        if (reduce.getMode() == top::ReduceMode::ReduceSum)
          return set(sumOf(x, count));
        if (reduce.getMode() == top::ReduceMode::ReduceMean)
          return set({false, false, x.low, x.high});
        if (reduce.getMode() != top::ReduceMode::ReduceProd)
          return set(x);
        set({x.whole, x.whole && x.fromIntegers, -kInf, kInf});
      })
      .Case([&](tpu::CumSumOp sum) {
        set(sumOf(input(0), top::shapeOf(sum.getInput())[sum.getAxis()]));
      })
      .Case([&](tpu::MatMulOp product) {
        int64_t rank = top::rankOf(product.getInput());
        bool turned = product.getLeftTranspose() && rank > 1;
        int64_t depth =
            top::shapeOf(product.getInput())[rank - (turned ? 2 : 1)];
        Numbers facts = dot(input(0), input(1), depth);
        set(top::isNone(product.getBias()) ? facts
                                           : add(facts, of(product.getBias())));
      })
      .Case<tpu::Conv2DOp, tpu::DeconvOp>([&](auto conv) {
        // Every output element sums at most the filter of one channel.
        tpu::FilterLayout layout = tpu::FilterLayout::of(conv);
        int64_t taps = layout.ic * layout.taps();
        Numbers facts = dot(input(0), input(1), taps);
        set(top::isNone(conv.getBias()) ? facts
                                        : add(facts, of(conv.getBias())));
      })
      .Case([&](tpu::PadOp pad) {
        Numbers x = input(0);
        set(pad.getMode() == top::PaddingMode::constant
                ? either(x, number(pad.getVal()))
                : x);
      })
      .Case<tpu::Pool1DOp, tpu::Pool2DOp>([&](auto pool) {
        Numbers x = input(0);
        if (pool.getPoolMode() == tpu::PoolMode::Max)
          return set(x);
        set({false, false, std::min(x.low, 0.0), std::max(x.high, 0.0)});
      })
      .Case<tpu::GatherOp, tpu::GatherElementsOp, tpu::TriluOp>(
          [&](auto) { set(either(input(0), number(0))); })
      .Case<tpu::ScatterElementsOp, tpu::ScatterNDOp>([&](auto scatter) {
        if (scatter.getReduction() == top::ScatterMode::none)
          set(either(input(0), input(2)));
      })
      .Case([&](tpu::ConcatOp concat) { fold(either); })
      .Default([&](Operation *) {
        auto precise = dyn_cast<PrecisionOpInterface>(op);
        if (precise && precise.movesData() && op.getNumOperands() > 0)
          set(input(0));
      });
}

} // namespace tpumlir
