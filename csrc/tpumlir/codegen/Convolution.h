#pragma once

#include "tpumlir/codegen/Halves.h"
#include "tpumlir/codegen/Window.h"
#include "tpumlir/dialect/tpu/FilterLayout.h"

#include <optional>

namespace tpumlir::codegen {

/// A convolution of either direction. Strides are in elements.
struct Convolution {
  int64_t n, ic, oc, group;
  WindowGeometry geometry;
  int64_t kernel;           ///< elements of the window
  tpu::FilterLayout layout; ///< of the filter
  mlir::Value inputValue, filterValue, biasValue, outputValue;
  Global input, filter, output;
  std::optional<Global> bias;
  Relu relu;
  int shift = 0; ///< the filter is stored times two to this power

  int64_t inPlane() const { return geometry.h.in * geometry.w.in; }
  int64_t outPlane() const { return geometry.h.out * geometry.w.out; }
  /// The filter has to be brought into the order that the command reads.
  bool packs() const { return !layout.isNative(); }
  /// A dense one may write halves: the bounds of the fused Relu are numbers of
  /// the type of operands and result.
  bool narrows() const {
    return shift == 0 && output.dtype == input.dtype &&
           takesHalves(relu, output.dtype);
  }
};

Convolution convolutionOf(tpu::Conv2DOp op);
Convolution convolutionOf(tpu::DeconvOp op);

/// One input channel per group: every lane works for its own channel. A group
/// with several output channels is run once for each of them.
mlir::LogicalResult emitDepthwise(Emitter &em, mlir::Operation *op,
                                  const Convolution &conv);

/// Brings a filter into cubes: [ic][kernel] -> [ic / 32][kernel][32] in every
/// lane; the part of the last block behind the last channel does not count.
void packFilter(Emitter &em, const Local &filter, const Local &loose,
                int64_t kernel);

} // namespace tpumlir::codegen
