#include "tpumlir/conversion/top_to_tpu/Lowering.h"

#include <cmath>

using namespace mlir;

namespace tpumlir {

namespace {

using top::CoordMode;

/// Where an element of the output stands in the input. Source: ONNX Resize,
/// opset 19.
double placeOf(CoordMode coord, int64_t i, int64_t in, int64_t out,
               double scale) {
  if (coord == CoordMode::align_corners)
    return out > 1 ? double(i) * double(in - 1) / double(out - 1) : 0.0;
  if (coord == CoordMode::asymmetric)
    return double(i) / scale;
  if (coord == CoordMode::pytorch_half_pixel && out == 1)
    return 0.0;
  return (double(i) + 0.5) / scale - 0.5;
}

/// The input element that each output element repeats.
SmallVector<int64_t> nearest(CoordMode coord, int64_t in, int64_t out,
                             double scale) {
  SmallVector<int64_t> indices;
  for (int64_t i = 0; i < out; ++i) {
    double at = placeOf(coord, i, in, out, scale);
    // Halves go down; asymmetric places are cut.
    double place =
        coord == CoordMode::asymmetric ? std::floor(at) : std::ceil(at - 0.5);
    indices.push_back(std::clamp<int64_t>(int64_t(place), 0, in - 1));
  }
  return indices;
}

/// How often every element is repeated, all alike and in order; 0 if it is not
/// so.
int64_t repetitionOf(ArrayRef<int64_t> indices, int64_t in) {
  int64_t factor = int64_t(indices.size()) / in;
  if (factor * in != int64_t(indices.size()))
    return 0;
  for (auto [i, index] : llvm::enumerate(indices))
    if (index != int64_t(i) / factor)
      return 0;
  return factor;
}

/// [out, in], the share of each input element in each output element.
std::vector<float> linear(CoordMode coord, int64_t in, int64_t out,
                          double scale) {
  std::vector<float> shares(size_t(in * out), 0.0f);
  for (int64_t i = 0; i < out; ++i) {
    double at =
        std::clamp(placeOf(coord, i, in, out, scale), 0.0, double(in - 1));
    int64_t low = int64_t(std::floor(at));
    int64_t high = std::min(low + 1, in - 1);
    float weight = float(at - double(low));
    shares[size_t(i * in + low)] += 1.0f - weight;
    shares[size_t(i * in + high)] += weight;
  }
  return shares;
}

/// Linear resampling of one axis by a whole factor, as a transposed convolution
/// of the input with its edge elements repeated once.
struct Triangle {
  int64_t stride = 1;
  int64_t crop = 0; ///< elements to drop in front of the result
  int64_t edge = 0; ///< elements to repeat at each end of the input
  SmallVector<double> weights{1.0};
};

std::optional<Triangle> triangleOf(CoordMode coord, int64_t in, int64_t out,
                                   double scale) {
  constexpr int64_t kMaxFactor = 16;
  if (in == out && scale == 1.0)
    return Triangle();
  int64_t factor = out / in;
  if (factor < 2 || factor > kMaxFactor || out != factor * in ||
      scale != double(factor) || coord == CoordMode::align_corners)
    return std::nullopt;
  // Output o stands at (o + shift) / factor - shift and takes from input i
  // what is left of 1 minus the distance; first is the least o of i = 0.
  double shift = coord == CoordMode::asymmetric ? 0.0 : 0.5;
  Triangle result{factor, 0, 1, {}};
  int64_t first = 0;
  for (int64_t o = -2 * factor; o <= 2 * factor; ++o) {
    double weight =
        1.0 - std::fabs((double(o) + shift) / double(factor) - shift);
    if (weight <= 0.0)
      continue;
    if (result.weights.empty())
      first = o;
    result.weights.push_back(weight);
  }
  result.crop = factor - first;
  return result;
}

/// Nearest by copies; linear by whole factors as a transposed convolution, else
/// as two products with constant matrices, which spread what is not finite over
/// the row and column.
struct InterpLowering : Lowering<top::InterpOp> {
  using Lowering::Lowering;

  LogicalResult matchAndRewrite(top::InterpOp op,
                                PatternRewriter &rewriter) const override {
    ArrayRef<int64_t> in = top::shapeOf(op.getInput());
    ArrayRef<int64_t> out = top::shapeOf(op.getOutput());
    // A scale that was given counts as it stands: the extent is its floor.
    bool given = top::isNone(op.getTargetShape());
    double scaleH = given ? op.getScaleH() : double(out[2]) / double(in[2]);
    double scaleW = given ? op.getScaleW() : double(out[3]) / double(in[3]);
    CoordMode coord = op.getCoordMode();
    if (op.getMode() == top::InterpMode::nearest) {
      SmallVector<int64_t> rows = nearest(coord, in[2], out[2], scaleH);
      SmallVector<int64_t> columns = nearest(coord, in[3], out[3], scaleW);
      int64_t down = repetitionOf(rows, in[2]);
      int64_t across = repetitionOf(columns, in[3]);
      if (down > 0 && across > 0) {
        rewriter.replaceOpWithNewOp<tpu::UpsampleOp>(
            op, op.getType(), op.getInput(), rewriter.getI64IntegerAttr(down),
            rewriter.getI64IntegerAttr(across));
        return success();
      }
      Value half = takeAlongAxis(rewriter, op, derivedLoc(op, "rows"), context,
                                 op.getInput(), 2, rows);
      rewriter.replaceOp(op, takeAlongAxis(rewriter, op, op.getLoc(), context,
                                           half, 3, columns));
      return success();
    }
    auto high = triangleOf(coord, in[2], out[2], scaleH);
    auto wide = triangleOf(coord, in[3], out[3], scaleW);
    if (high && wide) {
      replaceByDeconv(op, rewriter, *high, *wide);
      return success();
    }
    auto weight = [&](StringRef name, ArrayRef<int64_t> shape,
                      std::vector<float> data) {
      return top::createWeight(
          rewriter, top::partName(top::tensorName(op.getLoc()), name), shape,
          std::move(data));
    };
    auto product = [&](StringRef name, ArrayRef<int64_t> shape, Value left,
                       Value right, bool transposeRight) -> Value {
      Value none = context.none;
      return tpu::MatMulOp::create(
          rewriter, derivedLoc(op, name), top::typeLike(op.getInput(), shape),
          left, right, none, none, none, false, transposeRight, false, -1.0);
    };
    int64_t planes = in[0] * in[1];
    Value x = tpu::ReshapeOp::create(
        rewriter, derivedLoc(op, "flat"),
        top::typeLike(op.getInput(), {planes * in[2], in[3]}), op.getInput());
    Value columns = weight("columns", {out[3], in[3]},
                           linear(coord, in[3], out[3], scaleW));
    x = product("wide", {planes * in[2], out[3]}, x, columns, true);
    x = tpu::ReshapeOp::create(
        rewriter, derivedLoc(op, "planes"),
        top::typeLike(op.getInput(), {planes, in[2], out[3]}), x);
    Value rows =
        weight("rows", {out[2], in[2]}, linear(coord, in[2], out[2], scaleH));
    x = product("high", {planes, out[2], out[3]}, rows, x, false);
    rewriter.replaceOpWithNewOp<tpu::ReshapeOp>(op, op.getType(), x);
    return success();
  }

private:
  void replaceByDeconv(top::InterpOp op, PatternRewriter &rewriter,
                       const Triangle &high, const Triangle &wide) const {
    SmallVector<int64_t> shape(top::shapeOf(op.getInput()));
    ArrayRef<int64_t> out = top::shapeOf(op.getOutput());
    int64_t channels = shape[1];
    SmallVector<int64_t> edges{0, 0, high.edge, wide.edge};
    shape[2] += 2 * high.edge;
    shape[3] += 2 * wide.edge;
    SmallVector<int64_t> pads(edges);
    pads.append(edges);
    Value x = tpu::PadOp::create(
        rewriter, derivedLoc(op, "edges"), top::typeLike(op.getInput(), shape),
        op.getInput(), pads, 0.0, top::PaddingMode::edge);
    std::vector<float> window;
    for (int64_t c = 0; c < channels; ++c)
      for (double row : high.weights)
        for (double column : wide.weights)
          window.push_back(float(row * column));
    int64_t rows = int64_t(high.weights.size()),
            columns = int64_t(wide.weights.size());
    Value filter = top::createWeight(
        rewriter, top::partName(top::tensorName(op.getLoc()), "triangle"),
        {1, channels, rows, columns}, std::move(window));
    auto behind = [](const Triangle &t, int64_t extent, int64_t result) {
      return (extent - 1) * t.stride + int64_t(t.weights.size()) - t.crop -
             result;
    };
    rewriter.replaceOpWithNewOp<tpu::DeconvOp>(
        op, op.getType(), x, filter, context.none, Value(),
        rewriter.getI64ArrayAttr({rows, columns}),
        rewriter.getI64ArrayAttr({high.stride, wide.stride}),
        rewriter.getI64ArrayAttr({high.crop, wide.crop,
                                  behind(high, shape[2], out[2]),
                                  behind(wide, shape[3], out[3])}),
        rewriter.getI64IntegerAttr(channels), rewriter.getI64ArrayAttr({1, 1}),
        rewriter.getI64ArrayAttr({0, 0}), rewriter.getBoolAttr(false),
        rewriter.getF64FloatAttr(-1.0), rewriter.getBoolAttr(false),
        tpu::FilterOrderAttr::get(rewriter.getContext(),
                                  tpu::FilterOrder::OGIK));
  }
};

} // namespace

void populateResizeLowering(RewritePatternSet &patterns,
                            const LoweringContext &context) {
  patterns.add<InterpLowering>(patterns.getContext(), context);
}

} // namespace tpumlir
