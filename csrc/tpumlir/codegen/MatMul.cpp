#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Group.h"
#include "tpumlir/codegen/Halves.h"
#include "tpumlir/codegen/LocalKernel.h"
#include "tpumlir/codegen/Quantized.h"

using namespace mlir;

namespace tpumlir::codegen {

namespace {

/// Columns of a piece in MM layout: the width of the execution unit, so that
/// the pieces of N spread over as many lanes as possible.
constexpr int64_t kPiece = 16;

/// Greatest tile along each axis. F32: two sets of tiles, each 512 pieces of 64
/// bytes per lane, take 3/4 of local memory. Halves, rows in the lanes: two
/// sets of operands and results and one F32 result take 2/3.
struct TileLimits {
  int64_t rows, depth, columns;
};
constexpr TileLimits kWordTiles{512, 512, 1024}, kHalfTiles{512, 1024, 1024};

/// One product of a batch; strides and pitches in elements.
struct Product {
  int64_t rows, depth, columns;
  int64_t leftPitch, rightPitch; ///< from stored row to stored row
  bool leftTranspose, rightTranspose;
  isa::DType type, resultType; ///< of both operands; of the result
  std::optional<Global> bias;
  Relu relu;

  /// One command that computes a result of halves may write them: the bounds of
  /// the fused Relu are numbers of the type of operands and result.
  bool narrows() const { return resultType == type && takesHalves(relu, type); }
};

/// F32 matrices lie in MM layout, halves with a row per lane.
class MatMulEmitter {
public:
  MatMulEmitter(Emitter &em, const Product &p)
      : em(em), p(p), half(p.type != isa::DType::F32),
        turned(half && p.rightTranspose) {
    const TileLimits &limits = half ? kHalfTiles : kWordTiles;
    tileRows = std::min(p.rows, limits.rows);
    tileDepth = std::min(p.depth, limits.depth);
    tileColumns = std::min(p.columns, limits.columns);
    LaneMemory memory;
    for (int i = 0; i < 2; ++i) {
      lefts[i] = memory.take(bytes(tileRows, tileDepth));
      rights[i] = memory.take(turned ? bytes(tileColumns, tileDepth)
                                     : bytes(tileDepth, tileColumns));
      biases[i] =
          memory.take(alignedBytes(sizeOf(1, tileColumns), isa::DType::F32));
    }
    // One command per tile and nothing added to it: MM2 rounds the sums.
    narrows = p.narrows() && tileDepth == p.depth && !p.bias;
    results = TileBuffers(memory, p.resultType, sizeOf(tileRows, tileColumns),
                          2, !narrows);
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
  /// [rows, columns] in the lanes; narrow ones have one narrow piece.
  Nchw sizeOf(int64_t rows, int64_t columns) const {
    if (half)
      return {1, rows, 1, columns};
    return {rows, ceilDiv(columns, kPiece), 1, std::min(columns, kPiece)};
  }
  Local matrix(int64_t addr, int64_t rows, int64_t columns) const {
    return aligned(addr, sizeOf(rows, columns), p.type);
  }
  int64_t bytes(int64_t rows, int64_t columns) const {
    return alignedBytes(sizeOf(rows, columns), p.type);
  }

  void addTile(const Global &left, const Global &right, const Global &output,
               Range m, Range k, Range n) {
    int slot = steps.size() % 2;
    Local a = matrix(lefts[slot], m.size, k.size);
    Local b = turned ? matrix(rights[slot], n.size, k.size)
                     : matrix(rights[slot], k.size, n.size);
    Local bias = biasLocal(biases[resultCount % 2], m.size, n.size);
    Nchw size = sizeOf(m.size, n.size);
    Local out = results.computed(resultCount, size);
    Local stored = results.stored(resultCount, size);
    bool first = k.begin == 0, last = k.begin + k.size == p.depth;

    Step step;
    step.load = [=, this] {
      loadOperand(left + at(p.leftTranspose, p.leftPitch, m, k), p.leftPitch, a,
                  k.size, p.leftTranspose);
      loadOperand(right + at(p.rightTranspose, p.rightPitch, k, n),
                  p.rightPitch, b, n.size, p.rightTranspose && !turned);
      if (p.bias && (half ? last : first))
        loadBias(*p.bias + n.begin, bias, n.size);
    };
    step.compute = [=, this] {
      if (half)
        em.halfMatMul(out, a, b, turned, !first);
      else
        em.matMul(out, a, b, first && p.bias ? &bias : nullptr,
                  k.size - (a.size[1] - 1) * a.size[3], !first);
      if (!last)
        return;
      if (half && p.bias)
        em.ar(isa::ArOp::Add, out, out, bias);
      emitReluOfSum(em, out, p.relu);
      castTile(em, stored, out);
    };
    if (last)
      step.store = [=, this] {
        Global to = output + (m.begin * p.columns + n.begin);
        if (half)
          em.store(stored, to, {0, p.columns, 1, 1});
        else
          em.storeMatrix(stored, to, p.columns, n.size);
      };
    steps.push_back(std::move(step));
  }

  /// MM starts from the bias; after MM2 it is added to every row.
  Local biasLocal(int64_t addr, int64_t rows, int64_t columns) const {
    return half ? inEveryLane(addr, {1, 1, 1, columns}, rows)
                : aligned(addr, sizeOf(1, columns));
  }
  void loadBias(const Global &from, const Local &bias, int64_t columns) {
    if (half)
      em.loadEveryLane(from, {1, 1, 1, 1}, bias);
    else
      em.loadMatrix(from, columns, columns, bias, false);
  }

  void loadOperand(const Global &from, int64_t pitch, const Local &to,
                   int64_t columns, bool transpose) {
    if (!half)
      em.loadMatrix(from, pitch, columns, to, transpose);
    else if (transpose)
      em.loadTransposed(from, pitch, to);
    else
      em.load(from, {0, pitch, 1, 1}, to);
  }

  static int64_t at(bool transpose, int64_t pitch, Range rows, Range columns) {
    return transpose ? columns.begin * pitch + rows.begin
                     : rows.begin * pitch + columns.begin;
  }

  Emitter &em;
  const Product &p;
  bool half;
  bool turned;          ///< MM2 takes the right matrix either way, MM does not
  bool narrows = false; ///< MM2 writes halves
  int64_t tileRows, tileDepth, tileColumns;
  int64_t lefts[2], rights[2], biases[2];
  TileBuffers results;
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

/// What an op says of its product, and the batch axes of its tensors.
struct Problem {
  Product product{};
  SmallVector<int64_t> left, right, batch;
};

Problem problemOf(tpu::MatMulOp op) {
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
  p.type = dtypeOf(op.getInput());
  p.resultType = dtypeOf(op.getOutput());
  if (!top::isNone(op.getBias()))
    p.bias = globalOf(op.getBias());
  p.relu = Relu::of(op);
  return {p, left, right, batch};
}

} // namespace

template <> LogicalResult emit(Emitter &em, tpu::MatMulOp op) {
  if (isQuantized(op.getInput()))
    return emitAlone(em, op);
  auto [p, left, right, batch] = problemOf(op);
  if (dtypeOf(op.getRight()) != p.type || !isa::isFloat(p.type))
    return op.emitError("expected operands of one float type, got ")
           << isa::name(p.type) << " and " << isa::name(dtypeOf(op.getRight()));
  if (p.bias && p.bias->dtype != isa::DType::F32)
    return op.emitError("expected a bias of f32, got ")
           << isa::name(p.bias->dtype);
  auto leftBatch = ArrayRef(left).drop_back(2);
  auto rightBatch = ArrayRef(right).drop_back(2);
  int64_t leftSize = p.rows * p.depth, rightSize = p.depth * p.columns;
  int64_t outputSize = p.rows * p.columns;
  // One right matrix for all: the batches are more rows.
  if (top::elementsOf(rightBatch) == 1 && !p.leftTranspose &&
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

//===----------------------------------------------------------------------===//
// Local form
//===----------------------------------------------------------------------===//

namespace {

/// Rows times a matrix that all share, as a convolution: the depth is in the
/// lanes, the rows are its places, the columns its output channels. A single
/// row, for which MM2 takes as long as for 64, lies so, and a transposed left
/// matrix too; other rows, which lie in the lanes, are turned before, and all
/// but the single one after.
class ProductKernel : public LocalKernel {
public:
  ProductKernel(tpu::MatMulOp op, const Product &p, const LaneView &left,
                const LaneView &result, bool isRow, Range part)
      : LocalKernel(op.getInput(), left, op.getOutput(), result), columns(part),
        isRow(isRow), turnsLeft(!isRow && !p.leftTranspose),
        narrows(p.narrows()), relu(p.relu) {
    isa::DType type = p.type;
    if (isRow)
      channels = part;
    else if (part.size != result.size[3])
      partOfColumns = part;
    // Of the last cube only the channels that there are count (H7).
    int64_t cube = isa::convChannelCube(type), cubes = ceilDiv(p.depth, cube);
    WholeInput matrix{op.getRight(),
                      compact(0, {1, part.size, cubes, cube}, type),
                      {0, 1, cube * p.rightPitch, p.rightPitch}};
    if (p.rightTranspose)
      matrix.stride = {0, p.rightPitch, cube, 1};
    if (p.depth % cube != 0) {
      matrix.filled = p.depth;
      if (!op.getRight().getDefiningOp<top::WeightOp>())
        matrix.loose = compact(0, {1, part.size, 1, p.depth}, type);
    }
    matrix.begin = part.begin * matrix.stride[1];
    matrix.isFilter = true;
    wholes.push_back(matrix);
    quantized = Quantization::of(op.getOutput());
    if (quantized) {
      zeros = {op.getInput(), op.getRight()};
      wholes.push_back(multiRows(op.getMulti(), part));
    }
    if (p.bias) {
      WholeInput vector{
          op.getBias(), compact(0, {1, part.size, 1, 1}), {0, 1, 1, 1}};
      vector.begin = part.begin;
      wholes.push_back(vector);
    }
  }

  /// A depth that does not fill its cubes: each row goes to where cubes begin.
  void pack(Emitter &em, size_t, const Local &to,
            const Local &from) const override {
    if (from.dtype == isa::DType::I8) // of bytes the rest must not count
      em.copyLocal(to, Operand::integer(0));
    Local rows = to.strided();
    rows.size = from.size;
    em.copyLocal(rows, from);
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    LaneMemory &memory = tile.scratch;
    const Local *bias = tile.wholes.size() > 1 ? &tile.wholes[1] : nullptr;
    Local in = tile.inputs[0], out = tile.output;
    if (turnsLeft) {
      in = memory.tensor(turned(in.size), in.dtype);
      em.transposeLanes(in, tile.inputs[0]);
    }
    // The part of the rows that it computes.
    Nchw part = out.size;
    if (!isRow) {
      part[3] = columns.size;
      out = memory.tensor(turned(part), out.dtype);
    }
    Local sum = out;
    if (!narrows && out.dtype != isa::DType::F32)
      sum = memory.tensor(out.size,
                          quantized ? isa::DType::I32 : isa::DType::F32);
    in = in.withSign(tile.inputs[0].isSigned);
    const auto moved = zeros.ofFilter(em, memory, sum.size[1], tile.wholes[0]);
    const Local *vector = moved ? &*moved : quantized ? nullptr : bias;
    auto multiply = [&](const Local &sum, const Local &in,
                        const WindowFields &window) {
      em.conv(sum, in, tile.wholes[0], vector, window, false);
    };
    multiply(sum, in, {});
    if (quantized) {
      zeros.subtract(em, sum, zeros.prepare(em, memory, sum, in, 1, 1),
                     multiply);
      out.isSigned = tile.output.isSigned;
      em.requantize(out, sum, tile.wholes[1]);
      holdStored(em, out, *quantized, relu);
    } else {
      emitReluOfSum(em, sum, relu);
      castTile(em, out, sum);
    }
    if (isRow)
      return;
    if (part == tile.output.size)
      return em.transposeLanes(tile.output, out);
    Local rows = memory.tensor(part, out.dtype);
    em.transposeLanes(rows, out);
    em.copyLocal(tile.output.part(3, columns.begin, columns.size), rows);
  }

private:
  Range columns;
  bool isRow, turnsLeft;
  bool narrows; ///< the convolution writes halves
  Relu relu;
  std::optional<Quantization> quantized; ///< of integers: the result
  ProductZeros zeros;
};

/// One row in F32 times a constant matrix by MM, which has 16 columns a cycle
/// in every lane where a convolution of one place has one. Row i of the vectors
/// over the lanes holds the elements i * 64 and on. Column i of the pieces that
/// MM reads and writes is that row: only the gaps between the rows go, and the
/// matrix, a constant, has its rows and columns in that order.
class RowKernel : public LocalKernel {
public:
  RowKernel(tpu::MatMulOp op, const Product &p, Range part)
      : LocalKernel(op.getInput(), LaneView::perChannel(p.depth),
                    op.getOutput(), LaneView::perChannel(p.columns)),
        bias(p.bias.has_value()), relu(p.relu) {
    channels = part;
    int64_t down = p.rightPitch, right = 1; // in the matrix as it is stored
    if (p.rightTranspose)
      std::swap(down, right);
    const int64_t width = part.size / kLanes;
    // Rows of the matrix: those of a lane of the vector after each other.
    Local matrix = aligned(0, {kLanes, kLanes, p.depth / kLanes, width});
    const int64_t pitch = roundUp(width, isa::euWidth(isa::DType::F32));
    matrix.stride = {p.depth / kLanes * pitch, pitch, pitch, 1};
    wholes.push_back(
        {op.getRight(), matrix, {down, right, kLanes * down, kLanes * right}});
    wholes.back().begin = part.begin * right;
    if (!bias)
      return;
    wholes.push_back(
        {op.getBias(), aligned(0, {1, kLanes, 1, width}), {0, 1, 1, kLanes}});
    wholes.back().begin = part.begin;
  }

  /// Whether vectors fill the lanes, and the pieces of a row their vectors.
  static bool takes(tpu::MatMulOp op, const Product &p, Range part) {
    const int64_t width = part.size / kLanes;
    return p.type == isa::DType::F32 && p.resultType == isa::DType::F32 &&
           bool(op.getRight().getDefiningOp<top::WeightOp>()) &&
           p.depth % kLanes == 0 && part.size % kLanes == 0 &&
           3 * roundUp(width, isa::euWidth(p.type)) <= 4 * width;
  }

  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    // The rows of a vector as columns of pieces.
    auto columnsOf = [](const Local &vector) {
      Local columns = vector.strided();
      columns.size = pieces(vector.size);
      columns.stride[3] = vector.stride[1];
      return columns;
    };
    const Local left = tile.scratch.tensor(pieces(tile.inputs[0].size));
    const Local sum = tile.scratch.tensor(pieces(tile.output.size));
    em.copyLocal(left, columnsOf(tile.inputs[0]));
    em.matMul(sum, left, tile.wholes[0], bias ? &tile.wholes[1] : nullptr,
              left.size[3], false);
    emitRelu(em, sum, relu);
    em.copyLocal(columnsOf(tile.output), sum);
  }

private:
  static constexpr int64_t kLanes = isa::kLanes;

  static Nchw pieces(const Nchw &vector) {
    return {1, kLanes, 1, vector[1] / kLanes};
  }

  bool bias;
  Relu relu;
};

/// Products of batches of matrices of which neither has to be a constant, the
/// rows of each over the lanes. Halves by MM2. F32 and bytes as a convolution
/// whose filter is the left matrix, a row of it for each lane, and whose input
/// is the right one, its columns the places: what it gives has the rows in the
/// lanes.
class BatchesKernel : public LocalKernel {
public:
  BatchesKernel(tpu::MatMulOp op, const Product &p, const LaneView &left,
                const LaneView &right, const LaneView &result)
      : LocalKernel(op.getInput(), left, op.getOutput(), result), p(p) {
    inputs.push_back({op.getRight(), right});
    quantized = Quantization::of(op.getOutput());
    if (quantized) {
      // The right one is the input of the convolution.
      zeros = {op.getRight(), op.getInput()};
      zeros.unknown = zeros.input;
      // Scales are those of whole tensors; a bias has offsets by columns.
      auto multi = top::constantF32s(op.getMulti());
      if (succeeded(multi) &&
          llvm::equal(multi->drop_front(2), multi->drop_back(2))) {
        factor = (*multi)[0];
        offset = (*multi)[1];
      } else {
        wholes.push_back({op.getMulti(),
                          inEveryLane(0, {1, 1, 1, 2 * p.columns}, p.rows),
                          {0, 1, 1, 1}});
      }
    }
    // The same for every row.
    if (p.bias)
      wholes.push_back({op.getBias(),
                        inEveryLane(0, {1, 1, 1, p.columns}, p.rows),
                        {0, 1, 1, 1}});
  }

  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    LaneMemory &memory = tile.scratch;
    auto turn = [&](const Local &from) {
      Local to =
          memory.tensor(turned(from.size), p.type).withSign(from.isSigned);
      em.transposeLanes(to, from);
      return to;
    };
    // MM2 writes halves.
    const bool narrows = p.narrows() && !p.bias;
    Local left = p.leftTranspose ? turn(tile.inputs[0]) : tile.inputs[0];
    Local right = turnsRight() ? turn(tile.inputs[1]) : tile.inputs[1];
    Local filter = filterLocal().withSign(left.isSigned);
    if (packsLeft()) {
      filter.addr = memory.take(filter.bytes());
      if (quantized) // the rest of the last cube must not count
        em.copyLocal(filter, Operand::integer(0));
    }
    Local sum = tile.output;
    if (!narrows && outputType != isa::DType::F32)
      sum = memory.tensor(sum.size,
                          quantized ? isa::DType::I32 : isa::DType::F32);
    // A sum begins with it as that of a product by itself does (N4, N5).
    const auto part = zeros.prepare(em, memory, sum, right, 1, 1);
    const auto moved = zeros.ofFilter(em, memory, sum.size[1], filter);
    const bool accumulates = p.bias && !isHalf(p.type);
    if (accumulates)
      em.copyLocal(sum, tile.wholes[0]);
    for (int64_t n = 0; n < sum.size[0]; ++n) {
      const Local out = sum.batch(n), a = left.batch(n), b = right.batch(n);
      if (isHalf(p.type)) {
        em.halfMatMul(out, a, b, p.rightTranspose, false);
        continue;
      }
      // One left matrix for all is packed once.
      if (!packsLeft())
        filter.addr = a.addr;
      else if (n == 0 || left.size[0] > 1)
        em.copyLocal(rowsOf(filter), a);
      auto multiply = [&](const Local &sum, const Local &in,
                          const WindowFields &window) {
        em.conv(sum, in, filter, moved ? &*moved : nullptr, window,
                accumulates);
      };
      multiply(out, b, {});
      zeros.subtract(em, out, part, multiply);
    }
    if (quantized) {
      if (tile.wholes.empty())
        em.requantize(tile.output, sum, factor, offset);
      else
        requantize(em, memory, tile.output, sum, tile.wholes[0]);
      return holdStored(em, tile.output, *quantized, p.relu);
    }
    if (p.bias && !accumulates)
      em.ar(isa::ArOp::Add, sum, sum, tile.wholes[0]);
    emitReluOfSum(em, sum, p.relu);
    castTile(em, tile.output, sum);
  }

private:
  /// A factor and an offset for each column, which is a place of each lane.
  static void requantize(Emitter &em, LaneMemory &memory, const Local &out,
                         const Local &sum, const Local &multi) {
    auto every = [&](int64_t index) {
      Local numbers = (multi + index).strided();
      numbers.size[3] = sum.size[3];
      numbers.stride[3] = 2;
      return numbers;
    };
    const Local x = memory.tensor(sum.size);
    em.cast(x, sum, support::Rounding::HalfToEven);
    em.ar(isa::ArOp::Mul, x, x, every(0));
    em.ar(isa::ArOp::Add, x, x, every(1));
    em.cast(out, x, support::Rounding::HalfToEven);
  }

  /// MM2 takes the right matrix either way; a convolution wants the depth over
  /// the lanes.
  bool turnsRight() const { return p.rightTranspose && !isHalf(p.type); }
  /// Whether the rows of the left matrix follow each other without gaps only if
  /// they are moved.
  bool packsLeft() const {
    return !isHalf(p.type) && p.depth % isa::euWidth(p.type) != 0;
  }
  /// The left matrix as a filter, in whole cubes of channels.
  Local filterLocal() const {
    const int64_t cube = isa::convChannelCube(p.type);
    return compact(0, {1, p.rows, ceilDiv(p.depth, cube), cube}, p.type);
  }
  /// A row for each lane without what fills its last cube.
  Local rowsOf(Local filter) const {
    filter.size = {1, p.rows, 1, p.depth};
    if (quantized)
      filter.layout = isa::Layout::Strided;
    return filter;
  }
  Product p;
  std::optional<Quantization> quantized; ///< of integers: the result
  ProductZeros zeros;
  float factor = 0, offset = 0;
};

/// None if the matrices have no such views.
Kernels batchesKernels(tpu::MatMulOp op) {
  Problem problem = problemOf(op);
  const Product &p = problem.product;
  const Value operands[] = {op.getInput(), op.getRight(), op.getOutput()};
  const bool isInteger = isQuantized(op.getInput());
  if ((!isa::isFloat(p.type) && !isInteger) ||
      dtypeOf(op.getRight()) != p.type ||
      (p.bias && p.bias->dtype != isa::DType::F32) ||
      llvm::any_of(operands,
                   [](Value value) { return top::rankOf(value) < 3; }))
    return {};
  const int64_t batches = top::elementsOf(problem.batch);
  LaneView views[3];
  for (auto [value, view] : llvm::zip_equal(operands, views))
    view = *LaneView::of(matrixShape(top::shapeOf(value)));
  // Batches of one row lie otherwise; so do others that repeat in part.
  auto lies = [&](const LaneView &view, int64_t rows, int64_t columns,
                  bool isTransposed, bool isShared) {
    if (isTransposed)
      std::swap(rows, columns);
    return view.size == Nchw{isShared ? 1 : batches, rows, 1, columns};
  };
  auto isOne = [](ArrayRef<int64_t> shape) {
    return top::elementsOf(shape.drop_back(2)) == 1;
  };
  if (!lies(views[0], p.rows, p.depth, p.leftTranspose, isOne(problem.left)) ||
      !lies(views[1], p.depth, p.columns, p.rightTranspose,
            isOne(problem.right)) ||
      !lies(views[2], p.rows, p.columns, false, false))
    return {};
  return only<BatchesKernel>(op, p, views[0], views[1], views[2]);
}

} // namespace

template <> Kernels matrixKernelsOf(tpu::MatMulOp op, const MatrixTensors &) {
  return batchesKernels(op);
}

template <> Kernels kernelsOf(tpu::MatMulOp op, int64_t parts) {
  Kernels kernels;
  Problem problem = problemOf(op);
  const Product &p = problem.product;
  if (problem.right.size() > 2)
    return batchesKernels(op);
  const bool isInteger = isQuantized(op.getInput());
  if ((!isa::isFloat(p.type) && !isInteger) ||
      dtypeOf(op.getRight()) != p.type ||
      (p.bias && p.bias->dtype != isa::DType::F32))
    return kernels;
  // The elements of a matrix that is computed have to follow each other along
  // the depth, lest each be loaded by itself.
  if (!p.rightTranspose && !op.getRight().getDefiningOp<top::WeightOp>())
    return kernels;
  std::optional<LaneView> left, result;
  const bool isRow = p.rows == 1 && top::elementsOf(problem.batch) == 1;
  if (isRow) {
    left = LaneView::perChannel(p.depth);
    result = LaneView::perChannel(p.columns);
  } else if (problem.left.size() <= 3) {
    left = LaneView::of(top::shapeOf(op.getInput()));
    result = LaneView::of(top::shapeOf(op.getOutput()));
    // Depth and columns stand in one lane, row by row; the rows of a transposed
    // left matrix stand there, the depth over the lanes.
    Nchw want = result->size;
    want[3] = p.depth;
    if (p.leftTranspose)
      std::swap(want[1], want[3]);
    if (left->size != want || result->size[3] != p.columns ||
        result->size[2] != 1)
      return kernels;
  }
  if (!left)
    return kernels;
  for (Range part : channelParts(p.columns, parts))
    if (isRow && RowKernel::takes(op, p, part))
      kernels.push_back(std::make_unique<RowKernel>(op, p, part));
    else
      kernels.push_back(
          std::make_unique<ProductKernel>(op, p, *left, *result, isRow, part));
  return kernels;
}

} // namespace tpumlir::codegen
