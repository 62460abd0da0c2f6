#include "tpumlir/dialect/ops/QuantPlan.h"
#include "tpumlir/dialect/tpu/FilterLayout.h"
#include "tpumlir/transforms/tpu/ChannelScales.h"
#include "tpumlir/transforms/tpu/Int8.h"
#include "tpumlir/transforms/tpu/Precision.h"
#include "tpumlir/transforms/tpu/QuantizedFilters.h"
#include "tpumlir/transforms/tpu/QuantizedWeights.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "mlir/IR/TypeUtilities.h"

#include <cmath>
#include <utility>

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_QUANTIZETENSORS
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

/// Rewrites the ops that were chosen for integers, in order.
class Quantizer {
public:
  Quantizer(func::FuncOp function, const CalibrationTable &table)
      : function(function), table(table), forms(table), operands(function) {}

  LogicalResult run() {
    Block &block = function.getBody().front();
    for (Operation &op : block) {
      FailureOr<std::optional<Precision>> precision = Precision::of(&op);
      if (failed(precision))
        return failure();
      if (*precision && (*precision)->isQuantized())
        chosen.insert(&op);
    }
    for (Operation &op : llvm::reverse(block))
      if (chosen.contains(&op))
        wish(&op);
    for (Operation &op : block)
      if (chosen.contains(&op))
        channels.choose(&op);
    SmallVector<Operation *> order;
    DenseSet<Operation *> casts;
    for (Operation &op : block) {
      const bool isCast = isa<tpu::CastOp>(op) && isQuantized(op.getResult(0));
      if (isCast)
        casts.insert(&op);
      if (isCast || chosen.contains(&op))
        order.push_back(&op);
    }
    for (Operation *op : order) {
      if (casts.contains(op)) {
        foldCast(llvm::cast<tpu::CastOp>(op));
        continue;
      }
      if (!chosen.contains(op)) // part of what came before it
        continue;
      std::string why;
      auto operandType = [&](Value value) {
        std::optional<Quantization> type = typeOf(value);
        return type || Int8Forms::startsFromFloats(op) ? type : table.of(value);
      };
      std::optional<Quantization> type = forms.resultOf(op, operandType, why);
      if (!type)
        return op->emitOpError("expected an operation with a form in integers, "
                               "got one with ")
               << (why.empty() ? "operands that are not" : why);
      if (failed(rewrite(op, *type)))
        return failure();
    }
    dequantizeForOthers();
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (isa<tpu::CastOp>(op) && op.use_empty()) {
        Operation *maker = op.getOperand(0).getDefiningOp();
        if (maker && maker->getLoc() == top::partLoc(op.getLoc(), "int8"))
          maker->setLoc(op.getLoc());
        op.erase();
      }
    return success();
  }

private:
  static std::optional<Quantization> typeOf(Value value) {
    return Quantization::ofAny(value);
  }

  /// What an op's result is quantised to: by its own range, or as what it is
  /// put together with.
  Quantization typeOfResult(Value result, const Quantization &own) const {
    auto found = wishes.find(result);
    return found == wishes.end() ? own : found->second;
  }

  /// The parts of a Concat have its scale from the start, so that they only
  /// have to be put side by side.
  void wish(Operation *op) {
    Value result = op->getResult(0);
    auto wished = wishes.find(result);
    std::optional<Quantization> type =
        wished != wishes.end() ? std::optional(wished->second) : std::nullopt;
    if (isa<tpu::ConcatOp>(op)) {
      if (!type)
        type = table.of(result);
    } else if (!isa<tpu::ReshapeOp, tpu::PermuteOp, tpu::SliceOp,
                    tpu::UpsampleOp>(op)) {
      return; // computes: it does not pass the wish on
    }
    if (!type)
      return;
    for (Value operand : op->getOperands()) {
      Operation *producer = operand.getDefiningOp();
      if (!producer || !chosen.contains(producer) || wishes.contains(operand))
        continue;
      // Who else reads it loses little.
      constexpr double kLittle = 1.25;
      std::optional<Quantization> own = table.of(operand);
      bool keeps =
          operand.hasOneUse() || (own && type->scale <= kLittle * own->scale);
      if (keeps && (!own || covers(*type, *own)))
        wishes[operand] = *type;
    }
  }

  /// Whether a type stands for every number that another stands for.
  static bool covers(const Quantization &type, const Quantization &other) {
    auto number = [](const Quantization &t, int64_t q) {
      return double(q - t.zeroPoint) * t.scale;
    };
    const double half = type.scale / 2;
    return number(type, type.least()) <= number(other, other.least()) + half &&
           number(type, type.greatest()) >=
               number(other, other.greatest()) - half;
  }

  /// The ops behind `op`, each the only one to read the one before, that are
  /// chosen and that `takes` says yes to.
  template <typename Takes>
  SmallVector<Operation *> chainBehind(Operation *op, Takes takes) const {
    SmallVector<Operation *> chain;
    for (Value value = op->getResult(0); value.hasOneUse();) {
      Operation *next = *value.user_begin();
      if (!chosen.contains(next) || !takes(next))
        break;
      chain.push_back(next);
      value = next->getResult(0);
    }
    return chain;
  }

  /// Makes `op` compute what the chain behind it does.
  void absorb(Operation *op, ArrayRef<Operation *> chain) {
    if (chain.empty())
      return;
    op->setLoc(chain.back()->getLoc());
    chain.back()->getResult(0).replaceAllUsesWith(op->getResult(0));
    for (Operation *other : llvm::reverse(chain)) {
      chosen.erase(other);
      other->erase();
    }
  }

  /// A cast that the model asks for is done where its operand is in integers.
  void foldCast(tpu::CastOp op) {
    if (!isQuantized(op.getInput()))
      return;
    // Rounded and held in its range it is the tensor behind the cast.
    if (op.getInput().hasOneUse() && typeOf(op.getInput()) == typeOf(op))
      if (auto made = dyn_cast<OpResult>(op.getInput()))
        made.getOwner()->setLoc(op.getLoc());
    op.getOutput().replaceAllUsesWith(
        rescaled(op.getInput(), *Quantization::of(op.getOutput())));
    op->erase();
  }

  /// The integers that a tensor of floats is made of, or itself.
  static Value integersOf(Value value) {
    auto cast = value.getDefiningOp<tpu::CastOp>();
    return cast && isQuantized(cast.getInput()) ? cast.getInput() : value;
  }

  /// The operand in integers.
  void quantizeOperand(OpOperand &operand) {
    std::optional<Quantization> type = forms.operandOf(operand, typeOf);
    assert(type && "resultOf has asked");
    Value value = integersOf(operand.get());
    operand.set(typeOf(value) == type ? value : cast(operand.get(), *type));
  }

  /// A constant, or a cast, once per value and type.
  Value cast(Value value, const Quantization &type) {
    Type element = type.type(value.getContext());
    Value &known = made[{value, element}];
    if (known)
      return known;
    OpBuilder builder(value.getContext());
    builder.setInsertionPointAfterValue(value);
    auto to = ::llvm::cast<RankedTensorType>(value.getType()).clone(element);
    Location loc = top::partLoc(top::resultLoc(value), "int8");
    if (auto numbers = top::constantF32s(value); succeeded(numbers))
      return known = createBytes(builder, value.getDefiningOp(),
                                 top::tensorName(loc), to.getShape(),
                                 storedNumbers(*numbers, type), element);
    return known = tpu::CastOp::create(builder, loc, to, value);
  }

  void setResult(Operation *op, const Quantization &type) {
    Value result = op->getResult(0);
    result.setType(::llvm::cast<RankedTensorType>(result.getType())
                       .clone(type.type(op->getContext())));
    auto precision = Precision::of(op);
    if ((*precision)->why.empty())
      op->removeAttr(Precision::kAttr);
  }

  static bool keepsSums(Operation *op) {
    auto precision = Precision::of(op);
    return succeeded(precision) && *precision && (*precision)->keepsSums();
  }

  LogicalResult rewrite(Operation *op, const Quantization &own) {
    if (isa<tpu::Conv2DOp, tpu::DeconvOp, tpu::MatMulOp>(op))
      return product(op, own);
    if (LinearForm::of(op) || isUnaryFunction(op)) {
      quantizeOperand(op->getOpOperand(0));
      return function1(op, own);
    }
    const Quantization type = typeOfResult(op->getResult(0), own);
    if (auto scale = dyn_cast<tpu::ScaleOp>(op)) {
      quantizeOperand(op->getOpOperand(0));
      return scaled(scale, type);
    }
    if (auto prelu = dyn_cast<tpu::PReluOp>(op)) {
      quantizeOperand(op->getOpOperand(0));
      return steep(prelu, type);
    }
    if (isa<tpu::ConcatOp, tpu::MaxOp, tpu::MinOp>(op)) {
      for (OpOperand &operand : op->getOpOperands()) {
        Value value = integersOf(operand.get());
        operand.set(isQuantized(value) ? rescaled(value, type)
                                       : cast(value, type));
      }
      setResult(op, type);
      return success();
    }
    for (OpOperand &operand : op->getOpOperands())
      if (!top::isNone(operand.get()))
        quantizeOperand(operand);
    // A maximum is one of the elements.
    const bool moves =
        llvm::cast<PrecisionOpInterface>(op).movesData() ||
        isa<tpu::PadOp>(op) ||
        (isa<tpu::Pool1DOp, tpu::Pool2DOp>(op) &&
         op->getAttrOfType<tpu::PoolModeAttr>("pool_mode").getValue() ==
             tpu::PoolMode::Max);
    setResult(op, moves ? own : type);
    return success();
  }

  static Value biasOf(Operation *op) {
    if (auto conv = dyn_cast<tpu::Conv2DOp>(op))
      return conv.getBias();
    if (auto deconv = dyn_cast<tpu::DeconvOp>(op))
      return deconv.getBias();
    return llvm::cast<tpu::MatMulOp>(op).getBias();
  }

  /// The slopes of max(x, slope * x), one or one per channel; none of another
  /// op.
  static SmallVector<double> slopesOf(Operation *op) {
    SmallVector<double> slopes;
    if (auto leaky = dyn_cast<tpu::LeakyReluOp>(op))
      slopes.push_back(leaky.getAlpha());
    if (auto prelu = dyn_cast<tpu::PReluOp>(op))
      llvm::append_range(slopes, *top::constantF32s(prelu.getSlope()));
    if (llvm::any_of(slopes, [](double slope) { return slope > 1; }))
      slopes.clear();
    return slopes;
  }

  /// Whether saturation to a type holds within these bounds already.
  static bool hasBoundsOf(const Quantization &type, const LinearForm &form) {
    auto stored = [&](double limit) {
      return std::nearbyint(limit / type.scale) + double(type.zeroPoint);
    };
    return form.factor == 1 && form.term == 0 && form.hasBounds() &&
           (!form.least || stored(*form.least) <= double(type.least())) &&
           (!form.greatest ||
            stored(*form.greatest) >= double(type.greatest()));
  }

  /// A convolution or a product, with the linear functions behind it; a
  /// convolution also with a LeakyRelu or a PRelu behind these, and bounds that
  /// the type of the result has.
  LogicalResult product(Operation *op, Quantization type) {
    LinearForm form;
    SmallVector<Operation *> chain;
    auto held = [](auto product) {
      LinearForm own;
      if (product.getDoRelu()) {
        own.least = 0;
        if (product.getReluLimit() >= 0)
          own.greatest = product.getReluLimit();
      }
      return own;
    };
    auto conv = dyn_cast<tpu::Conv2DOp>(op);
    auto deconv = dyn_cast<tpu::DeconvOp>(op);
    auto matmul = dyn_cast<tpu::MatMulOp>(op);
    form = conv ? held(conv) : deconv ? held(deconv) : held(matmul);
    if (keepsSums(op)) {
      quantize(conv, form, {DType::I8, 1, 0}, {});
      return success();
    }
    SmallVector<double> slopes;
    bool isBounded = false; // behind these
    chain = chainBehind(op, [&](Operation *next) {
      std::optional<LinearForm> linear = LinearForm::of(next);
      if (!slopes.empty()) {
        const bool isFirst = !std::exchange(isBounded, true);
        return isFirst && linear &&
               hasBoundsOf(typeOfResult(next->getResult(0),
                                        *table.of(next->getResult(0))),
                           *linear);
      }
      if (!linear) {
        auto rowOf = [&](Value value) { return table.of(value); };
        std::string why;
        if (conv && !form.hasBounds() && isConstantOrNone(conv.getBias()) &&
            forms.resultOf(next, rowOf, why))
          slopes = slopesOf(next);
        return !slopes.empty();
      }
      std::optional<LinearForm> both = form.then(*linear);
      // Bounds that are not those of a Relu stay an op of their own.
      if (!both || (both->greatest && !both->least) ||
          (both->least && *both->least != 0) ||
          (both->greatest && *both->greatest < 0))
        return false;
      form = *both;
      return true;
    });
    Operation *last = chain.empty() ? op : chain.back();
    if (last != op)
      type = *table.of(last->getResult(0));
    type = typeOfResult(last->getResult(0), type);
    if (slopes.empty() && isConstantOrNone(biasOf(op)))
      type = channels.typeOf(last->getResult(0), type, form);
    absorb(op, chain);
    const bool relu = form.least.has_value();
    const double limit = form.greatest.value_or(-1.0);
    auto finish = [&](auto product) {
      product.setDoRelu(relu);
      product.setReluLimit(limit);
      quantize(product, form, type, slopes);
    };
    if (conv)
      finish(conv);
    else if (deconv)
      finish(deconv);
    else
      finish(matmul);
    return success();
  }

  /// A function of one tensor, with those behind it.
  LogicalResult function1(Operation *op, Quantization type) {
    if (auto steep = dyn_cast<tpu::LeakyReluOp>(op))
      return leaky(steep, typeOfResult(op->getResult(0), type));
    if (isHardSwish(op))
      return hardSwish(op, type);
    SmallVector<Operation *> ops{op};
    std::optional<LinearForm> form = LinearForm::of(op);
    llvm::append_range(
        ops, chainBehind(op, [&](Operation *next) {
          std::optional<LinearForm> linear = LinearForm::of(next);
          if (isCheapFunction(next) || (!linear && !isUnaryFunction(next)))
            return false;
          std::optional<LinearForm> both =
              form && linear ? form->then(*linear) : std::nullopt;
          // A table is dearer than a linear function.
          if (form && !both)
            return false;
          form = both;
          return true;
        }));
    if (ops.size() > 1)
      type = *table.of(ops.back()->getResult(0));
    type = typeOfResult(ops.back()->getResult(0), type);
    if (form)
      type = channels.typeOf(ops.back()->getResult(0), type, *form);
    OpBuilder builder(ops.back());
    Value y;
    if (form) {
      y = requantize(builder, ops.back()->getLoc(), op->getOperand(0), *form,
                     type);
    } else {
      FailureOr<Value> found = lookup(builder, ops, type);
      if (failed(found))
        return failure();
      y = *found;
    }
    ops.back()->getResult(0).replaceAllUsesWith(y);
    for (Operation *done : llvm::reverse(ops)) {
      chosen.erase(done);
      done->erase();
    }
    return success();
  }

  /// x for x >= 0, else x * alpha: the greater of both, or the lesser if alpha
  /// is above 1.
  LogicalResult leaky(tpu::LeakyReluOp op, const Quantization &type) {
    OpBuilder builder(op);
    Value x = op.getInput();
    Location loc = op.getLoc();
    Value plain = rescaled(x, type);
    Value steep = requantize(builder, top::partLoc(loc, "times_alpha"), x,
                             {op.getAlpha(), 0, {}, {}}, type);
    SmallVector<NamedAttribute> attrs{
        builder.getNamedAttr("do_relu", builder.getBoolAttr(false)),
        builder.getNamedAttr("relu_limit", builder.getF64FloatAttr(-1.0))};
    Value y = op.getAlpha() <= 1
                  ? tpu::MaxOp::create(builder, loc, TypeRange{plain.getType()},
                                       ValueRange{plain, steep}, attrs)
                        .getOutput()
                  : tpu::MinOp::create(builder, loc, TypeRange{plain.getType()},
                                       ValueRange{plain, steep}, attrs)
                        .getOutput();
    chosen.erase(op);
    op.getOutput().replaceAllUsesWith(y);
    op->erase();
    return success();
  }

  /// A linear function of the integers per channel; a factor or a term may be
  /// that of all of them.
  tpu::RequantFpAxisOp perChannel(OpBuilder &builder, Location loc, Value x,
                                  ArrayRef<float> factors,
                                  ArrayRef<float> terms,
                                  const Quantization &type,
                                  const StoredRange &range) {
    const Quantization from = *typeOf(x);
    const int64_t count = top::shapeOf(x)[1];
    auto at = [](ArrayRef<float> numbers, int64_t c) {
      return double(numbers[numbers.size() == 1 ? 0 : size_t(c)]);
    };
    std::vector<float> numbers;
    for (int64_t c = 0; c < count; ++c) {
      const double scale =
          double(float(at(factors, c) * from.scaleOf(c) / type.scaleOf(c)));
      const double term = terms.empty() ? 0 : at(terms, c) / type.scaleOf(c);
      numbers.push_back(float(scale));
      numbers.push_back(float(double(type.zeroPoint) + term -
                              scale * double(from.zeroPoint)));
    }
    Value multi =
        top::createWeight(builder, top::partName(top::tensorName(loc), "multi"),
                          {count, 2}, std::move(numbers));
    auto bound = [&](int64_t held, int64_t all) {
      return held == all ? IntegerAttr() : builder.getI64IntegerAttr(held);
    };
    auto to = ::llvm::cast<RankedTensorType>(x.getType())
                  .clone(type.type(x.getContext()));
    return tpu::RequantFpAxisOp::create(builder, loc, to, x, multi,
                                        bound(range.least, type.least()),
                                        bound(range.greatest, type.greatest()));
  }

  LogicalResult scaled(tpu::ScaleOp op, const Quantization &type) {
    LinearForm form;
    if (op.getDoRelu() && op.getReluLimit() >= 0)
      form.greatest = op.getReluLimit();
    const Quantization to = channels.typeOf(op.getOutput(), type, form);
    OpBuilder builder(op);
    Value y = perChannel(builder, op.getLoc(), op.getInput(),
                         *top::constantF32s(op.getScale()),
                         *top::constantF32s(op.getBias()), to,
                         heldBy(to, op.getDoRelu(), op.getReluLimit()));
    chosen.erase(op);
    op.getOutput().replaceAllUsesWith(y);
    op->erase();
    return success();
  }

  LogicalResult steep(tpu::PReluOp op, const Quantization &type) {
    OpBuilder builder(op);
    Location loc = op.getLoc();
    Value plain = rescaled(op.getInput(), type);
    Value other = perChannel(builder, top::partLoc(loc, "times_slope"),
                             op.getInput(), *top::constantF32s(op.getSlope()),
                             {}, type, {type.least(), type.greatest()});
    SmallVector<NamedAttribute> attrs{
        builder.getNamedAttr("do_relu", builder.getBoolAttr(false)),
        builder.getNamedAttr("relu_limit", builder.getF64FloatAttr(-1.0))};
    Value y = tpu::MaxOp::create(builder, loc, TypeRange{plain.getType()},
                                 ValueRange{plain, other}, attrs)
                  .getOutput();
    chosen.erase(op);
    op.getOutput().replaceAllUsesWith(y);
    op->erase();
    return success();
  }

  /// x * max(0, min(1, x / 6 + 1 / 2)): the second factor is a linear function.
  /// The product has a factor and an offset per channel if a channel has a
  /// scale of its own, or if there are linear functions behind it.
  LogicalResult hardSwish(Operation *op, Quantization type) {
    Value x = op->getOperand(0);
    const Quantization from = *typeOf(x);
    LinearForm form;
    SmallVector<Operation *> chain;
    if (isOverLanes(x))
      chain = chainBehind(op, [&](Operation *next) {
        std::optional<LinearForm> linear = LinearForm::of(next);
        if (!linear || linear->hasBounds())
          return false;
        form = *form.then(*linear);
        return true;
      });
    Value result =
        chain.empty() ? op->getResult(0) : chain.back()->getResult(0);
    if (!chain.empty())
      type = *table.of(result);
    type = channels.typeOf(result, typeOfResult(result, type), form);
    absorb(op, chain);
    OpBuilder builder(op);
    const Location loc = op->getLoc();
    const Quantization gated{DType::U8, double(1.0f / 255)};
    Value gate = requantize(builder, top::partLoc(loc, "gate"), x,
                            {1.0 / 6, 0.5, 0.0, 1.0}, gated);
    auto to = ::llvm::cast<RankedTensorType>(x.getType())
                  .clone(type.type(op->getContext()));
    Value y;
    if (from.isPerChannel() || type.isPerChannel() || !chain.empty()) {
      const int64_t count = top::shapeOf(x)[1];
      std::vector<float> numbers;
      for (int64_t c = 0; c < count; ++c) {
        const double step = type.scaleOf(c);
        numbers.push_back(float(
            form.factor * productFactor({from.scaleOf(c), gated.scale}, step)));
        numbers.push_back(float(double(type.zeroPoint) + form.term / step));
      }
      Value multi = top::createWeight(
          builder, top::partName(top::tensorName(loc), "multi"), {count, 2},
          std::move(numbers));
      y = tpu::MulFpAxisOp::create(builder, loc, to, x, gate, multi);
    } else {
      y = tpu::MulOp::create(builder, loc, to, ValueRange{x, gate}, false,
                             -1.0);
    }
    chosen.erase(op);
    op->replaceAllUsesWith(ValueRange{y});
    op->erase();
    return success();
  }
  static bool isConstantOrNone(Value value) {
    return top::isNone(value) || succeeded(top::constantF32s(value));
  }

  /// The factors and offsets of `multi`: of sums of stored integers, with the
  /// scales of the rows and the sums of their integers. If there are slopes,
  /// one or one per row, those of a second function follow, which is so much
  /// steeper.
  Value createMulti(Operation *op, const Quantization &input,
                    const Quantization &type, ArrayRef<double> scales,
                    ArrayRef<int64_t> sums, Value bias, const LinearForm &form,
                    ArrayRef<double> slopes = {}) {
    std::vector<float> numbers;
    ArrayRef<float> biases;
    const bool hasBias = !top::isNone(bias);
    const bool isComputed = hasBias && failed(top::constantF32s(bias));
    if (hasBias && !isComputed)
      biases = *top::constantF32s(bias);
    // Of a depthwise filter: which channel of the input a row reads.
    const int64_t rows = int64_t(scales.size()),
                  inputs = int64_t(input.channels.size());
    auto add = [&](size_t i, double slope) {
      const double from = input.scaleOf(int64_t(i) * inputs / rows),
                   step = type.scaleOf(int64_t(i));
      const float factor = float(slope * form.factor * from * scales[i] / step);
      double offset = double(type.zeroPoint) + slope * form.term / step -
                      double(factor) * double(input.zeroPoint * sums[i]);
      if (!biases.empty())
        offset += slope * form.factor * double(biases[i]) / step;
      numbers.push_back(factor);
      numbers.push_back(float(offset));
    };
    for (size_t i = 0; i < scales.size(); ++i)
      add(i, 1);
    for (size_t i = 0; i < scales.size() && !slopes.empty(); ++i)
      add(i, slopes[slopes.size() == 1 ? 0 : i]);
    if (isComputed)
      return withComputedBias(op, numbers, bias, form.factor / type.scale);
    OpBuilder builder(op);
    SmallVector<int64_t> shape{int64_t(scales.size()), 2};
    if (!slopes.empty())
      shape.insert(shape.begin(), 2);
    return top::createWeight(
        builder, top::partName(top::tensorName(op->getResult(0)), "multi"),
        shape, std::move(numbers));
  }

  template <typename OpTy>
  void quantize(OpTy op, const LinearForm &form, const Quantization &type,
                ArrayRef<double> slopes) {
    quantizeOperand(op->getOpOperand(0));
    Quantization input = *typeOf(op.getInput());
    const int64_t channels = top::shapeOf(op.getOutput())[1];
    SmallVector<double> scales;
    SmallVector<int64_t> sums(channels, 0);
    const bool isConstant = succeeded(top::constantF32s(op.getFilter()));
    if (!isConstant)
      quantizeOperand(op->getOpOperand(1));
    operands.orderGroups(op);
    Value filter = op.getFilter();
    if (isConstant) {
      // Of a depthwise transposed one the second axis has the channels.
      const bool isSecond = top::shapeOf(filter)[0] == 1 && channels > 1;
      const QuantizedWeight &weight =
          operands.weight(filter, 0, channels, isSecond ? 1 : 0);
      op.getFilterMutable().assign(weight.value);
      scales = weight.scales;
      sums = weight.sums;
    } else {
      scales.assign(channels, Quantization::of(filter)->scale);
    }
    operands.mergeGroups(op);
    Value multi =
        createMulti(op, input, type, scales, sums, op.getBias(), form, slopes);
    op.getMultiMutable().assign(multi);
    op.getBiasMutable().assign(operands.none(op));
    op.setWithBias(false);
    if (!keepsSums(op)) // else what it has is in steps of 1
      setResult(op, type);
  }

  void quantize(tpu::MatMulOp op, const LinearForm &form,
                const Quantization &type, ArrayRef<double>) {
    quantizeOperand(op->getOpOperand(0));
    Quantization input = *Quantization::of(op.getInput());
    QuantizedWeight right;
    if (succeeded(top::constantF32s(op.getRight()))) {
      right = operands.weight(op.getRight(), op.getRightTranspose() ? 0 : 1);
      op.getRightMutable().assign(right.value);
    } else {
      quantizeOperand(op->getOpOperand(1));
      const int64_t columns = top::shapeOf(op.getOutput()).back();
      right.scales.assign(columns, Quantization::of(op.getRight())->scale);
      right.sums.assign(columns, 0);
    }
    op.getMultiMutable().assign(createMulti(op, input, type, right.scales,
                                            right.sums, op.getBias(), form));
    op.getBiasMutable().assign(operands.none(op));
    setResult(op, type);
  }

  /// A linear function of the integers.
  Value requantize(OpBuilder &builder, Location loc, Value input,
                   const LinearForm &form, const Quantization &type) {
    Quantization from = *typeOf(input);
    if (from.isPerChannel() || type.isPerChannel())
      return perChannel(builder, loc, input, {float(form.factor)},
                        {float(form.term)}, type, rangeOf(form, type));
    const double scale = double(float(form.factor * from.scale / type.scale));
    double offset = double(type.zeroPoint) + form.term / type.scale -
                    scale * double(from.zeroPoint);
    const StoredRange range = rangeOf(form, type);
    auto bound = [&](int64_t held, int64_t all) {
      return held == all ? IntegerAttr() : builder.getI64IntegerAttr(held);
    };
    auto to = ::llvm::cast<RankedTensorType>(input.getType())
                  .clone(type.type(input.getContext()));
    return tpu::RequantFpOp::create(
        builder, loc, to, input, builder.getF64FloatAttr(scale),
        builder.getF64FloatAttr(double(float(offset))),
        bound(range.least, type.least()),
        bound(range.greatest, type.greatest()));
  }

  /// The stored integers that the bounds of a linear function leave; of a type
  /// with scales per channel 0 is the only bound.
  static StoredRange rangeOf(const LinearForm &form, const Quantization &type) {
    auto held = [&](std::optional<double> limit, int64_t all) {
      if (!limit)
        return all;
      double q = std::nearbyint(*limit / type.scale) + double(type.zeroPoint);
      return int64_t(
          std::clamp(q, double(type.least()), double(type.greatest())));
    };
    return {held(form.least, type.least()),
            held(form.greatest, type.greatest())};
  }

  Value rescaled(Value value, const Quantization &type) {
    if (typeOf(value) == type)
      return value;
    Value &known = made[{value, type.type(value.getContext())}];
    if (known)
      return known;
    OpBuilder builder(value.getContext());
    builder.setInsertionPointAfterValue(value);
    return known = requantize(builder,
                              top::partLoc(top::resultLoc(value), "rescaled"),
                              value, {}, type);
  }

  /// The functions, one after another, at the 256 numbers, by the interpreter.
  FailureOr<Value> lookup(OpBuilder &builder, ArrayRef<Operation *> ops,
                          const Quantization &type) {
    Operation *last = ops.back();
    Value input = ops.front()->getOperand(0);
    Quantization from = *Quantization::of(input); // see ChannelScales
    std::vector<float> numbers;
    for (int byte = 0; byte < 256; ++byte) {
      int64_t q = from.least() < 0 ? int64_t(int8_t(byte)) : byte;
      numbers.push_back(float(q - from.zeroPoint) * float(from.scale));
    }
    FailureOr<std::vector<float>> found = evaluated(ops, numbers);
    if (failed(found))
      return failure();
    std::vector<float> &results = *found;
    for (float &number : results) // what is not a number has no integer
      number = std::isfinite(number) ? number
               : number > 0          ? float(type.scale * 512)
               : number < 0          ? float(-type.scale * 512)
                                     : 0;
    Value table = createBytes(
        builder, last,
        top::partName(top::tensorName(last->getResult(0)), "table"), {256},
        storedNumbers(results, type), type.type(last->getContext()));
    auto to = ::llvm::cast<RankedTensorType>(input.getType())
                  .clone(type.type(last->getContext()));
    return tpu::LutOp::create(builder, last->getLoc(), to, input, table)
        .getOutput();
  }

  /// Everybody else reads floats.
  void dequantizeForOthers() {
    auto f32 = Float32Type::get(function.getContext());
    SmallVector<Value> quantized;
    for (Operation &op : function.getBody().front())
      for (Value result : op.getResults())
        if (isQuantized(result) && !isa<top::WeightOp>(op))
          quantized.push_back(result);
    for (Value value : quantized) {
      Value whole;
      for (OpOperand &use : llvm::make_early_inc_range(value.getUses())) {
        Operation *user = use.getOwner();
        if (user->getNumResults() == 1 && isQuantized(user->getResult(0)))
          continue;
        if (keepsSums(user))
          continue;
        // One of those that the model has.
        if (isa<tpu::CastOp>(user) && isFloatTensor(user->getResult(0)))
          continue;
        if (!whole) {
          OpBuilder builder(value.getContext());
          builder.setInsertionPointAfterValue(value);
          const bool isOutput =
              llvm::any_of(value.getUsers(), llvm::IsaPred<func::ReturnOp>);
          Location loc = top::resultLoc(value);
          whole = tpu::CastOp::create(
              builder, isOutput ? loc : top::partLoc(loc, "f32"),
              ::llvm::cast<RankedTensorType>(value.getType()).clone(f32),
              value);
          // A model output keeps its name.
          if (isOutput)
            value.getDefiningOp()->setLoc(top::partLoc(loc, "int8"));
        }
        use.set(whole);
      }
    }
  }

  func::FuncOp function;
  const CalibrationTable &table;
  Int8Forms forms;
  QuantizedOperands operands;
  DenseSet<Operation *> chosen;
  DenseMap<Value, Quantization> wishes;
  ChannelScales channels{table, chosen};
  DenseMap<std::pair<Value, Type>, Value> made;
};

struct QuantizeTensors : impl::QuantizeTensorsBase<QuantizeTensors> {
  void runOnOperation() override {
    FailureOr<CalibrationTable> table = CalibrationTable::read(getOperation());
    if (failed(table))
      return signalPassFailure();
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (failed(Quantizer(function, *table).run()))
        return signalPassFailure();
  }
};

} // namespace
} // namespace tpumlir
