#include "tpumlir/dialect/TensorType.h"

#include "mlir/Dialect/Quant/IR/QuantTypes.h"
#include "mlir/IR/TypeUtilities.h"

#include <cmath>

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

std::optional<Quantization> Quantization::of(Type type) {
  std::optional<ElementType> element = ElementType::of(type);
  if (!element || element->scales.size() != 1 || element->axis ||
      element->bytes() != 1)
    return std::nullopt;
  return Quantization{element->storage, element->scales[0],
                      element->zeroPoints[0]};
}

std::optional<Quantization> Quantization::ofAny(Type type) {
  std::optional<ElementType> element = ElementType::of(type);
  if (!element || element->axis != 1 || element->bytes() != 1 ||
      !llvm::all_equal(element->zeroPoints))
    return of(type);
  return Quantization{element->storage,
                      *llvm::max_element(element->scales),
                      element->zeroPoints[0],
                      {element->scales.begin(), element->scales.end()}};
}

Type Quantization::type(MLIRContext *context) const {
  unsigned flags =
      storage == DType::U8 ? 0 : quant::QuantizationFlags::FlagValue::Signed;
  auto byte = IntegerType::get(context, 8);
  auto f32 = Float32Type::get(context);
  if (!isPerChannel())
    return quant::UniformQuantizedType::get(flags, byte, f32, scale, zeroPoint,
                                            least(), greatest());
  SmallVector<int64_t> zeroPoints(channels.size(), zeroPoint);
  return quant::UniformQuantizedPerAxisType::get(
      flags, byte, f32, channels, zeroPoints, 1, least(), greatest());
}

double storedOf(Value value, double number) {
  std::optional<Quantization> type = Quantization::ofAny(value);
  if (!type)
    return number;
  assert(!type->isPerChannel() || number == 0);
  double q = std::nearbyint(number / type->scale) + double(type->zeroPoint);
  return std::clamp(q, double(type->least()), double(type->greatest()));
}

StoredRange heldBy(const Quantization &type, bool doRelu, double limit) {
  StoredRange range{type.least(), type.greatest()};
  if (!doRelu)
    return range;
  range.least = std::max(range.least, type.zeroPoint);
  if (limit >= 0) {
    double most = std::nearbyint(limit / type.scale) + double(type.zeroPoint);
    if (most < double(range.greatest))
      range.greatest = std::max(int64_t(most), range.least);
  }
  return range;
}

std::optional<RescaledSum> RescaledSum::of(ArrayRef<Quantization> operands,
                                           const Quantization &result) {
  constexpr int kMostShift = 14;
  for (int shift = kMostShift; shift >= 0; --shift) {
    RescaledSum sum{{}, shift};
    bool fits = true;
    for (const Quantization &operand : operands) {
      double factor =
          std::nearbyint(std::ldexp(operand.scale / result.scale, shift));
      int64_t largest = std::max(operand.greatest() - operand.zeroPoint,
                                 operand.zeroPoint - operand.least());
      fits &= factor <= 255 && factor * double(largest) <= 32767;
      sum.factors.push_back(int64_t(factor));
    }
    if (fits)
      return sum;
  }
  return std::nullopt;
}

Type quantizedPerAxis(MLIRContext *context, ArrayRef<double> scales,
                      int64_t axis) {
  SmallVector<int64_t> zeros(scales.size(), 0);
  return quant::UniformQuantizedPerAxisType::get(
      quant::QuantizationFlags::FlagValue::Signed, IntegerType::get(context, 8),
      Float32Type::get(context), scales, zeros, int32_t(axis), -127, 127);
}

int64_t bytesOfElement(Type type) {
  std::optional<ElementType> element = ElementType::of(type);
  return element ? int64_t(element->bytes())
                 : int64_t(llvm::divideCeil(
                       getElementTypeOrSelf(type).getIntOrFloatBitWidth(), 8));
}

bool isQuantized(Type type) {
  return llvm::isa<quant::UniformQuantizedType,
                   quant::UniformQuantizedPerAxisType>(
      getElementTypeOrSelf(type));
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
