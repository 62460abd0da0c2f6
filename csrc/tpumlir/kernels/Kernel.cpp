#include "tpumlir/kernels/Kernel.h"

namespace tpumlir::kernels {

Kernel::~Kernel() = default;
Node::~Node() = default;

void Kernel::bind(size_t operand, void *data) {
  if (operand >= addresses.size())
    addresses.resize(operand + 1);
  addresses[operand] = data;
}

void Node::chooseOrders(std::span<TensorDesc> inputs,
                        std::span<TensorDesc> outputs) const {
  for (TensorDesc &desc : inputs)
    desc.order = plainOrder(desc.rank());
  for (TensorDesc &desc : outputs)
    desc.order = plainOrder(desc.rank());
}

} // namespace tpumlir::kernels
