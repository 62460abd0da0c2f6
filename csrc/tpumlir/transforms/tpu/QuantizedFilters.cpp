#include "tpumlir/transforms/tpu/QuantizedFilters.h"

#include "tpumlir/dialect/ops/QuantPlan.h"
#include "tpumlir/transforms/tpu/Int8.h"
#include "tpumlir/transforms/tpu/Precision.h"
#include "tpumlir/transforms/tpu/QuantizedWeights.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace tpumlir {

int64_t groupsInOne(const tpu::FilterLayout &layout) {
  if (layout.ic == 1 && layout.oc == 1)
    return 1;
  constexpr int64_t kLanes = 64;
  for (int64_t k = 1; k < layout.group; ++k)
    if (layout.group % k == 0 && layout.ic * k % kLanes == 0 &&
        layout.oc * k % kLanes == 0)
      return k;
  return layout.group;
}

tpu::FilterLayout inFewerGroups(tpu::FilterLayout layout) {
  const int64_t k = groupsInOne(layout);
  layout.group /= k;
  layout.ic *= k;
  layout.oc *= k;
  return layout;
}

namespace {

/// Moves the elements of what is computed. The tensors in between are parts of
/// the name of who reads the last of them.
class FilterMoves {
public:
  FilterMoves(Operation *reader, Value x, Value none)
      : reader(reader), x(x), none(none), builder(x.getContext()) {
    builder.setInsertionPointAfterValue(x);
  }

  FilterMoves &reshape(StringRef part, ArrayRef<int64_t> shape) {
    if (top::shapeOf(x) != shape)
      x = tpu::ReshapeOp::create(builder, loc(part), top::typeLike(x, shape),
                                 x);
    return *this;
  }
  FilterMoves &permute(StringRef part, ArrayRef<int64_t> order) {
    SmallVector<int64_t> shape;
    for (int64_t axis : order)
      shape.push_back(top::shapeOf(x)[axis]);
    x = tpu::PermuteOp::create(builder, loc(part), top::typeLike(x, shape), x,
                               none, builder.getI64ArrayAttr(order));
    return *this;
  }
  /// Zeros behind the last axis.
  FilterMoves &pad(StringRef part, int64_t count) {
    SmallVector<int64_t> shape(top::shapeOf(x)), pads(2 * shape.size(), 0);
    pads.back() = count;
    shape.back() += count;
    x = tpu::PadOp::create(builder, loc(part), top::typeLike(x, shape), x, pads,
                           0.0, top::PaddingMode::constant);
    return *this;
  }
  /// The first `count` of the last axis.
  FilterMoves &cut(StringRef part, int64_t count) {
    SmallVector<int64_t> shape(top::shapeOf(x));
    shape.back() = count;
    SmallVector<int64_t> zeros(shape.size(), 0), ones(shape.size(), 1);
    x = tpu::SliceOp::create(
        builder, loc(part), top::typeLike(x, shape), x, none, none, none, none,
        builder.getI64ArrayAttr(zeros), builder.getI64ArrayAttr(ones),
        builder.getI64ArrayAttr(shape));
    return *this;
  }
  Value get() const { return x; }

private:
  Location loc(StringRef part) {
    return top::partLoc(top::resultLoc(reader->getResult(0)), part);
  }

  Operation *reader;
  Value x, none;
  OpBuilder builder;
};

} // namespace

Value withGroupsFirst(tpu::DeconvOp op, Value none) {
  const tpu::FilterLayout layout = tpu::FilterLayout::of(op);
  const int64_t row = layout.ic * layout.taps();
  Value filter = op.getFilter();
  SmallVector<int64_t> shape = layout.in(tpu::FilterOrder::GOIK).shape();
  auto numbers = top::constantF32s(filter);
  if (failed(numbers))
    return FilterMoves(op, filter, none)
        .reshape("filter_groups", {layout.oc, layout.group, row})
        .permute("filter_first", {1, 0, 2})
        .reshape("filter", shape)
        .get();
  std::vector<float> data(numbers->size());
  for (int64_t g = 0; g < layout.group; ++g)
    for (int64_t o = 0; o < layout.oc; ++o)
      std::copy_n(numbers->begin() + g * layout.groupStride() +
                      o * layout.outputStride(),
                  row, data.begin() + (g * layout.oc + o) * row);
  OpBuilder builder(op);
  builder.setInsertionPointAfterValue(filter);
  Value first = top::createWeight(
      builder, top::partName(top::tensorName(filter), "groups_first"), shape,
      std::move(data));
  Operation *from = filter.getDefiningOp(), *to = first.getDefiningOp();
  if (auto stated = from->getAttrOfType<TypeAttr>(kStatedAttr)) {
    ElementType element = *ElementType::of(stated.getValue());
    if (element.axis) { // the same ones in every group
      SmallVector<double> scales;
      for (int64_t g = 0; g < layout.group; ++g)
        llvm::append_range(scales, element.scales);
      stated = TypeAttr::get(statedPerAxis(op.getContext(), scales, 0));
    }
    to->setAttr(kStatedAttr, stated);
  }
  return first;
}

Value withMergedGroups(Operation *op, Value filter,
                       const tpu::FilterLayout &layout, int64_t k, Value none) {
  const int64_t row = layout.ic * layout.taps(), group = layout.oc * row;
  SmallVector<int64_t> shape(top::shapeOf(filter));
  shape[1] *= k;
  ArrayRef<int8_t> from = constantBytes(filter);
  if (from.empty())
    // Behind k groups of zeros each group stands where it is one further: those
    // of one in so many rows are the diagonal.
    return FilterMoves(op, filter, none)
        .reshape("filter_rows", {layout.group / k, k, group})
        .pad("filter_padded", k * group)
        .reshape("filter_flat", {layout.group / k, k * (k + 1) * group})
        .cut("filter_cut", k * k * group)
        .reshape("filter_diagonal", {layout.group, k, layout.oc, row})
        .permute("filter_turned", {0, 2, 1, 3})
        .reshape("filter_merged", shape)
        .get();
  std::vector<int8_t> bytes(from.size() * k, 0);
  for (int64_t channel = 0; channel < layout.group * layout.oc; ++channel)
    std::copy_n(from.begin() + channel * row, row,
                bytes.begin() + channel * row * k +
                    channel / layout.oc % k * row);
  auto weight = filter.getDefiningOp<top::WeightOp>();
  OpBuilder builder(weight);
  return createBytes(builder, weight,
                     top::partName(top::tensorName(weight.getLoc()), "groups"),
                     shape, std::move(bytes),
                     getElementTypeOrSelf(filter.getType()));
}

Value withComputedBias(Operation *op, ArrayRef<float> pairs, Value bias,
                       double factor) {
  const int64_t count = int64_t(pairs.size()) / 2;
  OpBuilder builder(op);
  auto typeOf = [&](int64_t columns) {
    return RankedTensorType::get({count, columns}, builder.getF32Type());
  };
  auto loc = [&](StringRef part) {
    return top::partLoc(top::resultLoc(op->getResult(0)), part);
  };
  auto column = [&](StringRef part, int64_t index) {
    std::vector<float> numbers;
    for (int64_t i = 0; i < count; ++i)
      numbers.push_back(pairs[2 * i + index]);
    return top::createWeight(builder, top::tensorName(loc(part)), {count, 1},
                             std::move(numbers));
  };
  // Whatever the precision of the rest.
  auto inF32 = [&](Operation *made) {
    Precision{builder.getF32Type(), {}}.writeTo(made);
    return made->getResult(0);
  };
  Value x = inF32(
      tpu::ReshapeOp::create(builder, loc("bias_column"), typeOf(1), bias));
  x = inF32(tpu::MulConstOp::create(builder, loc("bias_scaled"), typeOf(1), x,
                                    double(float(factor)), false, -1.0));
  x = inF32(tpu::AddOp::create(builder, loc("offsets"), typeOf(1),
                               ValueRange{x, column("offsets_rest", 1)}, false,
                               -1.0));
  return inF32(tpu::ConcatOp::create(
      builder, loc("multi"), typeOf(2), ValueRange{column("factors", 0), x},
      builder.getSI32IntegerAttr(1), builder.getBoolAttr(false),
      builder.getF64FloatAttr(-1.0)));
}

Value QuantizedOperands::none(Operation *op) {
  if (!noneValue) {
    OpBuilder builder(op->getContext());
    builder.setInsertionPointToStart(&function.getBody().front());
    noneValue = top::NoneOp::create(builder, op->getLoc(),
                                    NoneType::get(op->getContext()));
  }
  return noneValue;
}

const QuantizedWeight &QuantizedOperands::weight(Value value, unsigned axis) {
  ArrayRef<int64_t> shape = top::shapeOf(value);
  return weight(value, axis, axis == 0 ? shape.front() : shape.back(), axis);
}

const QuantizedWeight &QuantizedOperands::weight(Value value, unsigned axis,
                                                 int64_t rows, unsigned named) {
  auto [it, isNew] = weights.try_emplace({value, axis});
  QuantizedWeight &weight = it->second;
  if (!isNew)
    return weight;
  ArrayRef<float> numbers = *top::constantF32s(value);
  ArrayRef<int64_t> shape = top::shapeOf(value);
  const int64_t count = int64_t(numbers.size()) / rows;
  auto stated = statedScales(value, axis, rows);
  QuantizedRows made(numbers, rows, axis == 0 ? count : 1, count,
                     axis == 0 ? 1 : rows, stated);
  OpBuilder builder(value.getContext());
  builder.setInsertionPointAfterValue(value);
  weight.value = createBytes(
      builder, value.getDefiningOp(),
      top::partName(top::tensorName(value), "int8"), shape,
      std::move(made.bytes),
      stated ? statedPerAxis(value.getContext(), made.scales, named)
             : quantizedPerAxis(value.getContext(), made.scales, named));
  weight.scales = std::move(made.scales);
  weight.sums = std::move(made.sums);
  return weight;
}

void QuantizedOperands::orderGroups(tpu::DeconvOp op) {
  const tpu::FilterLayout layout = tpu::FilterLayout::of(op);
  if (layout.group == 1 || (layout.ic == 1 && layout.oc == 1))
    return;
  Value &known = ordered[{op.getFilter(), layout.group}];
  if (!known)
    known = withGroupsFirst(op, none(op));
  op.getFilterMutable().assign(known);
  op.setFilterLayout(tpu::FilterOrder::GOIK);
}

} // namespace tpumlir
