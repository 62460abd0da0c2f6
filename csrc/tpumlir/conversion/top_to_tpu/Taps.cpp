#include "tpumlir/conversion/top_to_tpu/Taps.h"

using namespace mlir;

namespace tpumlir {

int64_t windowExtent(const top::Window &window, size_t first) {
  int64_t extent = 1;
  for (size_t i = first; i < window.kernel.size(); ++i)
    extent *= (window.kernel[i] - 1) * window.dilation[i] + 1;
  return extent;
}

Location TapBuilder::fresh(StringRef name) {
  return derivedLoc(op, (name + std::to_string(count++)).str());
}

Value TapBuilder::reshape(Value x, ArrayRef<int64_t> shape) {
  if (top::shapeOf(x) == shape)
    return x;
  return tpu::ReshapeOp::create(rewriter, fresh("shape"),
                                top::typeLike(x, shape), x);
}

Value TapBuilder::permute(Value x, ArrayRef<int64_t> order) {
  SmallVector<int64_t> shape;
  for (int64_t axis : order)
    shape.push_back(top::shapeOf(x)[axis]);
  return tpu::PermuteOp::create(rewriter, fresh("order"),
                                top::typeLike(x, shape), x, none,
                                rewriter.getI64ArrayAttr(order));
}

Value TapBuilder::pad(Value x, size_t axis, int64_t before, int64_t behind,
                      double value) {
  if (before == 0 && behind == 0)
    return x;
  SmallVector<int64_t> shape(top::shapeOf(x)), pads(2 * shape.size(), 0);
  pads[axis] = before;
  pads[shape.size() + axis] = behind;
  shape[axis] += before + behind;
  return tpu::PadOp::create(rewriter, fresh("padded"), top::typeLike(x, shape),
                            x, pads, value, top::PaddingMode::constant);
}

Value TapBuilder::slice(Value x, size_t axis, int64_t begin, int64_t step,
                        int64_t count) {
  SmallVector<int64_t> ends(top::shapeOf(x)), shape(ends);
  if (begin == 0 && step == 1 && count == shape[axis])
    return x;
  SmallVector<int64_t> offset(shape.size(), 0), steps(shape.size(), 1);
  offset[axis] = begin;
  steps[axis] = step;
  ends[axis] = begin + step * count;
  shape[axis] = count;
  return tpu::SliceOp::create(rewriter, fresh("tap"), top::typeLike(x, shape),
                              x, none, none, none, none, offset, steps, ends);
}

Value TapBuilder::concat(ValueRange parts, int64_t axis) {
  if (parts.size() == 1)
    return parts.front();
  SmallVector<int64_t> shape(top::shapeOf(parts.front()));
  shape[axis] = 0;
  for (Value part : parts)
    shape[axis] += top::shapeOf(part)[axis];
  return tpu::ConcatOp::create(rewriter, fresh("joined"),
                               top::typeLike(parts.front(), shape), parts, axis,
                               false, -1.0);
}

} // namespace tpumlir
