#include "tpumlir/codegen/TilingSolver.h"

#include <limits>

namespace tpumlir::codegen {

namespace {

/// size, then halves of it, down to `least`; parts stay multiples of `unit`.
llvm::SmallVector<int64_t> halves(int64_t size, int64_t unit, int64_t least) {
  llvm::SmallVector<int64_t> parts;
  for (int64_t pieces = 1;; pieces *= 2) {
    int64_t part = ceilDiv(size, pieces);
    if (part < size)
      part = std::min(size, roundUp(part, unit));
    part = std::max(part, std::min(least, size));
    if (part <= kMaxField && (parts.empty() || parts.back() != part))
      parts.push_back(part);
    if (part <= least || part <= unit)
      return parts;
  }
}

} // namespace

bool widensResult(const ConvProblem &p, const ConvTiling &t) {
  return !p.narrows || t.ic < p.ic;
}

ConvBuffers buffersOf(const ConvProblem &p, const ConvTiling &t) {
  auto [inH, inW] = p.inputExtent(t.h, t.w);
  int64_t places = ceilDiv(p.n, t.n) * ceilDiv(p.oh, t.h) * ceilDiv(p.ow, t.w);
  int64_t filters = ceilDiv(p.oc, t.oc) * p.groups;
  int64_t depths = ceilDiv(p.ic, t.ic);
  auto two = [](bool yes) -> int64_t { return yes ? 2 : 1; };
  auto compactRows = [](const Nchw &size, isa::DType type) {
    return roundUp(compactBytes(size, type), isa::kEuBytes);
  };
  // What is loaded has two buffers; a filter in its layout is only seen by TIU.
  int64_t loads = two(filters * depths > 1);
  int64_t outputs = two(places * filters > 1);
  return {
      .inputBytes = alignedBytes({t.n, t.ic, inH, inW}, p.type),
      .filterBytes =
          compactRows(filterTile(t.oc, t.ic, p.kernel, p.type), p.type),
      .looseBytes =
          p.packs ? compactRows({1, t.oc, t.ic, p.kernel}, p.type) : 0,
      .biasBytes =
          p.hasBias ? compactRows({1, t.oc, 1, 1}, isa::DType::F32) : 0,
      .inputs = two(places * filters * depths > 1),
      .filters = p.packs ? 1 : loads,
      .looses = loads,
      .biases = loads,
      .outputs = outputs,
      .outputBytes = TileBuffers::bytes(p.resultType, {t.n, t.oc, t.h, t.w},
                                        outputs, widensResult(p, t)),
  };
}

/// Bytes moved, with each command weighed as some kilobytes.
static double cost(const ConvProblem &p, const ConvTiling &t) {
  int64_t places = ceilDiv(p.n, t.n) * ceilDiv(p.oh, t.h) * ceilDiv(p.ow, t.w);
  int64_t filters = ceilDiv(p.oc, t.oc);
  int64_t depths = ceilDiv(p.ic, t.ic);
  auto [inH, inW] = p.inputExtent(t.h, t.w);
  double bytes = isa::bytes(p.type);
  double input =
      bytes * double(filters * places) * double(t.n * p.ic * inH * inW);
  double filter =
      bytes * double(p.oc * p.ic * p.kernel) * double(depths > 1 ? places : 1);
  return input + filter + 4096.0 * double(places * filters * depths);
}

std::optional<ConvTiling> solve(const ConvProblem &p) {
  std::optional<ConvTiling> best;
  double least = std::numeric_limits<double>::infinity();
  const int64_t lanes = isa::kLanes, cube = isa::convChannelCube(p.type);
  for (int64_t n : halves(p.n, 1, 1))
    for (int64_t oc : halves(p.oc, lanes, lanes))
      for (int64_t ic : halves(p.ic, cube, cube))
        for (int64_t h : halves(p.oh, 1, 1))
          for (int64_t w : halves(p.ow, 1, 1)) {
            // Whole rows are contiguous: cut them last.
            if (h > p.mostH || w > p.mostW ||
                (w < std::min(p.ow, p.mostW) && h > 1))
              continue;
            ConvTiling t{n, oc, h, w, ic};
            if (buffersOf(p, t).total() > int64_t(isa::kLaneBytes))
              continue;
            if (double c = cost(p, t); c < least) {
              least = c;
              best = t;
            }
          }
  return best;
}

Nchw cutToFit(Nchw size, int64_t laneElements) {
  // Rows of halves are rounded up to more elements than those of words.
  auto fits = [&] {
    return alignedBytes(size, isa::DType::F16) / 2 <= laneElements &&
           *llvm::max_element(size) <= kMaxField;
  };
  const int64_t lanes = isa::kLanes;
  while (!fits()) {
    if (size[0] > 1)
      size[0] = ceilDiv(size[0], 2);
    else if (size[1] > lanes)
      size[1] = roundUp(ceilDiv(size[1], 2), lanes);
    else if (size[2] > 1)
      size[2] = ceilDiv(size[2], 2);
    else
      size[3] = ceilDiv(size[3], 2);
  }
  return size;
}

} // namespace tpumlir::codegen
