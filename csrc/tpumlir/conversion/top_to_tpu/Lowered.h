#pragma once

#include "llvm/ADT/StringSet.h"

namespace mlir {
class MLIRContext;
}

namespace tpumlir {

/// The Top operations that a pattern of convert-top-to-tpu starts at.
llvm::StringSet<> loweredOperations(mlir::MLIRContext *ctx);

} // namespace tpumlir
