#include "tpumlir/codegen/Alone.h"
#include "tpumlir/codegen/Dma.h"
#include "tpumlir/codegen/Families.h"

#include "llvm/ADT/STLExtras.h"

#include <optional>

using namespace mlir;

namespace tpumlir::codegen {

namespace {

/// A copy that exchanges two axes: [outer, row, column, inner] becomes [outer,
/// column, row, inner]. GDMA moves such a tensor in pieces of `inner` elements,
/// of which each costs as much as 256 bytes; here rows come into the lanes
/// whole, TIU exchanges lanes and columns, and columns go back whole.
struct Turn {
  int64_t rows = 1, columns = 1, inner = 1;
  /// Of the source from row to row; of the destination from column to column.
  int64_t rowStride = 0, columnStride = 0;
  /// One outer axis is n of the commands, the others are looped over.
  int64_t batch = 1, batchSource = 1, batchTarget = 1;
  SmallVector<int64_t> size, source, target;

  /// Null if the copy is no such exchange, or its pieces are long.
  static std::optional<Turn> of(const DmaCopy &copy);
};

/// Pieces of this many bytes cost GDMA no more than their bytes do.
constexpr int64_t kLongPiece = 256;

std::optional<Turn> Turn::of(const DmaCopy &copy) {
  // Axes of the tensor that are not of size 1, in the order of the target.
  SmallVector<size_t> axes;
  for (size_t axis = 0; axis < copy.size.size(); ++axis)
    if (copy.size[axis] > 1)
      axes.push_back(axis);
  Turn turn;
  // What is contiguous on both sides, then on either.
  while (!axes.empty() && copy.srcStride[axes.back()] == turn.inner &&
         copy.dstStride[axes.back()] == turn.inner) {
    turn.inner *= copy.size[axes.back()];
    axes.pop_back();
  }
  // Rows are what the target has side by side, columns what the source has.
  auto take = [&](ArrayRef<int64_t> dense, ArrayRef<int64_t> other,
                  int64_t &extent, int64_t &stride) {
    int64_t next = turn.inner;
    for (bool found = true; found;) {
      found = false;
      for (size_t axis : axes) {
        bool continues = stride == 0 || other[axis] == stride * extent;
        if (dense[axis] != next || !continues)
          continue;
        if (stride == 0)
          stride = other[axis];
        extent *= copy.size[axis];
        next *= copy.size[axis];
        llvm::erase(axes, axis);
        found = true;
        break;
      }
    }
    return stride > 0;
  };
  if (!take(copy.dstStride, copy.srcStride, turn.rows, turn.rowStride) ||
      !take(copy.srcStride, copy.dstStride, turn.columns, turn.columnStride))
    return std::nullopt;
  if (turn.inner * int64_t(isa::bytes(copy.src.dtype)) >= kLongPiece)
    return std::nullopt;
  if (!axes.empty()) {
    size_t most = *llvm::max_element(
        axes, [&](size_t a, size_t b) { return copy.size[a] < copy.size[b]; });
    llvm::erase(axes, most);
    turn.batch = copy.size[most];
    turn.batchSource = copy.srcStride[most];
    turn.batchTarget = copy.dstStride[most];
  }
  for (size_t axis : axes) {
    turn.size.push_back(copy.size[axis]);
    turn.source.push_back(copy.srcStride[axis]);
    turn.target.push_back(copy.dstStride[axis]);
  }
  return turn;
}

/// Rows of the source in the lanes become columns of the target there.
class TurnKernel : public LocalKernel {
public:
  TurnKernel(tpu::PermuteOp op, const Turn &turn)
      : LocalKernel(op.getInput(),
                    {{turn.batch, turn.rows, turn.columns, turn.inner},
                     {turn.batchSource, turn.rowStride, turn.inner, 1}},
                    op.getOutput(),
                    {{turn.batch, turn.columns, turn.rows, turn.inner},
                     {turn.batchTarget, turn.columnStride, turn.inner, 1}}) {
    turns = true;
  }

  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &in = tile.inputs[0], &out = tile.output;
    auto [n, rows, columns, inner] = in.size;
    if (inner == 1) // [n, c, h, 1] lies as [n, c, 1, h]
      return em.transposeLanes(
          aligned(out.addr, {n, columns, 1, rows}, out.dtype),
          aligned(in.addr, {n, rows, 1, columns}, in.dtype));
    // With the inner elements in front of the columns, and turned.
    const Local apart =
        tile.scratch.tensor({n, rows, inner, columns}, in.dtype);
    const Local turned =
        tile.scratch.tensor({n, columns, inner, rows}, in.dtype);
    em.copyLocal(apart, swapped(in));
    em.transposeLanes(turned, apart);
    em.copyLocal(out, swapped(turned));
  }

private:
  /// Element [n, c, h, w] of a tensor as [n, c, w, h].
  static Local swapped(const Local &local) {
    Local other = local.strided();
    std::swap(other.size[2], other.size[3]);
    std::swap(other.stride[2], other.stride[3]);
    return other;
  }
};

void emitTurn(Emitter &em, tpu::PermuteOp op, const Turn &turn) {
  const TurnKernel kernel(op, turn);
  std::vector<Block> blocks{Block::of(kernel)};
  for (size_t axis = turn.size.size(); axis-- > 0;)
    blocks =
        repeated(blocks, turn.size[axis], turn.target[axis], turn.source[axis]);
  const int64_t most = kMaxField / turn.inner;
  const bool fits =
      emitTiles(em, op, kernel, blocks,
                Nchw{std::min(turn.batch, kMaxField), std::min(turn.rows, most),
                     std::min(turn.columns, most), turn.inner});
  (void)fits;
  assert(fits && "pieces are short");
}

uint64_t priceOf(llvm::function_ref<void(Emitter &)> emit) {
  Emitter emitter(Emitter::Mode::Price);
  emit(emitter);
  return emitter.failed() ? UINT64_MAX : emitter.cycles();
}

} // namespace

template <> LogicalResult emit(Emitter &em, tpu::PermuteOp op) {
  if (isInPlace(op))
    return success();
  SmallVector<int64_t> from = rowMajor(top::shapeOf(op.getInput()));
  DmaCopy copy{shapeOf(op.getOutput()),
               {},
               rowMajor(top::shapeOf(op.getOutput())),
               globalOf(op.getInput()),
               globalOf(op.getOutput())};
  for (int64_t axis : op.getOrder())
    copy.srcStride.push_back(from[axis]);
  std::optional<Turn> turn = Turn::of(copy);
  auto byLanes = [&](Emitter &to) { emitTurn(to, op, *turn); };
  auto byCopies = [&](Emitter &to) { emitCopy(to, copy); };
  if (turn && priceOf(byLanes) < priceOf(byCopies))
    byLanes(em);
  else
    byCopies(em);
  return success();
}

//===----------------------------------------------------------------------===//
// Local form
//===----------------------------------------------------------------------===//

namespace {

/// The rows and the columns of matrices exchanged: lanes become columns.
class TransposeKernel : public LocalKernel {
public:
  TransposeKernel(tpu::PermuteOp op, const LaneView &in, const LaneView &out)
      : LocalKernel(op.getInput(), in, op.getOutput(), out) {}

  static bool takes(const LaneView &in, const LaneView &out) {
    return in.size[2] == 1 && out.size == turned(in.size);
  }

  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    em.transposeLanes(tile.output, tile.inputs[0]);
  }
};

/// [a, rows, heads, d] as it lies, the heads of a row behind each other in its
/// lane, becomes matrices [a, heads, rows, d], or those transposed.
class SplitHeadsKernel : public LocalKernel {
public:
  SplitHeadsKernel(tpu::PermuteOp op, const LaneView &in, const LaneView &out,
                   bool turns)
      : LocalKernel(op.getInput(), in, op.getOutput(), out), heads(in.size[2]),
        turns(turns) {
    strides = true;
  }

  Range inputRows(size_t, Range) const override { return {0, heads}; }
  Range inputBatches(size_t, Range batches) const override {
    int64_t first = batches.begin / heads;
    return {first, (batches.begin + batches.size - 1) / heads - first + 1};
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &in = tile.inputs[0];
    Local out = tile.output;
    if (turns)
      out = tile.scratch.tensor(turned(out.size), outputType);
    const Range held = inputBatches(0, tile.batches);
    const int64_t end = tile.batches.begin + tile.batches.size;
    for (int64_t n = held.begin; n < held.begin + held.size; ++n) {
      int64_t first = std::max(tile.batches.begin, n * heads);
      int64_t count = std::min(end, (n + 1) * heads) - first;
      const Local to = out.part(0, first - tile.batches.begin, count);
      Local from = in.part(0, n - held.begin, 1).part(2, first - n * heads, 1);
      from.size = to.size;
      from.stride[0] = in.stride[2];
      em.copyLocal(to, from);
    }
    if (turns)
      em.transposeLanes(tile.output, out);
  }

private:
  int64_t heads;
  bool turns;
};

/// Matrices [a, heads, rows, d] become [a, rows, heads, d].
class JoinHeadsKernel : public LocalKernel {
public:
  JoinHeadsKernel(tpu::PermuteOp op, const LaneView &in, const LaneView &out)
      : LocalKernel(op.getInput(), in, op.getOutput(), out),
        heads(out.size[2]) {
    strides = true;
  }

  Range inputRows(size_t, Range) const override { return {0, 1}; }
  Range inputBatches(size_t, Range batches) const override {
    return {batches.begin * heads, batches.size * heads};
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &in = tile.inputs[0], &out = tile.output;
    for (int64_t n = 0; n < tile.batches.size; ++n) {
      Local to = out.part(0, n, 1), from = in.part(0, n * heads, 1);
      from = from + tile.rows.begin * in.stride[0];
      to.size = from.size = {tile.rows.size, out.size[1], 1, out.size[3]};
      to.stride[0] = out.stride[2];
      em.copyLocal(to, from);
    }
  }

private:
  int64_t heads;
};

} // namespace

template <>
Kernels matrixKernelsOf(tpu::PermuteOp op, const MatrixTensors &matrices) {
  const Value input = op.getInput(), result = op.getOutput();
  auto in = LaneView::of(matrices.shapeOf(input));
  auto out = LaneView::of(matrices.shapeOf(result));
  if (!in || !out)
    return {};
  const bool fromMatrices = matrices.contains(input);
  const bool toMatrices = matrices.contains(result);
  ArrayRef<int64_t> shape = top::shapeOf(input);
  if (fromMatrices && toMatrices) {
    // The last two axes, no others.
    SmallVector<int64_t> last =
        llvm::to_vector(llvm::seq<int64_t>(0, int64_t(shape.size())));
    std::swap(last[last.size() - 1], last[last.size() - 2]);
    if (llvm::equal(op.getOrder(), last) && TransposeKernel::takes(*in, *out))
      return only<TransposeKernel>(op, *in, *out);
    return {};
  }
  if (shape.size() != 4)
    return {};
  const bool joins = isOrder(op, {0, 2, 1, 3});
  const bool turns = isOrder(op, {0, 2, 3, 1});
  if (toMatrices && (joins || turns)) {
    Nchw want{shape[0] * shape[2], shape[1], 1, shape[3]};
    if (turns)
      std::swap(want[1], want[3]);
    if (out->size == want)
      return only<SplitHeadsKernel>(op, *in, *out, turns);
  }
  if (fromMatrices && joins &&
      in->size == Nchw{shape[0] * shape[1], shape[2], 1, shape[3]})
    return only<JoinHeadsKernel>(op, *in, *out);
  return {};
}

template <> Kernels kernelsOf(tpu::PermuteOp op, int64_t) {
  auto in = LaneView::of(top::shapeOf(op.getInput()));
  auto out = LaneView::of(top::shapeOf(op.getOutput()));
  const bool isTranspose = isOrder(op, {1, 0}) || isOrder(op, {0, 2, 1});
  return isTranspose && TransposeKernel::takes(*in, *out)
             ? only<TransposeKernel>(op, *in, *out)
             : Kernels();
}

} // namespace tpumlir::codegen
