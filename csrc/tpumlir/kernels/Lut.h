#pragma once

#include "tpumlir/kernels/Kernel.h"

namespace tpumlir::kernels {

/// table[byte of x]: input 0 holds whole numbers of 8 bits as F32, signed or
/// not, input 1 the 256 results. Negative numbers have the bytes of their two's
/// complement.
class LutNode : public Node {
public:
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
};

} // namespace tpumlir::kernels
