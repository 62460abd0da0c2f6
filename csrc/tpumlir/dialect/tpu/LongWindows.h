#pragma once

#include "tpumlir/dialect/top/TopUtils.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "llvm/ADT/STLExtras.h"

namespace tpumlir::tpu {

/// Whether a convolution is a product of long windows over one channel, as of a
/// short-time Fourier transform: each lies as a row in a lane, and its elements
/// are the input channels (docs/code-generation.md). Any stride does; the
/// filter stays as it is.
inline bool slidesLongWindows(Conv2DOp op) {
  constexpr int64_t kLanes = 64;
  auto isOne = [](int64_t extent) { return extent == 1; };
  auto isZero = [](int64_t extent) { return extent == 0; };
  llvm::ArrayRef<int64_t> in = top::shapeOf(op.getInput());
  const llvm::SmallVector<int64_t> kernel = op.getKernelShape();
  return in[1] == 1 && op.getGroup() == 1 && !op.getDoKernelRotate() &&
         kernel.back() >= kLanes && llvm::all_of(op.getPads(), isZero) &&
         llvm::all_of(op.getDilations(), isOne) &&
         llvm::all_of(in.drop_front(2).drop_back(), isOne) &&
         llvm::all_of(llvm::ArrayRef(kernel).drop_back(), isOne) &&
         top::shapeOf(op.getOutput())[1] > 1;
}
inline bool slidesLongWindows(DeconvOp) { return false; }

} // namespace tpumlir::tpu
