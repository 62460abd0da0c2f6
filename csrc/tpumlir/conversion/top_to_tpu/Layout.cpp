#include "tpumlir/conversion/top_to_tpu/Lowering.h"

using namespace mlir;

namespace tpumlir {

namespace {

/// Ops that keep the elements in their order.
template <typename OpTy> struct ReshapeLowering : Lowering<OpTy> {
  using Lowering<OpTy>::Lowering;

  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::ReshapeOp>(op, op.getType(),
                                                op.getInput());
    return success();
  }
};

struct PermuteLowering : Lowering<top::PermuteOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::PermuteOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tpu::PermuteOp>(
        op, op.getType(), op.getInput(), context.none, op.getOrderAttr());
    return success();
  }
};

struct TransposeLowering : Lowering<top::TransposeOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::TransposeOp op,
                                PatternRewriter &rewriter) const override {
    int64_t rank = top::rankOf(op.getInput());
    SmallVector<int64_t> order = allAxes(rank);
    std::swap(order[axisOf(op.getDim0(), op.getInput())],
              order[axisOf(op.getDim1(), op.getInput())]);
    rewriter.replaceOpWithNewOp<tpu::PermuteOp>(
        op, op.getType(), op.getInput(), context.none,
        rewriter.getI64ArrayAttr(order));
    return success();
  }
};

struct ConcatLowering : Lowering<top::ConcatOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::ConcatOp op,
                                PatternRewriter &rewriter) const override {
    int64_t axis = axisOf(op.getAxis(), op.getOutput());
    Value joined = tpu::ConcatOp::create(
        rewriter, op.getDoRelu() ? derivedLoc(op, "joined") : op.getLoc(),
        op.getType(), op.getInputs(), rewriter.getSI32IntegerAttr(axis),
        rewriter.getBoolAttr(false), op.getReluLimitAttr());
    if (op.getDoRelu())
      joined = tpu::ReluOp::create(rewriter, op.getLoc(), op.getType(), joined,
                                   op.getReluLimitAttr());
    rewriter.replaceOp(op, joined);
    return success();
  }
};

/// The parts of each axis; axes that are walked backwards come first, each by
/// itself.
Value slice(PatternRewriter &rewriter, Operation *op, Location loc,
            const LoweringContext &context, Value input,
            SmallVector<top::AxisSlice> parts) {
  for (auto [axis, part] : llvm::enumerate(parts)) {
    if (part.step > 0 || part.size == 1)
      continue;
    SmallVector<int64_t> indices;
    for (int64_t i = 0; i < part.size; ++i)
      indices.push_back(part.begin + i * part.step);
    part = {0, 1, part.size};
    SmallVector<int64_t> shape(top::shapeOf(input));
    shape[axis] = part.size;
    bool last =
        llvm::all_of(llvm::zip_equal(parts, shape), [](const auto &pair) {
          const auto &[other, extent] = pair;
          return other.step == 1 && other.size == extent;
        });
    Location taken =
        last ? loc : derivedLoc(op, "backwards" + std::to_string(axis));
    input = takeAlongAxis(rewriter, op, taken, context, input, axis, indices);
    if (last)
      return input;
  }
  Value none = context.none;
  SmallVector<int64_t> offset, steps, ends, shape;
  for (const top::AxisSlice &part : parts) {
    int64_t step = std::max<int64_t>(part.step, 1);
    offset.push_back(part.begin);
    steps.push_back(step);
    ends.push_back(part.begin + step * part.size);
    shape.push_back(part.size);
  }
  return tpu::SliceOp::create(
      rewriter, loc, top::typeLike(input, shape), input, none, none, none, none,
      rewriter.getI64ArrayAttr(offset), rewriter.getI64ArrayAttr(steps),
      rewriter.getI64ArrayAttr(ends));
}

SmallVector<top::AxisSlice> wholeOf(Value input) {
  SmallVector<top::AxisSlice> parts;
  for (int64_t extent : top::shapeOf(input))
    parts.push_back({0, 1, extent});
  return parts;
}

struct SliceLowering : Lowering<top::SliceOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::SliceOp op,
                                PatternRewriter &rewriter) const override {
    auto parts = op.getSlices();
    if (failed(parts))
      return failure();
    rewriter.replaceOp(
        op, slice(rewriter, op, op.getLoc(), context, op.getInput(), *parts));
    return success();
  }
};

struct SplitLowering : Lowering<top::SplitOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::SplitOp op,
                                PatternRewriter &rewriter) const override {
    int64_t axis = axisOf(op.getAxis(), op.getInput());
    SmallVector<Value> results;
    int64_t begin = 0;
    for (Value result : op.getResults()) {
      auto parts = wholeOf(op.getInput());
      parts[axis] = {begin, 1, top::shapeOf(result)[axis]};
      begin += parts[axis].size;
      results.push_back(slice(rewriter, op, top::resultLoc(result), context,
                              op.getInput(), parts));
    }
    rewriter.replaceOp(op, results);
    return success();
  }
};

struct ReverseLowering : Lowering<top::ReverseOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::ReverseOp op,
                                PatternRewriter &rewriter) const override {
    auto parts = wholeOf(op.getInput());
    top::AxisSlice &part = parts[axisOf(op.getAxis(), op.getInput())];
    part = {part.size - 1, -1, part.size};
    rewriter.replaceOp(
        op, slice(rewriter, op, op.getLoc(), context, op.getInput(), parts));
    return success();
  }
};

struct PadLowering : Lowering<top::PadOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::PadOp op,
                                PatternRewriter &rewriter) const override {
    SmallVector<int64_t> pads(op.getPaddings());
    if (op.getPaddingsT()) {
      auto values = top::constantI64s(op.getPaddingsT());
      if (failed(values))
        return rewriter.notifyMatchFailure(op, "expected constant paddings");
      pads = *values;
    }
    rewriter.replaceOpWithNewOp<tpu::PadOp>(
        op, op.getType(), op.getInput(), rewriter.getI64ArrayAttr(pads),
        op.getValAttr(),
        tpu::PaddingModeAttr::get(rewriter.getContext(), op.getMode()));
    return success();
  }
};

/// Tile and Expand: how often each axis is repeated follows from the shapes.
template <typename OpTy> struct TileLowering : Lowering<OpTy> {
  using Lowering<OpTy>::Lowering;

  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    SmallVector<int64_t> in(top::shapeOf(op.getInput()));
    ArrayRef<int64_t> out = top::shapeOf(op.getOutput());
    Value input = op.getInput();
    if (in.size() < out.size()) {
      in.insert(in.begin(), out.size() - in.size(), 1);
      input = tpu::ReshapeOp::create(rewriter, derivedLoc(op, "rank"),
                                     top::typeLike(input, in), input);
    }
    SmallVector<int64_t> tile;
    for (size_t i = 0; i < out.size(); ++i)
      tile.push_back(out[i] / in[i]);
    rewriter.replaceOpWithNewOp<tpu::TileOp>(op, op.getType(), input,
                                             rewriter.getI64ArrayAttr(tile));
    return success();
  }
};

struct UpsampleLowering : Lowering<top::UpsampleOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::UpsampleOp op,
                                PatternRewriter &rewriter) const override {
    Value y = tpu::UpsampleOp::create(
        rewriter, op.getDoRelu() ? derivedLoc(op, "plain") : op.getLoc(),
        op.getType(), op.getInput(), op.getScaleHAttr(), op.getScaleWAttr());
    if (op.getDoRelu())
      y = tpu::ReluOp::create(rewriter, op.getLoc(), op.getType(), y,
                              op.getReluLimitAttr());
    rewriter.replaceOp(op, y);
    return success();
  }
};

/// Channels into space and back: a permutation of six axes.
struct Depth2SpaceLowering : Lowering<top::Depth2SpaceOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::Depth2SpaceOp op,
                                PatternRewriter &rewriter) const override {
    if (!op.getInIs_NCHW() || !op.getOutIs_NCHW() || op.getSwapCr())
      return rewriter.notifyMatchFailure(
          op, "expected NCHW on both sides and no swap_cr");
    ArrayRef<int64_t> in = top::shapeOf(op.getInput());
    ArrayRef<int64_t> out = top::shapeOf(op.getOutput());
    int64_t bh = op.getBlockH(), bw = op.getBlockW();
    // The deep side is [n, c.., h, w], the wide side [n, c, h, bh, w, bw].
    int64_t n = in[0], c, h, w;
    SmallVector<int64_t> split, order;
    bool crd = op.getIs_CRD();
    if (!op.getIsInversed()) {
      c = out[1], h = in[2], w = in[3];
      split = crd ? SmallVector<int64_t>{n, c, bh, bw, h, w}
                  : SmallVector<int64_t>{n, bh, bw, c, h, w};
      order = crd ? SmallVector<int64_t>{0, 1, 4, 2, 5, 3}
                  : SmallVector<int64_t>{0, 3, 4, 1, 5, 2};
    } else {
      c = in[1], h = out[2], w = out[3];
      split = {n, c, h, bh, w, bw};
      order = crd ? SmallVector<int64_t>{0, 1, 3, 5, 2, 4}
                  : SmallVector<int64_t>{0, 3, 5, 1, 2, 4};
    }
    SmallVector<int64_t> permuted;
    for (int64_t axis : order)
      permuted.push_back(split[axis]);
    Value x = tpu::ReshapeOp::create(rewriter, derivedLoc(op, "split"),
                                     top::typeLike(op.getInput(), split),
                                     op.getInput());
    x = tpu::PermuteOp::create(rewriter, derivedLoc(op, "permuted"),
                               top::typeLike(x, permuted), x, context.none,
                               rewriter.getI64ArrayAttr(order));
    rewriter.replaceOpWithNewOp<tpu::ReshapeOp>(op, op.getType(), x);
    return success();
  }
};

} // namespace

void populateLayoutLowering(RewritePatternSet &patterns,
                            const LoweringContext &context) {
  patterns.add<
      ReshapeLowering<top::ReshapeOp>, ReshapeLowering<top::FlattenOp>,
      ReshapeLowering<top::SqueezeOp>, ReshapeLowering<top::UnsqueezeOp>,
      PermuteLowering, TransposeLowering, ConcatLowering, SliceLowering,
      SplitLowering, ReverseLowering, PadLowering, TileLowering<top::TileOp>,
      TileLowering<top::ExpandOp>, UpsampleLowering, Depth2SpaceLowering>(
      patterns.getContext(), context);
}

} // namespace tpumlir
