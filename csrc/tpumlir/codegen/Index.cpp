#include "tpumlir/codegen/Alone.h"
#include "tpumlir/codegen/Dma.h"
#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Rows.h"

using namespace mlir;

namespace tpumlir::codegen {

using isa::ArOp;

namespace {

/// What a gather or scatter along `axis` has in common for every place in the
/// other axes: `list` is the shape of the indices.
RowMove alongAxis(Value table, Value list, int64_t axis) {
  SmallVector<int64_t> size = shapeOf(list);
  RowMove move;
  move.tableStride = rowMajor(top::shapeOf(table));
  move.rowsStride = move.indexStride = rowMajor(size);
  move.tableRows = top::shapeOf(table)[axis];
  move.tableStep = move.tableStride[axis];
  move.count = size[axis];
  move.rowsStep = move.indexStep = move.rowsStride[axis];
  size[axis] = 1; // the lists are what the command walks
  move.size = size;
  return move;
}

/// A number of each tuple of indices: negative ones count from the end; -1 if
/// one is out of range.
class FlatKernel : public LocalKernel {
public:
  explicit FlatKernel(tpu::FlatIndicesOp op) : extents(op.getExtents()) {
    inputs.push_back({op.getIndices(), {}});
    inputs[0].perColumn = int64_t(extents.size());
    outputType = dtypeOf(op.getOutput());
  }

  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &out = tile.output;
    const Nchw &size = out.size;
    const Local y = tile.scratch.tensor(size, out.dtype);
    const Local t = tile.scratch.tensor(size, out.dtype);
    const Local wrong = tile.scratch.tensor(size, out.dtype);
    const int64_t length = int64_t(extents.size());
    for (int64_t k = 0; k < length; ++k) {
      const Local x = everyNth(tile.inputs[0], {0, 1, 1}, {k, length, size[3]});
      const Operand extent = Operand::integer(int32_t(extents[k]));
      em.mask(ArOp::SelectLess, t, x, Operand::integer(0));
      em.ar(ArOp::And, t, t, extent);
      em.ar(ArOp::Add, y, x, t);
      em.mask(ArOp::SelectLess, k == 0 ? wrong : t, y, Operand::integer(0));
      if (k > 0)
        em.ar(ArOp::Or, wrong, wrong, t);
      em.mask(ArOp::SelectGreat, t, y,
              Operand::integer(int32_t(extents[k] - 1)));
      em.ar(ArOp::Or, wrong, wrong, t);
      if (k == 0) {
        em.copyLocal(out, y);
        continue;
      }
      em.ar(ArOp::Mul, out, out, extent);
      em.ar(ArOp::Add, out, out, y);
    }
    em.ar(ArOp::Or, out, out, wrong); // out of range: -1
  }

private:
  SmallVector<int64_t> extents;
};

} // namespace

template <> LogicalResult emit(Emitter &em, tpu::FlatIndicesOp op) {
  const int64_t length = int64_t(op.getExtents().size());
  const int64_t tuples = top::elementsOf(top::shapeOf(op.getOutput()));
  // Input and result twice each, three scratch tensors.
  const int64_t width =
      std::min<int64_t>(isa::kLaneBytes / 4 / (2 * length + 5) / 16 * 16,
                        roundUp(ceilDiv(tuples, isa::kLanes), 16));
  std::vector<Block> blocks = flatBlocks(tuples, width, {false});
  for (Block &block : blocks) {
    Nchw size = block.output.size;
    size[3] *= length;
    block.inputs[0] = LaneView::dense(size);
    block.begins[0] *= length;
  }
  return success(emitTiles(em, op, FlatKernel(op), blocks));
}

template <> LogicalResult emit(Emitter &em, tpu::GatherOp op) {
  ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  int64_t axis = op.getAxis(), batch = op.getBatchDims();
  int64_t outer = top::elementsOf(shape.take_front(axis));
  int64_t count =
      top::elementsOf(top::shapeOf(op.getIndices()).drop_front(batch));
  RowMove move;
  move.width = top::elementsOf(shape.drop_front(axis + 1));
  move.tableRows = shape[axis];
  move.count = count;
  move.tableStep = move.rowsStep = move.width;
  move.indexStep = 1;
  move.size = {outer};
  move.tableStride = {shape[axis] * move.width};
  move.rowsStride = {count * move.width};
  move.indexStride = {batch > 0 ? count : 0};
  move.table = globalOf(op.getInput());
  move.rows = globalOf(op.getOutput());
  move.index = globalOf(op.getIndices());
  emitGatherRows(em, move);
  return success();
}

template <> LogicalResult emit(Emitter &em, tpu::GatherElementsOp op) {
  RowMove move = alongAxis(op.getInput(), op.getIndices(), op.getAxis());
  move.table = globalOf(op.getInput());
  move.rows = globalOf(op.getOutput());
  move.index = globalOf(op.getIndices());
  emitGatherRows(em, move);
  return success();
}

/// The result starts as a copy of the table; then the rows go into it.
template <typename OpTy>
static LogicalResult emitScatter(Emitter &em, OpTy op, Value table,
                                 RowMove move) {
  emitCopy(em, {shapeOf(table), rowMajor(top::shapeOf(table)),
                rowMajor(top::shapeOf(table)), globalOf(table),
                globalOf(op.getOutput())});
  move.table = globalOf(op.getOutput());
  move.rows = globalOf(op.getUpdates());
  move.index = globalOf(op.getIndices());
  auto combine = [&]() -> std::optional<ArOp> {
    switch (op.getReduction()) {
    case top::ScatterMode::none:
      return std::nullopt;
    case top::ScatterMode::add:
      return ArOp::Add;
    case top::ScatterMode::mul:
      return ArOp::Mul;
    case top::ScatterMode::max:
      return ArOp::Max;
    case top::ScatterMode::min:
      return ArOp::Min;
    }
    llvm_unreachable("every mode is listed");
  }();
  if (!combine) {
    emitScatterRows(em, move);
    return success();
  }
  if (succeeded(emitCombineRows(em, move, *combine, op.getUnique())))
    return success();
  return op.emitError("expected at most ")
         << kMostCombineSteps
         << " indices that may name a place twice, got more (make them "
            "constant, or split the updates over several nodes)";
}

template <> LogicalResult emit(Emitter &em, tpu::ScatterElementsOp op) {
  return emitScatter(em, op, op.getInput(),
                     alongAxis(op.getInput(), op.getIndices(), op.getAxis()));
}

template <> LogicalResult emit(Emitter &em, tpu::ScatterNDOp op) {
  RowMove move;
  move.width = top::shapeOf(op.getUpdates())[1];
  move.tableRows = top::shapeOf(op.getInputData())[0];
  move.count = top::shapeOf(op.getUpdates())[0];
  move.tableStep = move.rowsStep = move.width;
  move.indexStep = 1;
  return emitScatter(em, op, op.getInputData(), move);
}

template <> LogicalResult emit(Emitter &em, tpu::TriluOp op) {
  SmallVector<int64_t> shape = shapeOf(op.getInput());
  int64_t cols = shape.back(), rows = shape[shape.size() - 2];
  int64_t matrices = top::elementsOf(ArrayRef(shape).drop_back(2));
  int64_t diagonal = op.getDiagonal();
  Global input = globalOf(op.getInput()), output = globalOf(op.getOutput());
  emitFill(em, output, top::elementsOf(shape), 0);
  auto kept = [&](int64_t row) { // columns of a row
    int64_t at = std::clamp<int64_t>(row + diagonal + !op.getUpper(), 0, cols);
    return op.getUpper() ? Range{at, cols - at} : Range{0, at};
  };
  for (int64_t row = 0; row < rows;) {
    Range range = kept(row);
    int64_t count = 1; // rows that are kept alike go together
    while (row + count < rows && kept(row + count).begin == range.begin &&
           kept(row + count).size == range.size)
      ++count;
    int64_t at = row * cols + range.begin;
    SmallVector<int64_t> stride{rows * cols, cols, 1};
    if (range.size > 0)
      emitCopy(em, {{matrices, count, range.size},
                    stride,
                    stride,
                    input + at,
                    output + at});
    row += count;
  }
  return success();
}

} // namespace tpumlir::codegen
