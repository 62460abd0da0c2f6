#pragma once

#include "tpumlir/kernels/Kernel.h"

namespace tpumlir::kernels {

/// (x - mean) / sqrt(variance + eps), times weight plus bias, with the moments
/// over stretches of memory.
struct NormGeometry {
  enum class Over : uint8_t {
    Inner,  ///< the dims from `axis` on; affine per position (LayerNorm)
    Groups, ///< the channels of a group and the dims behind; affine per channel
    Channel, ///< the channels of one pixel; affine per channel (PixelNorm)
  };
  Over over = Over::Inner;
  int64_t axis = 0;
  int64_t groups = 1;
  bool centred = true; ///< false: no mean is taken off (RMSNorm)
  float eps = 1e-5f;
};

/// Inputs: x, then weight and bias as the flags say; each may be constant or
/// computed. Sources: ONNX LayerNormalization 17, GroupNormalization 21,
/// InstanceNormalization 22, RMSNormalization 23.
class NormNode : public Node {
public:
  NormNode(NormGeometry geometry, bool hasWeight, bool hasBias)
      : geometry(geometry), hasWeight(hasWeight), hasBias(hasBias) {}
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;

private:
  NormGeometry geometry;
  bool hasWeight, hasBias;
};

} // namespace tpumlir::kernels
