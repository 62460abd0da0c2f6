#include "tpumlir/transforms/top/Patterns.h"

/// Ops that move data: joined, or dropped where they change nothing.
using namespace mlir;

namespace tpumlir::top {
namespace {

bool isStatic(Value value) {
  auto type = llvm::dyn_cast<RankedTensorType>(value.getType());
  return type && type.hasStaticShape();
}

//===----------------------------------------------------------------------===//
// Reshape
//===----------------------------------------------------------------------===//

ReshapeOp createReshape(PatternRewriter &rewriter, Location loc, Type type,
                        Value input) {
  ArrayRef<int64_t> shape = llvm::cast<RankedTensorType>(type).getShape();
  auto op = ReshapeOp::create(
      rewriter, loc, TypeRange(type), input,
      rewriter.getNamedAttr("shape", rewriter.getI64ArrayAttr(shape)));
  return op;
}

/// Flatten, Squeeze and Unsqueeze are reshapes.
template <typename Op> struct ToReshape : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    if (!isStatic(op.getOutput()))
      return rewriter.notifyMatchFailure(op, "no static shape");
    rewriter.replaceOp(
        op, createReshape(rewriter, op.getLoc(), op.getType(), op.getInput()));
    return success();
  }
};

/// A reshape of a reshape needs the last one only; one to the same shape none.
struct SimplifyReshape : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReshapeOp op,
                                PatternRewriter &rewriter) const override {
    if (!isStatic(op.getOutput()) || op.getShapeT())
      return rewriter.notifyMatchFailure(op, "no static shape");
    if (sameButRange(op.getInput().getType(), op.getType()))
      return replaceByEqual(rewriter, op, op.getInput());
    auto inner = op.getInput().getDefiningOp<ReshapeOp>();
    if (!inner || !isStatic(inner.getInput()) || constantOf(inner.getInput()))
      return rewriter.notifyMatchFailure(op, "nothing to join");
    // Through a reshape that is a model output too: it stays for itself.
    rewriter.replaceOp(op, createReshape(rewriter, op.getLoc(), op.getType(),
                                         inner.getInput()));
    return success();
  }
};

//===----------------------------------------------------------------------===//
// Permute
//===----------------------------------------------------------------------===//

struct TransposeToPermute : OpRewritePattern<TransposeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(TransposeOp op,
                                PatternRewriter &rewriter) const override {
    if (!isStatic(op.getInput()))
      return rewriter.notifyMatchFailure(op, "no static shape");
    int64_t rank = rankOf(op.getInput());
    SmallVector<int64_t> order = llvm::to_vector(llvm::seq<int64_t>(0, rank));
    std::swap(order[*resolveAxis(op, op.getDim0(), rank)],
              order[*resolveAxis(op, op.getDim1(), rank)]);
    rewriter.replaceOpWithNewOp<PermuteOp>(op, op.getType(), op.getInput(),
                                           order);
    return success();
  }
};

struct SimplifyPermute : OpRewritePattern<PermuteOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(PermuteOp op,
                                PatternRewriter &rewriter) const override {
    if (!isStatic(op.getInput()))
      return rewriter.notifyMatchFailure(op, "no static shape");
    SmallVector<int64_t> order = op.getOrder();
    if (llvm::any_of(order, [](int64_t axis) { return axis < 0; }))
      return rewriter.notifyMatchFailure(op, "run shape-infer first");
    if (llvm::equal(order, llvm::seq<int64_t>(0, order.size())))
      return replaceByEqual(rewriter, op, op.getInput());
    if (auto inner = op.getInput().getDefiningOp<PermuteOp>();
        inner && isStatic(inner.getInput())) {
      SmallVector<int64_t> first = inner.getOrder();
      if (llvm::any_of(first, [](int64_t axis) { return axis < 0; }))
        return rewriter.notifyMatchFailure(op, "run shape-infer first");
      for (int64_t &axis : order)
        axis = first[axis];
      rewriter.replaceOpWithNewOp<PermuteOp>(op, op.getType(), inner.getInput(),
                                             order);
      return success();
    }
    // Axes of extent 1 may move freely: the elements keep their order.
    SmallVector<int64_t> moving =
        llvm::to_vector(llvm::make_filter_range(order, [&](int64_t axis) {
          return shapeOf(op.getInput())[axis] != 1;
        }));
    if (!llvm::is_sorted(moving))
      return rewriter.notifyMatchFailure(op, "it moves elements");
    rewriter.replaceOp(
        op, createReshape(rewriter, op.getLoc(), op.getType(), op.getInput()));
    return success();
  }
};

//===----------------------------------------------------------------------===//
// Depth2Space
//===----------------------------------------------------------------------===//

/// Reshape, Permute, Reshape that move blocks between channels and plane, as
/// exporters write pixel shuffle and its inverse. Orders as in ONNX
/// DepthToSpace and SpaceToDepth, opset 13.
struct ReshapeToDepth2Space : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReshapeOp op,
                                PatternRewriter &rewriter) const override {
    auto permute = op.getInput().getDefiningOp<PermuteOp>();
    if (!permute || !permute->hasOneUse())
      return rewriter.notifyMatchFailure(op, "no permute of its own before it");
    auto split = permute.getInput().getDefiningOp<ReshapeOp>();
    if (!split || !split->hasOneUse() || !isStatic(split.getInput()) ||
        !isStatic(op.getOutput()))
      return rewriter.notifyMatchFailure(op, "no reshape before the permute");
    ArrayRef<int64_t> in = shapeOf(split.getInput());
    ArrayRef<int64_t> six = shapeOf(split.getOutput());
    ArrayRef<int64_t> out = shapeOf(op.getOutput());
    if (in.size() != 4 || six.size() != 6 || out.size() != 4)
      return rewriter.notifyMatchFailure(op, "not of four, six, four axes");
    SmallVector<int64_t> order = permute.getOrder();
    for (bool inversed : {false, true})
      for (bool crd : {false, true}) {
        // Where block rows and columns stand in the six axes, and the order.
        int64_t bh = inversed ? 3 : crd ? 2 : 1, bw = inversed ? 5 : bh + 1;
        SmallVector<int64_t> want =
            inversed ? (crd ? SmallVector<int64_t>{0, 1, 3, 5, 2, 4}
                            : SmallVector<int64_t>{0, 3, 5, 1, 2, 4})
                     : (crd ? SmallVector<int64_t>{0, 1, 4, 2, 5, 3}
                            : SmallVector<int64_t>{0, 3, 4, 1, 5, 2});
        int64_t blocks = six[bh] * six[bw];
        if (order != want || in[0] != six[0] || out[0] != six[0] ||
            in[1] * (inversed ? blocks : 1) !=
                out[1] * (inversed ? 1 : blocks) ||
            in[2] * (inversed ? 1 : six[bh]) !=
                out[2] * (inversed ? six[bh] : 1) ||
            (inversed ? six[1] != in[1] || six[2] != out[2]
                      : six[4] != in[2] || six[5] != in[3]))
          continue;
        rewriter.replaceOpWithNewOp<Depth2SpaceOp>(op, op.getType(),
                                                   split.getInput(), six[bh],
                                                   six[bw], crd, inversed);
        return success();
      }
    return rewriter.notifyMatchFailure(op, "no blocks are moved");
  }
};

//===----------------------------------------------------------------------===//
// What changes nothing
//===----------------------------------------------------------------------===//

/// Slice of everything, Tile once, Expand to the same shape, Pad by nothing.
template <typename Op> struct DropUnchanged : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    if (!isStatic(op.getOutput()) ||
        !sameButRange(op.getInput().getType(), op.getType()))
      return rewriter.notifyMatchFailure(op, "it changes the shape");
    return replaceByEqual(rewriter, op, op.getInput());
  }
};

/// A slice can keep the shape and turn an axis around.
struct DropWholeSlice : OpRewritePattern<SliceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SliceOp op,
                                PatternRewriter &rewriter) const override {
    if (!isStatic(op.getOutput()) ||
        !sameButRange(op.getInput().getType(), op.getType()))
      return rewriter.notifyMatchFailure(op, "it changes the shape");
    FailureOr<SmallVector<AxisSlice>> slices = op.getSlices();
    if (failed(slices) || llvm::any_of(*slices, [](AxisSlice s) {
          return s.step < 0 && s.size > 1;
        }))
      return rewriter.notifyMatchFailure(op, "it turns an axis around");
    return replaceByEqual(rewriter, op, op.getInput());
  }
};

/// Concat of one.
struct DropSingleConcat : OpRewritePattern<ConcatOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ConcatOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getInputs().size() != 1 || op.getDoRelu())
      return rewriter.notifyMatchFailure(op, "it joins");
    return replaceByEqual(rewriter, op, op.getInputs().front());
  }
};

//===----------------------------------------------------------------------===//
// Pad
//===----------------------------------------------------------------------===//

/// Zeros around the spatial axes become the pads of the op behind, where its
/// own padding is zeros too: Conv, and AvgPool that counts them.
template <typename Op> struct FusePadIntoWindow : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    auto pad = op.getInput().template getDefiningOp<PadOp>();
    if (!pad || pad.getPaddingsT() || pad.getMode() != PaddingMode::constant ||
        pad.getVal() != 0 || !isStatic(pad.getOutput()))
      return rewriter.notifyMatchFailure(op, "no zeros before it");
    if (op.getAutoPad().value_or(AutoPad::NOTSET) != AutoPad::NOTSET ||
        !zerosCount(op))
      return rewriter.notifyMatchFailure(op, "its pads are no zeros");
    SmallVector<int64_t> around = pad.getPaddings(), pads = op.getPads();
    size_t rank = around.size() / 2, axes = rank - 2;
    if (pads.size() != 2 * axes || around[0] || around[1] || around[rank] ||
        around[rank + 1])
      return rewriter.notifyMatchFailure(op, "it pads batch or channels");
    for (size_t i = 0; i < axes; ++i) {
      pads[i] += around[2 + i];
      pads[axes + i] += around[rank + 2 + i];
    }
    if (!padsFit(op, pads))
      return rewriter.notifyMatchFailure(op, "pads as large as the kernel");
    rewriter.modifyOpInPlace(op, [&] {
      op->setOperand(0, pad.getInput());
      op.setPadsAttr(rewriter.getI64ArrayAttr(pads));
    });
    return success();
  }

  static bool zerosCount(ConvOp) { return true; }
  static bool zerosCount(AvgPoolOp op) {
    return op.getCountIncludePad() && !op.getCeilMode().value_or(false) &&
           !op.getKernelShape().empty();
  }
  // The hardware's pads have 4 bits.
  static bool padsFit(ConvOp, ArrayRef<int64_t> pads) {
    return llvm::all_of(pads, [](int64_t p) { return p < 16; });
  }
  static bool padsFit(AvgPoolOp op, ArrayRef<int64_t> pads) {
    SmallVector<int64_t> kernel = op.getKernelShape();
    for (size_t i = 0; i < pads.size(); ++i)
      if (pads[i] >= kernel[i % kernel.size()])
        return false;
    return true;
  }
};

} // namespace

void populateLayoutPatterns(RewritePatternSet &patterns) {
  patterns
      .add<ToReshape<FlattenOp>, ToReshape<SqueezeOp>, ToReshape<UnsqueezeOp>,
           SimplifyReshape, TransposeToPermute, SimplifyPermute,
           ReshapeToDepth2Space, DropUnchanged<TileOp>, DropUnchanged<ExpandOp>,
           DropUnchanged<PadOp>, DropWholeSlice, DropSingleConcat,
           FusePadIntoWindow<ConvOp>, FusePadIntoWindow<AvgPoolOp>>(
          patterns.getContext());
}

} // namespace tpumlir::top
