#pragma once

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Operation.h"

#include <optional>

namespace tpumlir {

/// The float type that was chosen for an op, or i8 for integers with a scale,
/// and why: in the text `tpu.precision = {type = f32, why = "(P4) ..."}`. `why`
/// starts with the
/// label of the rule and is absent if the op has the precision of the deploy.
struct Precision {
  mlir::Type type;
  llvm::StringRef why;

  static constexpr llvm::StringLiteral kAttr = "tpu.precision";

  bool isQuantized() const { return !llvm::isa<mlir::FloatType>(type); }
  /// Of a convolution: integers are multiplied, and what they add up to is not
  /// rounded to integers again but stays F32.
  bool keepsSums() const { return isQuantized() && why == kSums; }
  static constexpr llvm::StringLiteral kSums =
      "(P1) the quantize table: integers whose sums stay f32 by (P6)";
  /// The type of a mode ("F16"); null for other words.
  static mlir::Type ofMode(mlir::MLIRContext *context, llvm::StringRef mode);

  void writeTo(mlir::Operation *op) const;
  /// Nothing if the op has no such attribute; an error at the op if it is not
  /// of this form.
  static mlir::FailureOr<std::optional<Precision>> of(mlir::Operation *op);
};

} // namespace tpumlir
