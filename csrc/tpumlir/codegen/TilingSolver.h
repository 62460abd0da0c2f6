#pragma once

#include "tpumlir/codegen/Tiles.h"

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
  isa::DType type, resultType; ///< of input and filter; of the result
  /// The filter has to be brought into its layout on the chip.
  bool packs;
  /// A result of halves may be written by the convolution itself, if that is
  /// one command per tile.
  bool narrows;
  /// Greatest local extents of the input under h x w outputs.
  std::function<std::pair<int64_t, int64_t>(int64_t, int64_t)> inputExtent;
};

/// Filters of `oc` output channels over `ic` input channels in the layout that
/// the convolution wants: cubes of input channels.
constexpr Nchw filterTile(int64_t oc, int64_t ic, int64_t kernel,
                          isa::DType type) {
  int64_t cube = isa::convChannelCube(type);
  return {1, oc, ceilDiv(ic, cube), kernel * cube};
}

/// Local memory of a tiling: bytes of each buffer and how many there are. There
/// are two of what a following tile loads or computes anew.
struct ConvBuffers {
  int64_t inputBytes, filterBytes, looseBytes, biasBytes;
  int64_t inputs, filters, looses, biases;
  int64_t outputs, outputBytes; ///< bytes of all, see TileBuffers
  int64_t total() const {
    return inputs * inputBytes + filters * filterBytes + looses * looseBytes +
           biases * biasBytes + outputBytes;
  }
};

/// Whether the result of a tile is accumulated, or rounded, in F32 first.
bool widensResult(const ConvProblem &problem, const ConvTiling &tiling);
ConvBuffers buffersOf(const ConvProblem &problem, const ConvTiling &tiling);

/// The tiling with the least traffic that fits into local memory, if any does.
std::optional<ConvTiling> solve(const ConvProblem &problem);

/// Parts of an [n, c, h, w] tensor, of which a lane may hold `laneElements`
/// elements of any type: n is cut first, then c (in multiples of the lanes), h
/// and w. A row of 64 bytes must fit.
Nchw cutToFit(Nchw size, int64_t laneElements);

} // namespace tpumlir::codegen
