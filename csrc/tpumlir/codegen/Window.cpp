#include "tpumlir/codegen/Window.h"

using namespace mlir;

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
  // Where there is input; in a tile that is laid out, among what is filled.
  Local inner;
  bool fills = true, loads = true;
  Range rows, columns;
  if (geometry.explicitPads()) {
    AxisTile under = inputUnder(geometry.h, h),
             across = inputUnder(geometry.w, w);
    tile.fields = fieldsOf(geometry, h, w);
    tile.local = aligned(
        addr, {n, c, geometry.h.span(h.size), geometry.w.span(w.size)}, type);
    inner = everyNth(tile.local, {under.before, geometry.h.insert, under.size},
                     {across.before, geometry.w.insert, across.size});
    rows = {under.begin, under.size};
    columns = {across.begin, across.size};
    loads = rows.size > 0 && columns.size > 0;
  } else {
    WindowPart part = windowPart(geometry, h, w);
    tile.fields = part.fields;
    rows = {part.rows.begin, part.rows.size};
    columns = {part.columns.begin, part.columns.size};
    inner = tile.local = aligned(addr, {n, c, rows.size, columns.size}, type);
    fills = part.empty;
    loads = !part.empty;
  }
  const int64_t inW = geometry.w.in, first = rows.begin * inW + columns.begin;
  tile.load = [=, local = tile.local,
               padValue = geometry.padValue](Emitter &em, const Global &input,
                                             int64_t nStride, int64_t cStride) {
    if (fills)
      em.copyLocal(local, padValue);
    if (loads)
      em.load(input + first, {nStride, cStride, inW, 1}, inner);
  };
  return tile;
}

WindowGeometry geometryOf(ArrayRef<int64_t> in, ArrayRef<int64_t> out,
                          ArrayRef<int64_t> kernel, ArrayRef<int64_t> stride,
                          ArrayRef<int64_t> dilation, ArrayRef<int64_t> pads) {
  WindowGeometry geometry;
  geometry.h = {1, 1, 1, 1, 1, 0};
  const size_t axes = kernel.size();
  AxisWindow *windows[] = {&geometry.h, &geometry.w};
  for (size_t i = 0; i < axes; ++i)
    *windows[i + 2 - axes] = {in[i + 2], out[i + 2],  kernel[i],
                              stride[i], dilation[i], pads[i]};
  return geometry;
}

} // namespace tpumlir::codegen
