#include "tpumlir/conversion/top_to_tpu/Lowering.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace tpumlir {

namespace {

/// Indices begin, begin + step, ...
struct Run {
  int64_t begin, step, count;
};

SmallVector<Run> runsOf(ArrayRef<int64_t> indices) {
  SmallVector<Run> runs;
  for (int64_t index : indices) {
    if (!runs.empty()) {
      Run &run = runs.back();
      int64_t step = index - (run.begin + (run.count - 1) * run.step);
      if (step != 0 && (run.count == 1 || step == run.step)) {
        run.step = step;
        ++run.count;
        continue;
      }
    }
    runs.push_back({index, 1, 1});
  }
  return runs;
}

/// The greatest s such that the list is another one with each entry s times.
int64_t repetitionOf(ArrayRef<int64_t> indices) {
  int64_t size = int64_t(indices.size());
  for (int64_t s = size; s > 1; --s) {
    if (size % s)
      continue;
    bool holds = true;
    for (int64_t i = 0; holds && i < size; ++i)
      holds = indices[i] == indices[i / s * s];
    if (holds)
      return s;
  }
  return 1;
}

/// What is taken with at most so many copies is not gathered.
constexpr int64_t kMostCopies = 16;

/// GDMA copies forward runs at once, others element by element.
int64_t copiesOf(ArrayRef<Run> runs) {
  int64_t copies = 0;
  for (const Run &run : runs)
    copies += run.step > 0 ? 1 : run.count;
  return copies;
}

Value reshaped(PatternRewriter &rewriter, Operation *op, StringRef suffix,
               Value value, ArrayRef<int64_t> shape) {
  if (top::shapeOf(value) == shape)
    return value;
  return tpu::ReshapeOp::create(rewriter, derivedLoc(op, suffix),
                                top::typeLike(value, shape), value);
}

/// Row numbers from 0 on: of a constant, computed here, or of a run.
struct Rows {
  Value ofRun;
  std::optional<SmallVector<int32_t>> known;

  /// As a tensor of `shape`.
  Value value(PatternRewriter &rewriter, Operation *op,
              ArrayRef<int64_t> shape) const {
    if (!known)
      return ofRun;
    return top::createIndexWeight(
        rewriter, top::partName(top::tensorName(op->getLoc()), "rows"), shape,
        std::vector<int32_t>(known->begin(), known->end()));
  }
};

/// The place of every tuple of `indices` (its last axis) in a row-major tensor
/// of `extents`, of `shape`. Failure for an index out of range and for indices
/// that are not integers.
FailureOr<Rows> rowsOf(PatternRewriter &rewriter, Operation *op, Value indices,
                       ArrayRef<int64_t> extents, ArrayRef<int64_t> shape) {
  if (auto constant = top::constantI64s(indices); succeeded(constant)) {
    SmallVector<int32_t> rows;
    size_t length = extents.size();
    for (size_t t = 0; t < constant->size(); t += length) {
      int64_t row = 0;
      for (size_t k = 0; k < length; ++k) {
        int64_t index = (*constant)[t + k];
        index += index < 0 ? extents[k] : 0;
        if (index < 0 || index >= extents[k])
          return rewriter.notifyMatchFailure(op, "expected indices in range");
        row = row * extents[k] + index;
      }
      rows.push_back(int32_t(row));
    }
    return Rows{Value(), std::move(rows)};
  }
  if (dtypeOf(indices) != DType::I32)
    return rewriter.notifyMatchFailure(op, "expected indices of i32");
  SmallVector<int64_t> tuples(shape);
  tuples.push_back(int64_t(extents.size()));
  Value value = reshaped(rewriter, op, "tuples", indices, tuples);
  value = tpu::FlatIndicesOp::create(rewriter, derivedLoc(op, "rows"),
                                     top::typeLike(indices, shape), value,
                                     rewriter.getI64ArrayAttr(extents));
  return Rows{value, std::nullopt};
}

bool isUnique(const Rows &rows) {
  if (!rows.known)
    return false;
  llvm::DenseSet<int32_t> seen;
  return llvm::all_of(*rows.known,
                      [&](int32_t row) { return seen.insert(row).second; });
}

struct GatherLowering : Lowering<top::GatherOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::GatherOp op,
                                PatternRewriter &rewriter) const override {
    ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
    ArrayRef<int64_t> by = top::shapeOf(op.getIndices());
    int64_t axis = axisOf(op.getAxis(), op.getInput());
    auto rows = rowsOf(rewriter, op, op.getIndices(), shape[axis], by);
    if (failed(rows))
      return failure();
    SmallVector<int64_t> result(shape.take_front(axis));
    llvm::append_range(result, by);
    llvm::append_range(result, shape.drop_front(axis + 1));
    bool reshapes = ArrayRef<int64_t>(result) != top::shapeOf(op.getOutput()) ||
                    (rows->known && by.size() != 1);
    Location loc = reshapes ? derivedLoc(op, "taken") : op.getLoc();
    Value value;
    if (rows->known)
      value = takeAlongAxis(
          rewriter, op, loc, context, op.getInput(), axis,
          SmallVector<int64_t>(rows->known->begin(), rows->known->end()));
    else
      value = tpu::GatherOp::create(rewriter, loc,
                                    top::typeLike(op.getInput(), result),
                                    op.getInput(), rows->ofRun, axis, 0);
    if (reshapes)
      value =
          tpu::ReshapeOp::create(rewriter, op.getLoc(), op.getType(), value);
    rewriter.replaceOp(op, value);
    return success();
  }
};

struct GatherElementsLowering : Lowering<top::GatherElementsOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::GatherElementsOp op,
                                PatternRewriter &rewriter) const override {
    int64_t axis = axisOf(op.getAxis(), op.getInput());
    auto rows =
        rowsOf(rewriter, op, op.getIndices(), top::shapeOf(op.getInput())[axis],
               top::shapeOf(op.getIndices()));
    if (failed(rows))
      return failure();
    rewriter.replaceOpWithNewOp<tpu::GatherElementsOp>(
        op, op.getType(), op.getInput(),
        rows->value(rewriter, op, top::shapeOf(op.getIndices())), axis);
    return success();
  }
};

struct GatherNDLowering : Lowering<top::GatherNDOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::GatherNDOp op,
                                PatternRewriter &rewriter) const override {
    ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
    ArrayRef<int64_t> by = top::shapeOf(op.getIndices());
    int64_t batch = op.getBatchDims();
    ArrayRef<int64_t> extents = shape.slice(batch, by.back());
    int64_t batches = top::elementsOf(shape.take_front(batch));
    int64_t tuples = top::elementsOf(by.drop_back()) / batches;
    int64_t slice = top::elementsOf(shape.drop_front(batch + by.back()));
    auto rows =
        rowsOf(rewriter, op, op.getIndices(), extents, {batches, tuples});
    if (failed(rows))
      return failure();
    Value table = reshaped(rewriter, op, "table", op.getInput(),
                           {batches, top::elementsOf(extents), slice});
    Value taken = tpu::GatherOp::create(
        rewriter, derivedLoc(op, "taken"),
        top::typeLike(table, {batches, tuples, slice}), table,
        rows->value(rewriter, op, {batches, tuples}), 1, 1);
    rewriter.replaceOpWithNewOp<tpu::ReshapeOp>(op, op.getType(), taken);
    return success();
  }
};

/// What the number `reduction` of a scatter stands for.
template <typename OpTy>
FailureOr<top::ScatterMode> modeOf(PatternRewriter &rewriter, OpTy op) {
  for (auto mode :
       {top::ScatterMode::none, top::ScatterMode::add, top::ScatterMode::mul,
        top::ScatterMode::max, top::ScatterMode::min})
    if (int64_t(op.getReduction()) == int64_t(mode))
      return mode;
  return rewriter.notifyMatchFailure(op, "expected a reduction in [0, 4]");
}

struct ScatterElementsLowering : Lowering<top::ScatterElementsOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::ScatterElementsOp op,
                                PatternRewriter &rewriter) const override {
    ArrayRef<int64_t> by = top::shapeOf(op.getIndices());
    int64_t axis = axisOf(op.getAxis(), op.getInput());
    auto rows = rowsOf(rewriter, op, op.getIndices(),
                       top::shapeOf(op.getInput())[axis], by);
    auto mode = modeOf(rewriter, op);
    if (failed(rows) || failed(mode))
      return failure();
    rewriter.replaceOpWithNewOp<tpu::ScatterElementsOp>(
        op, op.getType(), op.getInput(), rows->value(rewriter, op, by),
        op.getUpdates(), axis, *mode, isUnique(*rows, by, axis));
    return success();
  }

  /// Whether no place is named twice: the lists along `axis` are separate.
  static bool isUnique(const Rows &rows, ArrayRef<int64_t> shape,
                       int64_t axis) {
    if (!rows.known)
      return false;
    int64_t inner = top::elementsOf(shape.drop_front(axis + 1));
    llvm::DenseSet<std::pair<int64_t, int64_t>> seen;
    for (auto [i, row] : llvm::enumerate(*rows.known)) {
      int64_t list =
          int64_t(i) / (shape[axis] * inner) * inner + int64_t(i) % inner;
      if (!seen.insert({list, row}).second)
        return false;
    }
    return true;
  }
};

struct ScatterNDLowering : Lowering<top::ScatterNDOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::ScatterNDOp op,
                                PatternRewriter &rewriter) const override {
    ArrayRef<int64_t> shape = top::shapeOf(op.getInputData());
    ArrayRef<int64_t> by = top::shapeOf(op.getIndices());
    ArrayRef<int64_t> extents = shape.take_front(by.back());
    int64_t tuples = top::elementsOf(by.drop_back());
    int64_t slice = top::elementsOf(shape.drop_front(by.back()));
    auto rows = rowsOf(rewriter, op, op.getIndices(), extents, tuples);
    auto mode = modeOf(rewriter, op);
    if (failed(rows) || failed(mode))
      return failure();
    Value table = reshaped(rewriter, op, "table", op.getInputData(),
                           {top::elementsOf(extents), slice});
    Value updates =
        reshaped(rewriter, op, "updates", op.getUpdates(), {tuples, slice});
    Value written = tpu::ScatterNDOp::create(
        rewriter, derivedLoc(op, "written"), table.getType(), table,
        rows->value(rewriter, op, tuples), updates, *mode, isUnique(*rows));
    rewriter.replaceOpWithNewOp<tpu::ReshapeOp>(op, op.getType(), written);
    return success();
  }
};

/// The last axis is sorted, in pieces if it is long: the K best of all are the
/// K best of the pieces' best.
struct TopKLowering : Lowering<top::TopKOp> {
  using Lowering::Lowering;
  static constexpr int64_t kMost = tpu::TopKOp::kMostElements;

  LogicalResult matchAndRewrite(top::TopKOp op,
                                PatternRewriter &rewriter) const override {
    Value x = op.getInput();
    int64_t axis = axisOf(op.getAxis(), x), rank = top::rankOf(x);
    int64_t k = op.getK(), extent = top::shapeOf(x)[axis];
    int64_t pieces = llvm::divideCeil(extent, kMost);
    if (pieces > 1 && pieces * std::min(k, kMost) > kMost)
      return rewriter.notifyMatchFailure(
          op, "expected at most " + std::to_string(kMost / pieces) +
                  " elements to take of " + std::to_string(extent));
    SmallVector<int64_t> order = allAxes(rank);
    std::swap(order[axis], order[rank - 1]); // its own inverse
    bool turns = axis != rank - 1;
    if (turns)
      x = permuted(rewriter, derivedLoc(op, "last"), x, order);
    auto [values, indices] =
        pieces == 1 ? topK(rewriter, op, "", x, 0) : ofPieces(rewriter, op, x);
    std::pair<Value, Value> results[] = {{op.getValues(), values},
                                         {op.getIndices(), indices}};
    SmallVector<Value> replaced;
    for (auto [result, value] : results) {
      if (top::isNone(result))
        value = context.none;
      else if (turns)
        value = permuted(rewriter, top::resultLoc(result), value, order);
      else
        value = named(rewriter, top::resultLoc(result), value);
      replaced.push_back(value);
    }
    rewriter.replaceOp(op, replaced);
    return success();
  }

private:
  /// A tensor under the name of a result; it costs nothing.
  static Value named(PatternRewriter &rewriter, Location loc, Value value) {
    return tpu::ReshapeOp::create(rewriter, loc, value.getType(), value);
  }

  Value permuted(PatternRewriter &rewriter, Location loc, Value value,
                 ArrayRef<int64_t> order) const {
    SmallVector<int64_t> shape;
    for (int64_t axis : order)
      shape.push_back(top::shapeOf(value)[axis]);
    return tpu::PermuteOp::create(rewriter, loc, top::typeLike(value, shape),
                                  value, context.none,
                                  rewriter.getI64ArrayAttr(order));
  }

  static std::pair<Value, Value> topK(PatternRewriter &rewriter, top::TopKOp op,
                                      const std::string &suffix, Value x,
                                      int64_t first) {
    SmallVector<int64_t> shape(top::shapeOf(x));
    shape.back() = std::min<int64_t>(shape.back(), op.getK());
    Location locs[] = {derivedLoc(op, "values" + suffix),
                       derivedLoc(op, "indices" + suffix)};
    auto best = tpu::TopKOp::create(
        rewriter, rewriter.getFusedLoc(locs), top::typeLike(x, shape),
        RankedTensorType::get(shape, rewriter.getI32Type()), x, shape.back(),
        op.getLargest(), first);
    return {best.getValues(), best.getIndices()};
  }

  std::pair<Value, Value> ofPieces(PatternRewriter &rewriter, top::TopKOp op,
                                   Value x) const {
    SmallVector<int64_t> shape(top::shapeOf(x));
    int64_t last = int64_t(shape.size()) - 1, extent = shape[last];
    SmallVector<Value> values, indices;
    int64_t joined = 0;
    for (int64_t begin = 0; begin < extent; begin += kMost) {
      std::string suffix = std::to_string(begin / kMost);
      SmallVector<int64_t> offset(shape.size(), 0), ones(shape.size(), 1);
      SmallVector<int64_t> ends(shape), size(shape);
      offset[last] = begin;
      size[last] = std::min(kMost, extent - begin);
      ends[last] = begin + size[last];
      Value none = context.none;
      Value piece = tpu::SliceOp::create(
          rewriter, derivedLoc(op, "piece" + suffix), top::typeLike(x, size), x,
          none, none, none, none, offset, ones, ends);
      auto [best, places] = topK(rewriter, op, suffix, piece, begin);
      values.push_back(best);
      indices.push_back(places);
      joined += top::shapeOf(best)[last];
    }
    shape[last] = joined;
    auto join = [&](StringRef name, ValueRange parts) -> Value {
      return tpu::ConcatOp::create(
          rewriter, derivedLoc(op, name), top::typeLike(parts[0], shape), parts,
          rewriter.getSI32IntegerAttr(int32_t(last)),
          rewriter.getBoolAttr(false), rewriter.getF64FloatAttr(-1.0));
    };
    auto [best, places] = topK(rewriter, op, "", join("best", values), 0);
    Value chosen = tpu::GatherElementsOp::create(
        rewriter, derivedLoc(op, "places"), places.getType(),
        join("candidates", indices), places, last);
    return {best, chosen};
  }
};

struct TriluLowering : Lowering<top::TriluOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::TriluOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::TriluOp>(
        op, op.getType(), op.getInput(), op.getUpper() != 0, op.getDiagonal());
    return success();
  }
};

} // namespace

Value takeAlongAxis(PatternRewriter &rewriter, Operation *op, Location loc,
                    const LoweringContext &context, Value input, int64_t axis,
                    ArrayRef<int64_t> indices) {
  int64_t repetition = repetitionOf(indices);
  SmallVector<int64_t> once;
  for (size_t i = 0; i < indices.size(); i += repetition)
    once.push_back(indices[i]);
  SmallVector<Run> runs = runsOf(once);
  std::string name = "axis" + std::to_string(axis);
  Value none = context.none;
  SmallVector<int64_t> shape(top::shapeOf(input));
  if (copiesOf(runs) > kMostCopies) {
    shape[axis] = int64_t(indices.size());
    Value rows = top::createIndexWeight(
        rewriter, top::partName(top::tensorName(op->getLoc()), name + "_rows"),
        int64_t(indices.size()),
        std::vector<int32_t>(indices.begin(), indices.end()));
    return tpu::GatherOp::create(rewriter, loc, top::typeLike(input, shape),
                                 input, rows, axis, 0);
  }
  SmallVector<Value> pieces;
  for (auto [i, run] : llvm::enumerate(runs)) {
    SmallVector<int64_t> offset(shape.size(), 0), steps(shape.size(), 1);
    SmallVector<int64_t> ends(shape), size(shape);
    offset[axis] = run.begin;
    steps[axis] = run.step;
    ends[axis] = run.begin + run.count * run.step;
    size[axis] = run.count;
    bool last = runs.size() == 1 && repetition == 1;
    pieces.push_back(tpu::SliceOp::create(
        rewriter, last ? loc : derivedLoc(op, name + "_" + std::to_string(i)),
        top::typeLike(input, size), input, none, none, none, none, offset,
        steps, ends));
  }
  shape[axis] = int64_t(once.size());
  Value value = pieces.front();
  if (pieces.size() > 1)
    value = tpu::ConcatOp::create(
        rewriter, repetition == 1 ? loc : derivedLoc(op, name + "_joined"),
        top::typeLike(input, shape), pieces, axis, false, -1.0);
  if (repetition == 1)
    return value;
  // [.., n, ..] -> [.., n, 1, ..] -> [.., n, s, ..] -> [.., n * s, ..]
  SmallVector<int64_t> apart(shape), tile(shape.size() + 1, 1);
  apart.insert(apart.begin() + axis + 1, 1);
  value = tpu::ReshapeOp::create(rewriter, derivedLoc(op, name + "_apart"),
                                 top::typeLike(input, apart), value);
  tile[axis + 1] = apart[axis + 1] = repetition;
  value = tpu::TileOp::create(rewriter, derivedLoc(op, name + "_repeated"),
                              top::typeLike(input, apart), value, tile);
  shape[axis] *= repetition;
  return tpu::ReshapeOp::create(rewriter, loc, top::typeLike(input, shape),
                                value);
}

void populateIndexLowering(RewritePatternSet &patterns,
                           const LoweringContext &context) {
  patterns.add<GatherLowering, GatherElementsLowering, GatherNDLowering,
               ScatterElementsLowering, ScatterNDLowering, TopKLowering,
               TriluLowering>(patterns.getContext(), context);
}

} // namespace tpumlir
