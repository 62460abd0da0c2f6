#pragma once

#include "tpumlir/kernels/Kernel.h"

namespace tpumlir::kernels {

/// How a position of the output maps into the input.
enum class ResizeCoord : uint8_t {
  HalfPixel,
  PytorchHalfPixel, ///< an output of one element stands at 0
  AlignCorners,
  Asymmetric,
};

struct ResizeGeometry {
  bool linear = false; ///< else nearest
  ResizeCoord coord = ResizeCoord::HalfPixel;
  Dims spatialExtents;        ///< of the output
  std::vector<double> scales; ///< output over input, per spatial dim
};

/// Resamples the dims behind the channels of [n, c, ...]. Nearest rounds halves
/// down for half-pixel and align-corners positions and takes the floor for
/// asymmetric ones. Source: ONNX Resize, opset 19.
class ResizeNode : public Node {
public:
  explicit ResizeNode(ResizeGeometry geometry)
      : geometry(std::move(geometry)) {}
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;

private:
  ResizeGeometry geometry;
};

} // namespace tpumlir::kernels
