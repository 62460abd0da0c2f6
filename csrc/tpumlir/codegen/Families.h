#pragma once

#include "tpumlir/codegen/Tiles.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

namespace tpumlir::codegen {

/// Emits one op. Each family defines this for its ops (`template <>`); the
/// registry takes the address for every op of the dialect, so one that has no
/// definition, or two, does not link. Errors are diagnostics at the op.
template <typename OpTy> mlir::LogicalResult emit(Emitter &em, OpTy op);

} // namespace tpumlir::codegen
