#include "tpumlir/conversion/top_to_tpu/Lowering.h"

using namespace mlir;

namespace tpumlir {

namespace {

SmallVector<int64_t> copyOf(ArrayRef<int64_t> values) {
  return SmallVector<int64_t>(values.begin(), values.end());
}

/// The rank 1 or 2 pool, its result without the loss of the spatial axes.
Value createPool(PatternRewriter &rewriter, Location loc, Value input,
                 const top::Window &window, tpu::PoolMode mode, bool relu,
                 double limit) {
  SmallVector<int64_t> shape(top::shapeOf(input).take_front(2));
  shape.append(window.output.begin(), window.output.end());
  SmallVector<int64_t> pads = copyOf(window.padBegin);
  pads.append(window.padEnd.begin(), window.padEnd.end());
  auto make = [&](auto tag) -> Value {
    using OpTy = decltype(tag);
    return OpTy::create(rewriter, loc, top::typeLike(input, shape), input,
                        copyOf(window.kernel), copyOf(window.stride), pads,
                        mode, mode == tpu::PoolMode::Avg, relu, limit);
  };
  return window.kernel.size() == 1 ? make(tpu::Pool1DOp())
                                   : make(tpu::Pool2DOp());
}

/// How many elements of an axis a mean divides by, per output; kernel if all
/// are alike.
SmallVector<int64_t> divisors(const top::Window &w, size_t axis,
                              bool countPads) {
  SmallVector<int64_t> counts;
  // With `count_include_pad` the given pads count, what ceil_mode adds does
  // not.
  int64_t begin = countPads ? -w.padBegin[axis] : 0;
  int64_t end = w.input[axis] + (countPads ? w.padEndGiven[axis] : 0);
  for (int64_t o = 0; o < w.output[axis]; ++o) {
    int64_t lo = o * w.stride[axis] - w.padBegin[axis];
    int64_t hi = lo + w.kernel[axis];
    counts.push_back(std::min(hi, end) - std::max(lo, begin));
  }
  return counts;
}

template <typename OpTy> struct PoolLowering : Lowering<OpTy> {
  PoolLowering(MLIRContext *ctx, const LoweringContext &context,
               tpu::PoolMode mode)
      : Lowering<OpTy>(ctx, context), mode(mode) {}

  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    auto window = op.getWindow();
    if (failed(window))
      return failure();
    size_t axes = window->kernel.size();
    if (axes > 2)
      return rewriter.notifyMatchFailure(
          op, "expected one or two spatial axes, got three");
    if (llvm::any_of(window->dilation, [](int64_t d) { return d != 1; }))
      return rewriter.notifyMatchFailure(op, "expected no dilation");

    std::vector<float> correction = mode == tpu::PoolMode::Avg
                                        ? corrections(op, *window)
                                        : std::vector<float>();
    bool reshapes = !op.getKeepdims();
    Location last = op.getLoc();
    Location inner = reshapes ? derivedLoc(op, "kept") : last;
    Value value = createPool(
        rewriter, correction.empty() ? inner : derivedLoc(op, "mean"),
        op.getInput(), *window, mode, op.getDoRelu() && correction.empty(),
        op.getReluLimit());
    if (!correction.empty()) {
      SmallVector<int64_t> shape{1, 1};
      shape.append(window->output.begin(), window->output.end());
      Value factor = top::createWeight(
          rewriter, (top::tensorName(op.getLoc()) + "::divisor").str(), shape,
          std::move(correction));
      value = tpu::MulOp::create(rewriter, inner, value.getType(),
                                 ValueRange{value, factor}, op.getDoReluAttr(),
                                 op.getReluLimitAttr());
    }
    if (reshapes)
      value = tpu::ReshapeOp::create(rewriter, last, op.getType(), value);
    rewriter.replaceOp(op, value);
    return success();
  }

  /// kernel size / divisor of every output element; empty if all are 1.
  static std::vector<float> corrections(OpTy op, const top::Window &w) {
    bool countPads = op.getCountIncludePad();
    SmallVector<int64_t> rows{1};
    int64_t area = 1;
    if (w.kernel.size() == 2)
      rows = divisors(w, 0, countPads);
    SmallVector<int64_t> columns = divisors(w, w.kernel.size() - 1, countPads);
    for (int64_t extent : w.kernel)
      area *= extent;
    std::vector<float> factors;
    bool allOne = true;
    for (int64_t row : rows)
      for (int64_t column : columns) {
        factors.push_back(float(double(area) / double(row * column)));
        allOne &= row * column == area;
      }
    if (allOne)
      factors.clear();
    return factors;
  }

  tpu::PoolMode mode;
};

struct AdaptiveAvgPoolLowering : Lowering<top::AdaptiveAvgPoolOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::AdaptiveAvgPoolOp op,
                                PatternRewriter &rewriter) const override {
    ArrayRef<int64_t> input = top::shapeOf(op.getInput());
    auto output = op.getOutputSize();
    top::Window window;
    for (size_t i = 0; i < output.size(); ++i) {
      if (input[i + 2] % output[i] != 0 || output.size() > 2)
        return rewriter.notifyMatchFailure(
            op, "expected one or two axes whose extents are multiples of the "
                "output's");
      window.kernel.push_back(input[i + 2] / output[i]);
      window.output.push_back(output[i]);
    }
    window.stride = window.kernel;
    window.padBegin.assign(output.size(), 0);
    window.padEnd.assign(output.size(), 0);
    rewriter.replaceOp(op, createPool(rewriter, op.getLoc(), op.getInput(),
                                      window, tpu::PoolMode::Avg, false, -1));
    return success();
  }
};

} // namespace

void populatePoolLowering(RewritePatternSet &patterns,
                          const LoweringContext &context) {
  MLIRContext *ctx = patterns.getContext();
  patterns.add<PoolLowering<top::MaxPoolOp>>(ctx, context, tpu::PoolMode::Max);
  patterns.add<PoolLowering<top::AvgPoolOp>>(ctx, context, tpu::PoolMode::Avg);
  patterns.add<AdaptiveAvgPoolLowering>(ctx, context);
}

} // namespace tpumlir
