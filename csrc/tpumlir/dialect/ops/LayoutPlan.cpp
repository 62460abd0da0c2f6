#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/kernels/Layout.h"

#include <numeric>

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

/// Same elements, row-major, in the result's shape.
template <typename Op>
static LogicalResult planReshape(Op op, PlanBuilder &plan) {
  return plan.set(op.getOutput(), plan.reshape(plan.of(op.getInput()),
                                               shapeOfResult(op.getOutput())));
}

LogicalResult top::InputOp::plan(PlanBuilder &plan) {
  return plan.set(getOutput(), plan.of(getInput()));
}

LogicalResult top::ReshapeOp::plan(PlanBuilder &plan) {
  return planReshape(*this, plan);
}
LogicalResult tpu::ReshapeOp::plan(PlanBuilder &plan) {
  return planReshape(*this, plan);
}
LogicalResult top::FlattenOp::plan(PlanBuilder &plan) {
  return planReshape(*this, plan);
}
LogicalResult top::SqueezeOp::plan(PlanBuilder &plan) {
  return planReshape(*this, plan);
}
LogicalResult top::UnsqueezeOp::plan(PlanBuilder &plan) {
  return planReshape(*this, plan);
}

template <typename Op>
static LogicalResult planPermute(Op op, PlanBuilder &plan) {
  SmallVector<int64_t> order = op.getOrder();
  return plan.set(op.getOutput(), plan.permute(plan.of(op.getInput()),
                                               {order.begin(), order.end()}));
}

LogicalResult top::PermuteOp::plan(PlanBuilder &plan) {
  return planPermute(*this, plan);
}
LogicalResult tpu::PermuteOp::plan(PlanBuilder &plan) {
  return planPermute(*this, plan);
}

LogicalResult top::TransposeOp::plan(PlanBuilder &plan) {
  int64_t rank = rankOf(getInput());
  FailureOr<int64_t> a = resolveAxis(*this, getDim0(), rank);
  FailureOr<int64_t> b = resolveAxis(*this, getDim1(), rank);
  if (failed(a) || failed(b))
    return failure();
  Dims order = plainOrder(rank);
  std::swap(order[size_t(*a)], order[size_t(*b)]);
  return plan.set(getOutput(), plan.permute(plan.of(getInput()), order));
}

template <typename Op>
static LogicalResult planConcat(Op op, PlanBuilder &plan) {
  FailureOr<int64_t> axis =
      top::resolveAxis(op, op.getAxis(), top::rankOf(op.getInputs()[0]));
  if (failed(axis))
    return failure();
  SmallVector<int> inputs;
  for (Value input : op.getInputs())
    inputs.push_back(plan.of(input));
  int out = plan.add(std::make_unique<ConcatNode>(*axis), inputs,
                     shapeOfResult(op.getOutput()));
  return plan.set(op.getOutput(),
                  plan.relu(out, op.getDoRelu(), op.getReluLimit()));
}

LogicalResult top::ConcatOp::plan(PlanBuilder &plan) {
  return planConcat(*this, plan);
}
LogicalResult tpu::ConcatOp::plan(PlanBuilder &plan) {
  return planConcat(*this, plan);
}

/// Elements `offsets + i * steps`, as many as the result has.
static int slice(PlanBuilder &plan, int in, Dims offsets, Dims steps,
                 Value result) {
  return plan.add(
      std::make_unique<SliceNode>(std::move(offsets), std::move(steps)), in,
      shapeOfResult(result));
}

LogicalResult top::SplitOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput());
  size_t rank = plan.dims(in).size();
  FailureOr<int64_t> axis = resolveAxis(*this, getAxis(), int64_t(rank));
  if (failed(axis))
    return failure();
  Dims offsets(rank, 0);
  for (auto [result, size] : llvm::zip_equal(getOutputs(), getSizes())) {
    if (failed(
            plan.set(result, slice(plan, in, offsets, Dims(rank, 1), result))))
      return failure();
    offsets[size_t(*axis)] += size;
  }
  return success();
}

LogicalResult top::SliceOp::plan(PlanBuilder &plan) {
  FailureOr<SmallVector<AxisSlice>> slices = getSlices();
  if (failed(slices))
    return failure();
  Dims offsets, steps;
  for (const AxisSlice &one : *slices) {
    offsets.push_back(one.begin);
    steps.push_back(one.step);
  }
  return plan.set(getOutput(), slice(plan, plan.of(getInput()), offsets, steps,
                                     getOutput()));
}

LogicalResult tpu::SliceOp::plan(PlanBuilder &plan) {
  SmallVector<int64_t> offset = getOffset(), steps = getSteps();
  return plan.set(getOutput(),
                  slice(plan, plan.of(getInput()),
                        {offset.begin(), offset.end()},
                        {steps.begin(), steps.end()}, getOutput()));
}

LogicalResult top::ReverseOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput());
  size_t rank = plan.dims(in).size();
  FailureOr<int64_t> axis = resolveAxis(*this, getAxis(), int64_t(rank));
  if (failed(axis))
    return failure();
  Dims offsets(rank, 0), steps(rank, 1);
  offsets[size_t(*axis)] = plan.dims(in)[size_t(*axis)] - 1;
  steps[size_t(*axis)] = -1;
  return plan.set(getOutput(), slice(plan, in, offsets, steps, getOutput()));
}

static PadMode padMode(top::PaddingMode mode) {
  switch (mode) {
  case top::PaddingMode::constant:
    return PadMode::Constant;
  case top::PaddingMode::reflect:
    return PadMode::Reflect;
  case top::PaddingMode::symmetric:
    return PadMode::Symmetric;
  case top::PaddingMode::edge:
    return PadMode::Edge;
  }
  llvm_unreachable("every mode is listed");
}

template <typename Op>
static LogicalResult planPad(Op op, PlanBuilder &plan,
                             ArrayRef<int64_t> paddings, PadMode mode) {
  ArrayRef<int64_t> begin = paddings.take_front(paddings.size() / 2);
  auto node =
      std::make_unique<PadNode>(mode, Dims(begin.begin(), begin.end()),
                                float(storedOf(op.getOutput(), op.getVal())));
  return plan.set(op.getOutput(),
                  plan.add(std::move(node), plan.of(op.getInput()),
                           shapeOfResult(op.getOutput())));
}

LogicalResult top::PadOp::plan(PlanBuilder &plan) {
  SmallVector<int64_t> paddings = getPaddings();
  if (Value operand = getPaddingsT()) {
    FailureOr<SmallVector<int64_t>> constant = constantI64s(operand);
    if (failed(constant))
      return emitOpError("expected paddingsT to be a weight, got a run-time "
                         "tensor (a static shape is needed)");
    paddings = std::move(*constant);
  }
  return planPad(*this, plan, paddings, padMode(getMode()));
}
LogicalResult tpu::PadOp::plan(PlanBuilder &plan) {
  return planPad(*this, plan, getPaddings(), padMode(getMode()));
}

/// Repetitions that make the input fill the result.
template <typename Op> static LogicalResult planTile(Op op, PlanBuilder &plan) {
  return plan.set(op.getOutput(),
                  plan.add(std::make_unique<TileNode>(), plan.of(op.getInput()),
                           shapeOfResult(op.getOutput())));
}

LogicalResult top::TileOp::plan(PlanBuilder &plan) {
  return planTile(*this, plan);
}
LogicalResult tpu::TileOp::plan(PlanBuilder &plan) {
  return planTile(*this, plan);
}
LogicalResult top::ExpandOp::plan(PlanBuilder &plan) {
  return planTile(*this, plan);
}

LogicalResult top::Depth2SpaceOp::plan(PlanBuilder &plan) {
  int id = plan.of(getInput());
  if (!getInIs_NCHW())
    id = plan.permute(id, {0, 3, 1, 2});
  const Dims in = plan.dims(id);
  const int64_t bh = getBlockH(), bw = getBlockW();
  // The channels as blocks and what is left, rows and columns as place and
  // block; then one permutation.
  const int64_t c = getIsInversed() ? in[1] : in[1] / (bh * bw);
  const int64_t h = getIsInversed() ? in[2] / bh : in[2];
  const int64_t w = getIsInversed() ? in[3] / bw : in[3];
  // Places of block row, block column and channel in [n, ., ., ., h, w].
  int64_t row = getIs_CRD() ? 2 : 1, column = row + 1;
  const int64_t channel = getIs_CRD() ? 1 : 3;
  if (getSwapCr())
    std::swap(row, column);
  Dims blocks(6);
  blocks[0] = in[0];
  blocks[size_t(row)] = bh;
  blocks[size_t(column)] = bw;
  blocks[size_t(channel)] = c;
  blocks[4] = h;
  blocks[5] = w;
  const Dims spread{0, channel, 4, row, 5, column}; // [n, c, h, bh, w, bw]
  if (getIsInversed()) {
    id = plan.reshape(id, {in[0], c, h, bh, w, bw});
    Dims gather(6);
    for (size_t i = 0; i < 6; ++i)
      gather[size_t(spread[i])] = int64_t(i);
    id = plan.permute(id, gather);
    id = plan.reshape(id, {in[0], c * bh * bw, h, w});
  } else {
    id = plan.reshape(id, blocks);
    id = plan.permute(id, spread);
    id = plan.reshape(id, {in[0], c, h * bh, w * bw});
  }
  if (!getOutIs_NCHW())
    id = plan.permute(id, {0, 2, 3, 1});
  return plan.set(getOutput(), id);
}

LogicalResult top::ShapeOp::plan(PlanBuilder &plan) {
  // The shape is static, so the extents are a constant.
  ArrayRef<int64_t> shape = shapeOf(getInput());
  int64_t rank = int64_t(shape.size());
  auto place = [rank](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  std::vector<float> extents;
  int64_t end = place(getEnd().value_or(rank)), step = getStep().value_or(1);
  for (int64_t i = place(getStart().value_or(0)); i < end; i += step)
    extents.push_back(float(shape[i]));
  return plan.set(getOutput(),
                  plan.constant({int64_t(extents.size())}, extents));
}

LogicalResult top::ConstantFillOp::plan(PlanBuilder &plan) {
  Dims shape = shapeOfResult(getOutput());
  std::vector<float> values(size_t(elementsOf(shape)), float(getValue()));
  return plan.set(getOutput(), plan.constant(shape, values));
}

} // namespace tpumlir
