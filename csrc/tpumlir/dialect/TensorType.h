#pragma once

#include "tpumlir/support/DType.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Value.h"

#include <optional>
#include <vector>

/// The one place that looks into element types. Everything else asks for a
/// DType, or for an ElementType where scales matter.
namespace tpumlir {

/// What the elements of a tensor are: of a builtin type, or of one of the quant
/// dialect's.
struct ElementType {
  DType storage; ///< what lies in memory, with its sign
  /// A stored q stands for (q - zero point) * scale: one of each, or one per
  /// index of `axis`. Empty if numbers are stored as they are.
  llvm::SmallVector<double, 1> scales;
  llvm::SmallVector<int64_t, 1> zeroPoints;
  std::optional<int64_t> axis;
  /// The numbers that a calibration saw, as `!quant.calibrated` states them.
  std::optional<std::pair<double, double>> range;

  bool isQuantized() const { return !scales.empty(); }
  bool isSigned() const { return tpumlir::isSigned(storage); }
  size_t bytes() const { return dtypeBytes(storage); }

  /// Of a tensor type or an element type; none for a type that has no DType,
  /// and for one with a scale per block.
  static std::optional<ElementType> of(mlir::Type type);
  static std::optional<ElementType> of(mlir::Value value) {
    return of(value.getType());
  }
};

/// How a scale, or one for each channel, and a zero point make integers of 8
/// bits of the numbers of a tensor: a stored q stands for
/// (q - zeroPoint) * scale.
struct Quantization {
  DType storage; ///< I8 or U8
  double scale;  ///< the greatest of `channels`, if there are any
  int64_t zeroPoint = 0;
  /// One for each index of axis 1; empty if they all have the same.
  std::vector<double> channels = {};

  bool isPerChannel() const { return !channels.empty(); }
  double scaleOf(int64_t channel) const {
    return channels.empty() ? scale : channels[size_t(channel)];
  }

  /// The least and the greatest integer that is stored.
  int64_t least() const { return storage == DType::U8 ? 0 : -128; }
  int64_t greatest() const { return storage == DType::U8 ? 255 : 127; }
  bool operator==(const Quantization &other) const {
    return storage == other.storage && scale == other.scale &&
           zeroPoint == other.zeroPoint && channels == other.channels;
  }
  bool operator!=(const Quantization &other) const { return !(*this == other); }

  /// None unless the type is quantised to 8 bits with one scale.
  static std::optional<Quantization> of(mlir::Type type);
  static std::optional<Quantization> of(mlir::Value value) {
    return of(value.getType());
  }
  /// The same with one scale for each index of axis 1 too, for operations that
  /// have a form in these.
  static std::optional<Quantization> ofAny(mlir::Type type);
  static std::optional<Quantization> ofAny(mlir::Value value) {
    return ofAny(value.getType());
  }
  /// As an element type.
  mlir::Type type(mlir::MLIRContext *context) const;
};

/// What stands for a number in a tensor: an integer if that is quantised, else
/// the number itself.
double storedOf(mlir::Value value, double number);

/// The stored integers that a Relu leaves: [least, greatest].
struct StoredRange {
  int64_t least, greatest;
};
StoredRange heldBy(const Quantization &type, bool doRelu, double limit);

/// How a sum of quantised tensors is computed in integers:
/// round(sum of factor * (q - zero point) * 2^-shift), plus the zero point of
/// the result. Every product fits 16 bits.
struct RescaledSum {
  llvm::SmallVector<int64_t, 2> factors; ///< at most 8 bits, not negative
  int shift;

  /// None if an operand's step is too great for that.
  static std::optional<RescaledSum> of(llvm::ArrayRef<Quantization> operands,
                                       const Quantization &result);
};

/// What a product of quantised tensors is multiplied with to count in steps of
/// the result; an f32.
inline double productFactor(std::pair<double, double> scales, double result) {
  return double(float(scales.first * scales.second / result));
}

/// How the mean of so many quantised elements is computed:
/// round(sum of q * factor + offset), f32.
struct RescaledMean {
  double factor, offset;

  static RescaledMean of(const Quantization &operand,
                         const Quantization &result, int64_t count) {
    double factor =
        double(float(operand.scale / (result.scale * double(count))));
    return {factor, double(float(double(result.zeroPoint) -
                                 factor * double(operand.zeroPoint * count)))};
  }
};

/// i8 in [-127, 127] with a scale for each index of `axis` and no zero points:
/// what weights are quantised to.
mlir::Type quantizedPerAxis(mlir::MLIRContext *context,
                            llvm::ArrayRef<double> scales, int64_t axis);

/// Bytes of an element of any type that a tensor of the chip can have.
int64_t bytesOfElement(mlir::Type type);

/// Whether the elements are of the quant dialect, and integers.
bool isQuantized(mlir::Type type);
inline bool isQuantized(mlir::Value value) {
  return isQuantized(value.getType());
}

/// The type of elements that are stored as they are: builtin or calibrated.
/// None for a quantised tensor, whose integers mean other numbers.
std::optional<DType> dtypeOf(mlir::Type type);
inline std::optional<DType> dtypeOf(mlir::Value value) {
  return dtypeOf(value.getType());
}

/// The builtin type of a DType: f16, i32, ui8.
mlir::Type builtinType(mlir::MLIRContext *context, DType type);
/// The same of a DType of floats.
mlir::FloatType floatType(mlir::MLIRContext *context, DType type);

/// Whether the value is a tensor of f32, f16 or bf16.
bool isFloatTensor(mlir::Value value);
/// Whether the value is a tensor of integers that are stored as they are.
bool isIntegerTensor(mlir::Value value);

/// `type`, a tensor's or an element's, without the range of a calibration.
mlir::Type withoutRange(mlir::Type type);

} // namespace tpumlir
