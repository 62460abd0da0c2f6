#include "tpumlir/conversion/top_to_tpu/Lowering.h"

#include <cmath>

using namespace mlir;

namespace tpumlir {

namespace {

/// Where an element of the output stands in the input. Source: ONNX Resize,
/// opset 19.
double placeOf(StringRef coord, int64_t i, int64_t in, int64_t out,
               double scale) {
  if (coord == "align_corners")
    return out > 1 ? double(i) * double(in - 1) / double(out - 1) : 0.0;
  if (coord == "asymmetric")
    return double(i) / scale;
  if (coord == "pytorch_half_pixel" && out == 1)
    return 0.0;
  return (double(i) + 0.5) / scale - 0.5;
}

/// The input element that each output element repeats.
SmallVector<int64_t> nearest(StringRef coord, int64_t in, int64_t out,
                             double scale) {
  SmallVector<int64_t> indices;
  for (int64_t i = 0; i < out; ++i) {
    double at = placeOf(coord, i, in, out, scale);
    // Halves go down; asymmetric places are cut.
    double place = coord == "asymmetric" ? std::floor(at) : std::ceil(at - 0.5);
    indices.push_back(std::clamp<int64_t>(int64_t(place), 0, in - 1));
  }
  return indices;
}

/// [out, in], the share of each input element in each output element.
std::vector<float> linear(StringRef coord, int64_t in, int64_t out,
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

/// Nearest by copies; linear as two products with constant matrices.
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
    StringRef coord = op.getCoordMode();
    if (op.getMode() == "nearest") {
      SmallVector<int64_t> rows = nearest(coord, in[2], out[2], scaleH);
      SmallVector<int64_t> columns = nearest(coord, in[3], out[3], scaleW);
      Value half = takeAlongAxis(rewriter, op, derivedLoc(op, "rows"), context,
                                 op.getInput(), 2, rows);
      if (half)
        half =
            takeAlongAxis(rewriter, op, op.getLoc(), context, half, 3, columns);
      if (!half)
        return rewriter.notifyMatchFailure(
            op, "expected a nearest resize of at most 512 slices per axis");
      rewriter.replaceOp(op, half);
      return success();
    }
    auto weight = [&](StringRef name, ArrayRef<int64_t> shape,
                      std::vector<float> data) {
      return top::createWeight(
          rewriter, (top::tensorName(op.getLoc()) + "::" + name).str(), shape,
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
};

} // namespace

void populateResizeLowering(RewritePatternSet &patterns,
                            const LoweringContext &context) {
  patterns.add<InterpLowering>(patterns.getContext(), context);
}

} // namespace tpumlir
