#pragma once

#include "tpumlir/dialect/top/TopUtils.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

namespace tpumlir::tpu {

/// Where the elements of a convolution's filter lie: the one statement of every
/// `FilterOrder`. Weight reordering, interpreter, code generation and verifiers
/// ask it and nothing else; a filter is a weight or a run-time tensor alike.
struct FilterLayout {
  FilterOrder order;
  int64_t group;
  int64_t oc, ic;                    ///< channels of one group
  llvm::SmallVector<int64_t> kernel; ///< extents of the window
  int64_t cube; ///< input channels that the chip takes at once, of this type

  /// The layout that a Conv2D or a Deconv states for its filter.
  template <typename OpTy> static FilterLayout of(OpTy op) {
    int64_t group = op.getGroup();
    return {op.getFilterLayout(),
            group,
            top::shapeOf(op.getOutput())[1] / group,
            top::shapeOf(op.getInput())[1] / group,
            op.getKernelShape(),
            cubeOf(op.getFilter())};
  }
  static constexpr int64_t kHalfCube = 32;
  /// Input channels side by side in `Cubes`: 1 if the type has no cubes.
  static int64_t cubeOf(mlir::Value filter);

  /// The same filter in another order.
  FilterLayout in(FilterOrder other) const {
    FilterLayout layout = *this;
    layout.order = other;
    return layout;
  }
  /// Whether the convolution reads it as it lies, without packing on the chip.
  bool isNative() const { return order == FilterOrder::Cubes || cube == 1; }
  /// Every output channel has an input channel of its own: lanes work by
  /// themselves.
  bool isDepthwise() const { return ic == 1 && (group > 1 || oc == 1); }
  /// So few input channels that F32, which takes them one by one for 16 places
  /// at once, is faster than halves, which take a cube for 4.
  bool isThin() const { return cube == kHalfCube && group == 1 && ic <= 4; }
  /// Halves or bytes in cubes.
  bool takesCubes() const { return cube > 1 && !isDepthwise() && !isThin(); }

  int64_t taps() const { return top::elementsOf(kernel); }
  /// Cubes of one group, the last one filled with zeros.
  int64_t blocks() const { return (ic + cube - 1) / cube; }

  // Strides in elements: between taps, output channels of a group, groups.
  int64_t tapStride() const { return order == FilterOrder::Cubes ? cube : 1; }
  int64_t outputStride() const;
  int64_t groupStride() const {
    return order == FilterOrder::OGIK ? ic * taps() : oc * outputStride();
  }
  /// Between the columns of `lanes`: channels, or blocks of them.
  int64_t columnStride() const {
    return order == FilterOrder::Cubes ? cube * taps() : taps();
  }
  /// Place of tap 0 of an input channel in the row of its output channel.
  int64_t inputOffset(int64_t i) const {
    return order == FilterOrder::Cubes ? i / cube * cube * taps() + i % cube
                                       : i * taps();
  }

  /// As the hardware takes it, one row per lane; the verifiers take it too.
  llvm::SmallVector<int64_t> lanes() const;
  /// The extents with the axes of the window apart; of cubes those of `lanes`.
  llvm::SmallVector<int64_t> shape() const;
};

} // namespace tpumlir::tpu
