#pragma once

#include "tpumlir/codegen/Group.h"

namespace tpumlir::codegen {

/// Emits the commands of one Tpu op; nothing for ops that cost nothing. Errors
/// are diagnostics at the op.
mlir::LogicalResult emitOp(Emitter &em, mlir::Operation *op);
/// Whether an op by itself reads a constant operand at run time: numbers may be
/// fields of its commands instead.
bool readsConstant(mlir::Operation *op, mlir::Value constant);

/// The ops of the group that begins with `op`: it and those behind it with the
/// same `tpu.group`.
llvm::SmallVector<mlir::Operation *> groupFrom(mlir::Operation *op);
/// What they share, as their attribute says. Null, and an error at `op`, if
/// they make no such group.
std::unique_ptr<Group> planGroup(mlir::Operation *op);
/// Emits the group that begins with `op`.
mlir::LogicalResult emitGroup(Emitter &em, mlir::Operation *op);

} // namespace tpumlir::codegen
