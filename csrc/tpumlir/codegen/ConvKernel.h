#pragma once

#include "tpumlir/codegen/Convolution.h"
#include "tpumlir/codegen/LocalKernel.h"

namespace tpumlir::codegen {

/// What dense and depthwise convolutions of a slice have in common.
class ConvKernel : public LocalKernel {
public:
  explicit ConvKernel(const Convolution &conv) : conv(conv) {
    const WindowGeometry &g = conv.geometry;
    output = {{conv.n, conv.oc, g.h.out, g.w.out},
              denseStrides({conv.n, conv.oc, g.h.out, g.w.out})};
    outputType = conv.output.dtype;
  }

  Range inputRows(size_t, Range rows) const override {
    AxisTile tile = inputUnder(conv.geometry.h, rows);
    return {tile.begin, tile.size};
  }

protected:
  WindowFields fields(Range rows) const {
    return windowPart(conv.geometry, rows, {0, conv.geometry.w.out}).fields;
  }
  LaneView inputView() const {
    Nchw size{conv.n, conv.ic, conv.geometry.h.in, conv.geometry.w.in};
    return {size, denseStrides(size)};
  }
  /// The bias of some output channels, if there is one.
  void addBias(mlir::Value bias, Range part) {
    if (!conv.bias)
      return;
    WholeInput vector{
        bias, compact(0, {1, part.size, 1, 1}, conv.bias->dtype), {0, 1, 1, 1}};
    vector.begin = part.begin;
    wholes.push_back(vector);
  }
  /// Relu and the type of the result. `wide` is the sum in F32.
  void finish(Emitter &em, const Local &out, const Local &wide) const {
    emitRelu(em, wide, conv.relu, conv.limit);
    castTile(em, out, wide);
  }
  bool isWide() const { return outputType == isa::DType::F32; }
  /// The elements of a window as the channels of one place, in the order in
  /// which a filter has them.
  void addWindows(mlir::Value filter) {
    isa::DType type = conv.filter.dtype;
    const int64_t cube = isa::convChannelCube(type);
    const int64_t elements = conv.ic * conv.kernel;
    Nchw size{1, conv.oc, ceilDiv(elements, cube), cube};
    WholeInput whole{filter, compact(0, size, type), {0, elements, cube, 1}};
    if (elements % cube != 0) {
      whole.filled = elements;
      if (!filter.getDefiningOp<top::WeightOp>())
        whole.loose = compact(0, {1, conv.oc, 1, elements}, type);
    }
    wholes.push_back(whole);
  }

  Convolution conv;
};

} // namespace tpumlir::codegen
