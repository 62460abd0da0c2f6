#pragma once

#include "tpumlir/codegen/Tiles.h"

namespace tpumlir::codegen {

/// Strided copy or fill between global addresses, of any rank.
struct DmaCopy {
  llvm::SmallVector<int64_t> size, srcStride, dstStride;
  Global src, dst; ///< of one type
};

/// Copies with as few commands as the fields allow: axes that continue each
/// other on both sides are merged, the inner ones become the command's, the
/// outer ones are looped over.
void emitCopy(Emitter &em, DmaCopy copy);

/// Fills a dense tensor.
void emitFill(Emitter &em, const Global &dst, int64_t elements, double number);

/// Drops axes of 1 and merges neighbours that continue each other in all
/// tensors that are walked along them.
void mergeAxes(llvm::SmallVectorImpl<int64_t> &size,
               llvm::ArrayRef<llvm::SmallVectorImpl<int64_t> *> strides);

/// Row-major strides.
llvm::SmallVector<int64_t> rowMajor(llvm::ArrayRef<int64_t> shape);

} // namespace tpumlir::codegen
