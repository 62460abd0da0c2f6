#include "tpumlir/transforms/top/Patterns.h"

#include "llvm/ADT/STLExtras.h"

/// A run-time Deconv filter comes as ONNX has it, [ic, oc / group, kernel];
/// everything behind Top wants the layout that constant filters have,
/// [oc / group, ic, kernel]. A Conv filter is laid out alike in both.
using namespace mlir;

namespace tpumlir::top {
namespace {

struct ReorderRuntimeFilter : OpRewritePattern<DeconvOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(DeconvOp op,
                                PatternRewriter &rewriter) const override {
    Value filter = op.getFilter();
    if (op.filterIsOutputMajor() ||
        !llvm::isa<RankedTensorType>(filter.getType()))
      return rewriter.notifyMatchFailure(op, "the layout is right");
    SmallVector<int64_t> order =
        llvm::to_vector(llvm::seq<int64_t>(0, rankOf(filter)));
    std::swap(order[0], order[1]);
    // Already there, the other way round: this op takes what it started from.
    // Others that use the permuted filter keep it.
    auto permute = filter.getDefiningOp<PermuteOp>();
    Value reordered;
    if (permute && permute.getOrder() == order) {
      reordered = permute.getInput();
    } else {
      SmallVector<int64_t> shape(shapeOf(filter));
      std::swap(shape[0], shape[1]);
      std::string name = (tensorName(op.getLoc()) + "_reorder_permute").str();
      reordered = PermuteOp::create(rewriter,
                                    NameLoc::get(rewriter.getStringAttr(name)),
                                    typeLike(filter, shape), filter, order);
    }
    rewriter.modifyOpInPlace(op, [&] {
      op.getFilterMutable().assign(reordered);
      op.setDynweightReorderd(true);
    });
    return success();
  }
};

/// The output channels [begin, begin + size) of a Conv, as a Slice takes them.
struct ChannelPart {
  SliceOp slice;
  int64_t begin, size;
};

/// A Conv that is only read in parts of its output channels, as the real and
/// the imaginary part of a spectrum, is a Conv for each of them: channels that
/// do not begin where lanes do would go through global memory.
struct ConvOfParts : OpRewritePattern<ConvOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ConvOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getGroup() != 1 || failed(constantF32s(op.getFilter())) ||
        (!isNone(op.getBias()) && failed(constantF32s(op.getBias()))))
      return rewriter.notifyMatchFailure(op, "its channels are no constants");
    std::optional<SmallVector<ChannelPart>> parts = partsOf(op);
    if (!parts)
      return rewriter.notifyMatchFailure(op, "others read it");
    constexpr int64_t kLanes = 64;
    auto rows = [](int64_t channels) {
      return (channels + kLanes - 1) / kLanes;
    };
    int64_t before = rows(shapeOf(op.getOutput())[1]), after = 0;
    bool moves = false;
    for (const ChannelPart &part : *parts) {
      after += rows(part.size);
      moves |= part.begin % kLanes != 0;
    }
    // A command takes as long for a row of lanes that is not full.
    if (!moves || 4 * after > 5 * before)
      return rewriter.notifyMatchFailure(op, "its parts lie in the lanes");
    rewriter.setInsertionPoint(op);
    for (const ChannelPart &part : *parts) {
      SmallVector<int64_t> shape(shapeOf(op.getFilter()));
      shape[0] = part.size;
      Value filter = partOf(rewriter, op.getFilter(), part, shape);
      Value bias = op.getBias();
      if (!isNone(bias))
        bias = partOf(rewriter, bias, part, {part.size});
      auto conv = cast<ConvOp>(rewriter.clone(*op));
      SliceOp slice = part.slice;
      conv->setLoc(slice.getLoc());
      conv.getOutput().setType(
          cast<RankedTensorType>(slice.getOutput().getType()));
      conv.getFilterMutable().assign(filter);
      conv.getBiasMutable().assign(bias);
      rewriter.replaceOp(slice, conv.getOutput());
    }
    rewriter.eraseOp(op);
    return success();
  }

  /// What its readers take, if all of them take channels only, and each of
  /// these at most once.
  static std::optional<SmallVector<ChannelPart>> partsOf(ConvOp op) {
    SmallVector<ChannelPart> parts;
    ArrayRef<int64_t> shape = shapeOf(op.getOutput());
    for (Operation *user : op.getOutput().getUsers()) {
      auto slice = dyn_cast<SliceOp>(user);
      auto axes = slice ? slice.getSlices()
                        : FailureOr<SmallVector<AxisSlice>>(failure());
      if (failed(axes))
        return std::nullopt;
      for (auto [axis, taken] : llvm::enumerate(*axes))
        if (taken.step != 1 ||
            (axis != 1 && shapeOf(slice.getOutput())[axis] != shape[axis]))
          return std::nullopt;
      parts.push_back({slice, (*axes)[1].begin, shapeOf(slice.getOutput())[1]});
    }
    llvm::sort(parts, [](const ChannelPart &a, const ChannelPart &b) {
      return a.begin < b.begin;
    });
    int64_t end = 0;
    for (const ChannelPart &part : parts) {
      if (part.begin < end)
        return std::nullopt;
      end = part.begin + part.size;
    }
    return parts.empty() ? std::nullopt : std::optional(parts);
  }

  /// The elements of a filter or a bias, whose channels come first, that belong
  /// to some of them.
  static Value partOf(OpBuilder &builder, Value value, const ChannelPart &part,
                      ArrayRef<int64_t> shape) {
    const float *begin = constantF32s(value)->data();
    const int64_t count = elementsOf(shape), first = count / part.size;
    return createWeight(
        builder, partName(tensorName(value), "from" + Twine(part.begin)), shape,
        std::vector<float>(begin + part.begin * first,
                           begin + part.begin * first + count));
  }
};

} // namespace

void populateFilterPatterns(RewritePatternSet &patterns) {
  patterns.add<ReorderRuntimeFilter, ConvOfParts>(patterns.getContext());
}

} // namespace tpumlir::top
