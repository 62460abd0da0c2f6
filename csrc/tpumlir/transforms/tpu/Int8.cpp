#include "tpumlir/transforms/tpu/Int8.h"

#include "tpumlir/dialect/tpu/LongWindows.h"
#include "tpumlir/transforms/tpu/QuantizedFilters.h"

#include "mlir/Dialect/Quant/IR/QuantTypes.h"

#include <cmath>
#include <limits>

using namespace mlir;

namespace tpumlir {

//===----------------------------------------------------------------------===//
// Models that come quantised
//===----------------------------------------------------------------------===//

Type statedPerAxis(MLIRContext *context, ArrayRef<double> scales,
                   int64_t axis) {
  SmallVector<int64_t> zeros(scales.size(), 0);
  return quant::UniformQuantizedPerAxisType::get(
      quant::QuantizationFlags::FlagValue::Signed, IntegerType::get(context, 8),
      Float32Type::get(context), scales, zeros, int32_t(axis), -128, 127);
}

static std::optional<ElementType> statedElement(Value value) {
  Operation *op = value.getDefiningOp();
  auto attr = op ? op->getAttrOfType<TypeAttr>(kStatedAttr) : TypeAttr();
  return attr ? ElementType::of(attr.getValue()) : std::nullopt;
}

/// Whether an op leaves elements of `value`, and what stands for them in
/// integers, as they are or holds them within bounds: before or behind the
/// rounding, that is the same.
static bool commutesWithRounding(Operation *op, Value value) {
  if (op->getNumResults() != 1 || isa<tpu::PadOp>(op))
    return false;
  if (auto concat = dyn_cast<tpu::ConcatOp>(op))
    return !concat.getDoRelu();
  if (op->getOperand(0) != value)
    return false;
  auto isMaximum = [](auto pool) {
    return pool.getPoolMode() == tpu::PoolMode::Max && !pool.getDoRelu();
  };
  if (auto pool = dyn_cast<tpu::Pool2DOp>(op))
    return isMaximum(pool);
  if (auto pool = dyn_cast<tpu::Pool1DOp>(op))
    return isMaximum(pool);
  if (isa<tpu::ReshapeOp, tpu::PermuteOp, tpu::SliceOp, tpu::UpsampleOp>(op))
    return true;
  std::optional<LinearForm> form = LinearForm::of(op);
  return form && form->hasBounds() && form->factor == 1 && form->term == 0;
}

std::optional<Quantization> statedOf(Value value) {
  if (auto cast = value.getDefiningOp<tpu::CastOp>())
    if (auto type = Quantization::of(cast.getInput()))
      return type;
  if (std::optional<ElementType> element = statedElement(value);
      element && !element->axis)
    return Quantization{element->storage, element->scales[0],
                        element->zeroPoints[0]};
  std::optional<Quantization> type;
  for (Operation *user : value.getUsers()) {
    std::optional<Quantization> read;
    if (isa<tpu::CastOp>(user)) {
      read = Quantization::of(user->getResult(0));
    } else if (value.hasOneUse() && commutesWithRounding(user, value)) {
      read = statedOf(user->getResult(0));
    }
    if (!read || (type && *type != *read))
      return std::nullopt;
    type = read;
  }
  return type;
}

std::optional<SmallVector<double>> statedScales(Value value, int64_t axis,
                                                int64_t count) {
  std::optional<ElementType> element = statedElement(value);
  if (!element || element->storage != DType::I8 ||
      llvm::any_of(element->zeroPoints, [](int64_t z) { return z != 0; }) ||
      (element->axis && *element->axis != axis))
    return std::nullopt;
  SmallVector<double> scales(element->scales.begin(), element->scales.end());
  if (!element->axis)
    scales.resize(size_t(count), scales[0]);
  return scales;
}

//===----------------------------------------------------------------------===//
// Ranges
//===----------------------------------------------------------------------===//

FailureOr<CalibrationTable> CalibrationTable::read(ModuleOp module) {
  CalibrationTable table;
  Attribute attr = module->getAttr(kAttr);
  if (!attr)
    return table;
  auto entries = dyn_cast<DictionaryAttr>(attr);
  if (!entries)
    return module.emitError("expected ")
           << kAttr << " to be a dictionary, got " << attr;
  for (NamedAttribute entry : entries) {
    SmallVector<double> numbers;
    SmallVector<ArrayRef<float>, 2> channels;
    if (auto list = dyn_cast<ArrayAttr>(entry.getValue()))
      for (Attribute item : list) {
        if (auto number = dyn_cast<FloatAttr>(item))
          numbers.push_back(number.getValueAsDouble());
        else if (auto array = dyn_cast<DenseF32ArrayAttr>(item))
          channels.push_back(array);
      }
    bool isFinite = llvm::all_of(numbers, [](double number) {
      return std::isfinite(number) && std::isfinite(float(number));
    });
    bool isMeant = channels.empty() || channels.size() == 2;
    if (channels.size() == 2)
      isMeant =
          channels[0].size() == channels[1].size() &&
          llvm::all_of(llvm::zip(channels[0], channels[1]), [](auto both) {
            auto [least, greatest] = both;
            return std::isfinite(least) && std::isfinite(greatest) &&
                   least <= greatest;
          });
    if (numbers.size() != 3 || !isFinite || numbers[0] < 0 ||
        numbers[1] > numbers[2] || !isMeant)
      return module.emitError("expected [threshold, min, max], or with the "
                              "least and the greatest of each channel, for '")
             << entry.getName().getValue() << "' in " << kAttr << ", got "
             << entry.getValue();
    Row &row = table.rows[entry.getName().getValue()];
    row = {numbers[0], numbers[1], numbers[2], {}, {}};
    if (!channels.empty()) {
      row.least.assign(channels[0].begin(), channels[0].end());
      row.greatest.assign(channels[1].begin(), channels[1].end());
    }
  }
  return table;
}

/// A scale that f32 holds, and whose reciprocal it holds too.
static double stepOf(double range, double steps) {
  double step = double(float(range / steps));
  return step > 0x1p-100 ? step : 1.0;
}

/// For numbers in [low, high].
static Quantization quantizationOf(double low, double high, bool isSymmetric) {
  if (low >= 0)
    return {DType::U8, stepOf(high, 255), 0};
  const double most = std::max(-low, high);
  // Less than this part of the symmetric range is used.
  constexpr double kLopsided = 0.8;
  if (!isSymmetric && high > 0 && high - low < kLopsided * 2 * most) {
    double step = stepOf(high - low, 255);
    return {DType::U8, step, int64_t(std::nearbyint(-low / step))};
  }
  return {DType::I8, stepOf(most, 127), 0};
}

static bool onlyMoves(Operation *op) {
  return isa<tpu::ReshapeOp, tpu::PermuteOp, tpu::SliceOp, tpu::UpsampleOp,
             tpu::PadOp>(op);
}

/// Whether the elements of a result are those of the operand, or the zeros of a
/// border.
static bool keepsRange(Operation *op) {
  auto pad = dyn_cast<tpu::PadOp>(op);
  return onlyMoves(op) &&
         !(pad && pad.getMode() == top::PaddingMode::constant &&
           pad.getVal() != 0);
}

/// Whether somebody needs a tensor without a zero point: a filter or a matrix
/// that is computed, whose sums are not known, meets it, or zeros are put
/// between its elements.
static bool isReadSymmetric(Value value) {
  for (OpOperand &use : value.getUses()) {
    Operation *user = use.getOwner();
    if (isa<tpu::DeconvOp>(user) && use.getOperandNumber() < 2)
      return true;
    if (auto product = dyn_cast<tpu::MatMulOp>(user);
        product && use.getOperandNumber() < 2 &&
        failed(top::constantF32s(product.getRight())))
      return true;
    if (auto conv = dyn_cast<tpu::Conv2DOp>(user);
        conv && !conv.getFilter().getDefiningOp<top::WeightOp>() &&
        use.getOperandNumber() < 2)
      return true;
    if (onlyMoves(user) && isReadSymmetric(user->getResult(0)))
      return true;
  }
  return false;
}

std::optional<Quantization> CalibrationTable::of(Value value,
                                                 bool isSymmetric) const {
  isSymmetric |= isReadSymmetric(value);
  if (auto type = ofPartsOf(value, isSymmetric))
    return type;
  // An op that was taken apart computes what then moves to where it belongs.
  for (Value moved = value; moved.hasOneUse();) {
    Operation *user = *moved.user_begin();
    if (!isa<tpu::ReshapeOp, tpu::PermuteOp>(user))
      break;
    moved = user->getResult(0);
    if (auto type = ownOf(moved, isSymmetric))
      return type;
  }
  return std::nullopt;
}

std::optional<Quantization>
CalibrationTable::ofPartsOf(Value value, bool isSymmetric) const {
  if (auto type = ownOf(value, isSymmetric))
    return type;
  Operation *maker = value.getDefiningOp();
  const bool isConcat = isa_and_nonnull<tpu::ConcatOp>(maker);
  if (!maker || !(isConcat || keepsRange(maker)))
    return std::nullopt;
  std::optional<Quantization> type;
  for (Value part :
       isConcat ? maker->getOperands() : maker->getOperands().take_front()) {
    std::optional<Quantization> own = Quantization::of(part);
    if (!own)
      own = ofPartsOf(part, isSymmetric);
    if (!own || (type && *type != *own))
      return std::nullopt;
    type = own;
  }
  return type;
}

std::optional<Quantization> CalibrationTable::ownOf(Value value,
                                                    bool isSymmetric) const {
  if (std::optional<Quantization> stated = statedOf(value))
    return stated;
  StringRef name = top::tensorName(value);
  auto found = rows.find(name);
  // What the model's input was before its preprocessing was fused into it, and
  // what has its axes in another shape.
  StringRef picture = top::wholeOf(name);
  if (found == rows.end() && (name == top::partName(picture, "preprocessed") ||
                              name == top::partName(picture, "planar") ||
                              name == top::partName(picture, "collapsed")))
    found = rows.find(picture);
  if (found == rows.end())
    return std::nullopt;
  const Row &row = found->second;
  double low = std::max(row.min, -row.threshold);
  double high = std::min(row.max, row.threshold);
  // A tensor that is a single number: any step does.
  if (low >= high)
    low = std::min(low, 0.0), high = std::max(high, 0.0);
  return quantizationOf(low, high, isSymmetric);
}

double CalibrationTable::largest(Value value) const {
  auto found = rows.find(top::tensorName(value));
  return found == rows.end() ? 0
                             : std::max(-found->second.min, found->second.max);
}

std::optional<Quantization> quantizationOfConstant(Value value,
                                                   bool isSymmetric) {
  auto numbers = top::constantF32s(value);
  if (failed(numbers) || numbers->empty())
    return std::nullopt;
  auto [low, high] = std::minmax_element(numbers->begin(), numbers->end());
  if (!std::isfinite(*low) || !std::isfinite(*high))
    return std::nullopt;
  return quantizationOf(*low, *high, isSymmetric);
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

std::optional<LinearForm> LinearForm::then(const LinearForm &other) const {
  if (hasBounds())
    return std::nullopt;
  LinearForm both = other;
  both.factor = factor * other.factor;
  both.term = term * other.factor + other.term;
  return both;
}

std::optional<LinearForm> LinearForm::of(Operation *op) {
  LinearForm form;
  auto relu = [&](bool doRelu, double limit) {
    if (!doRelu)
      return;
    form.least = 0;
    if (limit >= 0)
      form.greatest = limit;
  };
  if (auto add = dyn_cast<tpu::AddConstOp>(op)) {
    form.term = add.getConstVal();
    relu(add.getDoRelu(), add.getReluLimit());
  } else if (auto sub = dyn_cast<tpu::SubConstOp>(op)) {
    form.factor = sub.getIsReverse() ? -1 : 1;
    form.term = sub.getIsReverse() ? sub.getConstVal() : -sub.getConstVal();
    relu(sub.getDoRelu(), sub.getReluLimit());
  } else if (auto mul = dyn_cast<tpu::MulConstOp>(op)) {
    form.factor = mul.getConstVal();
    relu(mul.getDoRelu(), mul.getReluLimit());
  } else if (auto plain = dyn_cast<tpu::ReluOp>(op)) {
    relu(true, plain.getReluLimit());
  } else if (auto clip = dyn_cast<tpu::ClipOp>(op)) {
    form.least = clip.getMin();
    form.greatest = clip.getMax();
  } else if (auto most = dyn_cast<tpu::MaxConstOp>(op)) {
    form.least = most.getConstVal();
    if (most.getDoRelu())
      return std::nullopt;
  } else if (auto least = dyn_cast<tpu::MinConstOp>(op)) {
    form.greatest = least.getConstVal();
    if (least.getDoRelu())
      return std::nullopt;
  } else if (auto active = dyn_cast<tpu::ActiveOp>(op);
             active && active.getMode() == tpu::ActiveMode::HSIGMOID &&
             active.getCoeffs()) {
    form.factor = (*active.getCoeffs())[0];
    form.term = (*active.getCoeffs())[1];
    form.least = 0;
    form.greatest = 1;
  } else {
    return std::nullopt;
  }
  if (!std::isfinite(form.factor) || !std::isfinite(form.term))
    return std::nullopt;
  return form;
}

bool isUnaryFunction(Operation *op) {
  return isa<tpu::ActiveOp, tpu::LeakyReluOp>(op);
}

bool isHardSwish(Operation *op) {
  auto active = dyn_cast<tpu::ActiveOp>(op);
  return active && active.getMode() == tpu::ActiveMode::HSWISH;
}

bool isCheapFunction(Operation *op) {
  return isa<tpu::LeakyReluOp>(op) || isHardSwish(op);
}

/// The bound of a sum of `depth` products of bytes stays in 32 bits.
static bool sumFits(int64_t depth) {
  return depth * 255 * 128 < std::numeric_limits<int32_t>::max();
}

/// Whether one command can slide a window along an axis, whatever part of the
/// result is wanted: its fields hold strides, dilations and the zeros between
/// up to 15, padding up to 15, and every result has input under it. `insert` is
/// the distance of the elements of the input.
static bool slides(int64_t in, int64_t out, int64_t kernel, int64_t stride,
                   int64_t dilation, int64_t padBegin, int64_t insert) {
  constexpr int64_t kMost = 15; // docs/legality.md
  const int64_t reach = (kernel - 1) * dilation + 1;
  const int64_t spread = (in - 1) * insert + 1;
  const int64_t padEnd = (out - 1) * stride + reach - padBegin - spread;
  if (stride > kMost || dilation > kMost || insert > kMost || padBegin < 0 ||
      padBegin > kMost || padEnd > kMost)
    return false;
  for (int64_t o = 0; o < out; ++o) {
    int64_t first = std::max<int64_t>(o * stride - padBegin, 0);
    int64_t last = std::min(o * stride - padBegin + reach, spread) - 1;
    if (llvm::divideCeil(first, insert) * uint64_t(insert) > uint64_t(last) ||
        last < 0)
      return false;
  }
  return true;
}

/// About the bytes of a lane that may be taken for one op: the least tile must
/// fit beside what is loaded meanwhile.
static constexpr int64_t kLaneRoom = 220 * 1024;

static int64_t lanesOf(int64_t channels) {
  return int64_t(llvm::divideCeil(uint64_t(channels), uint64_t(64)));
}

/// Whether a row of the result of a convolution fits with the whole filter, or
/// all of it with the filters of 64 output channels.
template <typename OpTy>
static bool fits(OpTy op, const tpu::FilterLayout &layout) {
  ArrayRef<int64_t> in = top::shapeOf(op.getInput());
  ArrayRef<int64_t> out = top::shapeOf(op.getOutput());
  auto rows = [](ArrayRef<int64_t> shape) {
    return shape.size() == 4 ? shape[2] : 1;
  };
  const int64_t reach =
      op.getKernelShape().size() == 2
          ? (op.getKernelShape()[0] - 1) * op.getDilations()[0] + 1
          : 1;
  const int64_t filter =
      lanesOf(layout.ic) * 64 * layout.taps(); // of 64 output channels
  const int64_t input = lanesOf(in[1]) * in.back();
  const int64_t result = lanesOf(out[1]) * out.back();
  const int64_t row = 2 * std::min(reach, rows(in)) * input + 6 * result +
                      lanesOf(out[1]) * filter;
  const int64_t whole = rows(in) * input + rows(out) * result +
                        4 * rows(out) * out.back() + 2 * filter;
  return std::min(row, whole) < kLaneRoom;
}

/// Whether the rows of a product fit, 64 columns at a time.
static bool fits(tpu::MatMulOp op) {
  ArrayRef<int64_t> left = top::shapeOf(op.getInput());
  int64_t depth = left.back();
  const int64_t columns = top::shapeOf(op.getOutput()).back();
  int64_t rows = left.size() < 2 ? 1 : left[left.size() - 2];
  if (op.getLeftTranspose() && left.size() > 1)
    std::swap(depth, rows);
  constexpr int64_t kField = 65535;
  return std::max({rows, depth, columns}) <= kField &&
         lanesOf(rows) * (depth + columns + 64) + lanesOf(depth) * rows +
                 5 * rows + 2 * lanesOf(depth) * 64 <
             kLaneRoom;
}

/// Whether the matrices of one batch fit, and what they are turned and packed
/// to; neither is a constant.
static bool fitsComputed(tpu::MatMulOp op) {
  constexpr int64_t kField = 65535;
  ArrayRef<int64_t> left = top::shapeOf(op.getInput()).take_back(2);
  ArrayRef<int64_t> right = top::shapeOf(op.getRight()).take_back(2);
  ArrayRef<int64_t> out = top::shapeOf(op.getOutput()).take_back(2);
  auto bytes = [](int64_t rows, int64_t columns, int64_t each = 1) {
    return lanesOf(rows) * lanesOf(columns * each) * 64;
  };
  auto both = [&](ArrayRef<int64_t> m) {
    return bytes(m[0], m[1]) + bytes(m[1], m[0]);
  };
  const int64_t depth = left[op.getLeftTranspose() ? 0 : 1];
  return std::max({left[0], left[1], right[0], right[1]}) <= kField &&
         2 * (both(left) + both(right)) + bytes(out[0], depth) +
                 3 * bytes(out[0], out[1], 4) <
             kLaneRoom;
}

/// What stands against a product of two matrices that are computed; nothing if
/// they are batches of which each has as many as the result, or one.
static StringRef againstComputed(tpu::MatMulOp op) {
  if (top::rankOf(op.getRight()) == 2 && top::rankOf(op.getInput()) <= 3)
    return op.getRightTranspose() && !op.getLeftTranspose()
               ? ""
               : "a right matrix that is computed, not transposed";
  auto count = [](Value value) {
    return top::elementsOf(top::shapeOf(value).drop_back(2));
  };
  for (Value value : {op.getInput(), op.getRight(), op.getOutput()}) {
    if (top::rankOf(value) < 3)
      return "a matrix for all batches that is computed";
    // They lie otherwise.
    ArrayRef<int64_t> shape = top::shapeOf(value);
    if (shape[shape.size() - 2] == 1)
      return "batches of one row";
    if (value != op.getOutput() && count(value) != 1 &&
        count(value) != count(op.getOutput()))
      return "batches that repeat in part";
  }
  return fitsComputed(op) ? "" : "matrices that local memory does not hold";
}

static bool slides(tpu::Conv2DOp op) {
  const size_t axes = op.getKernelShape().size();
  for (size_t i = 0; i < axes; ++i)
    if (!slides(top::shapeOf(op.getInput())[i + 2],
                top::shapeOf(op.getOutput())[i + 2], op.getKernelShape()[i],
                op.getStrides()[i], op.getDilations()[i], op.getPads()[i], 1))
      return false;
  return true;
}

static bool slides(tpu::DeconvOp op) {
  const size_t axes = op.getKernelShape().size();
  for (size_t i = 0; i < axes; ++i) {
    int64_t kernel = op.getKernelShape()[i], dilation = op.getDilations()[i];
    int64_t pad = (kernel - 1) * dilation - op.getPads()[i];
    if (!slides(top::shapeOf(op.getInput())[i + 2],
                top::shapeOf(op.getOutput())[i + 2], kernel, 1, dilation, pad,
                op.getStrides()[i]))
      return false;
  }
  return true;
}

std::optional<Quantization> Int8Forms::ofConstant(Value value,
                                                  bool isSymmetric) const {
  if (statedElement(value))
    return statedOf(value);
  return table.empty() ? std::nullopt
                       : quantizationOfConstant(value, isSymmetric);
}

std::optional<Quantization> Int8Forms::typeOfFactor(Value value,
                                                    TypeOf typeOf) const {
  std::optional<Quantization> type = typeOf(value);
  if (!type)
    type = table.of(value, true);
  if (!type)
    type = ofConstant(value, true);
  return type;
}

bool Int8Forms::hasIntegers(Value filter, int64_t axis) const {
  if (!statedElement(filter))
    return !table.empty();
  return statedScales(filter, axis, top::shapeOf(filter)[axis]).has_value();
}

std::optional<Quantization> Int8Forms::operandOf(OpOperand &operand,
                                                 TypeOf typeOf) const {
  Value value = operand.get();
  if (std::optional<Quantization> known = typeOf(value))
    return known;
  // A filter has no zero point, nor has what zeros are put between.
  const bool isSymmetric = (isa<tpu::Conv2DOp>(operand.getOwner()) &&
                            operand.getOperandNumber() == 1) ||
                           isa<tpu::DeconvOp>(operand.getOwner()) ||
                           isReadSymmetric(value);
  if (std::optional<Quantization> row = table.of(value, isSymmetric))
    return row;
  return ofConstant(value, isSymmetric);
}

static constexpr StringLiteral kOwnWeights =
    "weights that the model does not quantise to 8 bits without zero point, "
    "with a scale for each output channel at most";

/// Whether the windows of a product of long windows fit, and sums of one are
/// integers that f32 holds, in which the interpreter makes them channel by
/// channel.
static bool isWindows(tpu::Conv2DOp op) {
  constexpr int64_t kLanes = 64, kMostTaps = 512;
  const int64_t taps = top::elementsOf(op.getKernelShape());
  ArrayRef<int64_t> out = top::shapeOf(op.getOutput());
  const int64_t windows = out.back();
  return tpu::slidesLongWindows(op) && taps <= kMostTaps &&
         2 * lanesOf(windows) * taps + lanesOf(taps) * (windows + kLanes) +
                 lanesOf(out[1]) * (taps + kLanes + 10 * (windows + kLanes)) <
             kLaneRoom;
}
static bool isWindows(tpu::DeconvOp) { return false; }

template <typename OpTy>
StringRef Int8Forms::against(OpTy conv, TypeOf typeOf) const {
  const tpu::FilterLayout layout = inFewerGroups(tpu::FilterLayout::of(conv));
  const bool isComputed = failed(top::constantF32s(conv.getFilter()));
  const bool isTransposed = isa<tpu::DeconvOp>(conv);
  if (!sumFits((isComputed ? 2 : 1) * layout.ic * layout.taps()))
    return "sums that leave 32 bits";
  if (isComputed && !typeOfFactor(conv.getFilter(), typeOf))
    return "no range of its filter";
  if (isComputed && layout.isDepthwise() &&
      typeOfFactor(conv.getFilter(), typeOf)->zeroPoint != 0)
    return "a zero point of a depthwise filter that is computed";
  if (!isComputed && !hasIntegers(conv.getFilter(), 0))
    return kOwnWeights;
  if (!isWindows(conv) && !slides(conv))
    return "a window that takes more than one command";
  if (!isWindows(conv) && !fits(conv, layout))
    return "rows that local memory does not hold";
  std::optional<Quantization> input = typeOfFactor(conv.getInput(), typeOf);
  if ((isComputed || isTransposed) && !input)
    return "no range of the input";
  // Zeros stand between the elements of what a transposed convolution reads.
  if (isTransposed && input->zeroPoint != 0)
    return "a zero point of the input";
  return "";
}

bool Int8Forms::isReadInIntegers(Value value, const Quantization &type,
                                 TypeOf typeOf) const {
  auto known = [&](Value other) {
    return other == value ? std::optional(type) : typeOf(other);
  };
  return !value.use_empty() &&
         llvm::all_of(value.getUses(), [&](OpOperand &use) {
           Operation *user = use.getOwner();
           if (!wanted(user))
             return false;
           std::string why;
           if (startsFromFloats(user)) // does not read it as a bias
             return use.getOperandNumber() < 2 &&
                    resultOf(user, known, why).has_value();
           const bool isConcat = isa<tpu::ConcatOp>(user);
           if (!keepsRange(user) && !isConcat)
             return false;
           // Who reads a part of it has the range of the part.
           Value moved = user->getResult(0);
           std::optional<Quantization> own = table.of(moved);
           return own && (isConcat ? *own == type : own->scale >= type.scale) &&
                  isReadInIntegers(moved, type, known);
         });
}

std::optional<Quantization> Int8Forms::resultOf(Operation *op, TypeOf typeOf,
                                                std::string &why) const {
  auto refuse = [&](const Twine &reason) -> std::optional<Quantization> {
    why = reason.str();
    return std::nullopt;
  };
  if (op->getNumResults() != 1 || isa<tpu::CastOp>(op))
    return std::nullopt;
  Value result = op->getResult(0);
  if (!isFloatTensor(result) && !isQuantized(result)) // it is exact
    return std::nullopt;
  // The result's own range, if the operand has one too.
  auto ranges = [&](Value operand) -> std::optional<Quantization> {
    std::optional<Quantization> type = table.of(result);
    if (type && (typeOf(operand) || table.of(operand) || ofConstant(operand)))
      return type;
    return refuse("no range of '" + top::tensorName(type ? operand : result) +
                  "' in the calibration table");
  };
  if (auto conv = dyn_cast<tpu::Conv2DOp>(op)) {
    StringRef reason = against(conv, typeOf);
    return reason.empty() ? ranges(conv.getInput()) : refuse(reason);
  }
  if (auto deconv = dyn_cast<tpu::DeconvOp>(op)) {
    StringRef reason = against(deconv, typeOf);
    return reason.empty() ? ranges(deconv.getInput()) : refuse(reason);
  }
  if (auto product = dyn_cast<tpu::MatMulOp>(op);
      product && failed(top::constantF32s(product.getRight()))) {
    if (StringRef why = againstComputed(product); !why.empty())
      return refuse(why);
    ArrayRef<int64_t> left = top::shapeOf(product.getInput());
    if (!sumFits(2 * left[left.size() - (product.getLeftTranspose() ? 2 : 1)]))
      return refuse("sums that leave 32 bits");
    for (Value operand : {product.getInput(), product.getRight()})
      if (!typeOfFactor(operand, typeOf))
        return refuse("no range of '" + top::tensorName(operand) +
                      "' in the calibration table");
    return ranges(product.getInput());
  }
  if (auto product = dyn_cast<tpu::MatMulOp>(op)) {
    if (top::rankOf(product.getRight()) != 2)
      return refuse("batches of constant matrices");
    if (!hasIntegers(product.getRight(), product.getRightTranspose() ? 0 : 1))
      return refuse(kOwnWeights);
    ArrayRef<int64_t> left = top::shapeOf(product.getInput());
    const bool isTurned = product.getLeftTranspose() && left.size() > 1;
    int64_t depth = isTurned ? left[left.size() - 2] : left.back();
    if (top::rankOf(product.getInput()) > 3)
      return refuse("a left operand of more than three axes");
    if (!sumFits(depth))
      return refuse("sums that leave 32 bits");
    if (!fits(product))
      return refuse("rows that local memory does not hold");
    return ranges(product.getInput());
  }
  if (isa<tpu::AddOp, tpu::MulOp, tpu::MaxOp, tpu::MinOp>(op)) {
    if (op->getNumOperands() != 2)
      return refuse("more than two operands");
    const bool isExtreme = isa<tpu::MaxOp, tpu::MinOp>(op);
    if (isExtreme && op->getAttrOfType<BoolAttr>("do_relu").getValue())
      return refuse("a Relu of an extreme");
    SmallVector<Quantization> types;
    bool any = false;
    for (Value operand : op->getOperands()) {
      std::optional<Quantization> type = typeOf(operand);
      any |= type.has_value();
      if (!type)
        type = ofConstant(operand);
      if (!type)
        return std::nullopt;
      types.push_back(*type);
    }
    std::optional<Quantization> type = table.of(result);
    if (!any || !type)
      return std::nullopt;
    if (isa<tpu::AddOp>(op) && !RescaledSum::of(types, *type))
      return refuse("operands that are far greater than their sum");
    return type;
  }
  if (op->getNumOperands() == 0)
    return std::nullopt;
  std::optional<Quantization> input = typeOf(op->getOperand(0));
  // What products alone read is cast before it is moved to where they want it.
  if (!input && wanted && keepsRange(op) && !table.knows(result))
    if (auto type = table.of(op->getOperand(0));
        type && isReadInIntegers(result, *type, typeOf))
      return type;
  if (!input)
    return std::nullopt;
  if (LinearForm::of(op) || isUnaryFunction(op))
    return ranges(op->getOperand(0));
  // Per channel, over the lanes.
  const int64_t rank = top::rankOf(result);
  const bool hasChannels =
      (rank == 4 || (rank == 3 && top::shapeOf(result)[1] > 1)) &&
      top::shapeOf(result) == top::shapeOf(op->getOperand(0));
  if (auto scale = dyn_cast<tpu::ScaleOp>(op))
    return hasChannels && succeeded(top::constantF32s(scale.getScale())) &&
                   succeeded(top::constantF32s(scale.getBias()))
               ? ranges(scale.getInput())
               : refuse("a factor that is computed");
  if (auto prelu = dyn_cast<tpu::PReluOp>(op)) {
    // The greater of x and slope * x, if no slope is above 1.
    auto slopes = top::constantF32s(prelu.getSlope());
    const int64_t count = succeeded(slopes) ? int64_t(slopes->size()) : 0;
    ArrayRef<int64_t> slope = top::shapeOf(prelu.getSlope());
    const bool isPerChannel =
        count == 1 ||
        (hasChannels && int64_t(slope.size()) == rank - 1 &&
         slope[0] == top::shapeOf(result)[1] && count == slope[0]) ||
        (hasChannels && int64_t(slope.size()) == rank && slope[0] == 1 &&
         slope[1] == top::shapeOf(result)[1] && count == slope[1]);
    return hasChannels && isPerChannel &&
                   llvm::all_of(*slopes, [](float s) { return s <= 1; })
               ? ranges(prelu.getInput())
               : refuse(
                     "slopes that are computed, above 1, or not per channel");
  }
  auto pooled = [&](auto pool) -> std::optional<Quantization> {
    if (pool.getDoRelu())
      return refuse("a Relu of a pooling");
    auto dilations = pool.getDilations();
    for (size_t i = 0; i < pool.getKernelShape().size(); ++i)
      if (!slides(top::shapeOf(pool.getInput())[i + 2],
                  top::shapeOf(pool.getOutput())[i + 2],
                  pool.getKernelShape()[i], pool.getStrides()[i],
                  dilations ? (*dilations)[i] : 1, pool.getPads()[i], 1))
        return refuse("a window that takes more than one command");
    if (pool.getPoolMode() == tpu::PoolMode::Max)
      return input;
    // A sum that f32 holds.
    constexpr int64_t kMostWindow = 65536;
    if (top::elementsOf(pool.getKernelShape()) > kMostWindow)
      return refuse("a window of more than 65,536 elements");
    return ranges(pool.getInput());
  };
  if (auto pool = dyn_cast<tpu::Pool2DOp>(op))
    return pooled(pool);
  if (auto pool = dyn_cast<tpu::Pool1DOp>(op))
    return pooled(pool);
  if (onlyMoves(op))
    return keepsRange(op) ? input : refuse("a border of other numbers than 0");
  if (auto concat = dyn_cast<tpu::ConcatOp>(op)) {
    std::optional<Quantization> whole = table.of(result);
    if (!whole || concat.getDoRelu())
      return std::nullopt;
    if (!wanted) // it is chosen
      return whole;
    // One scale for all of them: what is far smaller than the rest would keep
    // nothing of itself.
    constexpr double kUnlike = 4;
    bool any = false, all = true, isLike = true;
    for (Value operand : concat.getInputs()) {
      std::optional<Quantization> part = typeOf(operand);
      any |= part.has_value();
      all &= part.has_value();
      isLike &= part && part->scale * kUnlike >= whole->scale;
    }
    if (!isLike && !(all && statedOf(result)) &&
        !(any && isReadInIntegers(result, *whole, typeOf)))
      return all ? refuse("operands of unlike ranges") : std::nullopt;
    return whole;
  }
  return std::nullopt;
}

} // namespace tpumlir
