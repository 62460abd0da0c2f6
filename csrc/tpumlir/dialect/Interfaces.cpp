#include "tpumlir/dialect/Interfaces.h"

#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace tpumlir {

// Bounds that keep the arithmetic of every shape rule inside of int64_t, far
// above what the chip's memory holds.
static constexpr int64_t kMaxElements = int64_t(1) << 40;
static constexpr int64_t kMaxAttribute = int64_t(1) << 30;

static bool hasSaneSize(ShapedType type) {
  int64_t elements = 1;
  for (int64_t extent : type.getShape()) {
    if (extent < 1 || extent > kMaxElements / elements)
      return false;
    elements *= extent;
  }
  return true;
}

/// The first integer in `attr` (a number or a list) that is out of bounds.
static IntegerAttr outOfBounds(Attribute attr) {
  auto check = [](IntegerAttr number) {
    const APInt &value = number.getValue();
    return value.getSignificantBits() > 64 ||
                   value.getSExtValue() > kMaxAttribute ||
                   value.getSExtValue() < -kMaxAttribute
               ? number
               : IntegerAttr();
  };
  if (auto number = llvm::dyn_cast<IntegerAttr>(attr))
    return check(number);
  if (auto list = llvm::dyn_cast<ArrayAttr>(attr))
    for (Attribute item : list)
      if (auto number = llvm::dyn_cast<IntegerAttr>(item))
        if (IntegerAttr found = check(number))
          return found;
  return {};
}

/// Places of Slice and Shape, where exporters write the greatest integer for
/// "to the end"; those ops clamp them.
static bool mayMeanTheEnd(StringRef attribute) {
  return attribute == "offset" || attribute == "ends" || attribute == "start" ||
         attribute == "end";
}

LogicalResult inferResultTypes(Operation *op, SmallVectorImpl<Type> &types) {
  auto shapeOp = llvm::dyn_cast<ShapeOpInterface>(op);
  if (!shapeOp)
    return op->emitOpError("expected an op with a shape rule, got none");
  for (Value operand : op->getOperands()) {
    auto type = llvm::dyn_cast<TensorType>(operand.getType());
    if (!type)
      continue;
    if (!type.hasRank()) {
      for (Value result : op->getResults())
        types.push_back(llvm::isa<NoneType>(result.getType())
                            ? result.getType()
                            : UnrankedTensorType::get(type.getElementType()));
      return success();
    }
    if (!type.hasStaticShape())
      return op->emitOpError("expected operands of known shape, got ") << type;
    if (!hasSaneSize(type))
      return op->emitOpError("expected operands of 1 to 2^40 elements, got ")
             << type;
  }
  for (NamedAttribute attr : op->getAttrs())
    if (IntegerAttr found = outOfBounds(attr.getValue());
        found && !mayMeanTheEnd(attr.getName().getValue()))
      return op->emitOpError("expected attribute '")
             << attr.getName().getValue() << "' within -2^30 to 2^30, got "
             << found;
  if (failed(shapeOp.inferTypes(types)))
    return failure();
  // A range is that of one tensor: what is computed from it has another.
  for (Type &type : types)
    type = withoutRange(type);
  return success();
}

namespace detail {

LogicalResult verifyResultShapes(Operation *op) {
  SmallVector<Type> types;
  if (failed(inferResultTypes(op, types)))
    return failure();
  if (types.size() != op->getNumResults())
    return op->emitOpError("expected ")
           << types.size() << " results, got " << op->getNumResults();
  for (auto [index, pair] :
       llvm::enumerate(llvm::zip(types, op->getResultTypes()))) {
    auto want = llvm::dyn_cast<RankedTensorType>(std::get<0>(pair));
    auto got = llvm::dyn_cast<RankedTensorType>(std::get<1>(pair));
    if (want && got && want.getShape() != got.getShape())
      return op->emitOpError("expected result #")
             << index << " of shape [" << want.getShape() << "], got ["
             << got.getShape() << "]";
  }
  return success();
}

/// Operations that say what they make of quantised tensors. Any other would
/// take the stored integers for numbers.
static bool takesIntegers(PrecisionOpInterface op) {
  return op.movesData() ||
         isa<tpu::AddOp, tpu::CastOp, tpu::ConcatOp, tpu::Conv2DOp,
             tpu::DeconvOp, tpu::LutOp, tpu::MatMulOp, tpu::MaxOp, tpu::MinOp,
             tpu::MulOp, tpu::PadOp, tpu::Pool1DOp, tpu::Pool2DOp,
             tpu::MulFpAxisOp, tpu::RequantFpOp, tpu::RequantFpAxisOp>(
             op.getOperation());
}

/// Operations that take scales per channel of what is no constant.
static bool takesChannels(PrecisionOpInterface op) {
  return op.movesData() || isa<tpu::Conv2DOp, tpu::DeconvOp, tpu::MulFpAxisOp,
                               tpu::RequantFpAxisOp>(op.getOperation());
}

LogicalResult verifyPrecision(Operation *op) {
  auto isInteger = [](Value value) { return isQuantized(value); };
  auto hasChannels = [](Value value) {
    std::optional<ElementType> type = ElementType::of(value);
    return type && type->axis && !value.getDefiningOp<top::WeightOp>();
  };
  if (!takesChannels(llvm::cast<PrecisionOpInterface>(op)) &&
      (llvm::any_of(op->getOperands(), hasChannels) ||
       llvm::any_of(op->getResults(), hasChannels)))
    return op->emitOpError("expected quantised tensors with one scale, got one "
                           "with a scale for each channel");
  if (!takesIntegers(llvm::cast<PrecisionOpInterface>(op)) &&
      (llvm::any_of(op->getOperands(), isInteger) ||
       llvm::any_of(op->getResults(), isInteger)))
    return op->emitOpError(
        "expected no quantised tensors, which it has no form for");
  Type precision;
  // The first one that is asked for its type says what the others must have.
  auto check = [&](Value value, Type want, StringRef what) -> LogicalResult {
    Type got = getElementTypeOrSelf(value.getType());
    if (!precision && !want)
      precision = got;
    if (!want)
      want = precision;
    if (got == want)
      return success();
    return op->emitOpError("expected ")
           << what << " of " << want << ", got " << got;
  };
  for (Value result : op->getResults())
    if (isFloatTensor(result) && failed(check(result, {}, "a result")))
      return failure();
  auto precise = llvm::cast<PrecisionOpInterface>(op);
  // What moves integers does not change what they stand for.
  if (precise.movesData())
    for (Value result : op->getResults())
      for (OpOperand &operand : op->getOpOperands())
        if ((isQuantized(result) || isQuantized(operand.get())) &&
            precise.operandPrecision(operand.getOperandNumber()) ==
                OperandPrecision::Same &&
            getElementTypeOrSelf(result.getType()) !=
                getElementTypeOrSelf(operand.get().getType()) &&
            (isFloatTensor(operand.get()) || isQuantized(operand.get())))
          return op->emitOpError("expected operand ")
                 << operand.getOperandNumber() << " of "
                 << getElementTypeOrSelf(result.getType()) << ", got "
                 << getElementTypeOrSelf(operand.get().getType());
  for (OpOperand &operand : op->getOpOperands()) {
    OperandPrecision rule =
        precise.operandPrecision(operand.getOperandNumber());
    if (rule == OperandPrecision::Any || !isFloatTensor(operand.get()))
      continue;
    Type want = rule == OperandPrecision::F32
                    ? Type(Float32Type::get(op->getContext()))
                    : Type();
    std::string what = "operand " + std::to_string(operand.getOperandNumber());
    if (failed(check(operand.get(), want, what)))
      return failure();
  }
  return success();
}

} // namespace detail

} // namespace tpumlir

#include "tpumlir/dialect/Interfaces.cpp.inc"
