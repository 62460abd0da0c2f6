#pragma once

#include "tpumlir/dialect/TensorType.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/OpDefinition.h"
#include "llvm/ADT/StringSwitch.h"

#include <string_view>

namespace tpumlir {
class PlanBuilder;

/// Result types of `op` by its ShapeOpInterface. Unranked as long as one
/// operand is; a dimension that is not known is an error at the op.
mlir::LogicalResult inferResultTypes(mlir::Operation *op,
                                     llvm::SmallVectorImpl<mlir::Type> &types);

/// The type of a float operand of an op: that of the op's precision; f32
/// always, as biases and parameters per channel are; or any of the three.
enum class OperandPrecision { Same, F32, Any };

/// What an attribute holds: a number, a list of numbers, a word or a flag.
enum class AttrKind { None, F64, I64, I32, SI32, F64s, I64s, I32s, Bool, Word };

/// What an op declares of one of its attributes.
struct AttrRule {
  AttrKind kind = AttrKind::None;
  llvm::StringRef what;  ///< in words
  llvm::StringRef words; ///< those it may be, between commas; empty for any
};

namespace detail {
/// Float operands and results have the types that PrecisionOpInterface says.
mlir::LogicalResult verifyPrecision(mlir::Operation *op);
/// Ranked results have the inferred shapes. Element types are not compared: a
/// calibrated or quantised type may stand in the text.
mlir::LogicalResult verifyResultShapes(mlir::Operation *op);
/// Plans the one result of `op` as the kernel of this name on its one operand.
mlir::LogicalResult planKernel(PlanBuilder &plan, mlir::Operation *op,
                               std::string_view kernel,
                               llvm::ArrayRef<double> numbers);
} // namespace detail
} // namespace tpumlir

#include "tpumlir/dialect/Interfaces.h.inc"
