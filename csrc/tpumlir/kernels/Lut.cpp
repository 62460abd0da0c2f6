#include "tpumlir/kernels/Lut.h"

#include "tpumlir/kernels/Parallel.h"

namespace tpumlir::kernels {

namespace {

class LutKernel : public Kernel {
public:
  explicit LutKernel(int64_t elements) : elements(elements) {}

  void run() override {
    const float *x = data<float>(0), *table = data<float>(1);
    float *y = data<float>(2);
    parallelFor(elements, elements * 2, [=](int64_t begin, int64_t end) {
      // A float to a byte would be undefined for negative numbers.
      for (int64_t i = begin; i < end; ++i)
        y[i] = table[uint8_t(int32_t(x[i]))];
    });
  }
  std::string implementation() const override { return "loop:lut"; }

private:
  int64_t elements;
};

} // namespace

void LutNode::chooseOrders(std::span<TensorDesc> inputs,
                           std::span<TensorDesc> outputs) const {
  outputs[0].order = inputs[0].order;
}

std::unique_ptr<Kernel> LutNode::build(const BuildContext &context) const {
  return std::make_unique<LutKernel>(context.outputs[0].elements());
}

} // namespace tpumlir::kernels
