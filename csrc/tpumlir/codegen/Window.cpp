#include "tpumlir/codegen/Window.h"

namespace tpumlir::codegen {

namespace {

/// Greatest padding and insertion that the command fields hold.
constexpr int64_t kMaxPad = 15;
constexpr int64_t kMaxInsert = 14;

} // namespace

AxisTile inputUnder(const AxisWindow &axis, const Range &outputs) {
  // In spread elements; the input starts at 0.
  int64_t lo = outputs.begin * axis.stride - axis.padBegin;
  int64_t hi = lo + axis.span(outputs.size);
  int64_t first = ceilDiv(std::max<int64_t>(lo, 0), axis.insert);
  int64_t last = std::min(hi, axis.spread()) - 1;
  if (last < 0 || first * axis.insert > last)
    return {0, 0, 0, hi - lo};
  last /= axis.insert;
  return {first, last - first + 1, first * axis.insert - lo,
          hi - 1 - last * axis.insert};
}

bool WindowGeometry::explicitPads() const {
  auto beyond = [](const AxisWindow &axis) {
    return axis.padBegin > kMaxPad || axis.padEnd() > kMaxPad ||
           axis.insert - 1 > kMaxInsert;
  };
  return beyond(h) || beyond(w);
}

std::pair<int64_t, int64_t> WindowGeometry::inputExtent(int64_t hT,
                                                        int64_t wT) const {
  if (explicitPads())
    return {h.span(hT), w.span(wT)};
  auto extent = [](const AxisWindow &axis, int64_t outputs) {
    return std::min(axis.in, ceilDiv(axis.span(outputs), axis.insert));
  };
  return {extent(h, hT), extent(w, wT)};
}

bool cutsFreely(const WindowGeometry &geometry) {
  if (geometry.explicitPads() || geometry.h.stride > kMaxStride ||
      (geometry.w.stride > kMaxStride && geometry.w.out > 1))
    return false;
  // Columns are never cut: the windows see them from the first one on.
  AxisTile columns = inputUnder(geometry.w, {0, geometry.w.out});
  if (columns.size == 0 || columns.begin != 0)
    return false;
  for (int64_t row = 0; row < geometry.h.out; ++row)
    if (inputUnder(geometry.h, {row, 1}).size == 0)
      return false;
  return true;
}

/// The fields that do not depend on padding.
static WindowFields fieldsOf(const WindowGeometry &geometry, const Range &h,
                             const Range &w) {
  WindowFields f;
  f.kernelH = geometry.h.kernel;
  f.kernelW = geometry.w.kernel;
  f.strideH = h.size == 1 ? 1 : geometry.h.stride;
  f.strideW = w.size == 1 ? 1 : geometry.w.stride;
  f.dilationH = geometry.h.dilation;
  f.dilationW = geometry.w.dilation;
  f.rotate = geometry.rotate;
  return f;
}

WindowPart windowPart(const WindowGeometry &geometry, const Range &h,
                      const Range &w) {
  WindowPart part;
  part.rows = inputUnder(geometry.h, h);
  part.columns = inputUnder(geometry.w, w);
  part.empty = part.rows.size == 0 || part.columns.size == 0;
  // An axis without input elements gets one of padding; the rest of the span is
  // then within the padding fields, being less than a pad or an insertion.
  for (AxisTile *axis : {&part.rows, &part.columns})
    if (axis->size == 0)
      *axis = {0, 1, 0, axis->behind - 1};
  WindowFields &f = part.fields;
  f = fieldsOf(geometry, h, w);
  f.insertH = geometry.h.insert - 1;
  f.insertW = geometry.w.insert - 1;
  f.up = part.rows.before;
  f.down = part.rows.behind;
  f.left = part.columns.before;
  f.right = part.columns.behind;
  return part;
}

WindowTile windowTile(const WindowGeometry &geometry, const Range &h,
                      const Range &w, int64_t addr, isa::DType type, int64_t n,
                      int64_t c) {
  WindowTile tile;
  float padValue = geometry.padValue;
  int64_t inW = geometry.w.in;
  if (geometry.explicitPads()) {
    AxisTile rows = inputUnder(geometry.h, h);
    AxisTile columns = inputUnder(geometry.w, w);
    bool empty = rows.size == 0 || columns.size == 0;
    tile.fields = fieldsOf(geometry, h, w);
    tile.local = aligned(
        addr, {n, c, geometry.h.span(h.size), geometry.w.span(w.size)}, type);
    Local inner = tile.local;
    inner.size[2] = rows.size;
    inner.size[3] = columns.size;
    inner.addr += int64_t(isa::bytes(type)) *
                  (rows.before * inner.stride[2] + columns.before);
    inner.stride[2] *= geometry.h.insert;
    inner.stride[3] *= geometry.w.insert;
    inner.layout = isa::Layout::Strided;
    tile.load = [=, local = tile.local](Emitter &em, const Global &input,
                                        int64_t nStride, int64_t cStride) {
      em.copyLocal(local, padValue);
      if (!empty)
        em.load(input + (rows.begin * inW + columns.begin),
                {nStride, cStride, inW, 1}, inner);
    };
    return tile;
  }
  WindowPart part = windowPart(geometry, h, w);
  tile.fields = part.fields;
  tile.local = aligned(addr, {n, c, part.rows.size, part.columns.size}, type);
  tile.load = [=, local = tile.local](Emitter &em, const Global &input,
                                      int64_t nStride, int64_t cStride) {
    if (part.empty)
      em.copyLocal(local, padValue);
    else
      em.load(input + (part.rows.begin * inW + part.columns.begin),
              {nStride, cStride, inW, 1}, local);
  };
  return tile;
}

} // namespace tpumlir::codegen
