#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/kernels/Layout.h"

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

static int asFloat(PlanBuilder &plan, int x) {
  return plan.cast(x, DType::F32);
}

/// Each number of `id` as often as its block has indices on `axis`, of which
/// there are `extent`.
static int spread(PlanBuilder &plan, int id, size_t axis, int64_t block,
                  int64_t extent) {
  Dims open = plan.dims(id), repeated, flat = plan.dims(id), cut = flat;
  open.insert(open.begin() + axis + 1, 1);
  repeated = open;
  repeated[axis + 1] = block;
  flat[axis] *= block;
  cut[axis] = extent;
  id = plan.add(std::make_unique<TileNode>(), plan.reshape(id, open), repeated);
  id = plan.reshape(id, flat);
  if (flat == cut)
    return id;
  return plan.add(
      std::make_unique<SliceNode>(Dims(cut.size(), 0), Dims(cut.size(), 1)), id,
      cut);
}

/// Numbers so that they broadcast to the input: one, one per index of the axis,
/// or one per block of it.
template <typename Op> static int along(PlanBuilder &plan, Op op, int numbers) {
  const Dims given = plan.dims(numbers);
  if (given.size() <= 1 && plan.desc(numbers).elements() == 1)
    return plan.reshape(numbers, {});
  int64_t rank = top::rankOf(op.getInput()), axis = op.getAxis();
  axis = axis < 0 ? axis + rank : axis;
  if (given.size() > 1)
    return spread(plan, numbers, size_t(axis), *op.getBlockSize(),
                  top::shapeOf(op.getInput())[axis]);
  Dims shape(size_t(rank - axis), 1);
  shape[0] = given[0];
  return plan.reshape(numbers, std::move(shape));
}

/// An operand, or the numbers of an attribute.
template <typename Op, typename Numbers>
static int parameter(PlanBuilder &plan, Op op, unsigned index,
                     const Numbers &numbers) {
  if (Value operand = op.getParameter(index))
    return along(plan, op, asFloat(plan, plan.of(operand)));
  std::vector<float> values(numbers.begin(), numbers.end());
  Dims count{int64_t(values.size())};
  return along(plan, op, plan.constant(std::move(count), values));
}

template <typename Op> static bool hasZeroPoint(Op op) {
  return op.getParameter(1) || op.getZeroPoints();
}

template <typename Op> static int scale(PlanBuilder &plan, Op op) {
  return parameter(plan, op, 0, op.getScales().value_or(SmallVector<double>()));
}

template <typename Op> static int zeroPoint(PlanBuilder &plan, Op op) {
  return parameter(plan, op, 1,
                   op.getZeroPoints().value_or(SmallVector<int64_t>()));
}

LogicalResult top::QuantizeLinearOp::plan(PlanBuilder &plan) {
  int x = asFloat(plan, plan.of(getInput()));
  auto [low, high] = rangeOf(*getTo());
  int q = plan.elementwise(EltOp::Div, {x, scale(plan, *this)});
  q = plan.elementwise(EltOp::RoundEven, q);
  if (hasZeroPoint(*this))
    q = plan.elementwise(EltOp::Add, {q, zeroPoint(plan, *this)});
  q = plan.elementwise(EltOp::Clip, q, double(low), double(high));
  return plan.set(getOutput(), plan.cast(q, DType::I32));
}

LogicalResult top::DequantizeLinearOp::plan(PlanBuilder &plan) {
  int y = asFloat(plan, plan.of(getInput()));
  if (hasZeroPoint(*this))
    y = plan.elementwise(EltOp::Sub, {y, zeroPoint(plan, *this)});
  return plan.set(getOutput(),
                  plan.elementwise(EltOp::Mul, {y, scale(plan, *this)}));
}

} // namespace tpumlir
