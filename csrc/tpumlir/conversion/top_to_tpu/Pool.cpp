#include "tpumlir/conversion/top_to_tpu/Taps.h"

#include <limits>

using namespace mlir;

namespace tpumlir {

namespace {

/// A pool over the one or two spatial axes of `input`. Axis i of it is axis
/// `axes[i]` of the window, or is left alone if that is negative.
Value createPool(PatternRewriter &rewriter, Location loc, Value input,
                 const top::Window &window, ArrayRef<int> axes,
                 tpu::PoolMode mode, bool relu, double limit) {
  SmallVector<int64_t> shape(top::shapeOf(input)), kernel, stride, dilation;
  SmallVector<int64_t> begin, end;
  for (auto [i, axis] : llvm::enumerate(axes)) {
    bool pooled = axis >= 0;
    kernel.push_back(pooled ? window.kernel[axis] : 1);
    stride.push_back(pooled ? window.stride[axis] : 1);
    dilation.push_back(pooled ? window.dilation[axis] : 1);
    begin.push_back(pooled ? window.padBegin[axis] : 0);
    end.push_back(pooled ? window.padEnd[axis] : 0);
    if (pooled)
      shape[i + 2] = window.output[axis];
  }
  begin.append(end);
  ArrayAttr dilations = llvm::any_of(dilation, [](int64_t d) { return d != 1; })
                            ? rewriter.getI64ArrayAttr(dilation)
                            : ArrayAttr();
  auto make = [&](auto tag) -> Value {
    using OpTy = decltype(tag);
    return OpTy::create(
        rewriter, loc, top::typeLike(input, shape), input,
        rewriter.getI64ArrayAttr(kernel), rewriter.getI64ArrayAttr(stride),
        rewriter.getI64ArrayAttr(begin), dilations,
        tpu::PoolModeAttr::get(rewriter.getContext(), mode),
        rewriter.getBoolAttr(mode == tpu::PoolMode::Avg),
        rewriter.getBoolAttr(relu), rewriter.getF64FloatAttr(limit));
  };
  return axes.size() == 1 ? make(tpu::Pool1DOp()) : make(tpu::Pool2DOp());
}

/// Builds the pools that one Top pool becomes: windows are separable, so axes
/// may be pooled one after another.
class PoolBuilder {
public:
  PoolBuilder(PatternRewriter &rewriter, Operation *op,
              const LoweringContext &context, const top::Window &window,
              tpu::PoolMode mode)
      : taps(rewriter, op, context), rewriter(rewriter), window(window),
        mode(mode) {}

  /// All axes; the result, [n, c, output...], is at `loc`.
  Value run(Location loc, Value x, bool relu, double limit) {
    size_t axes = window.kernel.size();
    for (size_t i = 0; i < axes; ++i)
      if (window.dilation[i] > kMaxWindowDilation)
        x = poolBySlices(x, i);
    if (axes == 1)
      return createPool(rewriter, loc, x, window, {0}, mode, relu, limit);
    if (axes == 2)
      return poolPlane(loc, x, 0, relu, limit);
    // [n, c * depth, h, w], then [n, c, depth, h * w].
    SmallVector<int64_t> in(top::shapeOf(x));
    x = taps.reshape(x, {in[0], in[1] * in[2], in[3], in[4]});
    x = poolPlane(taps.fresh("planes"), x, 1, false, -1.0);
    int64_t plane = window.output[1] * window.output[2];
    x = taps.reshape(x, {in[0], in[1], in[2], plane});
    x = createPool(rewriter, taps.fresh("depth"), x, window, {0, -1}, mode,
                   relu, limit);
    SmallVector<int64_t> shape{in[0], in[1]};
    shape.append(window.output.begin(), window.output.end());
    return tpu::ReshapeOp::create(rewriter, loc, top::typeLike(x, shape), x);
  }

private:
  /// Axes `first` and the next of the window; one after the other if a window
  /// is too large for local memory (whole planes are reductions).
  Value poolPlane(Location loc, Value x, int first, bool relu, double limit) {
    bool whole = window.output[first] * window.output[first + 1] == 1;
    if (whole || windowExtent(window, first) <= kMaxWindowExtent)
      return createPool(rewriter, loc, x, window, {first, first + 1}, mode,
                        relu, limit);
    x = createPool(rewriter, taps.fresh("rows"), x, window, {first, -1}, mode,
                   false, -1.0);
    return createPool(rewriter, loc, x, window, {-1, first + 1}, mode, relu,
                      limit);
  }

  /// One axis, whose dilation the commands do not hold, as an operation on
  /// strided slices; the axis is done then.
  Value poolBySlices(Value x, size_t i) {
    bool isMax = mode == tpu::PoolMode::Max;
    x = taps.pad(x, i + 2, window.padBegin[i], window.padEnd[i],
                 isMax ? -std::numeric_limits<double>::infinity() : 0.0);
    SmallVector<Value> parts;
    for (int64_t tap = 0; tap < window.kernel[i]; ++tap)
      parts.push_back(taps.slice(x, i + 2, tap * window.dilation[i],
                                 window.stride[i], window.output[i]));
    if (parts.size() > 1) {
      Type type = parts[0].getType();
      if (isMax)
        x = tpu::MaxOp::create(rewriter, taps.fresh("max"), type, parts, false,
                               -1.0);
      else
        x = tpu::AddOp::create(rewriter, taps.fresh("sum"), type, parts, false,
                               -1.0);
    } else {
      x = parts[0];
    }
    if (!isMax)
      x = tpu::MulConstOp::create(rewriter, taps.fresh("mean"), x.getType(), x,
                                  1.0 / double(window.kernel[i]), false, -1.0);
    window.kernel[i] = window.stride[i] = window.dilation[i] = 1;
    window.padBegin[i] = window.padEnd[i] = 0;
    return x;
  }

  TapBuilder taps;
  PatternRewriter &rewriter;
  top::Window window;
  tpu::PoolMode mode;
};

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
    int64_t count = 0;
    for (int64_t tap = 0; tap < w.kernel[axis]; ++tap) {
      int64_t at =
          o * w.stride[axis] - w.padBegin[axis] + tap * w.dilation[axis];
      count += at >= begin && at < end;
    }
    counts.push_back(count);
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
    std::vector<float> correction = mode == tpu::PoolMode::Avg
                                        ? corrections(op, *window)
                                        : std::vector<float>();
    bool reshapes = !op.getKeepdims();
    Location last = op.getLoc();
    Location inner = reshapes ? derivedLoc(op, "kept") : last;
    Value value = PoolBuilder(rewriter, op, this->context, *window, mode)
                      .run(correction.empty() ? inner : derivedLoc(op, "mean"),
                           op.getInput(), op.getDoRelu() && correction.empty(),
                           op.getReluLimit());
    if (!correction.empty()) {
      SmallVector<int64_t> shape{1, 1};
      shape.append(window->output.begin(), window->output.end());
      Value factor = top::createWeight(
          rewriter, top::partName(top::tensorName(op.getLoc()), "divisor"),
          shape, std::move(correction));
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
    int64_t area = top::elementsOf(w.kernel);
    SmallVector<int64_t> counts{1};
    for (size_t axis = 0; axis < w.kernel.size(); ++axis) {
      SmallVector<int64_t> product;
      for (int64_t outer : counts)
        for (int64_t count : divisors(w, axis, op.getCountIncludePad()))
          product.push_back(outer * count);
      counts = product;
    }
    std::vector<float> factors;
    if (llvm::any_of(counts, [&](int64_t count) { return count != area; }))
      for (int64_t count : counts)
        factors.push_back(float(double(area) / double(count)));
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
      if (input[i + 2] % output[i] != 0)
        return rewriter.notifyMatchFailure(
            op, "expected axes whose extents are multiples of the output's");
      window.kernel.push_back(input[i + 2] / output[i]);
      window.output.push_back(output[i]);
    }
    window.stride = window.kernel;
    window.padBegin.assign(output.size(), 0);
    window.padEnd.assign(output.size(), 0);
    window.dilation.assign(output.size(), 1);
    PoolBuilder builder(rewriter, op, context, window, tpu::PoolMode::Avg);
    rewriter.replaceOp(op,
                       builder.run(op.getLoc(), op.getInput(), false, -1.0));
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
