#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/tpu/FilterLayout.h"
#include "tpumlir/kernels/Graph.h"
#include "tpumlir/transforms/tpu/Int8.h"
#include "tpumlir/transforms/tpu/Precision.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/TypeUtilities.h"

#include <cmath>

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_QUANTIZETENSORS
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

int8_t stored(double number, int64_t least, int64_t greatest) {
  return int8_t(std::clamp<int64_t>(int64_t(std::nearbyint(number)), least,
                                    greatest));
}

/// The numbers of a tensor in its integers.
std::vector<int8_t> storedNumbers(ArrayRef<float> numbers,
                                  const Quantization &type) {
  std::vector<int8_t> bytes;
  bytes.reserve(numbers.size());
  const float factor = 1.0f / float(type.scale);
  for (float number : numbers)
    bytes.push_back(stored(double(number * factor + float(type.zeroPoint)),
                           type.least(), type.greatest()));
  return bytes;
}

/// A new weight of bytes; `element` is what they mean.
Value createBytes(OpBuilder &builder, Operation *op, StringRef base,
                  ArrayRef<int64_t> shape, std::vector<int8_t> data,
                  Type element) {
  WeightStore &store = *top::weightsOf(op);
  std::string name = store.freeName(base.str());
  auto owner = std::make_shared<std::vector<int8_t>>(std::move(data));
  Weight weight;
  weight.dtype = ElementType::of(element)->storage;
  weight.shape.assign(shape.begin(), shape.end());
  weight.data = std::shared_ptr<const void>(owner, owner->data());
  store.set(name, std::move(weight));
  OperationState state(NameLoc::get(builder.getStringAttr(name)),
                       top::WeightOp::getOperationName());
  state.addTypes(RankedTensorType::get(shape, element));
  return builder.create(state)->getResult(0);
}

/// A matrix of weights, rows of elements that one output channel multiplies
/// with, in integers: a scale for each of them.
struct QuantizedRows {
  std::vector<int8_t> bytes; ///< in the order of the source
  SmallVector<double> scales;
  SmallVector<int64_t> sums;

  /// Element k of row r stands at r * rowStride + k * stride.
  QuantizedRows(ArrayRef<float> numbers, int64_t rows, int64_t rowStride,
                int64_t count, int64_t stride)
      : bytes(numbers.size()) {
    for (int64_t r = 0; r < rows; ++r) {
      const float *row = numbers.data() + r * rowStride;
      double most = 0;
      for (int64_t k = 0; k < count; ++k)
        most = std::max(most, double(std::fabs(row[k * stride])));
      double scale = double(float(most / 127));
      if (!(scale > 0x1p-100)) // nothing, or nothing that counts
        scale = 1;
      int64_t sum = 0;
      for (int64_t k = 0; k < count; ++k) {
        int8_t q = stored(double(row[k * stride]) / scale, -127, 127);
        bytes[r * rowStride + k * stride] = q;
        sum += q;
      }
      scales.push_back(scale);
      sums.push_back(sum);
    }
  }
};

/// Rewrites the ops that were chosen for integers, in order.
class Quantizer {
public:
  Quantizer(func::FuncOp function, const CalibrationTable &table)
      : function(function), table(table), forms(table) {}

  LogicalResult run() {
    for (Operation &op :
         llvm::make_early_inc_range(function.getBody().front())) {
      FailureOr<std::optional<Precision>> chosen = Precision::of(&op);
      if (failed(chosen))
        return failure();
      if (!*chosen || !(*chosen)->isQuantized())
        continue;
      std::string why;
      std::optional<Quantization> type = forms.resultOf(&op, typeOf, why);
      if (!type)
        return op.emitOpError("expected an operation with a form in integers, "
                              "got one with ")
               << (why.empty() ? "operands that are not" : why);
      if (failed(rewrite(&op, *type)))
        return failure();
    }
    dequantizeForOthers();
    return success();
  }

private:
  static std::optional<Quantization> typeOf(Value value) {
    return Quantization::of(value);
  }

  /// The operand in integers.
  void quantizeOperand(OpOperand &operand) {
    std::optional<Quantization> type = forms.operandOf(operand, typeOf);
    assert(type && "resultOf has asked");
    if (typeOf(operand.get()) != type)
      operand.set(cast(operand.get(), *type));
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

  LogicalResult rewrite(Operation *op, const Quantization &type) {
    if (auto conv = dyn_cast<tpu::Conv2DOp>(op))
      quantize(conv, type);
    else if (auto product = dyn_cast<tpu::MatMulOp>(op))
      quantize(product, type);
    else if (std::optional<LinearForm> form = LinearForm::of(op))
      return linear(op, *form, type);
    else if (isUnaryFunction(op))
      return lookup(op, type);
    else if (auto concat = dyn_cast<tpu::ConcatOp>(op)) {
      for (OpOperand &operand : concat->getOpOperands())
        operand.set(rescaled(operand.get(), type));
      setResult(op, type);
    } else {
      for (OpOperand &operand : op->getOpOperands())
        if (!top::isNone(operand.get()))
          quantizeOperand(operand);
      setResult(op, type);
    }
    return success();
  }

  /// The factors and offsets of `multi`: of sums of stored integers, with the
  /// scales of the rows and the sums of their integers.
  Value createMulti(Operation *op, const Quantization &input,
                    const Quantization &type, ArrayRef<double> scales,
                    ArrayRef<int64_t> sums, Value bias) {
    std::vector<float> numbers;
    ArrayRef<float> biases;
    if (!top::isNone(bias))
      biases = *top::constantF32s(bias);
    for (auto [i, scale] : llvm::enumerate(scales)) {
      const float factor = float(input.scale * scale / type.scale);
      double offset = double(type.zeroPoint) -
                      double(factor) * double(input.zeroPoint * sums[i]);
      if (!biases.empty())
        offset += double(biases[i]) / type.scale;
      numbers.push_back(factor);
      numbers.push_back(float(offset));
    }
    OpBuilder builder(op);
    return top::createWeight(
        builder,
        top::partName(top::tensorName(op->getResult(0)), "multi"),
        {int64_t(scales.size()), 2}, std::move(numbers));
  }

  Value none(Operation *op) {
    if (!noneValue) {
      OpBuilder builder(op->getContext());
      builder.setInsertionPointToStart(&function.getBody().front());
      noneValue = top::NoneOp::create(builder, op->getLoc(),
                                      NoneType::get(op->getContext()));
    }
    return noneValue;
  }

  void quantize(tpu::Conv2DOp op, const Quantization &type) {
    quantizeOperand(op->getOpOperand(0));
    Quantization input = *Quantization::of(op.getInput());
    const int64_t channels = top::shapeOf(op.getOutput())[1];
    SmallVector<double> scales;
    SmallVector<int64_t> sums(channels, 0);
    Value filter = op.getFilter();
    if (auto numbers = top::constantF32s(filter); succeeded(numbers)) {
      const int64_t count = int64_t(numbers->size()) / channels;
      QuantizedRows rows(*numbers, channels, count, count, 1);
      OpBuilder builder(op);
      op.getFilterMutable().assign(createBytes(
          builder, op, top::partName(top::tensorName(filter), "int8"),
          top::shapeOf(filter), std::move(rows.bytes),
          quantizedPerAxis(op.getContext(), rows.scales, 0)));
      scales = rows.scales;
      sums = rows.sums;
    } else {
      quantizeOperand(op->getOpOperand(1));
      scales.assign(channels, Quantization::of(op.getFilter())->scale);
    }
    Value multi = createMulti(op, input, type, scales, sums, op.getBias());
    op.getMultiMutable().assign(multi);
    op.getBiasMutable().assign(none(op));
    op.setWithBias(false);
    setResult(op, type);
  }

  void quantize(tpu::MatMulOp op, const Quantization &type) {
    quantizeOperand(op->getOpOperand(0));
    Quantization input = *Quantization::of(op.getInput());
    Value right = op.getRight();
    ArrayRef<float> numbers = *top::constantF32s(right);
    ArrayRef<int64_t> shape = top::shapeOf(right);
    const bool turned = op.getRightTranspose();
    const int64_t columns = shape[turned ? 0 : 1], depth = shape[turned ? 1 : 0];
    QuantizedRows rows(numbers, columns, turned ? depth : 1, depth,
                       turned ? 1 : columns);
    OpBuilder builder(op);
    Value bytes = createBytes(
        builder, op, top::partName(top::tensorName(right), "int8"), shape,
        std::move(rows.bytes),
        quantizedPerAxis(op.getContext(), rows.scales, turned ? 0 : 1));
    op.getRightMutable().assign(bytes);
    op.getMultiMutable().assign(
        createMulti(op, input, type, rows.scales, rows.sums, op.getBias()));
    op.getBiasMutable().assign(none(op));
    setResult(op, type);
  }

  /// A linear function of the integers.
  Value requantize(OpBuilder &builder, Location loc, Value input,
                   const LinearForm &form, const Quantization &type) {
    Quantization from = *Quantization::of(input);
    const double scale = double(float(form.factor * from.scale / type.scale));
    double offset = double(type.zeroPoint) + form.term / type.scale -
                    scale * double(from.zeroPoint);
    auto bound = [&](std::optional<double> limit, bool isLeast) -> IntegerAttr {
      if (!limit)
        return {};
      double q = std::nearbyint(*limit / type.scale) + double(type.zeroPoint);
      int64_t held = int64_t(
          std::clamp(q, double(type.least()), double(type.greatest())));
      if (held == (isLeast ? type.least() : type.greatest()))
        return {};
      return builder.getI64IntegerAttr(held);
    };
    auto to = ::llvm::cast<RankedTensorType>(input.getType())
                  .clone(type.type(input.getContext()));
    return tpu::RequantFpOp::create(
        builder, loc, to, input, builder.getF64FloatAttr(scale),
        builder.getF64FloatAttr(double(float(offset))),
        bound(form.least, true), bound(form.greatest, false));
  }

  LogicalResult linear(Operation *op, const LinearForm &form,
                       const Quantization &type) {
    OpBuilder builder(op);
    Value y = requantize(builder, op->getLoc(), op->getOperand(0), form, type);
    op->getResult(0).replaceAllUsesWith(y);
    op->erase();
    return success();
  }

  Value rescaled(Value value, const Quantization &type) {
    if (Quantization::of(value) == type)
      return value;
    Value &known = made[{value, type.type(value.getContext())}];
    if (known)
      return known;
    OpBuilder builder(value.getContext());
    builder.setInsertionPointAfterValue(value);
    return known = requantize(
               builder, top::partLoc(top::resultLoc(value), "rescaled"), value,
               {}, type);
  }

  /// The function at the 256 numbers, by the interpreter.
  LogicalResult lookup(Operation *op, const Quantization &type) {
    Value input = op->getOperand(0);
    Quantization from = *Quantization::of(input);
    std::vector<float> numbers;
    for (int byte = 0; byte < 256; ++byte) {
      int64_t q = from.least() < 0 ? int64_t(int8_t(byte)) : byte;
      numbers.push_back(float(q - from.zeroPoint) * float(from.scale));
    }
    Block block;
    auto rowType = RankedTensorType::get(
        {256}, Float32Type::get(op->getContext()));
    IRMapping mapping;
    mapping.map(input, block.addArgument(rowType, op->getLoc()));
    OpBuilder builder(op->getContext());
    builder.setInsertionPointToEnd(&block);
    Operation *copy = builder.clone(*op, mapping);
    copy->getResult(0).setType(rowType);
    kernels::Graph graph;
    PlanBuilder plan(graph);
    plan.begin(copy);
    plan.define(block.getArgument(0),
                graph.addInput(kernels::TensorDesc::plain(DType::F32, {256})));
    if (failed(llvm::cast<PlanOpInterface>(copy).plan(plan)))
      return failure();
    graph.request(plan.of(copy->getResult(0)));
    std::vector<float> results(256);
    kernels::PackCache packs;
    const void *in[] = {numbers.data()};
    void *out[] = {results.data()};
    std::move(graph).compile(packs)->run(in, out);
    for (float &result : results) // what is not a number has no integer
      result = std::isfinite(result) ? result
               : result > 0          ? float(type.scale * 512)
               : result < 0          ? float(-type.scale * 512)
                                     : 0;
    builder.setInsertionPoint(op);
    Value table = createBytes(
        builder, op, top::partName(top::tensorName(op->getResult(0)), "table"),
        {256}, storedNumbers(results, type), type.type(op->getContext()));
    auto to = ::llvm::cast<RankedTensorType>(input.getType())
                  .clone(type.type(op->getContext()));
    Value y = tpu::LutOp::create(builder, op->getLoc(), to, input, table);
    op->getResult(0).replaceAllUsesWith(y);
    op->erase();
    return success();
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
        if (user != whole.getDefiningOp())
          use.set(whole);
      }
    }
  }

  func::FuncOp function;
  const CalibrationTable &table;
  Int8Forms forms;
  Value noneValue;
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
