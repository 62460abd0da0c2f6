#pragma once

#include "tpumlir/codegen/Emitter.h"

#include "llvm/ADT/ArrayRef.h"

/// Integer arithmetic that takes several commands. Tensors are whole, aligned
/// and of one size; `t` are scratch tensors of 32 bits. Sums, differences and
/// products need nothing of this: AR wraps around at 32 bits.
namespace tpumlir::codegen {

/// A whole number as an operand.
inline Operand whole(int32_t number) { return Operand::integer(number); }

/// x = quotient * y + rest for I32, the quotient cut towards zero; for y = 0
/// the quotient is 0.
void emitDivide(Emitter &em, const Local &quotient, const Local &rest,
                const Local &x, const Local &y, llvm::ArrayRef<Local> t); // 5

/// x to the power of y for I32, modulo 2^32; 1 / x^|y| cut towards zero below
/// 0.
void emitPower(Emitter &em, const Local &result, const Local &x, const Local &y,
               llvm::ArrayRef<Local> t); // 3

} // namespace tpumlir::codegen
