#pragma once

#include "tpumlir/codegen/Local.h"

#include "mlir/IR/Value.h"
#include "llvm/ADT/SmallVector.h"

/// Values of the module as tensors in global memory.
namespace tpumlir::codegen {

/// Global address of a value; the base of global memory if it has no place yet.
uint64_t addressOf(mlir::Value value);

/// Type of a value's elements in global memory: F32, F16, BF16, I32, or I8 if
/// it is quantised.
isa::DType dtypeOf(mlir::Value value);
/// Whether the elements of a value have a sign.
bool isSigned(mlir::Value value);
/// Bytes of one of them.
int64_t bytesOf(mlir::Value value);
/// The first element of a value that has its place.
Global globalOf(mlir::Value value);

/// A value's shape, to change.
llvm::SmallVector<int64_t> shapeOf(mlir::Value value);

/// Whether the result lies where those elements of the input lie that it is
/// made of. It will where it can, if only costs are asked for yet.
bool isInPlace(mlir::Operation *op);

} // namespace tpumlir::codegen
