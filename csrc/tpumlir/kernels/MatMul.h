#pragma once

#include "tpumlir/kernels/Elementwise.h"

namespace tpumlir::kernels {

/// Product of the last two dims, the others broadcast. Inputs: a [..., m, k],
/// b [..., k, n], and bias [n] if `hasBias`, all of rank 2 or more but the
/// bias; each may be constant or computed. Transposed operands are permuted
/// descriptions. Source: ONNX MatMul, opset 13.
class MatMulNode : public TailNode {
public:
  explicit MatMulNode(bool hasBias) : hasBias(hasBias) {
    coreInputs = hasBias ? 3 : 2;
  }
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
  int64_t products(std::span<const TensorDesc> inputs,
                   std::span<const TensorDesc> outputs) const override {
    return outputs[0].elements() * inputs[0].dims.back();
  }

private:
  bool hasBias;
};

} // namespace tpumlir::kernels
