#include "tpumlir/conversion/top_to_tpu/Lowering.h"

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

struct GatherLowering : Lowering<top::GatherOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::GatherOp op,
                                PatternRewriter &rewriter) const override {
    auto indices = top::constantI64s(op.getIndices());
    if (failed(indices))
      return rewriter.notifyMatchFailure(op, "expected constant indices");
    ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
    int64_t axis = op.getAxis();
    if (axis < 0)
      axis += int64_t(shape.size());
    SmallVector<int64_t> taken(shape);
    taken[axis] = int64_t(indices->size());
    for (int64_t &index : *indices) {
      index += index < 0 ? shape[axis] : 0;
      if (index < 0 || index >= shape[axis])
        return rewriter.notifyMatchFailure(op, "expected indices in range");
    }
    bool reshapes = ArrayRef<int64_t>(taken) != top::shapeOf(op.getOutput());
    Value value = takeAlongAxis(
        rewriter, op, reshapes ? derivedLoc(op, "taken") : op.getLoc(), context,
        op.getInput(), axis, *indices);
    if (!value)
      return rewriter.notifyMatchFailure(
          op, "expected indices that are at most 512 slices");
    if (reshapes)
      value =
          tpu::ReshapeOp::create(rewriter, op.getLoc(), op.getType(), value);
    rewriter.replaceOp(op, value);
    return success();
  }
};

} // namespace

Value takeAlongAxis(PatternRewriter &rewriter, Operation *op, Location loc,
                    const LoweringContext &context, Value input, int64_t axis,
                    ArrayRef<int64_t> indices, size_t limit) {
  int64_t repetition = repetitionOf(indices);
  SmallVector<int64_t> once;
  for (size_t i = 0; i < indices.size(); i += repetition)
    once.push_back(indices[i]);
  SmallVector<Run> runs = runsOf(once);
  if (runs.size() > limit)
    return {};
  std::string name = "axis" + std::to_string(axis);
  Value none = context.none;
  SmallVector<int64_t> shape(top::shapeOf(input));
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
  patterns.add<GatherLowering>(patterns.getContext(), context);
}

} // namespace tpumlir
