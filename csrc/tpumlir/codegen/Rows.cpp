#include "tpumlir/codegen/Rows.h"

#include "tpumlir/codegen/Dma.h"
#include "tpumlir/codegen/Reduce.h"
#include "tpumlir/dialect/top/TopUtils.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace tpumlir::codegen {

namespace {

void merge(RowMove &move) {
  mergeAxes(move.size,
            {&move.tableStride, &move.rowsStride, &move.indexStride});
}

/// Some elements of an axis.
RowMove part(const RowMove &move, size_t axis, Range range) {
  RowMove out = move;
  out.table = out.table + range.begin * out.tableStride[axis];
  out.rows = out.rows + range.begin * out.rowsStride[axis];
  out.index = out.index + range.begin * out.indexStride[axis];
  out.size[axis] = range.size;
  return out;
}

/// One element of one axis, which goes away.
RowMove pick(const RowMove &move, size_t axis, int64_t at) {
  RowMove out = part(move, axis, {at, 1});
  for (auto *list :
       {&out.size, &out.tableStride, &out.rowsStride, &out.indexStride})
    list->erase(list->begin() + axis);
  return out;
}

/// Calls `emit` for every part that one command can do: at most one axis, each
/// size within its field.
template <typename Emit> void forEachCommand(const RowMove &move, Emit emit) {
  if (move.width > kMaxField) {
    for (Range columns : cut(move.width, kMaxField)) {
      RowMove part = move;
      part.width = columns.size;
      part.table = part.table + columns.begin;
      part.rows = part.rows + columns.begin;
      forEachCommand(part, emit);
    }
    return;
  }
  if (move.size.size() > 1) { // the longest axis stays
    size_t least = llvm::min_element(move.size) - move.size.begin();
    for (int64_t i = 0; i < move.size[least]; ++i)
      forEachCommand(pick(move, least, i), emit);
    return;
  }
  if (move.size.empty()) {
    RowMove part = move;
    part.size = part.tableStride = part.rowsStride = part.indexStride = {1};
    return emit(part);
  }
  for (Range range : cut(move.size[0], kMaxField))
    emit(part(move, 0, range));
}

IndexedRows command(const RowMove &move) {
  IndexedRows rows;
  rows.lists = move.size[0];
  rows.sharedIndex = move.indexStride[0] == 0;
  rows.tableRows = move.tableRows;
  rows.count = move.count;
  rows.width = move.width;
  rows.tableStride = {move.tableStride[0], move.tableStep};
  rows.rowsStride = {move.rowsStride[0], move.rowsStep};
  rows.indexStride = {move.indexStride[0], move.indexStep};
  rows.index = move.index;
  return rows;
}

} // namespace

void emitGatherRows(Emitter &em, RowMove move) {
  merge(move);
  forEachCommand(move, [&](const RowMove &part) {
    em.gatherRows(part.table, part.rows, command(part));
  });
}

void emitScatterRows(Emitter &em, RowMove move) {
  merge(move);
  forEachCommand(move, [&](const RowMove &part) {
    em.scatterRows(part.rows, part.table, command(part));
  });
}

namespace {

/// Combines the rows of one command, tile by tile: gathered into the lanes,
/// combined, scattered back.
class RowCombiner {
public:
  RowCombiner(Emitter &em, isa::ArOp op, isa::DType type)
      : em(em), op(op), type(type) {}

  void emit(const RowMove &move) {
    // A list in a lane, its rows below each other. Three tensors at once, and
    // as many in F32 if halves are stored.
    int64_t room = isa::kLaneBytes / 6 / 4 / 16 * 16;
    int64_t width = std::min(move.width, room);
    int64_t count = std::max<int64_t>(1, std::min(move.count, room / width));
    int64_t lists = std::min<int64_t>(move.size[0], isa::kLanes);
    for (Range l : cut(move.size[0], lists))
      for (Range i : cut(move.count, count))
        for (Range w : cut(move.width, width))
          tile(move, l, i, w);
  }

private:
  void tile(const RowMove &move, Range l, Range i, Range w) {
    RowMove part = codegen::part(move, 0, l);
    part.count = i.size;
    part.width = w.size;
    part.table = part.table + w.begin;
    part.rows = part.rows + (i.begin * part.rowsStep + w.begin);
    part.index = part.index + i.begin * part.indexStep;
    Nchw size{1, l.size, i.size, w.size};
    LaneMemory memory;
    const Local old = memory.tensor(size, type);
    const Local update = memory.tensor(size, type);
    const Local a = memory.wide(old), b = memory.wide(update);
    IndexedRows rows = command(part);
    em.gatherRows(part.table, old, rows);
    em.load(part.rows,
            {1, std::max<int64_t>(part.rowsStride[0], 1), part.rowsStep, 1},
            update);
    castTile(em, a, old);
    castTile(em, b, update);
    // Max and min lose the NaN of one operand (N7).
    bool loses =
        isa::isFloat(a.dtype) && (op == isa::ArOp::Max || op == isa::ArOp::Min);
    Local nan = a;
    if (loses) {
      nan = memory.tensor(size, a.dtype);
      maskNan(em, nan, op == isa::ArOp::Max ? a : b);
    }
    em.ar(op, a, a, b);
    if (loses)
      orBits(em, a, a, nan);
    castTile(em, old, a);
    em.scatterRows(old, part.table, rows);
  }

  Emitter &em;
  isa::ArOp op;
  isa::DType type;
};

} // namespace

LogicalResult emitCombineRows(Emitter &em, RowMove move, isa::ArOp op,
                              bool unique) {
  merge(move);
  RowCombiner combiner(em, op, move.table.dtype);
  // Commands per index.
  const int64_t others = move.size.empty() ? 1
                                           : top::elementsOf(move.size) /
                                                 *llvm::max_element(move.size);
  if (!unique && move.count * others > kMostCombineSteps)
    return failure();
  forEachCommand(move, [&](const RowMove &part) {
    if (unique)
      return combiner.emit(part);
    for (int64_t i = 0; i < part.count; ++i) {
      RowMove one = part;
      one.count = 1;
      one.rows = one.rows + i * one.rowsStep;
      one.index = one.index + i * one.indexStep;
      combiner.emit(one);
    }
  });
  return success();
}

} // namespace tpumlir::codegen
