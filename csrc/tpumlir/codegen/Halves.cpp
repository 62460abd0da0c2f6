#include "tpumlir/codegen/Halves.h"

#include <bit>

using namespace mlir;

namespace tpumlir::codegen {

bool isExact(double number, isa::DType type) {
  float f32 = float(number);
  auto half = uint16_t(bitsOf(number, type));
  float back = type == isa::DType::F16 ? support::f16ToF32(half)
                                       : support::bf16ToF32(half);
  return std::bit_cast<uint32_t>(back) == std::bit_cast<uint32_t>(f32);
}

bool areHalves(const MapProblem &problem, ArrayRef<double> numbers) {
  isa::DType type = dtypeOf(problem.output);
  return isHalf(type) &&
         llvm::all_of(problem.inputs,
                      [&](Value input) { return dtypeOf(input) == type; }) &&
         llvm::all_of(numbers,
                      [&](double number) { return isExact(number, type); });
}

void emitReluOfSum(Emitter &em, const Local &local, const Relu &relu) {
  emitRelu(em, local, relu);
  if (relu.does && local.dtype == isa::DType::F16)
    em.ar(isa::ArOp::Add, local, local, 0.0f);
}

} // namespace tpumlir::codegen
