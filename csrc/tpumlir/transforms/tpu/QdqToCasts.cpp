#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/transforms/top/Patterns.h"
#include "tpumlir/transforms/tpu/Int8.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "mlir/Dialect/Quant/IR/Quant.h"
#include "mlir/Dialect/Quant/IR/QuantTypes.h"

#include <cmath>

/// What a model that comes quantised says of its tensors, as types.
using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_QDQTOCASTS
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

/// Scales whose quotients and reciprocals f32 holds.
bool isUsableScale(double scale) { return scale > 0x1p-60 && scale < 0x1p+60; }

/// Scales and zero points that are attributes: of each number as many as of the
/// other, one for the tensor or one for each index of `axis`.
struct StatedSteps {
  SmallVector<double> scales;
  SmallVector<int64_t> zeroPoints;
  int64_t axis = 0;

  bool operator==(const StatedSteps &other) const {
    return scales == other.scales && zeroPoints == other.zeroPoints &&
           (scales.size() == 1 || axis == other.axis);
  }

  /// None if they are computed, for blocks, or no steps that integers count in.
  template <typename Op> static std::optional<StatedSteps> of(Op op) {
    auto scales = op.getScales();
    if (!scales || !op.getParameters().empty())
      return std::nullopt;
    StatedSteps steps;
    for (double scale : *scales)
      steps.scales.push_back(double(float(scale)));
    if (auto zeros = op.getZeroPoints())
      steps.zeroPoints.assign(zeros->begin(), zeros->end());
    else
      steps.zeroPoints.push_back(0);
    size_t count = std::max(steps.scales.size(), steps.zeroPoints.size());
    if (steps.scales.size() == 1)
      steps.scales.resize(count, steps.scales[0]);
    if (steps.zeroPoints.size() == 1)
      steps.zeroPoints.resize(count, steps.zeroPoints[0]);
    if (count == 0 || steps.scales.size() != steps.zeroPoints.size() ||
        !llvm::all_of(steps.scales, isUsableScale))
      return std::nullopt;
    if (llvm::all_equal(steps.scales) && llvm::all_equal(steps.zeroPoints)) {
      steps.scales.resize(1);
      steps.zeroPoints.resize(1);
    }
    steps.axis = op.getAxis();
    if (steps.axis < 0)
      steps.axis += top::rankOf(op.getInput());
    return steps;
  }

  bool isOne() const { return scales.size() == 1; }

  /// Which of the numbers is for element `i` of a tensor.
  size_t indexOf(size_t i, ArrayRef<int64_t> shape) const {
    if (isOne())
      return 0;
    size_t inner = size_t(top::elementsOf(shape.drop_front(axis + 1)));
    return i / inner % size_t(shape[axis]);
  }
};

class QdqReader {
public:
  explicit QdqReader(func::FuncOp function) : function(function) {}

  void run() {
    for (auto quantize : llvm::to_vector(
             function.getBody().front().getOps<top::QuantizeLinearOp>()))
      restore(quantize);
    for (Operation &op :
         llvm::make_early_inc_range(function.getBody().front())) {
      if (auto quantize = dyn_cast<top::QuantizeLinearOp>(op))
        read(quantize);
      else if (auto dequantize = dyn_cast<top::DequantizeLinearOp>(op))
        read(dequantize);
      else if (auto permute = dyn_cast<top::PermuteOp>(op))
        turn(permute);
    }
  }

private:
  /// Gives the operands of a product of integers and its result the scales that
  /// the model states. What does not look as the importer wrote it is left as
  /// it is, which means the same.
  void restore(top::QuantizeLinearOp op) {
    SmallVector<double> steps;
    if (auto stated = op.getProduct())
      steps.assign(stated->begin(), stated->end());
    op.removeProductAttr();
    if (steps.size() < 3 || !op.getScales() || !op.getParameters().empty() ||
        !llvm::all_of(steps, isUsableScale) || !op.getInput().hasOneUse())
      return;
    const double left = steps[0], result = steps[1];
    ArrayRef<double> right = ArrayRef(steps).drop_front(2);
    Operation *source = op.getInput().getDefiningOp();
    if (!source || !restoreProduct(source, left, right))
      return;
    Builder builder(op.getContext());
    op.setYScaleAttr(builder.getF64ArrayAttr({result}));
    if (auto zeros = op.getYZeroPointAttr())
      op.setYZeroPointAttr(builder.getArrayAttr(zeros[0]));
  }

  bool restoreProduct(Operation *op, double left, ArrayRef<double> right) {
    auto matMul = dyn_cast<top::MatMulOp>(op);
    if (!matMul && !isa<top::ConvOp>(op))
      return false;
    Value factor = op->getOperand(1), bias = op->getOperand(2);
    const bool hasBias = !isa<NoneType>(bias.getType());
    int64_t axis = 0;
    if (matMul)
      axis = top::rankOf(factor) - (matMul.getRightTranspose() ? 2 : 1);
    const int64_t biasAxis = hasBias ? top::rankOf(bias) - 1 : 0;
    SmallVector<double> both;
    for (double scale : right)
      both.push_back(left * scale);
    if (!hasUnitSteps(op->getOperand(0), {left}, 0) ||
        !hasUnitSteps(factor, right, axis) ||
        (hasBias && !hasUnitSteps(bias, both, biasAxis)))
      return false;
    rescale(op->getOpOperand(0), {left}, 0);
    rescale(op->getOpOperand(1), right, axis);
    if (hasBias)
      rescale(op->getOpOperand(2), both, biasAxis);
    return true;
  }

  /// Whether `value` is of integers, less their zero point, with as many
  /// indices of `axis` as there are scales.
  bool hasUnitSteps(Value value, ArrayRef<double> scales, int64_t axis) {
    if (succeeded(top::constantF32s(value)))
      return scales.size() == 1 ||
             (axis >= 0 && axis < top::rankOf(value) &&
              top::shapeOf(value)[axis] == int64_t(scales.size()));
    auto op = value.getDefiningOp<top::DequantizeLinearOp>();
    std::optional<StatedSteps> steps;
    if (op && scales.size() == 1)
      steps = StatedSteps::of(op);
    return steps && steps->isOne() && steps->scales[0] == 1.0;
  }

  void rescale(OpOperand &operand, ArrayRef<double> scales, int64_t axis) {
    OpBuilder builder(operand.getOwner());
    Value value = operand.get();
    ArrayAttr attr = builder.getF64ArrayAttr(scales);
    if (succeeded(top::constantF32s(value))) {
      Location loc =
          top::partLoc(operand.getOwner()->getLoc(),
                       operand.getOperandNumber() == 2 ? "bias" : "factor");
      OperationState state(loc, top::DequantizeLinearOp::getOperationName());
      state.addOperands(value);
      state.addTypes(value.getType());
      state.addAttribute("x_scale", attr);
      state.addAttribute("axis", builder.getI64IntegerAttr(axis));
      operand.set(builder.create(state)->getResult(0));
      return;
    }
    auto op = value.getDefiningOp<top::DequantizeLinearOp>();
    if (!value.hasOneUse()) {
      // Others read the integers.
      op = cast<top::DequantizeLinearOp>(builder.clone(*op));
      op->setLoc(top::partLoc(op.getLoc(), "scaled"));
      operand.set(op.getOutput());
    }
    op.setXScaleAttr(attr);
  }

  /// Of a constant the integers, of a run-time tensor a cast to them and one
  /// back for each who reads it as a float. Who reads the integers gets
  /// them of what the casts make, which are the same.
  void read(top::QuantizeLinearOp op) {
    std::optional<StatedSteps> steps = StatedSteps::of(op);
    if (!steps)
      return;
    if (auto numbers = top::constantF32s(op.getInput()); succeeded(numbers))
      return readConstant(op, *steps, *numbers);
    const top::StoredType to = *op.getTo();
    if (!steps->isOne() || op.getOutput().use_empty() ||
        !isFloatTensor(op.getInput()) ||
        (to != top::StoredType::INT8 && to != top::StoredType::UINT8))
      return;
    SmallVector<top::DequantizeLinearOp> back;
    for (Operation *user : op.getOutput().getUsers()) {
      auto dequantize = dyn_cast<top::DequantizeLinearOp>(user);
      if (dequantize && StatedSteps::of(dequantize) == steps)
        back.push_back(dequantize);
    }
    const bool isRead =
        back.size() < size_t(llvm::range_size(op.getOutput().getUses()));
    Quantization type{to == top::StoredType::UINT8 ? DType::U8 : DType::I8,
                      steps->scales[0], steps->zeroPoints[0]};
    auto tensor = cast<RankedTensorType>(op.getInput().getType());
    Value &stored = casts[{op.getInput(), type.type(op.getContext())}];
    OpBuilder builder(op);
    if (!stored)
      stored = tpu::CastOp::create(
          builder,
          top::partLoc(back.empty() ? op.getLoc() : back.back().getLoc(),
                       "int8"),
          tensor.clone(type.type(op.getContext())), op.getInput());
    for (top::DequantizeLinearOp dequantize : back) {
      builder.setInsertionPoint(dequantize);
      Value y = tpu::CastOp::create(builder, dequantize.getLoc(),
                                    dequantize.getType(), stored);
      dequantize.replaceAllUsesWith(y);
      dead.push_back(dequantize);
    }
    if (!isRead) {
      dead.push_back(op);
      return;
    }
    builder.setInsertionPoint(op);
    op.getInputMutable().assign(tpu::CastOp::create(
        builder, top::partLoc(op.getLoc(), "stored"), tensor, stored));
  }

  void readConstant(top::QuantizeLinearOp op, const StatedSteps &steps,
                    ArrayRef<float> numbers) {
    auto [low, high] = top::rangeOf(*op.getTo());
    ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
    std::vector<float> integers;
    integers.reserve(numbers.size());
    for (auto [i, number] : llvm::enumerate(numbers)) {
      size_t k = steps.indexOf(i, shape);
      float q = std::nearbyint(number / float(steps.scales[k])) +
                float(steps.zeroPoints[k]);
      integers.push_back(std::clamp(q, float(low), float(high)));
    }
    replace(op, shape, std::move(integers));
  }

  /// Of a constant the numbers, which remember their integers.
  void read(top::DequantizeLinearOp op) {
    std::optional<StatedSteps> steps = StatedSteps::of(op);
    auto integers = top::constantF32s(op.getInput());
    if (!steps || failed(integers) || top::isOutput(op.getOutput()))
      return;
    ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
    std::vector<float> numbers;
    numbers.reserve(integers->size());
    // Less their zero points they may be integers with a sign.
    bool isWhole = true, isCentred = true, isSigned = true, isUnsigned = true;
    for (auto [i, q] : llvm::enumerate(*integers)) {
      size_t k = steps->indexOf(i, shape);
      float c = q - float(steps->zeroPoints[k]);
      numbers.push_back(c * float(steps->scales[k]));
      isWhole &= std::nearbyint(q) == q;
      isCentred &= c >= -128 && c <= 127;
      isSigned &= q >= -128 && q <= 127;
      isUnsigned &= q >= 0 && q <= 255;
    }
    auto within = [&](int64_t least, int64_t greatest) {
      return steps->zeroPoints[0] >= least && steps->zeroPoints[0] <= greatest;
    };
    Type element;
    if (isWhole && isCentred && steps->isOne())
      element =
          Quantization{DType::I8, steps->scales[0], 0}.type(op.getContext());
    else if (isWhole && isCentred)
      element = statedPerAxis(op.getContext(), steps->scales, steps->axis);
    else if (isWhole && isUnsigned && steps->isOne() && within(0, 255))
      element =
          Quantization{DType::U8, steps->scales[0], steps->zeroPoints[0]}.type(
              op.getContext());
    else if (isWhole && isSigned && steps->isOne() && within(-128, 127))
      element =
          Quantization{DType::I8, steps->scales[0], steps->zeroPoints[0]}.type(
              op.getContext());
    Value weight = replace(op, shape, std::move(numbers));
    if (element)
      weight.getDefiningOp()->setAttr(kStatedAttr, TypeAttr::get(element));
  }

  /// The axes of a filter that an operation reads in another order.
  void turn(top::PermuteOp op) {
    auto numbers = top::constantF32s(op.getInput());
    Operation *source = op.getInput().getDefiningOp();
    if (failed(numbers) || !source->hasAttr(kStatedAttr) ||
        top::isOutput(op.getOutput()))
      return;
    auto order = op.getOrder();
    ArrayRef<int64_t> from = top::shapeOf(op.getInput());
    ArrayRef<int64_t> to = top::shapeOf(op.getOutput());
    const size_t rank = from.size();
    // How far apart in the source the elements are that are neighbours along
    // an axis of the result.
    SmallVector<int64_t> strides(rank), index(rank, 0);
    for (size_t i = 0; i < rank; ++i)
      strides[i] = top::elementsOf(from.drop_front(order[i] + 1));
    std::vector<float> turned;
    turned.reserve(numbers->size());
    for (size_t n = 0; n < numbers->size(); ++n) {
      int64_t place = 0;
      for (size_t i = 0; i < rank; ++i)
        place += index[i] * strides[i];
      turned.push_back((*numbers)[size_t(place)]);
      for (size_t i = rank; i-- > 0 && ++index[i] == to[i];)
        index[i] = 0;
    }
    Type element = source->getAttrOfType<TypeAttr>(kStatedAttr).getValue();
    if (auto many = dyn_cast<quant::UniformQuantizedPerAxisType>(element)) {
      auto place = llvm::find(order, int64_t(many.getQuantizedDimension()));
      element = statedPerAxis(op.getContext(), many.getScales(),
                              place - order.begin());
    }
    Value weight = replace(op, to, std::move(turned));
    weight.getDefiningOp()->setAttr(kStatedAttr, TypeAttr::get(element));
  }

  Value replace(Operation *op, ArrayRef<int64_t> shape,
                std::vector<float> numbers) {
    OpBuilder builder(op);
    Value weight = top::createWeight(builder, top::tensorName(op->getResult(0)),
                                     shape, std::move(numbers));
    op->getResult(0).replaceAllUsesWith(weight);
    op->erase();
    return weight;
  }

public:
  /// What nobody reads any more.
  void clean() {
    for (Operation *op : dead)
      op->erase();
  }

private:
  func::FuncOp function;
  DenseMap<std::pair<Value, Type>, Value> casts;
  SmallVector<Operation *> dead;
};

/// Whether anything is to be computed in integers.
bool wantsIntegers(ModuleOp module) {
  auto isInt8 = [](Attribute attr) {
    auto mode = dyn_cast_or_null<StringAttr>(attr);
    return mode && mode.getValue() == "INT8";
  };
  if (isInt8(module->getAttr("module.mode")))
    return true;
  auto table = module->getAttrOfType<DictionaryAttr>("module.quantize_table");
  return table && llvm::any_of(table, [&](NamedAttribute entry) {
           return isInt8(entry.getValue());
         });
}

struct QdqToCasts : impl::QdqToCastsBase<QdqToCasts> {
  void runOnOperation() override {
    if (!wantsIntegers(getOperation()))
      return;
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      QdqReader reader(function);
      reader.run();
      reader.clean();
    }
  }
};

} // namespace
} // namespace tpumlir
