#pragma once

#include "tpumlir/codegen/Emitter.h"

namespace tpumlir::codegen {

/// Emits the commands of one Tpu op; nothing for ops that cost nothing. Errors
/// are diagnostics at the op.
mlir::LogicalResult emitOp(Emitter &em, mlir::Operation *op);

} // namespace tpumlir::codegen
