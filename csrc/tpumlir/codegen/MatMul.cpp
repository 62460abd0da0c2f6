#include "tpumlir/codegen/Families.h"

using namespace mlir;

namespace tpumlir::codegen {

namespace {

/// Columns of a piece in MM layout: the width of the execution unit, so that
/// the pieces of N spread over as many lanes as possible.
constexpr int64_t kPiece = 16;

/// Greatest tile along each axis. Two sets of tiles, each 512 pieces of 64
/// bytes per lane, take 3/4 of local memory.
constexpr int64_t kTileRows = 512, kTileDepth = 512, kTileColumns = 1024;

/// One product of a batch; strides and pitches in elements.
struct Product {
  int64_t rows, depth, columns;
  int64_t leftPitch, rightPitch; ///< from stored row to stored row
  bool leftTranspose, rightTranspose;
  std::optional<Global> bias;
  bool relu;
  double limit;
};

/// [rows, columns] in MM layout; narrow matrices have one narrow piece.
Local matrix(int64_t addr, int64_t rows, int64_t columns) {
  return aligned(
      addr, {rows, ceilDiv(columns, kPiece), 1, std::min(columns, kPiece)});
}

class MatMulEmitter {
public:
  MatMulEmitter(Emitter &em, const Product &p) : em(em), p(p) {
    tileRows = std::min(p.rows, kTileRows);
    tileDepth = std::min(p.depth, kTileDepth);
    tileColumns = std::min(p.columns, kTileColumns);
    LaneMemory memory;
    for (int i = 0; i < 2; ++i) {
      lefts[i] = memory.take(bytes(tileRows, tileDepth));
      rights[i] = memory.take(bytes(tileDepth, tileColumns));
      biases[i] = memory.take(bytes(1, tileColumns));
      results[i] = memory.take(bytes(tileRows, tileColumns));
    }
    assert(memory.left() >= 0 && "the tile limits leave room");
  }

  /// Queues the product of two matrices.
  void add(const Global &left, const Global &right, const Global &output) {
    for (Range n : cut(p.columns, tileColumns))
      for (Range m : cut(p.rows, tileRows)) {
        ++resultCount;
        for (Range k : cut(p.depth, tileDepth))
          addTile(left, right, output, m, k, n);
      }
  }
  void run() { runSteps(steps); }

private:
  static int64_t bytes(int64_t rows, int64_t columns) {
    return alignedBytes(matrix(0, rows, columns).size);
  }

  void addTile(const Global &left, const Global &right, const Global &output,
               Range m, Range k, Range n) {
    int slot = steps.size() % 2;
    Local a = matrix(lefts[slot], m.size, k.size);
    Local b = matrix(rights[slot], k.size, n.size);
    Local bias = matrix(biases[resultCount % 2], 1, n.size);
    Local out = matrix(results[resultCount % 2], m.size, n.size);
    bool first = k.begin == 0, last = k.begin + k.size == p.depth;
    int64_t lastWidth = k.size - (a.size[1] - 1) * a.size[3];

    Step step;
    step.load = [=, this] {
      em.loadMatrix(left + at(p.leftTranspose, p.leftPitch, m, k), p.leftPitch,
                    k.size, a, p.leftTranspose);
      em.loadMatrix(right + at(p.rightTranspose, p.rightPitch, k, n),
                    p.rightPitch, n.size, b, p.rightTranspose);
      if (first && p.bias)
        em.loadMatrix(*p.bias + n.begin, n.size, n.size, bias, false);
    };
    step.compute = [=, this] {
      em.matMul(out, a, b, first && p.bias ? &bias : nullptr, lastWidth,
                !first);
      if (last)
        emitRelu(em, out, p.relu, p.limit);
    };
    if (last)
      step.store = [=, this] {
        em.storeMatrix(out, output + (m.begin * p.columns + n.begin), p.columns,
                       n.size);
      };
    steps.push_back(std::move(step));
  }

  static int64_t at(bool transpose, int64_t pitch, Range rows, Range columns) {
    return transpose ? columns.begin * pitch + rows.begin
                     : rows.begin * pitch + columns.begin;
  }

  Emitter &em;
  const Product &p;
  int64_t tileRows, tileDepth, tileColumns;
  int64_t lefts[2], rights[2], biases[2], results[2];
  int64_t resultCount = 0;
  std::vector<Step> steps;
};

/// Index into the batch of an operand for each batch of the result.
SmallVector<int64_t> batchIndices(ArrayRef<int64_t> operand,
                                  ArrayRef<int64_t> result) {
  SmallVector<int64_t> indices;
  for (int64_t flat = 0, count = top::elementsOf(result); flat < count;
       ++flat) {
    int64_t rest = flat, index = 0, step = 1;
    for (size_t i = 0; i < result.size(); ++i) {
      int64_t position = rest % result[result.size() - 1 - i];
      rest /= result[result.size() - 1 - i];
      if (i >= operand.size())
        continue;
      int64_t extent = operand[operand.size() - 1 - i];
      index += extent == 1 ? 0 : position * step;
      step *= extent;
    }
    indices.push_back(index);
  }
  return indices;
}

} // namespace

LogicalResult emitMatMul(Emitter &em, tpu::MatMulOp op) {
  SmallVector<int64_t> left(top::shapeOf(op.getInput()));
  SmallVector<int64_t> right(top::shapeOf(op.getRight()));
  SmallVector<int64_t> batch(top::shapeOf(op.getOutput()));
  bool leftTranspose = op.getLeftTranspose();
  bool rightTranspose = op.getRightTranspose();
  // A rank 1 operand is one row, or one column.
  if (left.size() == 1) {
    left.insert(left.begin(), 1);
    leftTranspose = false;
  } else {
    batch.pop_back();
  }
  if (right.size() == 1) {
    right.push_back(1);
    rightTranspose = false;
  } else {
    batch.pop_back();
  }
  Product p{};
  p.leftPitch = left.back();
  p.rightPitch = right.back();
  p.leftTranspose = leftTranspose;
  p.rightTranspose = rightTranspose;
  p.rows = left[left.size() - (leftTranspose ? 1 : 2)];
  p.depth = left[left.size() - (leftTranspose ? 2 : 1)];
  p.columns = right[right.size() - (rightTranspose ? 2 : 1)];
  if (!top::isNone(op.getBias()))
    p.bias = globalOf(op.getBias());
  p.relu = op.getDoRelu();
  p.limit = op.getReluLimit();

  auto leftBatch = ArrayRef(left).drop_back(2);
  auto rightBatch = ArrayRef(right).drop_back(2);
  int64_t leftSize = p.rows * p.depth, rightSize = p.depth * p.columns;
  int64_t outputSize = p.rows * p.columns;
  // One right matrix for all: the batches are more rows.
  if (top::elementsOf(rightBatch) == 1 && !leftTranspose &&
      top::elementsOf(leftBatch) == top::elementsOf(batch)) {
    p.rows *= top::elementsOf(batch);
    batch.clear();
    leftBatch = {};
    rightBatch = {};
  }
  SmallVector<int64_t> lefts = batchIndices(leftBatch, batch);
  SmallVector<int64_t> rights = batchIndices(rightBatch, batch);
  MatMulEmitter emitter(em, p);
  for (auto [i, l, r] : llvm::enumerate(lefts, rights))
    emitter.add(globalOf(op.getInput()) + l * leftSize,
                globalOf(op.getRight()) + r * rightSize,
                globalOf(op.getOutput()) + int64_t(i) * outputSize);
  emitter.run();
  return success();
}

} // namespace tpumlir::codegen
