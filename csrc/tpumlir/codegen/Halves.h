#pragma once

#include "tpumlir/codegen/Map.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

#include <limits>

/// Which operations on halves need no F32: those whose result is the F32 result
/// rounded once, bit for bit. A NaN may have another sign and payload.
/// Source: docs/code-generation.md, half precision.
namespace tpumlir::codegen {

/// Whether a number is a half of that type, so that an F32 operation on it and
/// one on halves compute with the same operand.
bool isExact(double number, isa::DType type);

/// The limit of a Relu, if there is one.
inline llvm::SmallVector<double> limitOf(const Relu &relu) {
  if (!relu.does || relu.limit < 0)
    return {};
  return {relu.limit};
}

/// Whether a Relu can be done on halves of a type.
inline bool takesHalves(const Relu &relu, isa::DType type) {
  return isHalf(type) && llvm::all_of(limitOf(relu), [&](double number) {
           return isExact(number, type);
         });
}

/// The numbers that an op computes with.
template <typename OpTy> llvm::SmallVector<double> numbersOf(OpTy op) {
  llvm::SmallVector<double> numbers;
  if constexpr (requires { op.getDoRelu(); })
    numbers = limitOf(Relu::of(op));
  else if constexpr (requires { op.getReluLimit(); })
    numbers = limitOf({true, op.getReluLimit()});
  if constexpr (requires { op.getConstVal(); })
    numbers.push_back(op.getConstVal());
  if constexpr (requires { op.getAlpha(); })
    numbers.push_back(op.getAlpha());
  if constexpr (requires { op.getMin(); })
    numbers.append({op.getMin(), op.getMax()});
  return numbers;
}

/// Whether the operands and the result of an operation have one half type, and
/// the numbers are of it.
bool areHalves(const MapProblem &problem, llvm::ArrayRef<double> numbers);

/// Whether an op that rounds once at most, but for a fused Relu, may be done on
/// halves.
template <typename OpTy> bool mayBeNative(const MapProblem &problem, OpTy op) {
  constexpr bool isProduct =
      llvm::is_one_of<OpTy, tpu::MulOp, tpu::MulConstOp>::value;
  // A product below the least F16 is -0 as a half, of which Relu makes nothing
  // else; as F32 it becomes 0.
  if constexpr (isProduct)
    if (op.getDoRelu() && dtypeOf(problem.output) == isa::DType::F16)
      return false;
  return areHalves(problem, numbersOf(op));
}

/// The bits of a tensor as integers of its width.
inline Local asBits(const Local &local) {
  return local.as(isHalf(local.dtype) ? isa::DType::I16 : isa::DType::I32);
}
/// Those of infinity; the bits of NaN without its sign are greater.
inline int32_t infinityBits(isa::DType type) {
  return int32_t(bitsOf(std::numeric_limits<double>::infinity(), type));
}

/// emitRelu on a sum, which the chip may have rounded to a half. One below the
/// least F16 is -0 by then, of which the maximum with 0 makes nothing else; as
/// F32 it would have become 0.
void emitReluOfSum(Emitter &em, const Local &local, const Relu &relu);

} // namespace tpumlir::codegen
