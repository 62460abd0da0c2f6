#include "tpumlir/dialect/TensorType.h"

#include "mlir/Dialect/Quant/IR/QuantTypes.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace tpumlir {

/// The integer of a width and a sign.
static std::optional<DType> integerOf(unsigned width, bool isSigned) {
  switch (width) {
  case 32:
    return isSigned ? DType::I32 : DType::U32;
  case 16:
    return isSigned ? DType::I16 : DType::U16;
  case 8:
    return isSigned ? DType::I8 : DType::U8;
  default:
    return std::nullopt;
  }
}

static std::optional<DType> builtinOf(Type type) {
  if (type.isF32())
    return DType::F32;
  if (type.isF16())
    return DType::F16;
  if (type.isBF16())
    return DType::BF16;
  // Without a word about the sign they have one, as everywhere in Top and Tpu.
  if (auto integer = llvm::dyn_cast<IntegerType>(type))
    return integerOf(integer.getWidth(), !integer.isUnsigned());
  return std::nullopt;
}

std::optional<ElementType> ElementType::of(Type type) {
  type = getElementTypeOrSelf(type);
  ElementType result{};
  std::optional<DType> storage = builtinOf(type);
  if (auto calibrated = llvm::dyn_cast<quant::CalibratedQuantizedType>(type)) {
    storage = builtinOf(calibrated.getExpressedType());
    result.range = {calibrated.getMin(), calibrated.getMax()};
  } else if (auto one = llvm::dyn_cast<quant::UniformQuantizedType>(type)) {
    storage = integerOf(one.getStorageTypeIntegralWidth(), one.isSigned());
    result.scales = {one.getScale()};
    result.zeroPoints = {one.getZeroPoint()};
  } else if (auto many =
                 llvm::dyn_cast<quant::UniformQuantizedPerAxisType>(type)) {
    storage = integerOf(many.getStorageTypeIntegralWidth(), many.isSigned());
    result.scales.assign(many.getScales().begin(), many.getScales().end());
    result.zeroPoints.assign(many.getZeroPoints().begin(),
                             many.getZeroPoints().end());
    result.axis = many.getQuantizedDimension();
  }
  if (!storage)
    return std::nullopt;
  result.storage = *storage;
  return result;
}

std::optional<DType> dtypeOf(Type type) {
  return builtinOf(getElementTypeOrSelf(withoutRange(type)));
}

Type builtinType(MLIRContext *context, DType type) {
  if (isFloat(type))
    return floatType(context, type);
  return IntegerType::get(context, unsigned(8 * dtypeBytes(type)),
                          isSigned(type) ? IntegerType::Signless
                                         : IntegerType::Unsigned);
}

FloatType floatType(MLIRContext *context, DType type) {
  assert(isFloat(type));
  if (type == DType::F16)
    return Float16Type::get(context);
  if (type == DType::BF16)
    return BFloat16Type::get(context);
  return Float32Type::get(context);
}

bool isFloatTensor(Value value) {
  std::optional<DType> type = dtypeOf(value);
  return llvm::isa<TensorType>(value.getType()) && type && isFloat(*type);
}

bool isIntegerTensor(Value value) {
  std::optional<DType> type = dtypeOf(value);
  return llvm::isa<TensorType>(value.getType()) && type && !isFloat(*type);
}

Type withoutRange(Type type) {
  auto calibrated = llvm::dyn_cast<quant::CalibratedQuantizedType>(
      getElementTypeOrSelf(type));
  if (!calibrated)
    return type;
  if (auto tensor = llvm::dyn_cast<TensorType>(type))
    return tensor.clone(calibrated.getExpressedType());
  return calibrated.getExpressedType();
}

} // namespace tpumlir
