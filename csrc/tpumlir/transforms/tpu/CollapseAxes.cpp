#include "tpumlir/dialect/top/TopUtils.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/ADT/STLExtras.h"

/// Tensors of more than four axes as tensors of four, which lie in the lanes by
/// their second axis.
using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_COLLAPSEAXES
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

constexpr size_t kAxes = 4;

/// Whether the last two axes, over the lanes and in them, would leave most of
/// both empty: windows of filters, say.
bool isThin(ArrayRef<int64_t> shape) {
  constexpr int64_t kFew = 16;
  return shape.size() > kAxes && shape.back() < kFew &&
         shape[shape.size() - 2] < kFew && top::elementsOf(shape) > 0;
}

/// How axes become fewer: for each new one how many old ones it is.
using Parts = SmallVector<size_t, 8>;

/// Joins axes of `count`, the last ones first, until there are four; `joins`
/// says whether an axis may be one with the next. None if they do not get that
/// few.
std::optional<Parts> partsOf(size_t count,
                             llvm::function_ref<bool(size_t)> joins) {
  size_t left = count - kAxes;
  SmallVector<bool, 8> isJoined(count, false); // with the next one
  for (size_t axis = count - 1; axis-- > 0 && left > 0;)
    if (joins(axis)) {
      isJoined[axis] = true;
      --left;
    }
  if (left > 0)
    return std::nullopt;
  Parts parts;
  for (size_t axis = 0; axis < count; ++axis) {
    if (axis == 0 || !isJoined[axis - 1])
      parts.push_back(0);
    ++parts.back();
  }
  return parts;
}

SmallVector<int64_t> joined(ArrayRef<int64_t> shape, const Parts &parts) {
  SmallVector<int64_t> result;
  for (size_t part : parts) {
    result.push_back(top::elementsOf(shape.take_front(part)));
    shape = shape.drop_front(part);
  }
  return result;
}

/// The shape with ones in front until it has so many axes.
SmallVector<int64_t> extended(ArrayRef<int64_t> shape, size_t axes) {
  SmallVector<int64_t> result(axes - shape.size(), 1);
  llvm::append_range(result, shape);
  return result;
}

Value reshaped(OpBuilder &builder, Value value, ArrayRef<int64_t> shape) {
  if (top::shapeOf(value) == shape)
    return value;
  return tpu::ReshapeOp::create(
      builder, top::partLoc(top::resultLoc(value), "collapsed"),
      top::typeLike(value, shape), value);
}

/// The result of `op` in another shape; everybody else reads it as before.
void setResult(Operation *op, ArrayRef<int64_t> shape) {
  Value result = op->getResult(0);
  Type before = result.getType();
  Location loc = op->getLoc();
  result.setType(top::typeLike(result, shape));
  op->setLoc(top::partLoc(loc, "collapsed"));
  OpBuilder builder(op->getContext());
  builder.setInsertionPointAfter(op);
  auto whole = tpu::ReshapeOp::create(builder, loc, before, result);
  result.replaceAllUsesExcept(whole, whole);
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

/// What computes each element of the elements at its place, those of axes of
/// extent 1 repeated, and nothing of where that is.
bool isMap(Operation *op) {
  return isa<tpu::ActiveOp, tpu::AddOp, tpu::AddConstOp, tpu::ClipOp,
             tpu::DivOp, tpu::LeakyReluOp, tpu::MaxOp, tpu::MaxConstOp,
             tpu::MinOp, tpu::MinConstOp, tpu::MulOp, tpu::MulConstOp,
             tpu::Pow3Op, tpu::ReciprocalOp, tpu::ReluOp, tpu::SubOp,
             tpu::SubConstOp>(op);
}

void collapseMap(Operation *op) {
  SmallVector<int64_t> shape(top::shapeOf(op->getResult(0)));
  // A vector of such a tensor, [1, c, 1, 1, 1], goes along.
  if (shape.size() <= kAxes ||
      (!isThin(shape) && top::elementsOf(shape) != shape[1]))
    return;
  SmallVector<SmallVector<int64_t>> operands;
  for (Value operand : op->getOperands())
    operands.push_back(extended(top::shapeOf(operand), shape.size()));
  auto parts = partsOf(shape.size(), [&](size_t axis) {
    // Axes of extent 1 are one with what follows, so that is what has to fit.
    size_t next = axis + 1;
    while (next < shape.size() && shape[next] == 1)
      ++next;
    if (shape[axis] == 1 || next == shape.size())
      return true;
    return llvm::all_of(operands, [&](ArrayRef<int64_t> operand) {
      auto repeats = [&](size_t a) { return operand[a] != shape[a]; };
      return repeats(axis) == repeats(next);
    });
  });
  if (!parts)
    return;
  OpBuilder builder(op);
  for (auto [operand, from] : llvm::zip_equal(op->getOpOperands(), operands))
    if (top::elementsOf(from) != 1 || top::rankOf(operand.get()) > 1)
      operand.set(reshaped(builder, operand.get(), joined(from, *parts)));
  setResult(op, joined(shape, *parts));
}

/// The greatest or least of long rows of few lanes: of parts of the rows in
/// more of them first. In a sum the order would count.
bool spreadOverLanes(tpu::ReduceOp op) {
  constexpr int64_t kLanes = 64;
  // What is gained pays for the way of one element of each part through DDR.
  constexpr int64_t kLongRow = 4096, kFewParts = 4;
  auto axes = op.getAxes();
  ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  if ((op.getMode() != top::ReduceMode::ReduceMax &&
       op.getMode() != top::ReduceMode::ReduceMin) ||
      axes.empty() || top::elementsOf(shape) == 0 ||
      int64_t(axes.size()) != axes.back() - axes.front() + 1 ||
      top::elementsOf(shape.drop_front(axes.back() + 1)) != 1)
    return false;
  const int64_t outer = top::elementsOf(shape.take_front(axes.front()));
  const int64_t row = top::elementsOf(shape) / outer;
  int64_t parts = kLanes / outer;
  while (parts > 1 && row % parts != 0)
    --parts;
  if (row < kLongRow || parts < kFewParts)
    return false;
  OpBuilder builder(op);
  Value rows = reshaped(builder, op.getInput(), {outer * parts, row / parts});
  auto part = cast<tpu::ReduceOp>(builder.clone(*op));
  part->setLoc(top::partLoc(op.getLoc(), "parts"));
  part.getInputMutable().assign(rows);
  part.setAxesAttr(builder.getI64ArrayAttr({1}));
  part.setKeepdims(true);
  part.getOutput().setType(cast<RankedTensorType>(
      top::typeLike(op.getOutput(), {outer * parts, 1})));
  op.getInputMutable().assign(
      reshaped(builder, part.getOutput(), {outer, parts}));
  op.setAxesAttr(builder.getI64ArrayAttr({1}));
  op.setKeepdims(true);
  setResult(op, {outer, 1});
  return true;
}

void collapse(tpu::ReduceOp op) {
  SmallVector<int64_t> shape(top::shapeOf(op.getInput()));
  if (spreadOverLanes(op) || !isThin(shape))
    return;
  auto isReduced = [&](size_t axis) {
    return llvm::is_contained(op.getAxes(), int64_t(axis));
  };
  auto parts = partsOf(shape.size(), [&](size_t axis) {
    return isReduced(axis) == isReduced(axis + 1);
  });
  if (!parts)
    return;
  SmallVector<int64_t> result = joined(shape, *parts), axes;
  size_t first = 0;
  for (auto [i, part] : llvm::enumerate(*parts)) {
    if (isReduced(first)) {
      axes.push_back(int64_t(i));
      result[i] = 1;
    }
    first += part;
  }
  OpBuilder builder(op);
  op.getInputMutable().assign(
      reshaped(builder, op.getInput(), joined(shape, *parts)));
  op.setAxesAttr(builder.getI64ArrayAttr(axes));
  op.setKeepdims(true);
  setResult(op, result);
}

void collapse(tpu::PermuteOp op) {
  SmallVector<int64_t> shape(top::shapeOf(op.getInput())), order(op.getOrder());
  if (!isThin(shape))
    return;
  // Axes that stay neighbours.
  auto parts = partsOf(order.size(), [&](size_t position) {
    return order[position + 1] == order[position] + 1;
  });
  if (!parts)
    return;
  SmallVector<std::pair<int64_t, size_t>> pieces; // first axis, how many
  size_t position = 0;
  for (size_t part : *parts) {
    pieces.push_back({order[position], part});
    position += part;
  }
  auto sorted = pieces;
  llvm::sort(sorted);
  Parts before;
  for (auto [axis, part] : sorted)
    before.push_back(part);
  SmallVector<int64_t> newOrder;
  for (auto piece : pieces)
    newOrder.push_back(llvm::find(sorted, piece) - sorted.begin());
  SmallVector<int64_t> result = joined(top::shapeOf(op.getOutput()), *parts);
  OpBuilder builder(op);
  op.getInputMutable().assign(
      reshaped(builder, op.getInput(), joined(shape, before)));
  op.setOrderAttr(builder.getI64ArrayAttr(newOrder));
  setResult(op, result);
}

/// [n, c, h] of so many axes: the longest one over the lanes.
SmallVector<int64_t> outerView(ArrayRef<int64_t> shape) {
  if (shape.empty())
    return {1, 1, 1};
  const size_t lanes = llvm::max_element(shape) - shape.begin();
  return {top::elementsOf(shape.take_front(lanes)), shape[lanes],
          top::elementsOf(shape.drop_front(lanes + 1))};
}

/// Mirrored along the last axis that is more than 1, which other views have
/// over the lanes: that axis becomes the columns of a tensor of four axes.
static void collapseMirrored(tpu::PadOp op) {
  SmallVector<int64_t> pads(op.getPaddings());
  const size_t count = pads.size() / 2;
  ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  size_t axis = count;
  for (size_t i = 0; i < count; ++i)
    if (pads[i] != 0 || pads[count + i] != 0) {
      if (axis < count)
        return;
      axis = i;
    }
  if (axis == count || top::elementsOf(shape) == 0 ||
      top::elementsOf(shape.drop_front(axis + 1)) != 1)
    return;
  // Three or four axes have the last one as columns already, two if the first
  // one is over the lanes.
  if (axis + 1 == count && count <= kAxes &&
      (count > 2 || (count == 2 && shape[0] > 1)))
    return;
  OpBuilder builder(op);
  SmallVector<int64_t> view = outerView(shape.take_front(axis));
  view.push_back(shape[axis]);
  Value x = reshaped(builder, op.getInput(), view);
  SmallVector<int64_t> border(2 * kAxes, 0);
  border[kAxes - 1] = pads[axis];
  border[2 * kAxes - 1] = pads[count + axis];
  view.back() += pads[axis] + pads[count + axis];
  x = tpu::PadOp::create(
      builder, top::partLoc(op.getLoc(), "padded" + Twine(axis)),
      top::typeLike(x, view), x, builder.getI64ArrayAttr(border),
      op.getValAttr(), op.getModeAttr());
  auto whole = tpu::ReshapeOp::create(builder, op.getLoc(), op.getType(), x);
  op.replaceAllUsesWith(whole.getOutput());
  op.erase();
}

/// A border of numbers along one axis after the other, the last first: what
/// follows an axis is one row with it, as when zeros go between elements.
void collapse(tpu::PadOp op) {
  SmallVector<int64_t> pads(op.getPaddings());
  const size_t count = pads.size() / 2;
  if (op.getMode() != top::PaddingMode::constant)
    return collapseMirrored(op);
  if (count <= kAxes || top::elementsOf(top::shapeOf(op.getInput())) == 0)
    return;
  OpBuilder builder(op);
  Value x = op.getInput();
  SmallVector<int64_t> shape(top::shapeOf(x));
  for (size_t axis = count; axis-- > 0;) {
    const int64_t before = pads[axis], after = pads[count + axis];
    if (before == 0 && after == 0)
      continue;
    SmallVector<int64_t> view = outerView(ArrayRef(shape).take_front(axis));
    const int64_t inner = top::elementsOf(ArrayRef(shape).drop_front(axis + 1));
    view.push_back(shape[axis] * inner);
    x = reshaped(builder, x, view);
    SmallVector<int64_t> border(2 * kAxes, 0);
    border[kAxes - 1] = before * inner;
    border[2 * kAxes - 1] = after * inner;
    view.back() += (before + after) * inner;
    x = tpu::PadOp::create(
        builder, top::partLoc(op.getLoc(), "padded" + Twine(axis)),
        top::typeLike(x, view), x, builder.getI64ArrayAttr(border),
        op.getValAttr(), op.getModeAttr());
    shape[axis] += before + after;
  }
  auto whole = tpu::ReshapeOp::create(builder, op.getLoc(), op.getType(), x);
  op.replaceAllUsesWith(whole.getOutput());
  op.erase();
}

//===----------------------------------------------------------------------===//
// What undoes itself
//===----------------------------------------------------------------------===//

bool isOutput(Value value) {
  return llvm::any_of(value.getUsers(), llvm::IsaPred<func::ReturnOp>);
}

/// Whether a tensor is one of those that are made here, of no name in the
/// model.
bool isMadeHere(Value value) {
  StringRef name = top::tensorName(value), whole = top::wholeOf(name);
  return name.empty() ||
         (!whole.empty() && (name == top::partName(whole, "collapsed") ||
                             name.contains("::padded")));
}

/// A reshape of a reshape needs the last one only, one to the same shape none:
/// where the one between was put here. Others keep their names.
struct JoinReshapes : OpRewritePattern<tpu::ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tpu::ReshapeOp op,
                                PatternRewriter &rewriter) const override {
    if (op->use_empty()) {
      rewriter.eraseOp(op);
      return success();
    }
    if (op.getInput().getType() == op.getType() && !isOutput(op) &&
        (isMadeHere(op) || isMadeHere(op.getInput()))) {
      rewriter.replaceOp(op, op.getInput());
      return success();
    }
    auto inner = op.getInput().getDefiningOp<tpu::ReshapeOp>();
    if (!inner || !(isMadeHere(op) || isMadeHere(inner.getInput())))
      return failure();
    rewriter.modifyOpInPlace(
        op, [&] { op.getInputMutable().assign(inner.getInput()); });
    return success();
  }
};

/// Axes of a tensor as they lie in another one: extents and strides.
struct Lie {
  SmallVector<std::pair<int64_t, int64_t>> axes;

  explicit Lie(ArrayRef<int64_t> shape) {
    int64_t stride = top::elementsOf(shape);
    for (int64_t extent : shape)
      axes.push_back({extent, stride /= std::max<int64_t>(extent, 1)});
  }
  void permute(ArrayRef<int64_t> order) {
    auto before = axes;
    for (auto [to, from] : llvm::enumerate(order))
      axes[to] = before[from];
  }
  /// The same elements in another shape. False if that has axes whose elements
  /// lie in no regular distance.
  bool reshape(ArrayRef<int64_t> shape) {
    auto rest = llvm::to_vector(llvm::make_filter_range(
        axes, [](const auto &axis) { return axis.first != 1; }));
    axes.clear();
    size_t at = 0;
    for (int64_t extent : shape) {
      if (extent == 1) {
        axes.push_back({1, 0});
        continue;
      }
      // The outer part of an axis, or several that follow each other.
      std::pair<int64_t, int64_t> made{1, 0};
      while (made.first < extent) {
        if (at == rest.size())
          return false;
        auto &[size, stride] = rest[at];
        const int64_t want = extent / made.first;
        if (extent % made.first != 0)
          return false;
        const int64_t take = std::min(size, want);
        if (size % take != 0 || want % take != 0)
          return false;
        const int64_t step = stride * (size / take);
        if (made.first > 1 && made.second != step * take)
          return false;
        made = {made.first * take, step};
        size /= take;
        if (size == 1)
          ++at;
      }
      axes.push_back(made);
    }
    return true;
  }
  /// Whether element after element lies as in a tensor of this shape.
  bool isDense() const {
    int64_t stride = 1;
    for (auto [extent, step] : llvm::reverse(axes)) {
      if (extent != 1 && step != stride)
        return false;
      stride *= extent;
    }
    return true;
  }
};

//===----------------------------------------------------------------------===//
// Axes of extent 1
//===----------------------------------------------------------------------===//

/// The extents other than 1.
SmallVector<int64_t> extentsOf(ArrayRef<int64_t> shape) {
  return llvm::to_vector(
      llvm::make_filter_range(shape, [](int64_t d) { return d != 1; }));
}

/// A reshape of something that is computed, by axes of extent 1 only, behind
/// which the op stands better that reads it: it takes such axes away again in
/// front, as exporters put them there for a product, or makes a vector, which
/// lies over the lanes, of what a reduction left as columns of one lane.
tpu::ReshapeOp unitReshape(Value value) {
  auto reshape = value.getDefiningOp<tpu::ReshapeOp>();
  Operation *source = reshape ? reshape.getInput().getDefiningOp() : nullptr;
  if (!source || isa<top::InputOp, top::WeightOp>(source))
    return {};
  ArrayRef<int64_t> from = top::shapeOf(reshape.getInput());
  ArrayRef<int64_t> to = top::shapeOf(value);
  if (extentsOf(from) != extentsOf(to))
    return {};
  const bool removes = from.size() == 3 && to.size() == 4 && to[0] == 1 &&
                       to[1] == 1 && from[1] != 1;
  auto isColumns = [&](Operation *op) {
    if (isa<tpu::ReduceOp>(op))
      return true;
    return isMap(op) && isMadeHere(op->getResult(0));
  };
  const bool isVector = from.size() == 3 && from[0] == 1 && from[1] == 1 &&
                        to.size() == 2 && isColumns(source);
  return removes || isVector ? reshape : tpu::ReshapeOp();
}

/// Gives `op`, whose operands and attributes have changed, another shape in
/// front of the one that it had.
void reshapeResult(PatternRewriter &rewriter, Operation *op,
                   ArrayRef<int64_t> shape) {
  rewriter.modifyOpInPlace(op, [&] { setResult(op, shape); });
}

/// An elementwise op of reshapes is the reshape of that op.
struct MapBeforeReshape : RewritePattern {
  explicit MapBeforeReshape(MLIRContext *context)
      : RewritePattern(MatchAnyOpTypeTag(), 1, context) {}

  LogicalResult matchAndRewrite(Operation *op,
                                PatternRewriter &rewriter) const override {
    if (!isMap(op))
      return failure();
    ArrayRef<int64_t> shape = top::shapeOf(op->getResult(0));
    SmallVector<int64_t> from;
    SmallVector<std::pair<OpOperand *, Value>> sources;
    for (OpOperand &operand : op->getOpOperands()) {
      Value value = operand.get();
      if (top::isNone(value) || (top::rankOf(value) <= 1 &&
                                 top::elementsOf(top::shapeOf(value)) == 1))
        continue;
      tpu::ReshapeOp reshape = unitReshape(value);
      if (!reshape || top::shapeOf(value) != shape)
        return failure();
      ArrayRef<int64_t> source = top::shapeOf(reshape.getInput());
      if (!from.empty() && ArrayRef(from) != source)
        return failure();
      from.assign(source.begin(), source.end());
      sources.push_back({&operand, reshape.getInput()});
    }
    if (sources.empty())
      return failure();
    rewriter.modifyOpInPlace(op, [&] {
      for (auto [operand, source] : sources)
        operand->set(source);
    });
    reshapeResult(rewriter, op, from);
    return success();
  }
};

/// The last two axes of four exchanged, of which the others are 1.
struct PermuteBeforeReshape : OpRewritePattern<tpu::PermuteOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tpu::PermuteOp op,
                                PatternRewriter &rewriter) const override {
    tpu::ReshapeOp reshape = unitReshape(op.getInput());
    if (!reshape || top::rankOf(op.getInput()) != int64_t(kAxes) ||
        op.getOrder() != SmallVector<int64_t>{0, 1, 3, 2})
      return failure();
    SmallVector<int64_t> shape(top::shapeOf(reshape.getInput()));
    std::swap(shape[1], shape[2]);
    rewriter.modifyOpInPlace(op, [&] {
      op.getInputMutable().assign(reshape.getInput());
      op.setOrderAttr(rewriter.getI64ArrayAttr({0, 2, 1}));
    });
    reshapeResult(rewriter, op, shape);
    return success();
  }
};

/// A product with one matrix for all.
struct ProductBeforeReshape : OpRewritePattern<tpu::MatMulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tpu::MatMulOp op,
                                PatternRewriter &rewriter) const override {
    tpu::ReshapeOp reshape = unitReshape(op.getInput());
    if (!reshape || top::rankOf(op.getInput()) != int64_t(kAxes) ||
        top::rankOf(op.getRight()) != 2)
      return failure();
    SmallVector<int64_t> shape(top::shapeOf(op.getOutput()).drop_front());
    rewriter.modifyOpInPlace(
        op, [&] { op.getInputMutable().assign(reshape.getInput()); });
    reshapeResult(rewriter, op, shape);
    return success();
  }
};

/// Permutes that undo each other, with a reshape between them, are a reshape.
struct UndonePermutes : OpRewritePattern<tpu::PermuteOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tpu::PermuteOp op,
                                PatternRewriter &rewriter) const override {
    auto between = op.getInput().getDefiningOp<tpu::ReshapeOp>();
    auto inner = (between ? between.getInput() : op.getInput())
                     .getDefiningOp<tpu::PermuteOp>();
    if (!inner || top::elementsOf(top::shapeOf(op.getOutput())) == 0)
      return failure();
    Lie lie(top::shapeOf(inner.getInput()));
    lie.permute(inner.getOrder());
    if (between && !lie.reshape(top::shapeOf(between)))
      return failure();
    lie.permute(op.getOrder());
    if (!lie.isDense())
      return failure();
    rewriter.replaceOpWithNewOp<tpu::ReshapeOp>(op, op.getType(),
                                                inner.getInput());
    return success();
  }
};

struct CollapseAxes : impl::CollapseAxesBase<CollapseAxes> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      for (Operation &op :
           llvm::make_early_inc_range(function.getBody().front())) {
        if (isMap(&op))
          collapseMap(&op);
        else if (auto reduce = dyn_cast<tpu::ReduceOp>(op))
          collapse(reduce);
        else if (auto permute = dyn_cast<tpu::PermuteOp>(op))
          collapse(permute);
        else if (auto pad = dyn_cast<tpu::PadOp>(op))
          collapse(pad);
      }
      RewritePatternSet patterns(&getContext());
      patterns.add<JoinReshapes, UndonePermutes, MapBeforeReshape,
                   PermuteBeforeReshape, ProductBeforeReshape>(&getContext());
      GreedyRewriteConfig config;
      config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled);
      // A reshape goes on by one op each time; it only goes forward.
      config.setMaxIterations(GreedyRewriteConfig::kNoLimit);
      if (failed(applyPatternsGreedily(function, std::move(patterns), config)))
        return signalPassFailure();
    }
  }
};

} // namespace
} // namespace tpumlir
