#pragma once

#include "tpumlir/codegen/Context.h"

namespace tpumlir::codegen {

/// How the loops of an op are cut, in elements per tile.
struct ConvTiling {
  int64_t n, oc, h, w, ic;
};

/// What the solver has to know of a convolution, per group.
struct ConvProblem {
  int64_t n, ic, oc, oh, ow, groups;
  int64_t kernel;       ///< elements of the kernel window
  int64_t mostH, mostW; ///< most rows and columns of a tile of the output
  bool hasBias;
  /// Greatest local extents of the input under h x w outputs.
  std::function<std::pair<int64_t, int64_t>(int64_t, int64_t)> inputExtent;
};

/// Local memory of a tiling and how many buffers of each kind it needs. There
/// are two of what a following tile loads or computes anew.
struct ConvBuffers {
  int64_t inputBytes, filterBytes, biasBytes, outputBytes;
  int64_t inputs, filters, outputs;
  int64_t total() const {
    return inputs * inputBytes + filters * (filterBytes + biasBytes) +
           outputs * outputBytes;
  }
};

ConvBuffers buffersOf(const ConvProblem &problem, const ConvTiling &tiling);

/// The tiling with the least traffic that fits into local memory, if any does.
std::optional<ConvTiling> solve(const ConvProblem &problem);

/// Parts of an [n, c, h, w] tensor, of which a lane may hold `laneElements`
/// elements of any type: n is cut first, then c (in multiples of the lanes), h
/// and w. A row of 64 bytes must fit.
Dims cutToFit(Dims size, int64_t laneElements);

} // namespace tpumlir::codegen
