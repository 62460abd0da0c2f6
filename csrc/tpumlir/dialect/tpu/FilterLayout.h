#pragma once

#include "tpumlir/dialect/top/TopUtils.h"
#include "tpumlir/isa/Chip.h"

#include "mlir/IR/TypeUtilities.h"

namespace tpumlir::tpu {

/// Filter of a dense convolution, in either direction, over halves as the
/// hardware wants it: [1, oc, blocks, kernel * 32], the last axis [kernel][32].
/// A block has 32 input channels of a group side by side; behind the last
/// channel of a group stand zeros. Source: docs/hardware.md (H7).
struct PackedFilter {
  static constexpr int64_t kCube = isa::convChannelCube(isa::DType::F16);
  int64_t oc;     ///< of all groups
  int64_t ic;     ///< per group
  int64_t kernel; ///< elements of the window

  int64_t blocks() const { return (ic + kCube - 1) / kCube; }
  llvm::SmallVector<int64_t> shape() const {
    return {1, oc, blocks(), kernel * kCube};
  }
  /// Whether a filter is in this layout. No filter of the same convolution in
  /// the layout of ONNX has this shape.
  bool is(mlir::Value filter) const {
    mlir::Type type = mlir::getElementTypeOrSelf(filter.getType());
    return (type.isF16() || type.isBF16()) &&
           top::shapeOf(filter) == llvm::ArrayRef(shape());
  }
};

} // namespace tpumlir::tpu
