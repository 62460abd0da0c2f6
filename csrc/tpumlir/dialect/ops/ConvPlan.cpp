#include "tpumlir/dialect/ops/QuantPlan.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/FilterLayout.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/kernels/Conv.h"
#include "tpumlir/kernels/Layout.h"

#include <cmath>

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

static ConvGeometry geometryOf(const top::Window &window, int64_t group) {
  auto dims = [](const auto &list) { return Dims(list.begin(), list.end()); };
  return {group, dims(window.stride), dims(window.dilation),
          dims(window.padBegin), dims(window.padEndGiven)};
}

/// Source, filter and, if there is one, bias: each constant or computed.
template <typename Op>
static SmallVector<int> convOperands(Op op, const PlanBuilder &plan) {
  SmallVector<int> inputs{plan.of(op.getInput()), plan.of(op.getFilter())};
  if (PlanBuilder::has(op.getBias()))
    inputs.push_back(plan.of(op.getBias()));
  return inputs;
}

/// Makes the bias a vector, whatever its shape of oc elements.
static void flattenBias(PlanBuilder &plan, SmallVector<int> &inputs) {
  if (inputs.size() > 2)
    inputs[2] = plan.reshape(inputs[2], {plan.desc(inputs[2]).elements()});
}

static Dims toDims(ArrayRef<int64_t> list) {
  return {list.begin(), list.end()};
}

static Dims convShape(int64_t n, int64_t channels, const top::Window &window) {
  Dims shape{n, channels};
  shape.insert(shape.end(), window.output.begin(), window.output.end());
  return shape;
}

LogicalResult top::ConvOp::plan(PlanBuilder &plan) {
  FailureOr<Window> window = getWindow();
  if (failed(window))
    return failure();
  SmallVector<int> inputs = convOperands(*this, plan);
  flattenBias(plan, inputs);
  Dims shape =
      convShape(plan.dims(inputs[0])[0], plan.dims(inputs[1])[0], *window);
  int out = plan.add(std::make_unique<ConvNode>(geometryOf(*window, getGroup()),
                                                inputs.size() > 2),
                     inputs, shape);
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
}

LogicalResult top::DeconvOp::plan(PlanBuilder &plan) {
  FailureOr<Window> window = getWindow();
  if (failed(window))
    return failure();
  SmallVector<int> inputs = convOperands(*this, plan);
  flattenBias(plan, inputs);
  bool outputFirst = filterIsOutputMajor();
  int64_t channels = plan.dims(inputs[1])[outputFirst ? 0 : 1] * getGroup();
  Dims shape = convShape(plan.dims(inputs[0])[0], channels, *window);
  int out =
      plan.add(std::make_unique<DeconvNode>(geometryOf(*window, getGroup()),
                                            inputs.size() > 2, outputFirst),
               inputs, shape);
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
}

//===----------------------------------------------------------------------===//
// Tpu
//===----------------------------------------------------------------------===//

/// The window as the attributes state it: nothing is left to be resolved.
template <typename Op> static ConvGeometry statedGeometry(Op op) {
  SmallVector<int64_t> pads = op.getPads();
  size_t axes = pads.size() / 2;
  return {op.getGroup(), toDims(op.getStrides()), toDims(op.getDilations()),
          toDims(ArrayRef(pads).take_front(axes)),
          toDims(ArrayRef(pads).drop_front(axes))};
}

/// The filter with its axes apart, brought from the layout that the op states
/// into the one that the kernel takes, `GOIK` or `OGIK`.
template <typename Op>
static int filterIn(tpu::FilterOrder order, Op op, PlanBuilder &plan, int id) {
  tpu::FilterLayout layout = tpu::FilterLayout::of(op);
  const int64_t group = layout.group, oc = layout.oc, ic = layout.ic,
                taps = layout.taps();
  if (layout.order == tpu::FilterOrder::Cubes) {
    const int64_t blocks = layout.blocks(), cube = layout.cube;
    id = plan.reshape(id, {group * oc, blocks, taps, cube});
    id = plan.reshape(plan.permute(id, {0, 1, 3, 2}),
                      {group * oc, blocks * cube, taps});
    id = plan.add(std::make_unique<SliceNode>(Dims{0, 0, 0}, Dims{1, 1, 1}), id,
                  {group * oc, ic, taps});
    layout.order = tpu::FilterOrder::GOIK;
  }
  if (layout.order != order) {
    bool groupsFirst = layout.order == tpu::FilterOrder::GOIK;
    id = plan.reshape(
        id, {groupsFirst ? group : oc, groupsFirst ? oc : group, ic * taps});
    id = plan.permute(id, {1, 0, 2});
  }
  return plan.reshape(id, toDims(layout.in(order).shape()));
}

/// Per output channel the sum of a constant filter's integers, and per output
/// and input channel that of their magnitudes. Of a filter that is computed:
/// what they can be at most.
struct FilterSums {
  SmallVector<int64_t> sum;
  SmallVector<SmallVector<int64_t>> magnitude;

  template <typename OpTy> explicit FilterSums(OpTy op) {
    tpu::FilterLayout layout = tpu::FilterLayout::of(op);
    const int64_t channels = layout.group * layout.oc;
    ArrayRef<int8_t> data = constantBytes(op.getFilter());
    sum.assign(channels, 0);
    auto type = Quantization::of(op.getFilter());
    magnitude.assign(
        channels,
        SmallVector<int64_t>(layout.ic,
                             layout.taps() * (type ? largestOf(*type) : 128)));
    if (data.empty())
      return;
    for (int64_t channel = 0; channel < channels; ++channel)
      for (int64_t i = 0; i < layout.ic; ++i) {
        const int8_t *tap =
            data.data() + channel / layout.oc * layout.groupStride() +
            channel % layout.oc * layout.outputStride() + layout.inputOffset(i);
        magnitude[channel][i] = 0;
        for (int64_t k = 0; k < layout.taps(); ++k) {
          int64_t number = tap[k * layout.tapStride()];
          sum[channel] += number;
          magnitude[channel][i] += std::abs(number);
        }
      }
  }

  /// Where to cut the input channels so that no sum of a part, of numbers up to
  /// `largest`, leaves what F32 holds.
  SmallVector<int64_t> cuts(int64_t largest) const {
    SmallVector<int64_t> begins{0}, reached(magnitude.size(), 0);
    for (size_t i = 0; i < magnitude[0].size(); ++i) {
      bool fits = true;
      for (size_t c = 0; c < magnitude.size(); ++c)
        fits &= (reached[c] + magnitude[c][i]) * largest < kExactF32;
      if (!fits && i > size_t(begins.back())) {
        begins.push_back(int64_t(i));
        reached.assign(magnitude.size(), 0);
      }
      for (size_t c = 0; c < magnitude.size(); ++c)
        reached[c] += magnitude[c][i];
    }
    return begins;
  }
};

/// Elements [begin, begin + size) of an axis.
static int sliceOf(PlanBuilder &plan, int id, size_t axis, int64_t begin,
                   int64_t size) {
  Dims shape = plan.dims(id), offsets(shape.size(), 0), steps(shape.size(), 1);
  if (shape[axis] == size)
    return id;
  shape[axis] = size;
  offsets[axis] = begin;
  return plan.add(
      std::make_unique<SliceNode>(std::move(offsets), std::move(steps)), id,
      std::move(shape));
}

/// A convolution of either direction on integers (C4); `node` makes its kernel.
template <typename OpTy, typename MakeNode>
static LogicalResult planQuantized(PlanBuilder &plan, OpTy op, int x,
                                   int filter, MakeNode node) {
  Quantization in = *Quantization::ofAny(op.getInput());
  x = centred(plan, x, in);
  if (auto type = Quantization::of(op.getFilter())) // is computed
    filter = centred(plan, filter, *type);
  FilterSums sums(op);
  const int64_t group = op.getGroup(), ic = plan.dims(filter)[1];
  SmallVector<int64_t> begins = sums.cuts(largestOf(in));
  // Of every group the same channels.
  auto channels = [&](int64_t begin, int64_t size) {
    if (size == ic)
      return x;
    Dims whole = plan.dims(x), groups = whole;
    groups[1] = ic;
    groups.insert(groups.begin() + 1, group);
    whole[1] = group * size;
    return plan.reshape(sliceOf(plan, plan.reshape(x, groups), 2, begin, size),
                        whole);
  };
  SmallVector<int> parts;
  for (auto [i, begin] : llvm::enumerate(begins)) {
    int64_t end = i + 1 < begins.size() ? begins[i + 1] : ic;
    parts.push_back(plan.add(node(),
                             {channels(begin, end - begin),
                              sliceOf(plan, filter, 1, begin, end - begin)},
                             toDims(top::shapeOf(op.getOutput()))));
  }
  for (int64_t &sum : sums.sum)
    sum *= in.zeroPoint;
  int y = requantized(
      plan, wholeSum(plan, parts, sums.sum, 1), plan.of(op.getMulti()), 1,
      Quantization::ofAny(op.getOutput()), op.getDoRelu(), op.getReluLimit());
  return plan.set(op.getOutput(), y);
}

LogicalResult tpu::Conv2DOp::plan(PlanBuilder &plan) {
  SmallVector<int> inputs = convOperands(*this, plan);
  flattenBias(plan, inputs);
  Dims shape = toDims(top::shapeOf(getOutput()));
  inputs[1] = filterIn(FilterOrder::GOIK, *this, plan, inputs[1]);
  if (getDoKernelRotate()) {
    Dims offsets(shape.size(), 0), steps(shape.size(), 1);
    for (size_t d = 2; d < shape.size(); ++d) {
      offsets[d] = plan.dims(inputs[1])[d] - 1;
      steps[d] = -1;
    }
    Dims turned = plan.dims(inputs[1]);
    inputs[1] = plan.add(std::make_unique<SliceNode>(offsets, steps), inputs[1],
                         turned);
  }
  if (isQuantized(getInput()))
    return planQuantized(plan, *this, inputs[0], inputs[1], [&] {
      return std::make_unique<ConvNode>(statedGeometry(*this), false);
    });
  if (const int64_t shift = getFilterShift(); shift != 0) {
    int sum = plan.add(std::make_unique<ConvNode>(statedGeometry(*this), false),
                       {inputs[0], inputs[1]}, shape);
    sum = plan.elementwise(EltOp::MulConst, sum, std::ldexp(1.0, -int(shift)));
    if (inputs.size() > 2)
      sum = plan.elementwise(
          EltOp::Add, {sum, plan.perChannel(inputs[2], int64_t(shape.size()))});
    return plan.set(getOutput(), plan.relu(sum, getDoRelu(), getReluLimit()));
  }
  int out = plan.add(
      std::make_unique<ConvNode>(statedGeometry(*this), inputs.size() > 2),
      inputs, shape);
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
}

LogicalResult tpu::DeconvOp::plan(PlanBuilder &plan) {
  SmallVector<int> inputs = convOperands(*this, plan);
  flattenBias(plan, inputs);
  Dims shape = toDims(top::shapeOf(getOutput()));
  inputs[1] = filterIn(FilterOrder::OGIK, *this, plan, inputs[1]);
  if (isQuantized(getInput()))
    return planQuantized(plan, *this, inputs[0], inputs[1], [&] {
      return std::make_unique<DeconvNode>(statedGeometry(*this), false, true);
    });
  int out = plan.add(std::make_unique<DeconvNode>(statedGeometry(*this),
                                                  inputs.size() > 2, true),
                     inputs, shape);
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
}

} // namespace tpumlir
