#include "tpumlir/codegen/Dma.h"
#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/LocalKernel.h"

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
  int64_t rows, columns, inner;
  int64_t rowStride, columnStride; ///< of the source from row to row; of the
                                   ///< destination from column to column
  /// One outer axis is n of the commands, the others are looped over.
  int64_t batch = 1, batchSource = 1, batchTarget = 1;
  SmallVector<int64_t> size, source, target;
  Global src, dst;

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
  Turn turn{1, 1, 1, 0, 0};
  turn.src = copy.src;
  turn.dst = copy.dst;
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

class TurnEmitter {
public:
  TurnEmitter(Emitter &em, const Turn &turn) : em(em), turn(turn) {}

  void emit() {
    chooseTile();
    LaneMemory memory;
    for (int64_t &addr : loaded)
      addr = memory.take(alignedBytes(rowsOf(tile), type()));
    for (int64_t &addr : stored)
      addr = memory.take(alignedBytes(columnsOf(tile), type()));
    if (turn.inner > 1) {
      apart = memory.take(alignedBytes(apartOf(tile), type()));
      turned = memory.take(alignedBytes(turnedOf(tile), type()));
    }
    SmallVector<int64_t> index(turn.size.size(), 0);
    do {
      int64_t source = 0, target = 0;
      for (size_t axis = 0; axis < index.size(); ++axis) {
        source += index[axis] * turn.source[axis];
        target += index[axis] * turn.target[axis];
      }
      for (Range n : cut(turn.batch, tile.n))
        for (Range r : cut(turn.rows, tile.rows))
          for (Range c : cut(turn.columns, tile.columns))
            addStep({n.size, r.size, c.size},
                    turn.src +
                        (source + n.begin * turn.batchSource +
                         r.begin * turn.rowStride + c.begin * turn.inner),
                    turn.dst +
                        (target + n.begin * turn.batchTarget +
                         c.begin * turn.columnStride + r.begin * turn.inner));
    } while (next(index));
    runSteps(steps);
  }

private:
  struct Tile {
    int64_t n, rows, columns;
  };

  isa::DType type() const { return turn.src.dtype; }
  // A tile as it comes, with the inner elements in front of the columns, with
  // lanes and columns exchanged, and as it goes.
  Nchw rowsOf(const Tile &t) const {
    return {t.n, t.rows, t.columns, turn.inner};
  }
  Nchw apartOf(const Tile &t) const {
    return {t.n, t.rows, turn.inner, t.columns};
  }
  Nchw turnedOf(const Tile &t) const {
    return {t.n, t.columns, turn.inner, t.rows};
  }
  Nchw columnsOf(const Tile &t) const {
    return {t.n, t.columns, t.rows, turn.inner};
  }
  int64_t bytes(const Tile &t) const {
    int64_t sum = 2 * (alignedBytes(rowsOf(t), type()) +
                       alignedBytes(columnsOf(t), type()));
    if (turn.inner > 1)
      sum +=
          alignedBytes(apartOf(t), type()) + alignedBytes(turnedOf(t), type());
    return sum;
  }

  void chooseTile() {
    tile = {std::min(turn.batch, kMaxField), std::min(turn.rows, kMaxField),
            std::min(turn.columns, kMaxField / turn.inner)};
    tile.rows = std::min(tile.rows, kMaxField / turn.inner);
    while (bytes(tile) > int64_t(isa::kLaneBytes)) {
      if (tile.n > 1)
        tile.n = ceilDiv(tile.n, 2);
      else if (tile.rows > tile.columns)
        tile.rows = ceilDiv(tile.rows, 2);
      else
        tile.columns = ceilDiv(tile.columns, 2);
    }
  }

  bool next(SmallVectorImpl<int64_t> &index) const {
    for (size_t axis = index.size(); axis-- > 0;) {
      if (++index[axis] < turn.size[axis])
        return true;
      index[axis] = 0;
    }
    return false;
  }

  /// Element [n, c, h, w] of a tensor as [n, c, w, h].
  static Local swapped(const Local &local) {
    Local other = local;
    std::swap(other.size[2], other.size[3]);
    std::swap(other.stride[2], other.stride[3]);
    other.layout = isa::Layout::Strided;
    return other;
  }

  void addStep(const Tile &t, const Global &from, const Global &to) {
    int64_t slot = int64_t(steps.size()) % 2;
    Local in = aligned(loaded[slot], rowsOf(t), type());
    Local out = aligned(stored[slot], columnsOf(t), type());
    Step step;
    step.load = [=, this] {
      em.load(from, {turn.batchSource, turn.rowStride, turn.inner, 1}, in);
    };
    step.compute = [=, this] {
      if (turn.inner == 1) {
        // Columns of one element: [n, c, h, 1] lies as [n, c, 1, h].
        Local row = aligned(in.addr, {t.n, t.rows, 1, t.columns}, type());
        Local column = aligned(out.addr, {t.n, t.columns, 1, t.rows}, type());
        return em.transposeLanes(column, row);
      }
      Local rows = aligned(apart, apartOf(t), type());
      Local columns = aligned(turned, turnedOf(t), type());
      em.copyLocal(rows, swapped(in));
      em.transposeLanes(columns, rows);
      em.copyLocal(out, swapped(columns));
    };
    step.store = [=, this] {
      em.store(out, to, {turn.batchTarget, turn.columnStride, turn.inner, 1});
    };
    steps.push_back(std::move(step));
  }

  Emitter &em;
  const Turn &turn;
  Tile tile{};
  int64_t loaded[2], stored[2], apart = 0, turned = 0;
  std::vector<Step> steps;
};

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
  auto byLanes = [&](Emitter &to) { TurnEmitter(to, *turn).emit(); };
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
  TransposeKernel(tpu::PermuteOp op, const LaneView &in, const LaneView &out) {
    inputs.push_back({op.getInput(), in});
    output = out;
    outputType = dtypeOf(op.getOutput());
    channels = {0, out.size[1]};
  }

  static bool takes(const LaneView &in, const LaneView &out) {
    return in.size[2] == 1 &&
           out.size == Nchw{in.size[0], in.size[3], 1, in.size[1]};
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
      : heads(in.size[2]), turns(turns) {
    inputs.push_back({op.getInput(), in});
    output = out;
    outputType = dtypeOf(op.getOutput());
    channels = {0, out.size[1]};
    strides = true;
  }

  Range inputRows(size_t, Range) const override { return {0, heads}; }
  Range inputBatches(size_t, Range batches) const override {
    int64_t first = batches.begin / heads;
    return {first, (batches.begin + batches.size - 1) / heads - first + 1};
  }
  int64_t scratchBytes(const Nchw &out, ArrayRef<Nchw>) const override {
    return turns ? alignedBytes(apart(out), outputType) : 0;
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &in = tile.inputs[0];
    Local out = tile.output;
    if (turns)
      out = aligned(tile.scratch, apart(out.size), outputType);
    const int64_t bytes = isa::bytes(outputType);
    const Range held = inputBatches(0, tile.batches);
    const int64_t end = tile.batches.begin + tile.batches.size;
    for (int64_t n = held.begin; n < held.begin + held.size; ++n) {
      int64_t first = std::max(tile.batches.begin, n * heads);
      int64_t count = std::min(end, (n + 1) * heads) - first;
      Local to = out, from = in;
      to.layout = from.layout = isa::Layout::Strided;
      to.size[0] = count;
      from.size = to.size;
      to.addr += (first - tile.batches.begin) * out.stride[0] * bytes;
      from.addr += ((n - held.begin) * in.stride[0] +
                    (first - n * heads) * in.stride[2]) *
                   bytes;
      from.stride[0] = in.stride[2];
      em.copyLocal(to, from);
    }
    if (turns)
      em.transposeLanes(tile.output, out);
  }

private:
  Nchw apart(const Nchw &out) const { return {out[0], out[3], 1, out[1]}; }

  int64_t heads;
  bool turns;
};

/// Matrices [a, heads, rows, d] become [a, rows, heads, d].
class JoinHeadsKernel : public LocalKernel {
public:
  JoinHeadsKernel(tpu::PermuteOp op, const LaneView &in, const LaneView &out)
      : heads(out.size[2]) {
    inputs.push_back({op.getInput(), in});
    output = out;
    outputType = dtypeOf(op.getOutput());
    channels = {0, out.size[1]};
    strides = true;
  }

  Range inputRows(size_t, Range) const override { return {0, 1}; }
  Range inputBatches(size_t, Range batches) const override {
    return {batches.begin * heads, batches.size * heads};
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &in = tile.inputs[0], &out = tile.output;
    const int64_t bytes = isa::bytes(outputType);
    for (int64_t n = 0; n < tile.batches.size; ++n) {
      Local to = out, from = in;
      to.layout = from.layout = isa::Layout::Strided;
      to.size = from.size = {tile.rows.size, out.size[1], 1, out.size[3]};
      to.addr += n * out.stride[0] * bytes;
      from.addr += (n * heads + tile.rows.begin) * in.stride[0] * bytes;
      to.stride[0] = out.stride[2];
      em.copyLocal(to, from);
    }
  }

private:
  int64_t heads;
};

} // namespace

template <>
KernelPtr matrixKernelOf(tpu::PermuteOp op, const MatrixTensors &matrices) {
  const Value input = op.getInput(), result = op.getOutput();
  auto in = LaneView::of(matrices.shapeOf(input));
  auto out = LaneView::of(matrices.shapeOf(result));
  if (!in || !out)
    return nullptr;
  const bool fromMatrices = matrices.contains(input);
  const bool toMatrices = matrices.contains(result);
  ArrayRef<int64_t> shape = top::shapeOf(input);
  if (fromMatrices && toMatrices) {
    // The last two axes, no others.
    SmallVector<int64_t> last =
        llvm::to_vector(llvm::seq<int64_t>(0, int64_t(shape.size())));
    std::swap(last[last.size() - 1], last[last.size() - 2]);
    if (llvm::equal(op.getOrder(), last) && TransposeKernel::takes(*in, *out))
      return std::make_unique<TransposeKernel>(op, *in, *out);
    return nullptr;
  }
  if (shape.size() != 4)
    return nullptr;
  const bool joins = isOrder(op, {0, 2, 1, 3});
  const bool turns = isOrder(op, {0, 2, 3, 1});
  if (toMatrices && (joins || turns)) {
    Nchw want{shape[0] * shape[2], shape[1], 1, shape[3]};
    if (turns)
      std::swap(want[1], want[3]);
    if (out->size == want)
      return std::make_unique<SplitHeadsKernel>(op, *in, *out, turns);
  }
  if (fromMatrices && joins &&
      in->size == Nchw{shape[0] * shape[1], shape[2], 1, shape[3]})
    return std::make_unique<JoinHeadsKernel>(op, *in, *out);
  return nullptr;
}

template <> SmallVector<KernelPtr> kernelsOf(tpu::PermuteOp op, int64_t) {
  SmallVector<KernelPtr> kernels;
  auto in = LaneView::of(top::shapeOf(op.getInput()));
  auto out = LaneView::of(top::shapeOf(op.getOutput()));
  const bool isTranspose = isOrder(op, {1, 0}) || isOrder(op, {0, 2, 1});
  if (isTranspose && TransposeKernel::takes(*in, *out))
    kernels.push_back(std::make_unique<TransposeKernel>(op, *in, *out));
  return kernels;
}

} // namespace tpumlir::codegen
