#include "tpumlir/dialect/top/TopDialect.h"

using namespace mlir;

namespace tpumlir::top {

/// Elements from the first to the last of a dilated window.
static int64_t reachOf(const Window &window, size_t i) {
  return (window.kernel[i] - 1) * window.dilation[i] + 1;
}

/// Windows along one axis: how many, and how far the last one reaches.
static void countWindows(Window &window, size_t i, bool ceil) {
  int64_t reach = reachOf(window, i), stride = window.stride[i];
  int64_t room =
      window.input[i] + window.padBegin[i] + window.padEndGiven[i] - reach;
  int64_t count = (ceil ? (room + stride - 1) / stride : room / stride) + 1;
  // A window that would start in the end padding is not taken.
  if (ceil && (count - 1) * stride >= window.input[i] + window.padBegin[i])
    --count;
  window.output.push_back(count);
  window.padEnd[i] =
      std::max(window.padEndGiven[i], (count - 1) * stride + reach -
                                          window.input[i] - window.padBegin[i]);
}

template <typename Op> static FailureOr<Window> poolWindow(Op op) {
  ArrayRef<int64_t> input = shapeOf(op.getInput());
  if (input.size() < 3 || input.size() > 5) // (C1)
    return op.emitOpError("expected an input of rank 3 to 5, got ")
           << input.size();
  size_t axes = input.size() - 2;
  Window window;
  window.input.assign(input.begin() + 2, input.end());
  SmallVector<int64_t> kernel = op.getKernelShape(), strides = op.getStrides(),
                       pads = op.getPads(),
                       dilations = op.getDilations().value_or(
                           SmallVector<int64_t>(axes, 1));
  if (kernel.empty()) {
    kernel.assign(window.input.begin(), window.input.end());
    strides.assign(axes, 1);
    dilations.assign(axes, 1);
    pads.assign(2 * axes, 0);
  }
  if (kernel.size() != axes || strides.size() != axes ||
      dilations.size() != axes || pads.size() != 2 * axes) // (C2)
    return op.emitOpError("expected ")
           << axes << " kernel extents, strides and dilations and " << 2 * axes
           << " pads, got " << kernel.size() << ", " << strides.size() << ", "
           << dilations.size() << " and " << pads.size();
  auto positive = [](int64_t v) { return v > 0; };
  if (!llvm::all_of(kernel, positive) || !llvm::all_of(strides, positive) ||
      !llvm::all_of(dilations, positive) ||
      llvm::any_of(pads, [](int64_t p) { return p < 0; }))
    return op.emitOpError("expected positive kernel extents, strides and "
                          "dilations and pads of at least 0, got [")
           << ArrayRef(kernel) << "], [" << ArrayRef(strides) << "], ["
           << ArrayRef(dilations) << "] and [" << ArrayRef(pads) << "]";
  window.kernel.assign(kernel.begin(), kernel.end());
  window.stride.assign(strides.begin(), strides.end());
  window.dilation.assign(dilations.begin(), dilations.end());
  window.padBegin.assign(pads.begin(), pads.begin() + axes);
  window.padEndGiven.assign(pads.begin() + axes, pads.end());
  window.padEnd = window.padEndGiven;
  AutoPad autoPad = op.getAutoPad().value_or(AutoPad::NOTSET);
  bool ceil = op.getCeilMode().value_or(false) && autoPad == AutoPad::NOTSET;
  for (size_t i = 0; i < axes; ++i) {
    int64_t reach = reachOf(window, i);
    if (autoPad == AutoPad::VALID)
      window.padBegin[i] = window.padEndGiven[i] = 0;
    if (isSame(autoPad)) {
      int64_t out = (window.input[i] + strides[i] - 1) / strides[i];
      int64_t pad = std::max<int64_t>(0, (out - 1) * strides[i] + reach -
                                             window.input[i]);
      int64_t less = pad / 2, more = pad - less;
      window.padBegin[i] = autoPad == AutoPad::SAME_UPPER ? less : more;
      window.padEndGiven[i] = autoPad == AutoPad::SAME_UPPER ? more : less;
    }
    if (window.padBegin[i] >= reach || window.padEndGiven[i] >= reach) // (C4)
      return op.emitOpError("expected pads smaller than the kernel on spatial "
                            "axis ")
             << i << ", got " << window.padBegin[i] << " and "
             << window.padEndGiven[i] << " for a kernel of " << reach;
    int64_t padded =
        window.input[i] + window.padBegin[i] + window.padEndGiven[i];
    if (padded < reach) // (C3)
      return op.emitOpError("expected a kernel of at most ")
             << padded << " (the padded input) on spatial axis " << i
             << ", got " << reach;
    countWindows(window, i, ceil);
  }
  return window;
}

template <typename Op>
static LogicalResult inferPool(Op op, SmallVectorImpl<Type> &types) {
  FailureOr<Window> window = op.getWindow();
  if (failed(window))
    return failure();
  SmallVector<int64_t> shape(shapeOf(op.getInput()).take_front(2));
  if (!op.getKeepdims()) {
    if (llvm::any_of(window->output, [](int64_t o) { return o != 1; }))
      return op.emitOpError("expected spatial extents of 1 to drop, got [")
             << ArrayRef(window->output) << "]";
  } else {
    shape.append(window->output.begin(), window->output.end());
  }
  types.push_back(typeLike(op.getInput(), shape));
  return success();
}

template <typename Op> static void normalizePool(Op op) {
  FailureOr<Window> window = op.getWindow();
  Builder builder(op.getContext());
  SmallVector<int64_t> pads(window->padBegin.begin(), window->padBegin.end());
  pads.append(window->padEndGiven.begin(), window->padEndGiven.end());
  op.setKernelShapeAttr(builder.getI64ArrayAttr(window->kernel));
  op.setStridesAttr(builder.getI64ArrayAttr(window->stride));
  op.setPadsAttr(builder.getI64ArrayAttr(pads));
  // ceil_mode stays where it made an extra window: the pads cannot say that
  // (AvgPool does not count that part of the window).
  if (window->padEnd == window->padEndGiven)
    op->removeAttr("ceil_mode");
  op->removeAttr("auto_pad");
}

FailureOr<Window> MaxPoolOp::getWindow() { return poolWindow(*this); }
LogicalResult MaxPoolOp::inferTypes(SmallVectorImpl<Type> &types) {
  return inferPool(*this, types);
}
void MaxPoolOp::normalizeAttributes() { normalizePool(*this); }

FailureOr<Window> AvgPoolOp::getWindow() { return poolWindow(*this); }
LogicalResult AvgPoolOp::inferTypes(SmallVectorImpl<Type> &types) {
  return inferPool(*this, types);
}
void AvgPoolOp::normalizeAttributes() { normalizePool(*this); }

LogicalResult AdaptiveAvgPoolOp::inferTypes(SmallVectorImpl<Type> &types) {
  ArrayRef<int64_t> input = shapeOf(getInput());
  SmallVector<int64_t> size = getOutputSize();
  if (input.size() < 3 || size.size() != input.size() - 2 ||
      llvm::any_of(size, [](int64_t s) { return s < 1; })) // (C1)
    return emitOpError("expected a positive output_size per spatial axis of [")
           << input << "], got [" << ArrayRef(size) << "]";
  SmallVector<int64_t> shape(input.take_front(2));
  shape.append(size);
  types.push_back(typeLike(getInput(), shape));
  return success();
}

} // namespace tpumlir::top
