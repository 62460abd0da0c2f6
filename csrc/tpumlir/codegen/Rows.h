#pragma once

#include "tpumlir/codegen/Tiles.h"

#include "mlir/Support/LLVM.h"

/// Rows of a table that indices choose: gather, scatter, and scatter that
/// combines with what is there.
namespace tpumlir::codegen {

/// A list of indices chooses rows of a table; row i of the list belongs to
/// index i. There are as many lists, tables and rows as `size` says: axes of
/// any number, with their strides on each side. Strides and steps are in
/// elements.
struct RowMove {
  llvm::SmallVector<int64_t> size, tableStride, rowsStride, indexStride;
  Global table, rows, index; ///< indices are i32
  int64_t tableRows = 1, tableStep = 1;
  int64_t count = 1; ///< indices of a list
  int64_t rowsStep = 1, indexStep = 1;
  int64_t width = 1; ///< contiguous elements of a row
};

/// rows[i] = table[index[i]]; zeros where there is no such row.
void emitGatherRows(Emitter &em, RowMove move);
/// table[index[i]] = rows[i] in the order of i; nothing where there is no such
/// row.
void emitScatterRows(Emitter &em, RowMove move);

/// More lists of indices that may repeat take too many commands.
constexpr int64_t kMostCombineSteps = 4096;

/// table[index[i]] = table[index[i]] op rows[i]. Unless the indices of a list
/// are `unique`, one after another. Failure if these are more than
/// kMostCombineSteps.
mlir::LogicalResult emitCombineRows(Emitter &em, RowMove move, isa::ArOp op,
                                    bool unique);

} // namespace tpumlir::codegen
