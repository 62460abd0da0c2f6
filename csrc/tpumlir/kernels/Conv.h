#pragma once

#include "tpumlir/kernels/Elementwise.h"

namespace tpumlir::kernels {

/// Window of a convolution over 1, 2 or 3 spatial dims.
struct ConvGeometry {
  int64_t groups = 1;
  Dims strides;
  Dims dilations; ///< 1 is dense
  Dims padsBegin;
  Dims padsEnd;
};

/// Convolution. Inputs: x [n, c, ...], filter [oc, c / groups, ...], and bias
/// [oc] if `hasBias`; each may be constant or computed. Source: ONNX Conv,
/// opset 22.
class ConvNode : public TailNode {
public:
  ConvNode(ConvGeometry geometry, bool hasBias)
      : geometry(std::move(geometry)), hasBias(hasBias) {
    coreInputs = hasBias ? 3 : 2;
  }
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
  int64_t products(std::span<const TensorDesc> inputs,
                   std::span<const TensorDesc> outputs) const override;

private:
  ConvGeometry geometry;
  bool hasBias;
};

/// Transposed convolution. Inputs: x [n, c, ...], filter, bias [oc] if
/// `hasBias`. The filter's elements lie as [c, oc / groups, ...] (ONNX
/// ConvTranspose, opset 22), or as [oc / groups, c, ...] if `outputFirst`,
/// which is how Top keeps constant ones.
class DeconvNode : public TailNode {
public:
  DeconvNode(ConvGeometry geometry, bool hasBias, bool outputFirst)
      : geometry(std::move(geometry)), hasBias(hasBias),
        outputFirst(outputFirst) {
    coreInputs = hasBias ? 3 : 2;
  }
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
  int64_t products(std::span<const TensorDesc> inputs,
                   std::span<const TensorDesc> outputs) const override;

private:
  ConvGeometry geometry;
  bool hasBias;
  bool outputFirst;
};

} // namespace tpumlir::kernels
