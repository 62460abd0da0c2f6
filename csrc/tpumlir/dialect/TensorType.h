#pragma once

#include "tpumlir/support/DType.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Value.h"

#include <optional>

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
