#pragma once

#include "tpumlir/kernels/Kernel.h"

namespace tpumlir::kernels {

/// What an average divides by.
enum class PoolMode : uint8_t {
  Max,
  AverageIncludingPad, ///< elements of the window inside the padded input
  AverageExcludingPad, ///< elements of the window inside the input
  SumOfPowers,         ///< not divided; ONNX LpPool
};

/// Window of a pooling over 1, 2 or 3 spatial dims. A window may stick out
/// behind the padding (ceil mode): what sticks out is not counted.
struct PoolGeometry {
  PoolMode mode = PoolMode::Max;
  Dims kernel;
  Dims strides;
  Dims dilations; ///< 1 is dense
  Dims padsBegin;
  Dims padsEnd;
  float power = 2.0f; ///< of SumOfPowers
};

/// Pooling of [n, c, ...]. Source: ONNX MaxPool, AveragePool, LpPool, opset 22.
class PoolNode : public Node {
public:
  explicit PoolNode(PoolGeometry geometry) : geometry(std::move(geometry)) {}
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;

private:
  PoolGeometry geometry;
};

/// Mean over [floor(i in / out), ceil((i + 1) in / out)) of each spatial dim.
class AdaptiveAvgPoolNode : public Node {
public:
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
};

/// x / (bias + alpha / size * sum of squares of the `size` channels
/// around)^beta. Source: ONNX LRN, opset 13.
class LrnNode : public Node {
public:
  LrnNode(int64_t size, float alpha, float beta, float bias)
      : size(size), alpha(alpha), beta(beta), bias(bias) {}
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;

private:
  int64_t size;
  float alpha, beta, bias;
};

} // namespace tpumlir::kernels
