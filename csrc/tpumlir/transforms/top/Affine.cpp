#include "tpumlir/transforms/top/Patterns.h"

#include <cmath>

/// Constant factors and addends per channel, y = x * scale + bias, go into the
/// weights of the op before them. New weights are computed in double.
using namespace mlir;

namespace tpumlir::top {
namespace {

/// y = input * scale[c] + bias[c], c along the channel axis of `input`.
struct Affine {
  Value input;
  SmallVector<double> scale, bias;

  static Affine factor(Value input, SmallVector<double> scale) {
    SmallVector<double> zeros(scale.size(), 0.0);
    return {input, std::move(scale), std::move(zeros)};
  }
  static Affine addend(Value input, SmallVector<double> bias) {
    SmallVector<double> ones(bias.size(), 1.0);
    return {input, std::move(ones), std::move(bias)};
  }
  bool onlyAdds() const {
    return llvm::all_of(scale, [](double s) { return s == 1.0; });
  }
};

/// The axis along which the weights of `producer` have their channels.
int64_t channelAxis(Operation *producer) {
  Value result = producer->getResult(0);
  return llvm::isa<MatMulOp>(producer) ? rankOf(result) - 1 : 1;
}

//===----------------------------------------------------------------------===//
// Recognising
//===----------------------------------------------------------------------===//

/// Scale and BatchNorm, whose channels are on axis 1.
FailureOr<Affine> affineOf(ScaleOp op) {
  int64_t channels = shapeOf(op.getInput())[1];
  auto scale = constantF32s(op.getScale());
  if (failed(scale))
    return failure();
  Affine affine = Affine::factor(
      op.getInput(), SmallVector<double>(scale->begin(), scale->end()));
  if (isNone(op.getBias()))
    return affine;
  auto bias = constantF32s(op.getBias());
  if (failed(bias))
    return failure();
  for (int64_t c = 0; c < channels; ++c)
    affine.bias[c] = (*bias)[c];
  return affine;
}

FailureOr<Affine> affineOf(BatchNormOp op) {
  int64_t channels = shapeOf(op.getInput())[1];
  auto mean = constantF32s(op.getMean()), var = constantF32s(op.getVariance());
  if (failed(mean) || failed(var))
    return failure();
  auto gamma = constantF32s(op.getGamma()), beta = constantF32s(op.getBeta());
  if ((failed(gamma) && !isNone(op.getGamma())) ||
      (failed(beta) && !isNone(op.getBeta())))
    return failure();
  Affine affine;
  affine.input = op.getInput();
  for (int64_t c = 0; c < channels; ++c) {
    double scale = (succeeded(gamma) ? double((*gamma)[c]) : 1.0) /
                   std::sqrt(double((*var)[c]) + op.getEpsilon());
    affine.scale.push_back(scale);
    affine.bias.push_back((succeeded(beta) ? double((*beta)[c]) : 0.0) -
                          double((*mean)[c]) * scale);
  }
  return affine;
}

/// The operand that has the result's shape beside a constant per channel.
FailureOr<std::pair<Value, SmallVector<double>>>
splitConstant(Operation *op, int64_t axis, bool constantMayLead) {
  if (op->getNumOperands() != 2)
    return failure();
  ArrayRef<int64_t> shape = shapeOf(op->getResult(0));
  for (unsigned i : {1u, 0u}) {
    Value input = op->getOperand(1 - i), constant = op->getOperand(i);
    if (i == 0 && !constantMayLead)
      continue;
    if (shapeOf(input) != shape)
      continue;
    if (auto data = perChannel(constant, shape, axis); succeeded(data))
      return std::pair(input, std::move(*data));
  }
  return failure();
}

void negate(SmallVector<double> &values) {
  for (double &value : values)
    value = -value;
}

/// What `op` does to its operand, if that is affine with constants per channel
/// of `axis` (that of the op before it).
FailureOr<Affine> affineOf(Operation *op, int64_t axis) {
  if (auto scale = llvm::dyn_cast<ScaleOp>(op))
    return axis == 1 ? affineOf(scale) : FailureOr<Affine>();
  if (auto norm = llvm::dyn_cast<BatchNormOp>(op))
    return axis == 1 ? affineOf(norm) : FailureOr<Affine>();
  size_t channels = shapeOf(op->getResult(0))[axis];
  if (auto add = llvm::dyn_cast<AddConstOp>(op))
    return Affine::addend(add.getInput(),
                          SmallVector<double>(channels, add.getConstVal()));
  if (auto mul = llvm::dyn_cast<MulConstOp>(op))
    return Affine::factor(mul.getInput(),
                          SmallVector<double>(channels, mul.getConstVal()));
  if (auto sub = llvm::dyn_cast<SubConstOp>(op); sub && !sub.getIsReverse())
    return Affine::addend(sub.getInput(),
                          SmallVector<double>(channels, -sub.getConstVal()));
  if (auto add = llvm::dyn_cast<AddOp>(op); add && !add.getCoeff())
    if (auto split = splitConstant(op, axis, true); succeeded(split))
      return Affine::addend(split->first, std::move(split->second));
  if (auto mul = llvm::dyn_cast<MulOp>(op))
    if (auto split = splitConstant(op, axis, true); succeeded(split))
      return Affine::factor(split->first, std::move(split->second));
  if (auto sub = llvm::dyn_cast<SubOp>(op);
      sub && !sub.getCoeff() && !sub.getIsReverse())
    if (auto split = splitConstant(op, axis, false); succeeded(split)) {
      negate(split->second);
      return Affine::addend(split->first, std::move(split->second));
    }
  if (auto div = llvm::dyn_cast<DivOp>(op); div && !div.getIsReverse())
    if (auto split = splitConstant(op, axis, false); succeeded(split)) {
      for (double &value : split->second)
        value = 1.0 / value;
      return Affine::factor(split->first, std::move(split->second));
    }
  return failure();
}

//===----------------------------------------------------------------------===//
// Folding into weights
//===----------------------------------------------------------------------===//

/// Channel of the result that element `index` of a filter of that shape
/// belongs to.
using ChannelOf = llvm::function_ref<int64_t(int64_t index)>;

SmallVector<double> scaled(ArrayRef<float> filter, ArrayRef<double> scale,
                           ChannelOf channelOf) {
  SmallVector<double> data(filter.size());
  for (auto [i, value] : llvm::enumerate(filter))
    data[i] = double(value) * scale[channelOf(int64_t(i))];
  return data;
}

/// The filter of `op` times the scale, as doubles.
FailureOr<SmallVector<double>> scaleFilter(ConvOp op, ArrayRef<double> scale) {
  auto filter = constantF32s(op.getFilter());
  if (failed(filter))
    return failure();
  int64_t perOc = int64_t(filter->size()) / shapeOf(op.getFilter())[0];
  return scaled(*filter, scale, [=](int64_t i) { return i / perOc; });
}

FailureOr<SmallVector<double>> scaleFilter(DeconvOp op,
                                           ArrayRef<double> scale) {
  auto filter = constantF32s(op.getFilter());
  if (failed(filter))
    return failure();
  // [oc / group, ic, kernel]: the input channel tells the group.
  ArrayRef<int64_t> shape = shapeOf(op.getFilter());
  int64_t ocPerGroup = shape[0], ic = shape[1];
  int64_t taps = elementsOf(shape.drop_front(2));
  int64_t icPerGroup = ic / int64_t(op.getGroup());
  return scaled(*filter, scale, [=](int64_t i) {
    return (i / taps % ic) / icPerGroup * ocPerGroup + i / taps / ic;
  });
}

FailureOr<SmallVector<double>> scaleFilter(MatMulOp op,
                                           ArrayRef<double> scale) {
  auto right = constantF32s(op.getRight());
  if (failed(right) || op.getOutputTranspose() || rankOf(op.getRight()) < 2)
    return failure();
  int64_t columns = shapeOf(op.getRight()).back();
  int64_t k = shapeOf(op.getRight())[rankOf(op.getRight()) - 2];
  if (op.getRightTranspose())
    return scaled(*right, scale, [=](int64_t i) { return i / columns % k; });
  return scaled(*right, scale, [=](int64_t i) { return i % columns; });
}

/// bias * scale + addend; failure if there is a bias that is not constant and
/// of one element per channel.
FailureOr<SmallVector<double>> newBias(Value bias, const Affine &affine) {
  SmallVector<double> data(affine.bias);
  if (isNone(bias))
    return data;
  auto old = constantF32s(bias);
  if (failed(old) || (old->size() != data.size() && old->size() != 1))
    return failure();
  for (size_t c = 0; c < data.size(); ++c)
    data[c] += double((*old)[old->size() == 1 ? 0 : c]) * affine.scale[c];
  return data;
}

/// `op`, affine, after `producer`: a new producer under `op`'s name.
template <typename Producer>
LogicalResult foldInto(Producer producer, Operation *op, const Affine &affine,
                       PatternRewriter &rewriter) {
  auto finite = [](double value) { return std::isfinite(value); };
  if (!llvm::all_of(affine.scale, finite) || !llvm::all_of(affine.bias, finite))
    return rewriter.notifyMatchFailure(op, "a factor that is not finite");
  // A bias of more than one row is not one per channel.
  if (llvm::isa<MatMulOp>(producer) && !isNone(producer.getBias()))
    if (ArrayRef<int64_t> shape = shapeOf(producer.getBias());
        !shape.empty() && elementsOf(shape) != shape.back())
      return rewriter.notifyMatchFailure(op, "bias of more than one row");
  auto bias = newBias(producer.getBias(), affine);
  if (failed(bias))
    return rewriter.notifyMatchFailure(op, "run-time bias");
  std::optional<SmallVector<double>> filter;
  if (!affine.onlyAdds()) {
    auto data = scaleFilter(producer, affine.scale);
    if (failed(data))
      return rewriter.notifyMatchFailure(op, "run-time filter");
    filter = std::move(*data);
  }
  rewriter.setInsertionPoint(op);
  std::string name = tensorName(op->getLoc()).str();
  auto fresh = llvm::cast<Producer>(rewriter.clone(*producer));
  rewriter.setInsertionPoint(fresh);
  if (filter)
    fresh->setOperand(1, weightFrom(rewriter, name + ":filter",
                                    shapeOf(producer->getOperand(1)), *filter));
  fresh->setOperand(
      2, weightFrom(rewriter, name + ":bias", {int64_t(bias->size())}, *bias));
  if (!hasNoRelu(op)) {
    fresh->setAttr("do_relu", op->getAttr("do_relu"));
    fresh->setAttr("relu_limit", op->getAttr("relu_limit"));
  }
  replaceByFused(rewriter, op, fresh);
  return success();
}

/// Two in a row are one.
LogicalResult foldInto(ScaleOp producer, Operation *op, const Affine &affine,
                       PatternRewriter &rewriter) {
  auto first = affineOf(producer);
  if (failed(first))
    return rewriter.notifyMatchFailure(op, "run-time scale");
  SmallVector<double> scale, bias;
  for (size_t c = 0; c < affine.scale.size(); ++c) {
    scale.push_back(first->scale[c] * affine.scale[c]);
    bias.push_back(first->bias[c] * affine.scale[c] + affine.bias[c]);
  }
  rewriter.setInsertionPoint(op);
  std::string name = tensorName(op->getLoc()).str();
  int64_t channels = int64_t(scale.size());
  auto fresh = llvm::cast<ScaleOp>(rewriter.clone(*producer));
  rewriter.setInsertionPoint(fresh);
  fresh->setOperand(1,
                    weightFrom(rewriter, name + ":scale", {channels}, scale));
  fresh->setOperand(2, weightFrom(rewriter, name + ":bias", {channels}, bias));
  if (!hasNoRelu(op)) {
    fresh->setAttr("do_relu", op->getAttr("do_relu"));
    fresh->setAttr("relu_limit", op->getAttr("relu_limit"));
  }
  replaceByFused(rewriter, op, fresh);
  return success();
}

/// Conv, Deconv, MatMul or Scale, then a constant affine op.
template <typename Producer, typename Op>
struct FoldAffineIntoWeights : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    for (Value operand : op->getOperands()) {
      auto producer = operand.template getDefiningOp<Producer>();
      if (!producer || !operand.hasOneUse() || !hasNoRelu(producer) ||
          !llvm::isa<RankedTensorType>(operand.getType()))
        continue;
      if (shapeOf(operand).empty() ||
          (llvm::isa<MatMulOp>(producer) && !matMulHasColumns(producer)))
        continue;
      auto affine = affineOf(op.getOperation(), channelAxis(producer));
      if (failed(affine) || affine->input != operand)
        continue;
      return foldInto(producer, op, *affine, rewriter);
    }
    return rewriter.notifyMatchFailure(op, "no constant affine op");
  }
  /// The last axis of the result is that of the right operand's columns.
  static bool matMulHasColumns(Operation *op) {
    auto matmul = llvm::dyn_cast<MatMulOp>(op);
    return matmul && rankOf(matmul.getRight()) > 1 &&
           !matmul.getOutputTranspose();
  }
};

/// BatchNorm with constant parameters is a Scale.
struct BatchNormToScale : OpRewritePattern<BatchNormOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(BatchNormOp op,
                                PatternRewriter &rewriter) const override {
    auto affine = affineOf(op);
    if (failed(affine))
      return rewriter.notifyMatchFailure(op, "run-time parameters");
    std::string name = tensorName(op.getLoc()).str();
    int64_t channels = int64_t(affine->scale.size());
    Value scale =
        weightFrom(rewriter, name + ":scale", {channels}, affine->scale);
    Value bias = weightFrom(rewriter, name + ":bias", {channels}, affine->bias);
    rewriter.replaceOpWithNewOp<ScaleOp>(op, op.getType(), op.getInput(), scale,
                                         bias, op.getDoRelu(),
                                         op.getReluLimit());
    return success();
  }
};

template <typename Op> void addFor(RewritePatternSet &patterns) {
  MLIRContext *ctx = patterns.getContext();
  patterns.add<
      FoldAffineIntoWeights<ConvOp, Op>, FoldAffineIntoWeights<DeconvOp, Op>,
      FoldAffineIntoWeights<MatMulOp, Op>, FoldAffineIntoWeights<ScaleOp, Op>>(
      ctx, /*benefit=*/2);
}

} // namespace

void populateAffinePatterns(RewritePatternSet &patterns) {
  addFor<ScaleOp>(patterns);
  addFor<BatchNormOp>(patterns);
  addFor<AddConstOp>(patterns);
  addFor<MulConstOp>(patterns);
  addFor<SubConstOp>(patterns);
  addFor<AddOp>(patterns);
  addFor<MulOp>(patterns);
  addFor<SubOp>(patterns);
  addFor<DivOp>(patterns);
  patterns.add<BatchNormToScale>(patterns.getContext());
}

} // namespace tpumlir::top
