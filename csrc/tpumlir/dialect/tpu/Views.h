#pragma once

#include "tpumlir/dialect/tpu/TpuDialect.h"

#include <optional>

/// Results that may share memory with an operand because their elements follow
/// each other there in the same order. Address assignment and code generation
/// ask here, so that what gets no memory of its own is what is not copied.
namespace tpumlir::tpu {

/// A tensor as a part of another one of its element type.
struct View {
  mlir::Value base;
  int64_t offset; ///< in elements
};

/// The part of its input that the result of a Reshape, a Permute or a Slice is,
/// if the order of the elements does not change and none lies between them.
std::optional<View> viewOf(mlir::Operation *op);

/// Whether each operand fills one contiguous part of the result.
bool joinsWholeParts(ConcatOp op);

} // namespace tpumlir::tpu
