#include "tpumlir/dialect/top/TopDialect.h"

using namespace mlir;

namespace tpumlir::top {

//===----------------------------------------------------------------------===//
// PermuteOp, TransposeOp
//===----------------------------------------------------------------------===//

LogicalResult PermuteOp::inferTypes(SmallVectorImpl<Type> &types) {
  ArrayRef<int64_t> input = shapeOf(getInput());
  SmallVector<int64_t> order = getOrder();
  if (order.size() != input.size()) // (C1)
    return emitOpError("expected an order of ")
           << input.size() << " axes, got [" << ArrayRef(order) << "]";
  if (!order.empty()) {
    FailureOr<SmallVector<int64_t>> axes =
        resolveAxes(*this, order, int64_t(input.size()));
    if (failed(axes))
      return failure();
    order = std::move(*axes);
  }
  types.push_back(typeLike(
      getInput(),
      llvm::map_to_vector(order, [&](int64_t axis) { return input[axis]; })));
  return success();
}

void PermuteOp::normalizeAttributes() {
  if (SmallVector<int64_t> order = getOrder(); !order.empty())
    setOrderAttr(
        Builder(getContext())
            .getI64ArrayAttr(*resolveAxes(*this, order, rankOf(getInput()))));
}

LogicalResult TransposeOp::inferTypes(SmallVectorImpl<Type> &types) {
  SmallVector<int64_t> shape(shapeOf(getInput()));
  FailureOr<int64_t> dim0 =
      resolveAxis(*this, getDim0(), int64_t(shape.size())); // (C1)
  FailureOr<int64_t> dim1 =
      resolveAxis(*this, getDim1(), int64_t(shape.size()));
  if (failed(dim0) || failed(dim1))
    return failure();
  std::swap(shape[*dim0], shape[*dim1]);
  types.push_back(typeLike(getInput(), shape));
  return success();
}

void TransposeOp::normalizeAttributes() {
  Builder builder(getContext());
  int64_t rank = rankOf(getInput());
  setDim0Attr(builder.getSI32IntegerAttr(
      int32_t(*resolveAxis(*this, getDim0(), rank))));
  setDim1Attr(builder.getSI32IntegerAttr(
      int32_t(*resolveAxis(*this, getDim1(), rank))));
}

//===----------------------------------------------------------------------===//
// ReshapeOp and its relatives
//===----------------------------------------------------------------------===//

/// The shape with 0 and -1 resolved.
static FailureOr<SmallVector<int64_t>>
resolveShape(Operation *op, ArrayRef<int64_t> input, ArrayRef<int64_t> given) {
  SmallVector<int64_t> shape;
  int64_t open = -1, known = 1;
  for (auto [axis, extent] : llvm::enumerate(given)) {
    if (extent == 0 && axis >= input.size()) // (C2)
      return op->emitOpError("expected a 0 in the shape to copy an input axis, "
                             "got 0 at ")
             << axis << " for an input of rank " << input.size();
    if (extent == -1 && open >= 0)
      return op->emitOpError("expected at most one -1 in the shape, got [")
             << given << "]";
    if (extent < -1)
      return op->emitOpError("expected extents of at least -1, got [")
             << given << "]";
    shape.push_back(extent == 0 ? input[axis] : extent);
    if (extent == -1)
      open = int64_t(axis);
    else
      known *= shape.back();
  }
  int64_t elements = elementsOf(input);
  if (open >= 0 && known != 0 && elements % known == 0)
    shape[open] = elements / known;
  if (elementsOf(shape) != elements) // (C3)
    return op->emitOpError("expected a shape of ")
           << elements << " elements (input [" << input << "]), got [" << given
           << "]";
  return shape;
}

LogicalResult ReshapeOp::inferTypes(SmallVectorImpl<Type> &types) {
  ArrayRef<int64_t> input = shapeOf(getInput());
  SmallVector<int64_t> given;
  if (std::optional<SmallVector<int64_t>> attr = getShape();
      attr && (!attr->empty() || !getShapeT())) {
    given = std::move(*attr);
  } else if (Value operand = getShapeT()) {
    FailureOr<SmallVector<int64_t>> constant = constantI64s(operand);
    if (failed(constant)) // (C1)
      return emitOpError("expected shapeT to be a weight, got a run-time "
                         "tensor (a static shape is needed)");
    given = std::move(*constant);
  } else if (getFlattenStartDim() >= 0 &&
             getFlattenStartDim() <= int64_t(input.size())) {
    given.assign(input.begin(), input.begin() + getFlattenStartDim());
    given.push_back(elementsOf(input.drop_front(getFlattenStartDim())));
  } else { // (C1)
    return emitOpError("expected a shape, got none");
  }
  FailureOr<SmallVector<int64_t>> shape = resolveShape(*this, input, given);
  if (failed(shape))
    return failure();
  types.push_back(typeLike(getInput(), *shape));
  return success();
}

void ReshapeOp::normalizeAttributes() {
  SmallVector<Type> types;
  if (failed(inferTypes(types)))
    return;
  setShapeAttr(
      Builder(getContext())
          .getI64ArrayAttr(llvm::cast<RankedTensorType>(types[0]).getShape()));
  if (getShapeT())
    getShapeTMutable().clear();
}

LogicalResult FlattenOp::inferTypes(SmallVectorImpl<Type> &types) {
  ArrayRef<int64_t> input = shapeOf(getInput());
  int64_t rank = int64_t(input.size());
  FailureOr<int64_t> start = resolveAxis(*this, getStartDim(), rank); // (C1)
  FailureOr<int64_t> end = resolveAxis(*this, getEndDim(), rank);
  if (failed(start) || failed(end))
    return failure();
  if (*start > *end)
    return emitOpError("expected start_dim not behind end_dim, got ")
           << getStartDim() << " and " << getEndDim();
  SmallVector<int64_t> shape(input.take_front(*start));
  shape.push_back(elementsOf(input.slice(*start, *end - *start + 1)));
  llvm::append_range(shape, input.drop_front(*end + 1));
  types.push_back(typeLike(getInput(), shape));
  return success();
}

void FlattenOp::normalizeAttributes() {
  setStartDim(*resolveAxis(*this, getStartDim(), rankOf(getInput())));
  setEndDim(*resolveAxis(*this, getEndDim(), rankOf(getInput())));
}

LogicalResult SqueezeOp::inferTypes(SmallVectorImpl<Type> &types) {
  ArrayRef<int64_t> input = shapeOf(getInput());
  bool all = getAxes().empty();
  FailureOr<SmallVector<int64_t>> axes =
      resolveAxes(*this, getAxes(), int64_t(input.size())); // (C1)
  if (failed(axes))
    return failure();
  SmallVector<int64_t> shape;
  for (auto [axis, extent] : llvm::enumerate(input)) {
    bool named = llvm::is_contained(*axes, int64_t(axis));
    if (named && !all && extent != 1) // (C2)
      return emitOpError("expected an extent of 1 at axis ")
             << axis << ", got " << extent << " (input [" << input << "])";
    if (!named || extent != 1)
      shape.push_back(extent);
  }
  if (shape.empty() && getIsScalar())
    shape.push_back(1);
  types.push_back(typeLike(getInput(), shape));
  return success();
}

void SqueezeOp::normalizeAttributes() {
  ArrayRef<int64_t> input = shapeOf(getInput());
  SmallVector<int64_t> axes =
      *resolveAxes(*this, getAxes(), int64_t(input.size()));
  llvm::erase_if(axes, [&](int64_t axis) { return input[axis] != 1; });
  setAxesAttr(Builder(getContext()).getI64ArrayAttr(axes));
}

LogicalResult UnsqueezeOp::inferTypes(SmallVectorImpl<Type> &types) {
  ArrayRef<int64_t> input = shapeOf(getInput());
  SmallVector<int64_t> given = getAxes();
  int64_t rank = int64_t(input.size() + given.size());
  SmallVector<int64_t> axes;
  if (!given.empty()) {
    FailureOr<SmallVector<int64_t>> resolved =
        resolveAxes(*this, given, rank); // (C1)
    if (failed(resolved))
      return failure();
    axes = std::move(*resolved);
  }
  SmallVector<int64_t> shape;
  for (int64_t axis = 0; axis < rank; ++axis) {
    if (llvm::is_contained(axes, axis)) {
      shape.push_back(1);
      continue;
    }
    shape.push_back(input.front());
    input = input.drop_front();
  }
  types.push_back(typeLike(getInput(), shape));
  return success();
}

void UnsqueezeOp::normalizeAttributes() {
  SmallVector<int64_t> axes = getAxes();
  if (axes.empty())
    return;
  axes = *resolveAxes(*this, axes, rankOf(getInput()) + int64_t(axes.size()));
  llvm::sort(axes);
  setAxesAttr(Builder(getContext()).getI64ArrayAttr(axes));
}

//===----------------------------------------------------------------------===//
// ConcatOp, SplitOp
//===----------------------------------------------------------------------===//

LogicalResult ConcatOp::inferTypes(SmallVectorImpl<Type> &types) {
  if (getInputs().empty()) // (C1)
    return emitOpError("expected at least 1 operand, got 0");
  SmallVector<int64_t> shape(shapeOf(getInputs().front()));
  FailureOr<int64_t> axis =
      resolveAxis(*this, getAxis(), int64_t(shape.size())); // (C2)
  if (failed(axis))
    return failure();
  for (Value input : getInputs().drop_front()) {
    SmallVector<int64_t> other(shapeOf(input));
    bool agree = other.size() == shape.size();
    for (size_t i = 0; agree && i < shape.size(); ++i)
      agree = int64_t(i) == *axis || other[i] == shape[i];
    if (!agree) // (C3)
      return emitOpError("expected operands that agree but for axis ")
             << *axis << ", got [" << shapeOf(getInputs().front()) << "] and ["
             << ArrayRef(other) << "]";
    shape[*axis] += other[*axis];
  }
  types.push_back(typeLike(getInputs().front(), shape));
  return success();
}

void ConcatOp::normalizeAttributes() {
  setAxisAttr(Builder(getContext())
                  .getSI32IntegerAttr(int32_t(*resolveAxis(
                      *this, getAxis(), rankOf(getInputs().front())))));
}

SmallVector<int64_t> SplitOp::getSizes() {
  if (std::optional<SmallVector<int64_t>> sizes = getSplitSize())
    return *sizes;
  int64_t axis = *resolveAxis(*this, getAxis(), rankOf(getInput()));
  int64_t rest = shapeOf(getInput())[axis];
  int64_t each = (rest + getNum() - 1) / getNum();
  SmallVector<int64_t> sizes;
  for (int64_t i = 0; i < getNum(); ++i, rest -= each)
    sizes.push_back(std::min(each, rest));
  return sizes;
}

LogicalResult SplitOp::inferTypes(SmallVectorImpl<Type> &types) {
  SmallVector<int64_t> shape(shapeOf(getInput()));
  FailureOr<int64_t> axis =
      resolveAxis(*this, getAxis(), int64_t(shape.size())); // (C1)
  if (failed(axis))
    return failure();
  if (getNum() < 1 || getNum() != int64_t(getNumResults())) // (C2)
    return emitOpError("expected num to be the number of results, got ")
           << getNum() << " and " << getNumResults();
  SmallVector<int64_t> sizes = getSizes();
  int64_t sum = 0;
  for (int64_t size : sizes)
    sum += size;
  if (int64_t(sizes.size()) != getNum() || sum != shape[*axis] ||
      llvm::any_of(sizes, [](int64_t s) { return s < 1; })) // (C3)
    return emitOpError("expected ")
           << getNum() << " positive sizes with a sum of " << shape[*axis]
           << ", got [" << ArrayRef(sizes) << "]";
  for (int64_t size : sizes) {
    shape[*axis] = size;
    types.push_back(typeLike(getInput(), shape));
  }
  return success();
}

void SplitOp::normalizeAttributes() {
  Builder builder(getContext());
  SmallVector<int64_t> sizes = getSizes();
  setAxisAttr(builder.getSI32IntegerAttr(
      int32_t(*resolveAxis(*this, getAxis(), rankOf(getInput())))));
  setSplitSizeAttr(builder.getI64ArrayAttr(sizes));
}

//===----------------------------------------------------------------------===//
// SliceOp
//===----------------------------------------------------------------------===//

/// The elements that `begin`, `end`, `step` of ONNX Slice take of an axis.
static AxisSlice resolveSlice(int64_t extent, int64_t begin, int64_t end,
                              int64_t step) {
  auto place = [extent](int64_t at) { return at < 0 ? at + extent : at; };
  // Before element 0 is a place of its own when going down.
  int64_t low = step > 0 ? 0 : -1, high = step > 0 ? extent : extent - 1;
  begin = std::clamp<int64_t>(place(begin), 0, high);
  end = std::clamp(place(end), low, high);
  int64_t span = step > 0 ? end - begin : begin - end;
  int64_t stride = std::abs(step);
  return {begin, step, span <= 0 ? 0 : (span + stride - 1) / stride};
}

FailureOr<SmallVector<AxisSlice>> SliceOp::getSlices() {
  ArrayRef<int64_t> input = shapeOf(getInput());
  int64_t rank = int64_t(input.size());
  SmallVector<int64_t> offset = getOffset(), ends = getEnds(),
                       steps = getSteps(), axes = getAxes();
  struct Source {
    Value operand;
    SmallVector<int64_t> &list;
    StringRef name;
  };
  for (const Source &source : {Source{getOffsetT(), offset, "offsetT"},
                               Source{getEndsT(), ends, "endsT"},
                               Source{getStepsT(), steps, "stepsT"}}) {
    if (isNone(source.operand))
      continue;
    FailureOr<SmallVector<int64_t>> constant = constantI64s(source.operand);
    if (failed(constant)) // (C5)
      return emitOpError("expected ")
             << source.name
             << " to be none or a weight, got a run-time tensor (a static "
                "shape is needed)";
    source.list = std::move(*constant);
  }
  bool perAxis = axes.empty() || !getHasparamConvertAxes().empty();
  size_t count = perAxis ? size_t(rank) : axes.size();
  if (offset.size() != count || ends.size() != count ||
      steps.size() != count) // (C1)
    return emitOpError("expected ")
           << count << " entries in offset, ends and steps, got "
           << offset.size() << ", " << ends.size() << " and " << steps.size();
  FailureOr<SmallVector<int64_t>> resolved = resolveAxes(
      *this, perAxis ? ArrayRef<int64_t>() : ArrayRef(axes), rank); // (C2)
  if (failed(resolved))
    return failure();
  SmallVector<AxisSlice> slices = llvm::map_to_vector(
      input, [](int64_t extent) { return AxisSlice{0, 1, extent}; });
  for (auto [i, axis] : llvm::enumerate(*resolved)) {
    if (steps[i] == 0) // (C3)
      return emitOpError("expected steps other than 0, got [")
             << ArrayRef(steps) << "]";
    slices[axis] = resolveSlice(input[axis], offset[i], ends[i], steps[i]);
    if (slices[axis].size < 1) // (C4)
      return emitOpError("expected at least one element of axis ")
             << axis << " (extent " << input[axis] << "), got offset "
             << offset[i] << ", end " << ends[i] << ", step " << steps[i];
  }
  return slices;
}

LogicalResult SliceOp::inferTypes(SmallVectorImpl<Type> &types) {
  FailureOr<SmallVector<AxisSlice>> slices = getSlices();
  if (failed(slices))
    return failure();
  types.push_back(
      typeLike(getInput(), llvm::map_to_vector(*slices, [](AxisSlice slice) {
                 return slice.size;
               })));
  return success();
}

void SliceOp::normalizeAttributes() {
  SmallVector<AxisSlice> slices = *getSlices();
  ArrayRef<int64_t> input = shapeOf(getInput());
  SmallVector<int64_t> offset, ends, steps, axes;
  for (auto [axis, slice] : llvm::enumerate(slices)) {
    int64_t extent = input[axis];
    int64_t end = slice.begin + slice.size * slice.step;
    // As the vendor: the last element plus one, not the next multiple of step.
    if (slice.step > 0)
      end = std::min(end, extent);
    else if (end < 0)
      end = -extent - 1; // before element 0; -1 would be the last element
    offset.push_back(slice.begin);
    ends.push_back(end);
    steps.push_back(slice.step);
    axes.push_back(int64_t(axis));
  }
  Builder builder(getContext());
  // The operands stay: none or weights that say the same.
  setOffsetAttr(builder.getI64ArrayAttr(offset));
  setEndsAttr(builder.getI64ArrayAttr(ends));
  setStepsAttr(builder.getI64ArrayAttr(steps));
  if (isNone(getOffsetT()) && isNone(getEndsT()) && isNone(getStepsT())) {
    setAxesAttr(builder.getI64ArrayAttr(axes));
    setHasparamConvertAxesAttr(builder.getI64ArrayAttr(axes));
  }
}

//===----------------------------------------------------------------------===//
// PadOp, TileOp, ExpandOp
//===----------------------------------------------------------------------===//

LogicalResult PadOp::inferTypes(SmallVectorImpl<Type> &types) {
  SmallVector<int64_t> shape(shapeOf(getInput())), paddings = getPaddings();
  if (Value operand = getPaddingsT()) {
    FailureOr<SmallVector<int64_t>> constant = constantI64s(operand);
    if (failed(constant))
      return emitOpError("expected paddingsT to be a weight, got a run-time "
                         "tensor (a static shape is needed)");
    paddings = std::move(*constant);
  }
  size_t rank = shape.size();
  if (paddings.size() != 2 * rank) // (C1)
    return emitOpError("expected ")
           << 2 * rank << " paddings, got [" << ArrayRef(paddings) << "]";
  for (size_t axis = 0; axis < rank; ++axis) {
    for (int64_t pad : {paddings[axis], paddings[axis + rank]}) {
      if (pad < 0) // (C2)
        return emitOpError("expected paddings of at least 0, got [")
               << ArrayRef(paddings) << "] (use a Slice to cut)";
      int64_t most =
          getMode() == PaddingMode::reflect ? shape[axis] - 1 : shape[axis];
      if ((getMode() == PaddingMode::reflect ||
           getMode() == PaddingMode::symmetric) &&
          pad > most) // (C3)
        return emitOpError("expected ")
               << stringifyPaddingMode(getMode()) << " paddings of at most "
               << most << " on axis " << axis << ", got " << pad;
    }
  }
  for (size_t axis = 0; axis < rank; ++axis)
    shape[axis] += paddings[axis] + paddings[axis + rank];
  types.push_back(typeLike(getInput(), shape));
  return success();
}

void PadOp::normalizeAttributes() {
  Value operand = getPaddingsT();
  if (!operand)
    return;
  setPaddingsAttr(
      Builder(getContext()).getI64ArrayAttr(*constantI64s(operand)));
  getPaddingsTMutable().clear();
}

LogicalResult TileOp::inferTypes(SmallVectorImpl<Type> &types) {
  SmallVector<int64_t> shape(shapeOf(getInput()));
  SmallVector<int64_t> tile = getTile().value_or(SmallVector<int64_t>());
  if (Value operand = getTileT()) {
    FailureOr<SmallVector<int64_t>> constant = constantI64s(operand);
    if (failed(constant))
      return emitOpError("expected tileT to be a weight, got a run-time "
                         "tensor (a static shape is needed)");
    tile = std::move(*constant);
  }
  if (tile.size() != shape.size() ||
      llvm::any_of(tile, [](int64_t t) { return t < 1; })) // (C1)
    return emitOpError("expected ")
           << shape.size() << " positive entries in tile, got ["
           << ArrayRef(tile) << "]";
  for (size_t axis = 0; axis < shape.size(); ++axis)
    shape[axis] *= tile[axis];
  types.push_back(typeLike(getInput(), shape));
  return success();
}

void TileOp::normalizeAttributes() {
  Value operand = getTileT();
  if (!operand)
    return;
  setTileAttr(Builder(getContext()).getI64ArrayAttr(*constantI64s(operand)));
  getTileTMutable().clear();
}

LogicalResult ExpandOp::inferTypes(SmallVectorImpl<Type> &types) {
  SmallVector<int64_t> given = getShape();
  if (Value operand = getShapeT()) {
    FailureOr<SmallVector<int64_t>> constant = constantI64s(operand);
    if (failed(constant)) // (C1)
      return emitOpError("expected shapeT to be a weight, got a run-time "
                         "tensor (a static shape is needed)");
    given = std::move(*constant);
  }
  if (llvm::any_of(given, [](int64_t extent) { return extent < 1; }))
    return emitOpError("expected positive extents, got [")
           << ArrayRef(given) << "]";
  FailureOr<SmallVector<int64_t>> shape =
      broadcastShapes(*this, shapeOf(getInput()), given);
  if (failed(shape))
    return failure();
  types.push_back(typeLike(getInput(), *shape));
  return success();
}

void ExpandOp::normalizeAttributes() {
  Value operand = getShapeT();
  if (!operand)
    return;
  setShapeAttr(Builder(getContext()).getI64ArrayAttr(*constantI64s(operand)));
  getShapeTMutable().clear();
}

//===----------------------------------------------------------------------===//
// The rest
//===----------------------------------------------------------------------===//

LogicalResult Depth2SpaceOp::inferTypes(SmallVectorImpl<Type> &types) {
  ArrayRef<int64_t> input = shapeOf(getInput());
  int64_t bh = getBlockH(), bw = getBlockW();
  if (input.size() != 4 || bh < 1 || bw < 1) // (C1)
    return emitOpError("expected an input of rank 4 and positive blocks, got ")
           << input.size() << ", " << bh << " and " << bw;
  bool nchw = getInIs_NCHW();
  int64_t n = input[0], c = input[nchw ? 1 : 3], h = input[nchw ? 2 : 1],
          w = input[nchw ? 3 : 2];
  bool fits = getIsInversed() ? h % bh == 0 && w % bw == 0 : c % (bh * bw) == 0;
  if (!fits) // (C2)
    return emitOpError("expected blocks of ")
           << bh << " x " << bw << " to divide "
           << (getIsInversed() ? "rows and columns" : "the channels")
           << ", got input [" << input << "]";
  if (getIsInversed()) {
    c *= bh * bw;
    h /= bh;
    w /= bw;
  } else {
    c /= bh * bw;
    h *= bh;
    w *= bw;
  }
  SmallVector<int64_t> shape{n, h, w, c};
  if (getOutIs_NCHW())
    shape = {n, c, h, w};
  types.push_back(typeLike(getInput(), shape));
  return success();
}

LogicalResult ReverseOp::inferTypes(SmallVectorImpl<Type> &types) {
  if (failed(resolveAxis(*this, getAxis(), rankOf(getInput())))) // (C1)
    return failure();
  types.push_back(getInput().getType());
  return success();
}

void ReverseOp::normalizeAttributes() {
  setAxis(*resolveAxis(*this, getAxis(), rankOf(getInput())));
}

LogicalResult ShapeOp::inferTypes(SmallVectorImpl<Type> &types) {
  int64_t rank = rankOf(getInput()), step = getStep().value_or(1);
  auto place = [rank](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  int64_t start = place(getStart().value_or(0));
  int64_t end = place(getEnd().value_or(rank));
  if (step < 1 || end <= start) // (C1)
    return emitOpError("expected a positive step and at least one axis, got "
                       "start ")
           << start << ", end " << end << ", step " << step;
  types.push_back(typeLike(getInput(), {(end - start + step - 1) / step}));
  return success();
}

LogicalResult ConstantFillOp::inferTypes(SmallVectorImpl<Type> &types) {
  FailureOr<SmallVector<int64_t>> shape = constantI64s(getInput());
  if (failed(shape)) // (C1)
    return emitOpError("expected the shape to be a weight, got a run-time "
                       "tensor (a static shape is needed)");
  if (llvm::any_of(*shape, [](int64_t extent) { return extent < 1; }))
    return emitOpError("expected positive extents, got [")
           << ArrayRef(*shape) << "]";
  types.push_back(typeLike(getInput(), *shape));
  return success();
}

} // namespace tpumlir::top
