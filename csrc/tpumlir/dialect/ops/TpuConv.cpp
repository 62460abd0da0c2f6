#include "tpumlir/dialect/ops/TpuVerify.h"
#include "tpumlir/dialect/tpu/FilterLayout.h"

using namespace mlir;

namespace tpumlir::tpu {

/// (C1) to (C3) of both convolutions; `extent(axis)` is what the window gives.
template <typename OpTy, typename Extent>
static LogicalResult verifyWindow(OpTy op, Extent extent) {
  ArrayRef<int64_t> input = top::shapeOf(op.getInput());
  ArrayRef<int64_t> output = top::shapeOf(op.getOutput());
  auto kernel = op.getKernelShape();
  size_t axes = kernel.size();
  if (axes < 1 || axes > 2 || input.size() != axes + 2 ||
      output.size() != axes + 2)
    return op.emitOpError("expected one or two spatial axes, got ")
           << axes << " and an input of rank " << input.size();
  if (failed(checkCount(op, "strides", op.getStrides().size(), axes)) ||
      failed(checkCount(op, "dilations", op.getDilations().size(), axes)) ||
      failed(checkCount(op, "pads", op.getPads().size(), 2 * axes)))
    return failure();
  int64_t group = op.getGroup(), ic = input[1], oc = output[1];
  if (group < 1 || ic % group || oc % group)
    return op.emitOpError("expected group to divide ")
           << ic << " and " << oc << ", got " << group;
  FilterLayout layout = FilterLayout::of(op);
  if (auto type = Quantization::of(op.getFilter());
      type && type->zeroPoint != 0 && layout.isDepthwise()) // (C4)
    return op.emitOpError(
               "expected a depthwise filter without zero point, got ")
           << type->zeroPoint;
  if (layout.order == FilterOrder::Cubes && !layout.takesCubes()) // (C3)
    return op.emitOpError("expected a filter in Cubes to be of f16, bf16 or 8 "
                          "bits and of several input channels, got ")
           << op.getFilter().getType() << " and " << layout.ic;
  if (ArrayRef<int64_t> filter = top::shapeOf(op.getFilter());
      filter != ArrayRef(layout.shape()) && filter != ArrayRef(layout.lanes()))
    return op.emitOpError("expected a filter of [")
           << layout.shape() << "] or [" << layout.lanes() << "] in "
           << stringifyFilterOrder(layout.order) << ", got [" << filter << "]";
  bool hasBias = !top::isNone(op.getBias());
  if (hasBias != op.getWithBias())
    return op.emitOpError("expected with_bias to be ")
           << (hasBias ? "true" : "false") << ", got the opposite";
  if (hasBias && top::elementsOf(top::shapeOf(op.getBias())) != oc)
    return op.emitOpError("expected a bias of ")
           << oc << " elements, got "
           << top::elementsOf(top::shapeOf(op.getBias()));
  SmallVector<int64_t> shape{input[0], oc};
  for (size_t i = 0; i < axes; ++i)
    shape.push_back(extent(i));
  return checkShape(op, shape);
}

LogicalResult Conv2DOp::verify() {
  SmallVector<Value, 3> tensors{getInput(), getFilter(), getOutput()};
  if (givesSums(*this) && ElementType::of(getFilter())->bytes() == 1)
    tensors.pop_back();
  // One function of the sums, or two of which the greater one counts.
  const int64_t channels = top::shapeOf(getOutput())[1];
  const bool hasTwo = getMulti() && !top::isNone(getMulti()) &&
                      tensors.size() == 3 &&
                      top::elementsOf(top::shapeOf(getMulti())) == 4 * channels;
  if (failed(checkQuantized(*this, tensors, getBias(), getMulti(),
                            hasTwo ? 2 * channels : channels))) // (C4)
    return failure();
  if (getFilterShift() != 0 &&
      (tpumlir::isQuantized(getInput()) || getGroup() != 1 ||
       getDoKernelRotate() || std::abs(getFilterShift()) > 100)) // (C5)
    return emitOpError("expected filter_shift 0 here, got ")
           << getFilterShift();
  return verifyWindow(*this, [&](size_t i) -> int64_t {
    auto kernel = getKernelShape(), pads = getPads();
    int64_t reach = getDilations()[i] * (kernel[i] - 1) + 1;
    int64_t room = top::shapeOf(getInput())[i + 2] + pads[i] +
                   pads[i + kernel.size()] - reach;
    int64_t stride = getStrides()[i];
    return room < 0 || stride < 1 ? -1 : room / stride + 1;
  });
}

LogicalResult DeconvOp::verify() {
  if (failed(checkQuantized(*this, {getInput(), getFilter(), getOutput()},
                            getBias(), getMulti(),
                            top::shapeOf(getOutput())[1]))) // (C4)
    return failure();
  if (auto type = Quantization::ofAny(getInput()); type && type->zeroPoint != 0)
    return emitOpError("expected an input without zero point, got ")
           << type->zeroPoint;
  size_t axes = getKernelShape().size();
  if (failed(
          checkCount(*this, "output_padding", getOutputPadding().size(), axes)))
    return failure();
  return verifyWindow(*this, [&](size_t i) -> int64_t {
    auto pads = getPads();
    return getStrides()[i] * (top::shapeOf(getInput())[i + 2] - 1) +
           getOutputPadding()[i] +
           getDilations()[i] * (getKernelShape()[i] - 1) + 1 - pads[i] -
           pads[i + axes];
  });
}

} // namespace tpumlir::tpu
