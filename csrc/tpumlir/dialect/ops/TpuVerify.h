#pragma once

#include "tpumlir/dialect/tpu/TpuDialect.h"

/// What the verifiers of the Tpu families share.
namespace tpumlir::tpu {

/// Printed as 1x64x56x56.
inline std::string text(llvm::ArrayRef<int64_t> shape) {
  std::string out;
  for (int64_t dim : shape)
    out += (out.empty() ? "" : "x") + std::to_string(dim);
  return out.empty() ? "scalar" : out;
}

/// The result must have the shape `want`.
inline mlir::LogicalResult checkShape(mlir::Operation *op,
                                      llvm::ArrayRef<int64_t> want) {
  llvm::ArrayRef<int64_t> got = top::shapeOf(op->getResult(0));
  if (got == want)
    return mlir::success();
  return op->emitOpError("expected a result of shape ")
         << text(want) << ", got " << text(got);
}

/// `axis` must be one of `rank` axes.
inline mlir::LogicalResult checkAxis(mlir::Operation *op, int64_t axis,
                                     int64_t rank) {
  if (axis >= 0 && axis < rank)
    return mlir::success();
  return op->emitOpError("expected axis in [0, ") << rank << "), got " << axis;
}

/// `value` must hold i32 numbers.
inline mlir::LogicalResult checkI32(mlir::Operation *op, mlir::Value value) {
  if (dtypeOf(value) == DType::I32)
    return mlir::success();
  return op->emitOpError("expected indices of i32, got ") << value.getType();
}

/// An array attribute must have `want` entries.
inline mlir::LogicalResult checkCount(mlir::Operation *op, llvm::StringRef name,
                                      size_t got, size_t want) {
  if (got == want)
    return mlir::success();
  return op->emitOpError("expected ")
         << want << " entries in " << name << ", got " << got;
}

/// Of an op that multiplies and adds up: all of `tensors` are quantised to 8
/// bits, or none is. If they are, the bias is in `multi`, a pair for each of
/// the `columns`; else there is no `multi`.
mlir::LogicalResult checkQuantized(mlir::Operation *op,
                                   mlir::ValueRange tensors, mlir::Value bias,
                                   mlir::Value multi, int64_t columns);

/// Whether an op multiplies integers and gives their scaled sums in F32.
template <typename OpTy> bool givesSums(OpTy op) {
  return tpumlir::isQuantized(op.getInput()) &&
         dtypeOf(op.getOutput()) == DType::F32;
}

/// The operands broadcast to the result as in numpy.
inline mlir::LogicalResult checkBroadcast(mlir::Operation *op,
                                          mlir::ValueRange operands) {
  llvm::SmallVector<int64_t> shape;
  for (mlir::Value value : operands) {
    auto joined = top::broadcastShapes(op, shape, top::shapeOf(value));
    if (mlir::failed(joined))
      return mlir::failure();
    shape = *joined;
  }
  return checkShape(op, shape);
}

} // namespace tpumlir::tpu
