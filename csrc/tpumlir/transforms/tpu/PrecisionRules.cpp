#include "tpumlir/transforms/tpu/PrecisionRules.h"

#include "tpumlir/transforms/tpu/Numbers.h"

#include "mlir/IR/TypeUtilities.h"

#include <cmath>

using namespace mlir;

namespace tpumlir {

namespace {

// The rules, as tables and reports show them; docs/precision.md explains each.
constexpr StringLiteral kIntegers =
    "(P2) integers that the half does not hold exactly";
constexpr StringLiteral kToIntegers = "(P3) decides integers";
constexpr StringLiteral kAngle = "(P4) an angle that can grow";
constexpr StringLiteral kStatistic = "(P5) a statistic: sums of squares, "
                                     "exponentials or long rows";
constexpr StringLiteral kSmallNumber =
    "(P6) small numbers under a division, logarithm or root";
constexpr StringLiteral kBeyond = "(P7) numbers beyond the half's range";
constexpr StringLiteral kKeys = "(P8) keys that near-ties decide";
constexpr StringLiteral kTiny = "(P9) factors below the half's normal range";
constexpr StringLiteral kPicture =
    "(P12) preprocessing of a picture, as the host would do it";

/// Sums of at least so many elements are long rows.
constexpr int64_t kLongRow = 32;
/// Products of so few terms are those of coordinates: outer products,
/// rotations.
constexpr int64_t kFewTerms = 4;
/// Angles up to here, a turn and a bit, keep the digits of the half.
constexpr double kOneTurn = 8;

bool isMover(Operation *op) {
  auto precise = dyn_cast<PrecisionOpInterface>(op);
  return precise && precise.movesData();
}

bool isActive(Operation *op, std::initializer_list<tpu::ActiveMode> modes) {
  auto active = dyn_cast_or_null<tpu::ActiveOp>(op);
  return active && llvm::is_contained(modes, active.getMode());
}

bool isConstant(Value value) {
  return isa_and_nonnull<top::WeightOp>(value.getDefiningOp());
}

/// Element by element, in one pass and without sums.
bool isElementwise(Operation *op) {
  return isa<tpu::ActiveOp, tpu::ReluOp, tpu::LeakyReluOp, tpu::PReluOp,
             tpu::ClipOp, tpu::AddOp, tpu::SubOp, tpu::MulOp, tpu::DivOp,
             tpu::MaxOp, tpu::MinOp, tpu::ModOp, tpu::Pow3Op, tpu::AddConstOp,
             tpu::SubConstOp, tpu::MulConstOp, tpu::MaxConstOp, tpu::MinConstOp,
             tpu::ReciprocalOp, tpu::CompareOp, tpu::CompareConstOp,
             tpu::WhereOp, tpu::ScaleOp, tpu::PadOp>(op);
}

/// Sums over channels, places or tokens: what a network is made of.
bool isHeavy(Operation *op) {
  return isa<tpu::Conv2DOp, tpu::DeconvOp, tpu::MatMulOp, tpu::Pool1DOp,
             tpu::Pool2DOp, tpu::SoftmaxOp>(op);
}

bool isRounding(Operation *op) {
  return isActive(op, {tpu::ActiveMode::FLOOR, tpu::ActiveMode::CEIL,
                       tpu::ActiveMode::ROUND});
}

bool isExtremum(Operation *op) {
  auto reduce = dyn_cast<tpu::ReduceOp>(op);
  return reduce && (reduce.getMode() == top::ReduceMode::ReduceMax ||
                    reduce.getMode() == top::ReduceMode::ReduceMin);
}

/// The exponent-2 power of one operand.
bool isSquare(Operation *op) {
  if (isActive(op, {tpu::ActiveMode::SQUARE}))
    return true;
  if (isa_and_nonnull<tpu::MulOp>(op))
    return op->getNumOperands() == 2 && op->getOperand(0) == op->getOperand(1);
  auto power = dyn_cast_or_null<tpu::Pow3Op>(op);
  auto exponent = power ? top::constantF32s(power.getInputs()[1])
                        : FailureOr<ArrayRef<float>>(failure());
  return succeeded(exponent) &&
         llvm::all_of(*exponent, [](float e) { return e == 2; });
}

std::optional<double> numberOf(Operation *op) {
  if (auto value = op->getAttrOfType<FloatAttr>("const_val"))
    return value.getValueAsDouble();
  return std::nullopt;
}

SmallVector<Value> floatOperands(Operation *op) {
  SmallVector<Value> values;
  for (Value operand : op->getOperands())
    if (isFloatTensor(operand))
      values.push_back(operand);
  return values;
}

SmallVector<Value> runtimeOperands(Operation *op) {
  SmallVector<Value> values = floatOperands(op);
  llvm::erase_if(values, isConstant);
  return values;
}

class Rules {
public:
  Rules(func::FuncOp function, FloatType half, bool forIntegers)
      : body(function.getBody().front()), isF16(half.isF16()),
        forIntegers(forIntegers), numbers(function) {
    const llvm::fltSemantics &format = half.getFloatSemantics();
    greatest = APFloat::getLargest(format).convertToDouble();
    smallest = APFloat::getSmallestNormalized(format).convertToDouble();
    // A scale takes 0 and 1 as they are, and other whole numbers only by luck.
    exact = forIntegers
                ? 1
                : std::ldexp(1.0, int(APFloat::semanticsPrecision(format)));
  }

  WideOps run() {
    noteNetwork();
    pictures();
    integers();
    toIntegers();
    angles();
    statistics();
    smallNumbers();
    beyondRange();
    keys();
    if (isF16)
      tinyFactors();
    return std::move(wide);
  }

private:
  void mark(Operation *op, StringRef why) { wide.why.try_emplace(op, why); }

  /// Values that depend on sums over channels, places or tokens.
  void noteNetwork() {
    for (Operation &op : body)
      if ((isHeavy(&op) && !isFewTerms(&op)) ||
          llvm::any_of(op.getOperands(),
                       [&](Value v) { return network.contains(v); }))
        network.insert(op.getResults().begin(), op.getResults().end());
    for (Operation &op : body)
      if (isRounding(&op) || ((isElementwise(&op) || isMover(&op)) &&
                              llvm::any_of(op.getOperands(), [&](Value v) {
                                return rounded.contains(v);
                              })))
        rounded.insert(op.getResults().begin(), op.getResults().end());
  }

  /// A product of coordinates or of integers.
  bool isFewTerms(Operation *op) const {
    auto product = dyn_cast<tpu::MatMulOp>(op);
    if (!product)
      return false;
    if (numbers.of(product.getInput()).fromIntegers ||
        numbers.of(product.getRight()).fromIntegers)
      return true;
    int64_t rank = top::rankOf(product.getInput());
    bool turned = product.getLeftTranspose() && rank > 1;
    return top::shapeOf(product.getInput())[rank - (turned ? 2 : 1)] <=
           kFewTerms;
  }

  //===--------------------------------------------------------------------===//
  // What makes a value
  //===--------------------------------------------------------------------===//

  /// The arithmetic that makes `value`, back to what sums, to a cast of
  /// integers, to inputs and constants, and to a sum of two branches of the
  /// network, which may be a residual stream without an end.
  llvm::SetVector<Operation *> makersOf(Value value,
                                        bool throughSums = false) const {
    llvm::SetVector<Operation *> makers;
    SmallVector<Value> waiting{value};
    while (!waiting.empty()) {
      Operation *op = waiting.pop_back_val().getDefiningOp();
      if (!op || isa<tpu::CastOp, top::WeightOp, top::InputOp>(op))
        continue;
      bool passes = isMover(op) || isElementwise(op) || isExtremum(op) ||
                    isFewTerms(op) ||
                    (throughSums && isa<tpu::ReduceOp, tpu::CumSumOp>(op));
      if (!passes || !makers.insert(op))
        continue;
      SmallVector<Value> operands = runtimeOperands(op);
      if (isa<tpu::AddOp, tpu::SubOp>(op) && operands.size() > 1)
        llvm::erase_if(operands, [&](Value v) {
          return network.contains(v) && !rounded.contains(v) &&
                 !isSquare(v.getDefiningOp());
        });
      llvm::append_range(waiting, operands);
    }
    return makers;
  }

  void markMakers(Value value, StringRef why) {
    for (Operation *op : makersOf(value))
      markMaker(op, why);
  }

  void markMaker(Operation *op, StringRef why) {
    if (isMover(op))
      wide.movers.insert(op);
    else
      mark(op, why);
  }

  //===--------------------------------------------------------------------===//
  // (P12) Pictures
  //===--------------------------------------------------------------------===//

  /// What fuse-preprocess made: all that has the names of parts of a frame.
  void pictures() {
    for (auto input : body.getOps<top::InputOp>()) {
      if (dtypeOf(input.getOutput()) != DType::U8)
        continue;
      StringRef frame = top::tensorName(input.getOutput());
      for (Operation &op : body) {
        if (!isa<PrecisionOpInterface>(op) || op.getNumResults() == 0)
          continue;
        StringRef name = top::tensorName(op.getResult(0));
        do
          name = top::wholeOf(name);
        while (!name.empty() && name != frame);
        if (!name.empty())
          markMaker(&op, kPicture);
      }
    }
  }

  //===--------------------------------------------------------------------===//
  // (P2), (P3) Integers
  //===--------------------------------------------------------------------===//

  bool losesIntegers(Value value) const {
    if (!isFloatTensor(value))
      return false;
    Numbers facts = numbers.of(value);
    return facts.fromIntegers && !(facts.whole && facts.magnitude() <= exact);
  }

  void integers() {
    for (Operation &op : body) {
      if (!isa<PrecisionOpInterface>(op))
        continue;
      bool reads = llvm::any_of(op.getOperands(),
                                [&](Value v) { return losesIntegers(v); });
      bool makes = llvm::any_of(op.getResults(),
                                [&](Value v) { return losesIntegers(v); });
      if (reads || makes)
        mark(&op, kIntegers);
    }
  }

  /// What rounding and casts to integers read: half a step off is another
  /// integer. What is left over by the rounding is computed from both, and
  /// what is computed from nothing else, such as the weights of a cubic
  /// interpolation, adds up to 1 only with all digits.
  void toIntegers() {
    for (Operation &op : body) {
      bool rounds = isRounding(&op) ||
                    (isa<tpu::ModOp>(op) && isFloatTensor(op.getResult(0)));
      auto cast = dyn_cast<tpu::CastOp>(op);
      if (!rounds && !(cast && isFloatTensor(cast.getInput()) &&
                       isIntegerTensor(cast.getOutput())))
        continue;
      if (rounds)
        mark(&op, kToIntegers);
      for (Value operand : floatOperands(&op))
        markMakers(operand, kToIntegers);
      if (rounds)
        for (Operation *user : op.getUsers())
          if (isa<tpu::SubOp>(user) &&
              llvm::is_contained(user->getOperands(), op.getOperand(0)))
            markMadeOf(user);
    }
  }

  /// The fraction, and the arithmetic on elements that reads only such values.
  void markMadeOf(Operation *fraction) {
    llvm::SmallSetVector<Operation *, 8> made;
    made.insert(fraction);
    for (size_t i = 0; i < made.size(); ++i)
      for (Operation *user : made[i]->getUsers())
        if ((isElementwise(user) || isMover(user)) &&
            llvm::all_of(runtimeOperands(user), [&](Value operand) {
              return made.contains(operand.getDefiningOp());
            }))
          made.insert(user);
    for (Operation *op : made)
      if (!isMover(op))
        mark(op, kToIntegers);
  }

  //===--------------------------------------------------------------------===//
  // (P4) Angles
  //===--------------------------------------------------------------------===//

  void angles() {
    for (Operation &op : body)
      if (isActive(&op, {tpu::ActiveMode::SIN, tpu::ActiveMode::COS,
                         tpu::ActiveMode::TAN}) &&
          numbers.of(op.getOperand(0)).magnitude() > kOneTurn) {
        mark(&op, kAngle);
        markMakers(op.getOperand(0), kAngle);
      }
  }

  //===--------------------------------------------------------------------===//
  // (P5) Statistics
  //===--------------------------------------------------------------------===//

  /// A sum, or the mean of squares or exponentials.
  bool isStatistic(Operation *op) const {
    bool isMean = isa<tpu::Pool1DOp, tpu::Pool2DOp>(op);
    if (auto pool = dyn_cast<tpu::Pool2DOp>(op))
      isMean = pool.getPoolMode() == tpu::PoolMode::Avg;
    if (auto reduce = dyn_cast<tpu::ReduceOp>(op)) {
      if (!isFloatTensor(reduce.getOutput()) || isExtremum(op))
        return false;
      isMean = true;
      int64_t count = top::elementsOf(top::shapeOf(reduce.getInput())) /
                      top::elementsOf(top::shapeOf(reduce.getOutput()));
      if (reduce.getMode() != top::ReduceMode::ReduceMean && count >= kLongRow)
        return true;
    }
    return isMean && raised(op->getOperand(0)) != nullptr;
  }

  /// The square or exponential behind data movement and factors.
  Operation *raised(Value value) const {
    Operation *op = value.getDefiningOp();
    while (op && (isMover(op) || isa<tpu::MulConstOp, tpu::ReduceOp>(op)) &&
           isFloatTensor(op->getOperand(0)))
      op = op->getOperand(0).getDefiningOp();
    return isSquare(op) || isActive(op, {tpu::ActiveMode::EXP}) ? op : nullptr;
  }

  void statistics() {
    llvm::DenseSet<Value> statistic;
    for (Operation &op : body) {
      if (!isa<PrecisionOpInterface>(op) || op.getNumResults() == 0 ||
          !isFloatTensor(op.getResult(0)))
        continue;
      if (isStatistic(&op)) {
        mark(&op, kStatistic);
        markRaised(op.getOperand(0));
        statistic.insert(op.getResult(0));
        continue;
      }
      SmallVector<Value> operands = runtimeOperands(&op);
      auto isOne = [&](Value v) { return statistic.contains(v); };
      if (!isMover(&op) && !isElementwise(&op))
        continue;
      if (llvm::none_of(operands, isOne)) {
        if (isActive(&op, {tpu::ActiveMode::SQRT, tpu::ActiveMode::RSQRT}))
          rootOfSquares(&op, statistic);
        continue;
      }
      // What uses a statistic computes in F32; behind that it is a tensor like
      // any other.
      if (isMover(&op))
        wide.movers.insert(&op);
      else
        mark(&op, kStatistic);
      if (llvm::all_of(operands, isOne))
        statistic.insert(op.getResult(0));
    }
  }

  /// sqrt(a * a + b * b): what a root reads was squared.
  void rootOfSquares(Operation *op, llvm::DenseSet<Value> &statistic) {
    llvm::SetVector<Operation *> makers = makersOf(op->getOperand(0));
    if (llvm::none_of(makers, isSquare))
      return;
    mark(op, kStatistic);
    for (Operation *maker : makers) {
      // Behind a square a number has its half's digits again.
      bool behind = llvm::none_of(maker->getUsers(), [&](Operation *user) {
        return user == op || (makers.contains(user) && !isSquare(user));
      });
      if (!behind)
        markMaker(maker, kStatistic);
    }
    statistic.insert(op->getResult(0));
  }

  /// The square of a centred tensor, the centring and its mean.
  void markRaised(Value value) {
    Operation *power = raised(value);
    if (!power)
      return;
    for (Operation *op = value.getDefiningOp(); op != power;
         op = op->getOperand(0).getDefiningOp())
      markMaker(op, kStatistic);
    mark(power, kStatistic);
    auto centred = power->getOperand(0).getDefiningOp<tpu::SubOp>();
    if (!centred)
      return;
    for (Value operand : centred.getInputs())
      if (auto mean = operand.getDefiningOp<tpu::ReduceOp>()) {
        mark(centred, kStatistic);
        mark(mean, kStatistic);
      }
  }

  //===--------------------------------------------------------------------===//
  // (P6) Small numbers
  //===--------------------------------------------------------------------===//

  bool isSmall(double number) const {
    return number != 0 && std::abs(number) < smallest;
  }

  /// Adds a small number, or bounds by one.
  bool addsSmallNumber(Operation *op) const {
    if (auto clip = dyn_cast<tpu::ClipOp>(op))
      return isSmall(clip.getMin());
    if (auto where = dyn_cast<tpu::WhereOp>(op))
      if ((where.getXIsConst() && isSmall(where.getXConstVal())) ||
          (where.getYIsConst() && isSmall(where.getYConstVal())))
        return true;
    if (isa<tpu::AddConstOp, tpu::MaxConstOp, tpu::SubConstOp>(op))
      return isSmall(*numberOf(op));
    return isa<tpu::AddOp, tpu::MaxOp, tpu::WhereOp, tpu::SubOp>(op) &&
           llvm::any_of(op->getOperands(), [&](Value operand) {
             const ConstantNumbers *facts = numbers.constant(operand);
             return facts && facts->small > 0 && isF16;
           });
  }

  /// What an op takes the reciprocal, the logarithm or the root of.
  static Value sensitiveOperand(Operation *op) {
    if (isActive(op, {tpu::ActiveMode::LN, tpu::ActiveMode::SQRT,
                      tpu::ActiveMode::RSQRT}) ||
        isa<tpu::ReciprocalOp>(op))
      return op->getOperand(0);
    if (auto div = dyn_cast<tpu::DivOp>(op); div && isFloatTensor(div))
      return div.getInputs()[div.getIsReverse() ? 0 : 1];
    if (auto power = dyn_cast<tpu::Pow3Op>(op); power && isFloatTensor(power))
      return power.getInputs()[0];
    return {};
  }

  void smallNumbers() {
    for (Operation &op : body) {
      Value value = sensitiveOperand(&op);
      if (!value)
        continue;
      bool isLog = isActive(&op, {tpu::ActiveMode::LN});
      const ConstantNumbers *divisor = numbers.constant(value);
      if (divisor && isF16 && divisor->small > 0)
        mark(&op, kSmallNumber);
      // A tensor of integers has steps of its own size: what sums many of its
      // elements is as exact as those are beside each other.
      llvm::SetVector<Operation *> makers =
          makersOf(value, isLog || !forIntegers);
      if (!isLog && llvm::none_of(makers, [&](Operation *maker) {
            return addsSmallNumber(maker);
          }))
        continue;
      mark(&op, kSmallNumber);
      for (Operation *maker : makers)
        markMaker(maker, kSmallNumber);
      // A logarithm shows every digit of a small number, and 0 as -inf: what
      // sums up in front of it stays F32 too.
      if (isLog)
        for (Operation *last : sumsBehind(value, makers)) {
          mark(last, kSmallNumber);
          spectrum(last);
        }
    }
  }

  /// A filter bank under a logarithm: the squares that it sums, and the
  /// transform in front of those, reach as far as their squares' roots do.
  void spectrum(Operation *bank) {
    if (!isa<tpu::MatMulOp, tpu::Conv2DOp>(bank))
      return;
    for (Value operand : runtimeOperands(bank)) {
      llvm::SetVector<Operation *> makers = makersOf(operand, true);
      if (llvm::none_of(makers, isSquare))
        continue;
      for (Operation *maker : makers)
        markMaker(maker, kSmallNumber);
      for (Operation *transform : sumsBehind(operand, makers))
        mark(transform, kSmallNumber);
    }
  }

  /// What sums in front of the `makers` of `value`.
  static SmallVector<Operation *>
  sumsBehind(Value value, const llvm::SetVector<Operation *> &makers) {
    SmallVector<Operation *> sums;
    for (Value end : endsOf(value, makers))
      if (Operation *last = end.getDefiningOp(); last && isHeavy(last))
        sums.push_back(last);
    return sums;
  }

  /// What `makers` of `value` read and none of them computes.
  static SmallVector<Value> endsOf(Value value,
                                   const llvm::SetVector<Operation *> &makers) {
    SmallVector<Value> ends;
    if (!makers.contains(value.getDefiningOp()))
      ends.push_back(value);
    for (Operation *maker : makers)
      for (Value operand : runtimeOperands(maker))
        if (!makers.contains(operand.getDefiningOp()))
          ends.push_back(operand);
    return ends;
  }

  //===--------------------------------------------------------------------===//
  // (P7) Numbers beyond the range
  //===--------------------------------------------------------------------===//

  bool isBeyond(double number) const {
    return std::isfinite(number) && std::abs(number) > greatest;
  }

  bool bringsBeyond(Operation *op) const {
    // Bounds that nothing reaches bound nothing.
    if (isa<tpu::ClipOp, tpu::CompareConstOp>(op))
      return false;
    auto number = numberOf(op);
    if (isa<tpu::MaxConstOp>(op))
      return *number > 0 && isBeyond(*number);
    if (isa<tpu::MinConstOp>(op))
      return *number < 0 && isBeyond(*number);
    if (number && isBeyond(*number))
      return true;
    if (auto where = dyn_cast<tpu::WhereOp>(op))
      if ((where.getXIsConst() && isBeyond(where.getXConstVal())) ||
          (where.getYIsConst() && isBeyond(where.getYConstVal())))
        return true;
    if (auto pad = dyn_cast<tpu::PadOp>(op); pad && isBeyond(pad.getVal()))
      return true;
    auto precise = cast<PrecisionOpInterface>(op);
    return llvm::any_of(op->getOpOperands(), [&](OpOperand &operand) {
      const ConstantNumbers *facts = numbers.constant(operand.get());
      return facts && facts->largest > greatest &&
             precise.operandPrecision(operand.getOperandNumber()) ==
                 OperandPrecision::Same;
    });
  }

  /// Whether the result is bounded however large the operand is.
  static bool isBounded(Operation *op) {
    using enum tpu::ActiveMode;
    return isa<tpu::SoftmaxOp, tpu::CompareOp, tpu::CompareConstOp>(op) ||
           isActive(op, {SIGMOID, TANH, ERF, SIN, COS, SIGN, ARCTAN, HSIGMOID,
                         SOFT_SIGN, EXP});
  }

  void beyondRange() {
    llvm::DenseSet<Value> beyond;
    for (Operation &op : body) {
      if (!isa<PrecisionOpInterface>(op) || isa<tpu::CastOp>(op))
        continue;
      bool reads = llvm::any_of(op.getOperands(),
                                [&](Value v) { return beyond.contains(v); });
      if (!reads && !bringsBeyond(&op))
        continue;
      mark(&op, kBeyond);
      if (!isBounded(&op) && !isHeavy(&op))
        for (Value result : op.getResults())
          if (isFloatTensor(result))
            beyond.insert(result);
    }
  }

  //===--------------------------------------------------------------------===//
  // (P8) Keys
  //===--------------------------------------------------------------------===//

  void keys() {
    for (Operation &op : body) {
      if (!isa<tpu::TopKOp, tpu::ArgOp>(op) || !isFloatTensor(op.getOperand(0)))
        continue;
      llvm::SetVector<Operation *> makers = makersOf(op.getOperand(0));
      for (Operation *maker : makers)
        markMaker(maker, kKeys);
      if (isMover(&op))
        wide.movers.insert(&op);
    }
  }

  //===--------------------------------------------------------------------===//
  // (P9) Tiny factors
  //===--------------------------------------------------------------------===//

  /// Multiplies by numbers most of which F16 keeps few digits of, or none.
  bool hasTinyFactors(Operation *op) const {
    if (isa<tpu::MulConstOp, tpu::ReciprocalOp>(op))
      return isSmall(*numberOf(op));
    if (!isa<tpu::MulOp, tpu::ScaleOp, tpu::DivOp, tpu::Conv2DOp, tpu::DeconvOp,
             tpu::MatMulOp>(op))
      return false;
    bool dividesBy = isa<tpu::DivOp>(op);
    return llvm::any_of(llvm::enumerate(op->getOperands()), [&](auto each) {
      const ConstantNumbers *facts = numbers.constant(each.value());
      if (!facts || (dividesBy && each.index() == 1) || each.index() > 1)
        return false;
      return facts->small * 2 > facts->nonzero;
    });
  }

  /// Whether a product adds ordinary numbers itself: most of its bias are.
  bool addsOrdinary(Operation *op) const {
    Value bias;
    if (auto conv = dyn_cast<tpu::Conv2DOp>(op))
      bias = conv.getBias();
    else if (auto deconv = dyn_cast<tpu::DeconvOp>(op))
      bias = deconv.getBias();
    else if (auto product = dyn_cast<tpu::MatMulOp>(op))
      bias = product.getBias();
    else if (auto scale = dyn_cast<tpu::ScaleOp>(op))
      bias = scale.getBias();
    const ConstantNumbers *facts =
        bias && !top::isNone(bias) ? numbers.constant(bias) : nullptr;
    return facts && facts->small * 2 < facts->nonzero;
  }

  /// Whether a convolution may keep its filter times a power of two: one that
  /// its local form takes as it is, and that adds ordinary numbers behind.
  bool takesShift(Operation *op) const {
    auto conv = dyn_cast<tpu::Conv2DOp>(op);
    constexpr int64_t kChannels = 16, kMostTaps = 49;
    return conv && addsOrdinary(op) && conv.getGroup() == 1 &&
           conv.getKernelShape().size() == 2 && !conv.getDoKernelRotate() &&
           top::shapeOf(conv.getInput())[1] >= kChannels &&
           top::elementsOf(conv.getKernelShape()) <= kMostTaps &&
           llvm::all_of(conv.getStrides(), [](int64_t s) { return s <= 2; }) &&
           llvm::all_of(conv.getDilations(),
                        [](int64_t d) { return d == 1; }) &&
           llvm::all_of(llvm::enumerate(conv.getPads()), [&](auto pad) {
             return pad.value() >= 0 &&
                    pad.value() < conv.getKernelShape()[pad.index() % 2];
           });
  }
  /// The power of two that brings the greatest number of a filter near 1.
  int shiftOf(Operation *op) const {
    const ConstantNumbers *facts =
        numbers.constant(cast<tpu::Conv2DOp>(op).getFilter());
    return -std::ilogb(facts->largest);
  }

  /// Whether c * x becomes c * y.
  static bool keepsScale(Operation *op) {
    return isMover(op) || isHeavy(op) ||
           isa<tpu::MulOp, tpu::DivOp, tpu::MulConstOp, tpu::AddOp, tpu::SubOp,
               tpu::ReluOp, tpu::LeakyReluOp, tpu::PReluOp, tpu::MaxOp,
               tpu::MinOp, tpu::ReduceOp, tpu::PadOp, tpu::WhereOp>(op);
  }

  void tinyFactors() {
    llvm::DenseSet<Value> tiny;
    auto isTiny = [&](Value value) { return tiny.contains(value); };
    for (Operation &op : body) {
      if (!isa<PrecisionOpInterface>(op) || isa<tpu::CastOp>(op) ||
          op.getNumResults() == 0)
        continue;
      bool makes = hasTinyFactors(&op);
      SmallVector<Value> operands = floatOperands(&op);
      bool reads = llvm::any_of(operands, isTiny);
      if (!makes && !reads)
        continue;
      // Beside an ordinary number a tiny one counts for little.
      bool sums = isa<tpu::AddOp, tpu::SubOp, tpu::AddConstOp, tpu::SubConstOp,
                      tpu::MaxOp, tpu::MinOp, tpu::WhereOp, tpu::ConcatOp>(op);
      if (sums && !makes && !llvm::all_of(operands, isTiny))
        continue;
      if (isa<tpu::AddConstOp, tpu::SubConstOp, tpu::SoftmaxOp>(op))
        continue;
      if (isMover(&op))
        wide.movers.insert(&op);
      else if (!reads && takesShift(&op) && !wide.why.contains(&op))
        wide.shifted[&op] = shiftOf(&op);
      else
        mark(&op, kTiny);
      auto factor = isa<tpu::MulConstOp>(op) ? numberOf(&op) : std::nullopt;
      bool restores =
          (factor && std::abs(*factor) * smallest >= 1) || addsOrdinary(&op);
      if (keepsScale(&op) && !restores && isFloatTensor(op.getResult(0)))
        tiny.insert(op.getResult(0));
    }
  }

  Block &body;
  bool isF16;
  bool forIntegers; ///< against integers of 8 bits, not against halves
  NumberAnalysis numbers;
  double greatest = 0; ///< the half's greatest finite number
  double smallest = 0; ///< its smallest normal number
  double exact = 0;    ///< whole numbers up to here are exact
  llvm::DenseSet<Value> network;
  llvm::DenseSet<Value> rounded; ///< arithmetic on what a rounding made
  WideOps wide;
};

} // namespace

WideOps findWideOps(func::FuncOp function, FloatType half, bool forIntegers) {
  return Rules(function, half, forIntegers).run();
}

} // namespace tpumlir
