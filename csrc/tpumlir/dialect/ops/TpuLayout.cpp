#include "tpumlir/dialect/ops/TpuVerify.h"

using namespace mlir;

namespace tpumlir::tpu {

LogicalResult ReshapeOp::verify() {
  int64_t in = top::elementsOf(top::shapeOf(getInput()));
  int64_t out = top::elementsOf(top::shapeOf(getOutput()));
  if (in != out) // (C1)
    return emitOpError("expected ")
           << in << " elements in the result, got " << out;
  return success();
}

LogicalResult PermuteOp::verify() {
  ArrayRef<int64_t> input = top::shapeOf(getInput());
  auto order = getOrder();
  SmallVector<int64_t> sorted(order), shape;
  llvm::sort(sorted);
  if (order.size() != input.size() ||
      !llvm::equal(sorted, llvm::seq<int64_t>(0, order.size()))) // (C1)
    return emitOpError("expected order to be a permutation of ")
           << input.size() << " axes, got " << getOrderAttr();
  for (int64_t axis : order)
    shape.push_back(input[axis]);
  return checkShape(*this, shape); // (C2)
}

LogicalResult ConcatOp::verify() {
  if (getInputs().empty())
    return emitOpError("expected at least one operand, got none");
  SmallVector<int64_t> shape(top::shapeOf(getInputs()[0]));
  int64_t axis = getAxis();
  if (axis < 0 || axis >= int64_t(shape.size())) // (C1)
    return emitOpError("expected axis in [0, ")
           << shape.size() << "), got " << axis;
  for (Value value : getInputs().drop_front()) {
    SmallVector<int64_t> other(top::shapeOf(value));
    if (other.size() != shape.size())
      return emitOpError("expected operands of rank ")
             << shape.size() << ", got " << other.size();
    shape[axis] += other[axis];
    other[axis] = shape[axis];
    if (other != shape)
      return emitOpError("expected operands that agree outside of axis ")
             << axis << ", got " << text(top::shapeOf(value));
  }
  return checkShape(*this, shape);
}

LogicalResult SliceOp::verify() {
  ArrayRef<int64_t> input = top::shapeOf(getInput());
  ArrayRef<int64_t> output = top::shapeOf(getOutput());
  auto offset = getOffset(), steps = getSteps();
  if (failed(checkCount(*this, "offset", offset.size(), input.size())) ||
      failed(checkCount(*this, "steps", steps.size(), input.size())) ||
      failed(checkCount(*this, "ends", getEnds().size(), input.size())))
    return failure(); // (C1)
  if (output.size() != input.size())
    return emitOpError("expected a result of rank ")
           << input.size() << ", got " << output.size();
  for (size_t i = 0; i < input.size(); ++i) {
    if (steps[i] == 0)
      return emitOpError("expected steps that are not 0, got 0 for axis ") << i;
    int64_t last = offset[i] + (output[i] - 1) * steps[i];
    if (offset[i] < 0 || offset[i] >= input[i] || last < 0 ||
        last >= input[i]) // (C2)
      return emitOpError("expected elements in [0, ")
             << input[i] << ") of axis " << i << ", got " << offset[i] << " to "
             << last;
  }
  return success();
}

LogicalResult PadOp::verify() {
  SmallVector<int64_t> shape(top::shapeOf(getInput()));
  auto pads = getPaddings();
  if (failed(checkCount(*this, "paddings", pads.size(), 2 * shape.size())))
    return failure(); // (C1)
  bool mirrored = getMode() == top::PaddingMode::reflect ||
                  getMode() == top::PaddingMode::symmetric;
  for (size_t i = 0; i < shape.size(); ++i) {
    int64_t lo = pads[i], hi = pads[i + shape.size()];
    int64_t limit = shape[i] - (getMode() == top::PaddingMode::reflect);
    if (lo < 0 || hi < 0 || (mirrored && std::max(lo, hi) > limit)) // (C2)
      return emitOpError("expected pads in [0, ")
             << (mirrored ? std::to_string(limit) : "inf") << "] for axis " << i
             << ", got " << lo << " and " << hi;
    shape[i] += lo + hi;
  }
  return checkShape(*this, shape);
}

LogicalResult TileOp::verify() {
  SmallVector<int64_t> shape(top::shapeOf(getInput()));
  auto tile = getTile();
  if (failed(checkCount(*this, "tile", tile.size(), shape.size())))
    return failure(); // (C1)
  for (size_t i = 0; i < shape.size(); ++i) {
    if (tile[i] < 1)
      return emitOpError("expected positive repetitions, got ") << tile[i];
    shape[i] *= tile[i];
  }
  return checkShape(*this, shape);
}

LogicalResult UpsampleOp::verify() {
  SmallVector<int64_t> shape(top::shapeOf(getInput()));
  if (shape.size() != 4 || getScaleH() < 1 || getScaleW() < 1) // (C1)
    return emitOpError("expected rank 4 and positive scales, got rank ")
           << shape.size() << ", " << getScaleH() << " and " << getScaleW();
  shape[2] *= getScaleH();
  shape[3] *= getScaleW();
  return checkShape(*this, shape);
}

} // namespace tpumlir::tpu
