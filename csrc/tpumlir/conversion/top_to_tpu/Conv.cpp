#include "tpumlir/conversion/top_to_tpu/Taps.h"
#include "tpumlir/transforms/tpu/Int8.h"

using namespace mlir;

namespace tpumlir {

namespace {

SmallVector<int64_t> joined(ArrayRef<int64_t> begin, ArrayRef<int64_t> end) {
  SmallVector<int64_t> all(begin);
  all.append(end.begin(), end.end());
  return all;
}

/// How many leading spatial axes become channels, so that at most two are left,
/// the commands hold their dilations, and the window fits into local memory.
size_t axesToUnfold(const top::Window &window) {
  size_t axes = window.kernel.size(), count = axes > 2 ? axes - 2 : 0;
  for (size_t i = 0; i < axes; ++i)
    if (window.dilation[i] > kMaxWindowDilation)
      count = i + 1;
  while (count < axes && windowExtent(window, count) > kMaxWindowExtent)
    ++count;
  return count;
}

/// A convolution whose first `unfolded` spatial axes turn into channels: the
/// elements under tap k of channel c are channel c * kernel + k, which is how
/// the filter lies in memory already. The places of those axes become batches.
template <typename OpTy> class Unfolding {
public:
  Unfolding(PatternRewriter &rewriter, OpTy op, const LoweringContext &context,
            const top::Window &window, size_t unfolded)
      : taps(rewriter, op, context), rewriter(rewriter), op(op), window(window),
        unfolded(unfolded) {}

  /// `filter` has a row of channels per output channel (of its group).
  /// `create(loc, type, input, filter, axes)` makes the convolution over the
  /// `axes` that are left.
  template <typename Create> Value run(Value filter, Create create) {
    SmallVector<int64_t> input(top::shapeOf(op.getInput()));
    Value x = op.getInput();
    for (size_t i = 0; i < unfolded; ++i)
      x = unfold(x, i);
    // Without an axis left, one of extent 1 stays.
    SmallVector<int64_t> places(window.output.begin(),
                                window.output.begin() + unfolded);
    SmallVector<int64_t> rest(input.begin() + 2 + unfolded, input.end());
    SmallVector<int64_t> restOut(window.output.begin() + unfolded,
                                 window.output.end());
    SmallVector<int64_t> kernel(window.kernel.begin() + unfolded,
                                window.kernel.end());
    if (rest.empty()) {
      rest = {top::elementsOf(places)};
      restOut = rest;
      kernel = {1};
      places.clear();
    }
    int64_t batch = input[0] * top::elementsOf(places);
    int64_t channels = top::shapeOf(x)[1];
    if (!places.empty())
      x = taps.permute(x, channelsBehind(places.size(), rest.size(), false));
    x = taps.reshape(x, joined({batch, channels}, rest));

    ArrayRef<int64_t> filterShape = top::shapeOf(filter);
    int64_t filterChannels =
        filterShape[1] * top::elementsOf(filterShape.slice(2, unfolded));
    SmallVector<int64_t> flat =
        joined({filterShape[0], filterChannels}, kernel);
    if (auto data = top::constantF32s(filter); succeeded(data)) {
      Operation *whole = filter.getDefiningOp();
      filter = top::createWeight(
          rewriter, top::partName(top::tensorName(op.getLoc()), "filter"), flat,
          std::vector<float>(data->begin(), data->end()));
      // What the model states of its integers is by output channel at most.
      if (Attribute stated = whole->getAttr(kStatedAttr))
        filter.getDefiningOp()->setAttr(kStatedAttr, stated);
    } else {
      filter = taps.reshape(filter, flat);
    }
    int64_t oc = top::shapeOf(op.getOutput())[1];
    Value y = create(taps.fresh("product"),
                     top::typeLike(x, joined({batch, oc}, restOut)), x, filter);
    if (!places.empty()) {
      SmallVector<int64_t> apart = joined({input[0]}, places);
      apart.push_back(oc);
      y = taps.reshape(y, joined(apart, restOut));
      y = taps.permute(y, channelsBehind(places.size(), rest.size(), true));
    }
    return tpu::ReshapeOp::create(rewriter, op.getLoc(), op.getType(), y);
  }

private:
  /// [n, c, places, rest] -> [n, places, c, rest], or back.
  static SmallVector<int64_t> channelsBehind(size_t places, size_t rest,
                                             bool back) {
    SmallVector<int64_t> order{0};
    int64_t count = int64_t(places);
    if (back)
      order.push_back(count + 1);
    for (int64_t i = 0; i < count; ++i)
      order.push_back(back ? i + 1 : i + 2);
    if (!back)
      order.push_back(1);
    for (size_t i = 0; i < rest; ++i)
      order.push_back(int64_t(2 + places + i));
    return order;
  }

  Value unfold(Value x, size_t i) {
    constexpr bool kTransposed = std::is_same_v<OpTy, top::DeconvOp>;
    size_t axis = 2 + i;
    int64_t dilation = window.dilation[i], count = window.output[i];
    int64_t reach = (window.kernel[i] - 1) * dilation + 1;
    int64_t before = window.padBegin[i], step = window.stride[i];
    if (kTransposed) {
      // The input with zeros in between, under the kernel turned around.
      x = spread(x, axis, step);
      before = reach - 1 - before;
      step = 1;
    }
    int64_t skip = std::max<int64_t>(-before, 0);
    before = std::max<int64_t>(before, 0);
    int64_t need = skip + (count - 1) * step + reach;
    int64_t have = before + top::shapeOf(x)[axis];
    x = taps.pad(x, axis, before, std::max<int64_t>(need - have, 0), 0.0);
    SmallVector<Value> parts;
    for (int64_t tap = 0; tap < window.kernel[i]; ++tap) {
      int64_t at = tap * dilation;
      Value part = taps.slice(
          x, axis, skip + (kTransposed ? reach - 1 - at : at), step, count);
      SmallVector<int64_t> shape(top::shapeOf(part));
      shape.insert(shape.begin() + 2, 1);
      parts.push_back(taps.reshape(part, shape));
    }
    Value all = taps.concat(parts, 2);
    SmallVector<int64_t> shape(top::shapeOf(all));
    shape[1] *= shape[2];
    shape.erase(shape.begin() + 2);
    return taps.reshape(all, shape);
  }

  Value spread(Value x, size_t axis, int64_t stride) {
    SmallVector<int64_t> shape(top::shapeOf(x)), apart(shape);
    apart.insert(apart.begin() + axis + 1, 1);
    x = taps.pad(taps.reshape(x, apart), axis + 1, 0, stride - 1, 0.0);
    shape[axis] *= stride;
    return taps.reshape(x, shape);
  }

  TapBuilder taps;
  PatternRewriter &rewriter;
  OpTy op;
  const top::Window &window;
  size_t unfolded;
};

/// The window over the axes that are not unfolded, as attributes; if none is
/// left, one of extent 1.
struct WindowAttrs {
  ArrayAttr kernel, strides, pads, dilations, outputPadding;

  WindowAttrs(Builder builder, const top::Window &window, size_t unfolded) {
    auto rest = [&](ArrayRef<int64_t> values, int64_t neutral) {
      SmallVector<int64_t> list(values.drop_front(unfolded));
      if (list.empty())
        list.push_back(neutral);
      return list;
    };
    auto attr = [&](ArrayRef<int64_t> values, int64_t neutral) {
      return builder.getI64ArrayAttr(rest(values, neutral));
    };
    kernel = attr(window.kernel, 1);
    strides = attr(window.stride, 1);
    pads = builder.getI64ArrayAttr(
        joined(rest(window.padBegin, 0), rest(window.padEndGiven, 0)));
    dilations = attr(window.dilation, 1);
    if (!window.outputPadding.empty()) // Deconv
      outputPadding = attr(window.outputPadding, 0);
  }
};

struct ConvLowering : Lowering<top::ConvOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::ConvOp op,
                                PatternRewriter &rewriter) const override {
    auto window = op.getWindow();
    if (failed(window))
      return failure();
    size_t unfolded = axesToUnfold(*window);
    WindowAttrs attrs(rewriter, *window, unfolded);
    auto create = [&](Location loc, Type type, Value input,
                      Value filter) -> Value {
      return tpu::Conv2DOp::create(
          rewriter, loc, type, input, filter, op.getBias(), Value(),
          attrs.kernel, attrs.strides, attrs.pads,
          rewriter.getI64IntegerAttr(op.getGroup()), attrs.dilations,
          rewriter.getBoolAttr(false), op.getDoReluAttr(),
          op.getReluLimitAttr(),
          rewriter.getBoolAttr(!top::isNone(op.getBias())),
          op.getWeightIsCoeffAttr(),
          tpu::FilterOrderAttr::get(rewriter.getContext(),
                                    tpu::FilterOrder::GOIK),
          rewriter.getI64IntegerAttr(0));
    };
    rewriter.replaceOp(
        op, unfolded == 0 ? create(op.getLoc(), op.getType(), op.getInput(),
                                   op.getFilter())
                          : Unfolding(rewriter, op, context, *window, unfolded)
                                .run(op.getFilter(), create));
    return success();
  }
};

struct DeconvLowering : Lowering<top::DeconvOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::DeconvOp op,
                                PatternRewriter &rewriter) const override {
    auto window = op.getWindow();
    if (failed(window))
      return failure();
    Value filter = op.getFilter();
    if (!op.filterIsOutputMajor()) {
      // A run-time filter as ONNX has it, [ic, oc / group, ...]: Tpu wants
      // [oc / group, ic, ...].
      SmallVector<int64_t> order = allAxes(top::rankOf(filter));
      std::swap(order[0], order[1]);
      SmallVector<int64_t> shape(top::shapeOf(filter));
      std::swap(shape[0], shape[1]);
      filter = tpu::PermuteOp::create(
          rewriter, derivedLoc(op, "filter"), top::typeLike(filter, shape),
          filter, context.none, rewriter.getI64ArrayAttr(order));
    }
    size_t unfolded = axesToUnfold(*window);
    WindowAttrs attrs(rewriter, *window, unfolded);
    auto create = [&](Location loc, Type type, Value input,
                      Value filter) -> Value {
      return tpu::DeconvOp::create(
          rewriter, loc, type, input, filter, op.getBias(), Value(),
          attrs.kernel, attrs.strides, attrs.pads,
          rewriter.getI64IntegerAttr(op.getGroup()), attrs.dilations,
          attrs.outputPadding, op.getDoReluAttr(), op.getReluLimitAttr(),
          rewriter.getBoolAttr(!top::isNone(op.getBias())),
          tpu::FilterOrderAttr::get(rewriter.getContext(),
                                    tpu::FilterOrder::OGIK));
    };
    rewriter.replaceOp(
        op, unfolded == 0
                ? create(op.getLoc(), op.getType(), op.getInput(), filter)
                : Unfolding(rewriter, op, context, *window, unfolded)
                      .run(filter, create));
    return success();
  }
};

} // namespace

void populateConvLowering(RewritePatternSet &patterns,
                          const LoweringContext &context) {
  patterns.add<ConvLowering, DeconvLowering>(patterns.getContext(), context);
}

} // namespace tpumlir
