#include "tpumlir/kernels/Kernel.h"

namespace tpumlir::kernels {

Kernel::~Kernel() = default;
Node::~Node() = default;

void Kernel::bind(size_t operand, void *data) {
  if (operand >= addresses.size())
    addresses.resize(operand + 1);
  addresses[operand] = data;
}

void expectType(DType want, DType got) {
  if (want != got)
    throw KernelError("expected elements of " + std::string(dtypeName(want)) +
                      ", got " + std::string(dtypeName(got)));
}

void Node::checkTypes(std::span<const TensorDesc> inputs,
                      std::span<const TensorDesc> outputs) const {
  for (const TensorDesc &desc : inputs)
    expectType(DType::F32, desc.dtype);
  for (const TensorDesc &desc : outputs)
    expectType(DType::F32, desc.dtype);
}

void Node::chooseOrders(std::span<TensorDesc> inputs,
                        std::span<TensorDesc> outputs) const {
  for (TensorDesc &desc : inputs)
    desc.order = plainOrder(desc.rank());
  for (TensorDesc &desc : outputs)
    desc.order = plainOrder(desc.rank());
}

} // namespace tpumlir::kernels
