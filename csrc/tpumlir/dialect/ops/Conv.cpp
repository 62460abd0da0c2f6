#include "tpumlir/dialect/top/TopDialect.h"

using namespace mlir;

namespace tpumlir::top {

/// What Conv and Deconv check alike: (C1) to (C5). Fills all of the window but
/// `output`; `oc` and `icOfFilter` come from the filter's layout.
template <typename Op>
static LogicalResult readWindow(Op op, int64_t oc, int64_t icPerGroup,
                                Window &window) {
  ArrayRef<int64_t> input = shapeOf(op.getInput());
  ArrayRef<int64_t> filter = shapeOf(op.getFilter());
  size_t axes = input.size() - 2;
  ArrayRef<int64_t> kernel = filter.drop_front(2);
  SmallVector<int64_t> given = op.getKernelShape();
  if (ArrayRef<int64_t>(given) != kernel) // (C2)
    return op.emitOpError("expected kernel_shape [")
           << kernel << "] as the filter has, got [" << ArrayRef(given) << "]";
  SmallVector<int64_t> strides = op.getStrides(), pads = op.getPads();
  SmallVector<int64_t> dilations =
      op.getDilations().value_or(SmallVector<int64_t>());
  if (dilations.empty())
    dilations.assign(axes, 1);
  if (strides.size() != axes || dilations.size() != axes ||
      pads.size() != 2 * axes) // (C3)
    return op.emitOpError("expected ")
           << axes << " strides and dilations and " << 2 * axes << " pads, got "
           << strides.size() << ", " << dilations.size() << " and "
           << pads.size();
  if (llvm::any_of(strides, [](int64_t s) { return s < 1; }) ||
      llvm::any_of(dilations, [](int64_t d) { return d < 1; }))
    return op.emitOpError("expected positive strides and dilations, got [")
           << ArrayRef(strides) << "] and [" << ArrayRef(dilations) << "]";
  if (llvm::any_of(pads, [](int64_t p) { return p < 0; }))
    return op.emitOpError("expected pads of at least 0, got [")
           << ArrayRef(pads) << "]";
  int64_t group = op.getGroup(), ic = input[1];
  if (group < 1 || ic % group != 0 || oc % group != 0) // (C4)
    return op.emitOpError("expected a group that divides ")
           << ic << " input and " << oc << " output channels, got " << group;
  if (icPerGroup * group != ic)
    return op.emitOpError("expected a filter of ")
           << ic / group << " input channels per group (" << ic << " / "
           << group << "), got " << icPerGroup;
  if (!isNone(op.getBias()) && elementsOf(shapeOf(op.getBias())) != oc) // (C5)
    return op.emitOpError("expected a bias of ")
           << oc << " elements, got shape [" << shapeOf(op.getBias()) << "]";
  window.input.assign(input.begin() + 2, input.end());
  window.kernel.assign(kernel.begin(), kernel.end());
  window.stride.assign(strides.begin(), strides.end());
  window.dilation.assign(dilations.begin(), dilations.end());
  window.padBegin.assign(pads.begin(), pads.begin() + axes);
  window.padEnd.assign(pads.begin() + axes, pads.end());
  window.padEndGiven = window.padEnd;
  return success();
}

template <typename Op> static LogicalResult checkRanks(Op op) { // (C1)
  int64_t rank = rankOf(op.getInput()), filterRank = rankOf(op.getFilter());
  if (rank < 3 || rank > 5 || filterRank != rank)
    return op.emitOpError("expected input and filter of one rank from 3 to 5, "
                          "got ")
           << rank << " and " << filterRank;
  return success();
}

/// Attributes of a window as lists, `auto_pad` dropped.
template <typename Op> static void writeWindow(Op op, const Window &window) {
  Builder builder(op.getContext());
  SmallVector<int64_t> pads(window.padBegin.begin(), window.padBegin.end());
  pads.append(window.padEnd.begin(), window.padEnd.end());
  op.setPadsAttr(builder.getI64ArrayAttr(pads));
  op.setDilationsAttr(builder.getI64ArrayAttr(window.dilation));
  op->removeAttr("auto_pad");
}

//===----------------------------------------------------------------------===//
// ConvOp
//===----------------------------------------------------------------------===//

FailureOr<Window> ConvOp::getWindow() {
  Window window;
  if (failed(checkRanks(*this)))
    return failure();
  ArrayRef<int64_t> filter = shapeOf(getFilter());
  if (failed(readWindow(*this, filter[0], filter[1], window)))
    return failure();
  std::optional<SmallVector<int64_t>> inserts = getInserts();
  if (inserts && llvm::any_of(*inserts, [](int64_t i) { return i != 0; }))
    return emitOpError("expected inserts of 0, got [")
           << ArrayRef(*inserts) << "]";
  AutoPad autoPad = getAutoPad().value_or(AutoPad::NOTSET);
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    int64_t extent = (window.kernel[i] - 1) * window.dilation[i] + 1;
    if (autoPad == AutoPad::VALID)
      window.padBegin[i] = window.padEnd[i] = 0;
    if (isSame(autoPad)) {
      int64_t out = (window.input[i] + window.stride[i] - 1) / window.stride[i];
      int64_t pad = std::max<int64_t>(0, (out - 1) * window.stride[i] + extent -
                                             window.input[i]);
      int64_t less = pad / 2, more = pad - less;
      window.padBegin[i] = autoPad == AutoPad::SAME_UPPER ? less : more;
      window.padEnd[i] = autoPad == AutoPad::SAME_UPPER ? more : less;
    }
    int64_t padded = window.input[i] + window.padBegin[i] + window.padEnd[i];
    if (padded < extent) // (C6)
      return emitOpError("expected a kernel of at most ")
             << padded << " (the padded input) on spatial axis " << i
             << ", got " << extent;
    window.output.push_back((padded - extent) / window.stride[i] + 1);
  }
  window.padEndGiven = window.padEnd;
  return window;
}

LogicalResult ConvOp::inferTypes(SmallVectorImpl<Type> &types) {
  FailureOr<Window> window = getWindow();
  if (failed(window))
    return failure();
  SmallVector<int64_t> shape{shapeOf(getInput())[0], shapeOf(getFilter())[0]};
  shape.append(window->output.begin(), window->output.end());
  types.push_back(typeLike(getInput(), shape));
  return success();
}

void ConvOp::normalizeAttributes() { writeWindow(*this, *getWindow()); }

//===----------------------------------------------------------------------===//
// DeconvOp
//===----------------------------------------------------------------------===//

bool DeconvOp::filterIsOutputMajor() {
  return getDynweightReorderd() || getFilter().getDefiningOp<WeightOp>();
}

FailureOr<Window> DeconvOp::getWindow() {
  Window window;
  if (failed(checkRanks(*this)))
    return failure();
  ArrayRef<int64_t> filter = shapeOf(getFilter());
  bool outputMajor = filterIsOutputMajor();
  int64_t oc = filter[outputMajor ? 0 : 1] * getGroup();
  int64_t ic = filter[outputMajor ? 1 : 0];
  // The filter lists all input channels, so a group has its share of them.
  if (ic != shapeOf(getInput())[1]) // (C4)
    return emitOpError("expected a filter of ")
           << shapeOf(getInput())[1] << " input channels, got " << ic;
  if (getGroup() < 1 || ic % getGroup() != 0)
    return emitOpError("expected a group that divides ")
           << ic << " input channels, got " << getGroup();
  if (failed(readWindow(*this, oc, ic / getGroup(), window)))
    return failure();
  SmallVector<int64_t> extra =
      getOutputPadding().value_or(SmallVector<int64_t>());
  if (extra.empty())
    extra.assign(window.kernel.size(), 0);
  if (extra.size() != window.kernel.size() ||
      llvm::any_of(extra, [](int64_t e) { return e < 0; })) // (C7)
    return emitOpError("expected ")
           << window.kernel.size() << " output_padding of at least 0, got ["
           << ArrayRef(extra) << "]";
  window.outputPadding.assign(extra.begin(), extra.end());
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    int64_t out = (window.input[i] - 1) * window.stride[i] +
                  (window.kernel[i] - 1) * window.dilation[i] + 1 + extra[i] -
                  window.padBegin[i] - window.padEnd[i];
    if (out < 1) // (C6)
      return emitOpError("expected a result of at least 1 element on spatial "
                         "axis ")
             << i << ", got " << out;
    window.output.push_back(out);
  }
  return window;
}

LogicalResult DeconvOp::inferTypes(SmallVectorImpl<Type> &types) {
  FailureOr<Window> window = getWindow();
  if (failed(window))
    return failure();
  ArrayRef<int64_t> filter = shapeOf(getFilter());
  SmallVector<int64_t> shape{shapeOf(getInput())[0],
                             filter[filterIsOutputMajor() ? 0 : 1] *
                                 getGroup()};
  shape.append(window->output.begin(), window->output.end());
  types.push_back(typeLike(getInput(), shape));
  return success();
}

void DeconvOp::normalizeAttributes() {
  FailureOr<Window> window = getWindow();
  writeWindow(*this, *window);
  setOutputPaddingAttr(
      Builder(getContext()).getI64ArrayAttr(window->outputPadding));
}

} // namespace tpumlir::top
