#pragma once

#include "tpumlir/codegen/Convolution.h"
#include "tpumlir/codegen/LocalKernel.h"
#include "tpumlir/codegen/TilingSolver.h"

namespace tpumlir::codegen {

/// What dense and depthwise convolutions of a slice have in common.
class ConvKernel : public LocalKernel {
public:
  ConvKernel(const Convolution &conv, const LaneView &in)
      : LocalKernel(conv.inputValue, in, conv.outputValue, outputOf(conv)),
        conv(conv) {}
  explicit ConvKernel(const Convolution &conv)
      : ConvKernel(conv, inputOf(conv)) {}

  Range inputRows(size_t, Range rows) const override {
    AxisTile tile = inputUnder(conv.geometry.h, rows);
    return {tile.begin, tile.size};
  }

protected:
  WindowFields fields(Range rows) const {
    return windowPart(conv.geometry, rows, {0, conv.geometry.w.out}).fields;
  }
  static LaneView inputOf(const Convolution &conv) {
    return LaneView::dense(
        {conv.n, conv.ic, conv.geometry.h.in, conv.geometry.w.in});
  }
  static LaneView outputOf(const Convolution &conv) {
    return LaneView::dense(
        {conv.n, conv.oc, conv.geometry.h.out, conv.geometry.w.out});
  }
  /// The filter of the channels, as it is loaded; its input channels in cubes.
  WholeInput filterOf(int64_t ic) const {
    const isa::DType type = conv.filter.dtype;
    const tpu::FilterLayout &layout = conv.layout;
    const Nchw size{1, channels.size, ic, conv.kernel};
    WholeInput whole{
        conv.filterValue,
        compact(0, filterTile(channels.size, ic, conv.kernel, type), type),
        {0, layout.outputStride(), layout.columnStride(), 1}};
    whole.begin = channels.begin * layout.outputStride();
    whole.isFilter = true;
    if (conv.packs())
      whole.loose = compact(0, size, type);
    return whole;
  }
  /// One row of elements of the filter for each channel.
  WholeInput depthwiseFilter() const {
    WholeInput whole{
        conv.filterValue,
        compact(0, {1, channels.size, 1, conv.kernel}, conv.filter.dtype),
        {0, conv.layout.groupStride(), conv.kernel, 1}};
    whole.isFilter = true;
    return whole;
  }
  /// The bias of the channels, if there is one.
  void addBias(int64_t stride = 1) {
    if (!conv.bias)
      return;
    WholeInput vector{conv.biasValue,
                      compact(0, {1, channels.size, 1, 1}, conv.bias->dtype),
                      {0, stride, 1, 1}};
    vector.begin = channels.begin;
    wholes.push_back(vector);
  }
  const Local *biasOf(const KernelTile &tile) const {
    return conv.bias ? &tile.wholes.back() : nullptr;
  }
  /// Relu and the type of the result.
  void finish(Emitter &em, const Local &out, const Local &sum) const {
    emitReluOfSum(em, sum, conv.relu);
    castTile(em, out, sum);
  }
  /// The elements of a window as the channels of one place, in the order in
  /// which a filter has them.
  void addWindows() {
    isa::DType type = conv.filter.dtype;
    const int64_t cube = isa::convChannelCube(type);
    const int64_t elements = conv.ic * conv.kernel;
    Nchw size{1, conv.oc, ceilDiv(elements, cube), cube};
    WholeInput whole{
        conv.filterValue, compact(0, size, type), {0, elements, cube, 1}};
    whole.isFilter = true;
    if (elements % cube != 0) {
      whole.filled = elements;
      if (!conv.filterValue.getDefiningOp<top::WeightOp>())
        whole.loose = compact(0, {1, conv.oc, 1, elements}, type);
    }
    wholes.push_back(whole);
  }

  Convolution conv;
};

} // namespace tpumlir::codegen
