#include "tpumlir/kernels/Layout.h"

#include "tpumlir/kernels/Parallel.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <limits>
#include <numeric>

namespace tpumlir::kernels {

namespace {

/// Orders the loops by the target's strides and joins those that run through
/// both memories alike.
Box collapsed(const Box &box) {
  std::vector<size_t> by;
  for (size_t d = 0; d < box.dims.size(); ++d)
    if (box.dims[d] != 1)
      by.push_back(d);
  std::sort(by.begin(), by.end(), [&](size_t a, size_t b) {
    return box.targetStrides[a] > box.targetStrides[b];
  });
  Box result = box;
  result.dims.clear();
  result.sourceStrides.clear();
  result.targetStrides.clear();
  for (size_t d : by) {
    if (!result.dims.empty() &&
        result.sourceStrides.back() == box.sourceStrides[d] * box.dims[d] &&
        result.targetStrides.back() == box.targetStrides[d] * box.dims[d]) {
      result.dims.back() *= box.dims[d];
      result.sourceStrides.back() = box.sourceStrides[d];
      result.targetStrides.back() = box.targetStrides[d];
      continue;
    }
    result.dims.push_back(box.dims[d]);
    result.sourceStrides.push_back(box.sourceStrides[d]);
    result.targetStrides.push_back(box.targetStrides[d]);
  }
  while (result.dims.size() < 2) {
    result.dims.insert(result.dims.begin(), 1);
    result.sourceStrides.insert(result.sourceStrides.begin(), 0);
    result.targetStrides.insert(result.targetStrides.begin(), 0);
  }
  // The second loop from inside should walk the source closely: a tile of the
  // two is then read and written in whole cache lines.
  size_t last = result.dims.size() - 1;
  if (result.sourceStrides[last] != 1) {
    size_t best = last - 1;
    for (size_t d = 0; d < last; ++d)
      if (result.sourceStrides[d] == 1)
        best = d;
    std::swap(result.dims[best], result.dims[last - 1]);
    std::swap(result.sourceStrides[best], result.sourceStrides[last - 1]);
    std::swap(result.targetStrides[best], result.targetStrides[last - 1]);
  }
  return result;
}

template <typename T>
void copyRow(const T *from, int64_t step, T *to, int64_t toStep, int64_t n) {
  if (step == 1 && toStep == 1) {
    std::memcpy(to, from, size_t(n) * sizeof(T));
  } else if (toStep == 1) {
    for (int64_t i = 0; i < n; ++i)
      to[i] = from[i * step];
  } else {
    for (int64_t i = 0; i < n; ++i)
      to[i * toStep] = from[i * step];
  }
}

/// Edge of the square tiles of a transposing copy, in elements.
constexpr int64_t kTile = 16;

/// Position in a dim of `extent` that position `at`, perhaps outside, stands
/// for.
int64_t mirrored(PadMode mode, int64_t at, int64_t extent) {
  if (mode == PadMode::Edge)
    return std::clamp<int64_t>(at, 0, extent - 1);
  if (mode == PadMode::Wrap)
    return ((at % extent) + extent) % extent;
  // Reflect turns on the last element, symmetric behind it.
  int64_t period = mode == PadMode::Reflect ? 2 * (extent - 1) : 2 * extent;
  if (period == 0)
    return 0;
  at = ((at % period) + period) % period;
  if (at < extent)
    return at;
  return mode == PadMode::Reflect ? period - at : period - 1 - at;
}

} // namespace

BoxKernel::BoxKernel(std::vector<Box> list, size_t inputs,
                     const TensorDesc &output, std::optional<uint32_t> fill)
    : output(inputs), outputElements(output.elements()),
      elementBytes(dtypeBytes(output.dtype)), fill(fill) {
  for (const Box &box : list)
    if (std::find(box.dims.begin(), box.dims.end(), 0) == box.dims.end())
      boxes.push_back(collapsed(box));
}

void BoxKernel::run() {
  auto each = [this](auto zero) {
    using T = decltype(zero);
    if (fill)
      std::fill_n(data<T>(output), outputElements, T(*fill));
    for (const Box &box : boxes)
      copy<T>(box);
  };
  if (elementBytes == 4)
    each(uint32_t(0));
  else if (elementBytes == 2)
    each(uint16_t(0));
  else
    each(uint8_t(0));
}

template <typename T> void BoxKernel::copy(const Box &box) {
  const T *source = data<const T>(box.input) + box.sourceOffset;
  T *target = data<T>(output) + box.targetOffset;
  const size_t last = box.dims.size() - 1;
  const int64_t cols = box.dims[last], rows = box.dims[last - 1];
  const int64_t fromCol = box.sourceStrides[last];
  const int64_t fromRow = box.sourceStrides[last - 1];
  const int64_t toCol = box.targetStrides[last];
  const int64_t toRow = box.targetStrides[last - 1];
  const int64_t band = fromCol == 1 ? 1 : kTile;
  const int64_t bands = (rows + band - 1) / band;
  int64_t outer = 1;
  for (size_t d = 0; d + 2 < box.dims.size(); ++d)
    outer *= box.dims[d];

  auto work = [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      int64_t rest = at / bands;
      const T *from = source;
      T *to = target;
      for (int64_t d = int64_t(last) - 2; d >= 0; --d) {
        int64_t i = rest % box.dims[size_t(d)];
        rest /= box.dims[size_t(d)];
        from += i * box.sourceStrides[size_t(d)];
        to += i * box.targetStrides[size_t(d)];
      }
      int64_t row = at % bands * band;
      int64_t rowEnd = std::min(row + band, rows);
      if (band == 1) {
        copyRow(from + row * fromRow, fromCol, to + row * toRow, toCol, cols);
        continue;
      }
      for (int64_t col = 0; col < cols; col += kTile)
        for (int64_t r = row; r < rowEnd; ++r)
          copyRow(from + r * fromRow + col * fromCol, fromCol,
                  to + r * toRow + col * toCol, toCol,
                  std::min(kTile, cols - col));
    }
  };
  parallelFor(outer * bands, outer * rows * cols, work);
}

void MoveNode::checkTypes(std::span<const TensorDesc> inputs,
                          std::span<const TensorDesc> outputs) const {
  for (const TensorDesc &desc : inputs)
    expectType(outputs[0].dtype, desc.dtype);
}

void ReorderNode::chooseOrders(std::span<TensorDesc>,
                               std::span<TensorDesc> outputs) const {
  outputs[0].order = order;
}

std::unique_ptr<Kernel> ReorderNode::build(const BuildContext &context) const {
  const TensorDesc &in = context.inputs[0], &out = context.outputs[0];
  Box box{0, in.dims, in.strides(), out.strides()};
  return std::make_unique<BoxKernel>(std::vector{box}, 1, out);
}

void ConcatNode::chooseOrders(std::span<TensorDesc> inputs,
                              std::span<TensorDesc> outputs) const {
  outputs[0].order = inputs[0].order;
}

std::unique_ptr<Kernel> ConcatNode::build(const BuildContext &context) const {
  const TensorDesc &out = context.outputs[0];
  const Dims strides = out.strides();
  std::vector<Box> boxes;
  int64_t position = 0;
  for (size_t i = 0; i < context.inputs.size(); ++i) {
    const TensorDesc &in = context.inputs[i];
    boxes.push_back({i, in.dims, in.strides(), strides, 0,
                     position * strides[size_t(axis)]});
    position += in.dims[size_t(axis)];
  }
  return std::make_unique<BoxKernel>(std::move(boxes), context.inputs.size(),
                                     out);
}

void SliceNode::chooseOrders(std::span<TensorDesc> inputs,
                             std::span<TensorDesc> outputs) const {
  outputs[0].order = inputs[0].order;
}

std::optional<size_t> SliceNode::viewedAt(const TensorDesc &input,
                                          const TensorDesc &output) const {
  // Outside of the outermost dim that is cut, all but one element is gone.
  const Dims strides = input.strides();
  int64_t offset = 0;
  bool cut = false;
  for (size_t i = input.order.size(); i-- > 0;) {
    const auto d = size_t(input.order[i]);
    const int64_t extent = output.dims[d];
    if (extent < 1 || offsets[d] < 0 || offsets[d] + extent > input.dims[d] ||
        (extent > 1 && (cut || steps[d] != 1)))
      return std::nullopt;
    offset += offsets[d] * strides[d];
    cut |= extent != input.dims[d];
  }
  return size_t(offset) * dtypeBytes(input.dtype);
}

std::unique_ptr<Kernel> SliceNode::build(const BuildContext &context) const {
  const TensorDesc &in = context.inputs[0], &out = context.outputs[0];
  Box box{0, out.dims, in.strides(), out.strides()};
  for (size_t d = 0; d < in.dims.size(); ++d) {
    int64_t last = offsets[d] + (out.dims[d] - 1) * steps[d];
    if (out.dims[d] > 0 && (offsets[d] < 0 || offsets[d] >= in.dims[d] ||
                            last < 0 || last >= in.dims[d]))
      throw KernelError("expected a slice inside " + shapeText(in.dims) +
                        ", got elements " + std::to_string(offsets[d]) +
                        " to " + std::to_string(last) + " of dim " +
                        std::to_string(d));
    box.sourceOffset += offsets[d] * box.sourceStrides[d];
    box.sourceStrides[d] *= steps[d];
  }
  return std::make_unique<BoxKernel>(std::vector{box}, 1, out);
}

std::unique_ptr<Kernel> TileNode::build(const BuildContext &context) const {
  const TensorDesc &in = context.inputs[0], &out = context.outputs[0];
  Dims inStrides = in.strides(), outStrides = out.strides();
  Box box;
  int64_t lead = out.rank() - in.rank();
  for (int64_t d = 0; d < out.rank(); ++d) {
    int64_t extent = d < lead ? 1 : in.dims[size_t(d - lead)];
    int64_t step = d < lead ? 0 : inStrides[size_t(d - lead)];
    int64_t want = out.dims[size_t(d)];
    if (extent == 0 ? want != 0 : want % extent != 0)
      throw KernelError("expected a repetition of " + shapeText(in.dims) +
                        ", got " + shapeText(out.dims));
    int64_t times = extent == 0 ? 0 : want / extent;
    box.dims.insert(box.dims.end(), {times, extent});
    box.sourceStrides.insert(box.sourceStrides.end(), {0, step});
    box.targetStrides.insert(
        box.targetStrides.end(),
        {outStrides[size_t(d)] * extent, outStrides[size_t(d)]});
  }
  return std::make_unique<BoxKernel>(std::vector{box}, 1, out);
}

void PadNode::chooseOrders(std::span<TensorDesc> inputs,
                           std::span<TensorDesc> outputs) const {
  outputs[0].order = inputs[0].order;
}

std::unique_ptr<Kernel> PadNode::build(const BuildContext &context) const {
  const TensorDesc &in = context.inputs[0], &out = context.outputs[0];
  const Dims from = in.strides(), to = out.strides();
  const size_t rank = in.dims.size();
  if (mode == PadMode::Constant) {
    Box box{0, in.dims, from, to};
    for (size_t d = 0; d < rank; ++d) {
      int64_t first = std::max<int64_t>(0, -begin[d]);
      int64_t end = std::min(in.dims[d], out.dims[d] - begin[d]);
      box.dims[d] = std::max<int64_t>(0, end - first);
      box.sourceOffset += first * from[d];
      box.targetOffset += (first + begin[d]) * to[d];
    }
    uint32_t bits = std::bit_cast<uint32_t>(value);
    if (out.dtype != DType::F32) {
      if (value != 0.0f && out.dtype != DType::I32)
        throw KernelError("expected an f32 or i32 tensor to pad, got " +
                          std::string(dtypeName(out.dtype)));
      bits = uint32_t(int32_t(value));
    }
    return std::make_unique<BoxKernel>(std::vector{box}, 1, out, bits);
  }

  // Each dim falls into runs in which the source walks forward, backward or
  // stands still; a box per combination of runs.
  struct Run {
    int64_t at, count, source, step;
  };
  std::vector<std::vector<Run>> runs(rank);
  for (size_t d = 0; d < rank; ++d) {
    if (in.dims[d] == 0 && out.dims[d] != 0)
      throw KernelError("expected elements to pad from, got the shape " +
                        shapeText(in.dims));
    for (int64_t i = 0; i < out.dims[d]; ++i) {
      int64_t source = mirrored(mode, i - begin[d], in.dims[d]);
      if (!runs[d].empty()) {
        Run &run = runs[d].back();
        int64_t step = source - (run.source + (run.count - 1) * run.step);
        if (run.count == 1 && std::abs(step) <= 1)
          run.step = step;
        if (run.step == step && std::abs(step) <= 1) {
          ++run.count;
          continue;
        }
      }
      runs[d].push_back({i, 1, source, 0});
    }
    if (runs[d].empty())
      runs[d].push_back({0, 0, 0, 0});
  }
  std::vector<Box> boxes;
  std::vector<size_t> at(rank, 0);
  for (bool more = true; more;) {
    Box box;
    for (size_t d = 0; d < rank; ++d) {
      const Run &run = runs[d][at[d]];
      box.dims.push_back(run.count);
      box.sourceStrides.push_back(from[d] * run.step);
      box.targetStrides.push_back(to[d]);
      box.sourceOffset += run.source * from[d];
      box.targetOffset += run.at * to[d];
    }
    boxes.push_back(box);
    more = false;
    for (size_t d = rank; d-- > 0 && !more;) {
      more = ++at[d] < runs[d].size();
      if (!more)
        at[d] = 0;
    }
  }
  return std::make_unique<BoxKernel>(std::move(boxes), 1, out);
}

namespace {

template <typename To> class CastKernel : public Kernel {
public:
  explicit CastKernel(int64_t elements) : elements(elements) {}
  void run() override {
    for (int64_t i = 0; i < elements; ++i)
      data<To>(1)[i] = To(data<uint8_t>(0)[i]);
  }
  std::string implementation() const override { return "loop:cast"; }

private:
  int64_t elements;
};

} // namespace

void CastNode::chooseOrders(std::span<TensorDesc> inputs,
                            std::span<TensorDesc> outputs) const {
  outputs[0].order = inputs[0].order;
}

std::unique_ptr<Kernel> CastNode::build(const BuildContext &context) const {
  const int64_t elements = context.inputs[0].elements();
  if (context.outputs[0].dtype == DType::I32)
    return std::make_unique<CastKernel<int32_t>>(elements);
  return std::make_unique<CastKernel<float>>(elements);
}

void CastNode::checkTypes(std::span<const TensorDesc> inputs,
                          std::span<const TensorDesc> outputs) const {
  expectType(DType::U8, inputs[0].dtype);
  if (outputs[0].dtype != DType::I32)
    expectType(DType::F32, outputs[0].dtype);
}

std::unique_ptr<Kernel> ViewNode::build(const BuildContext &) const {
  assert(false && "a view has no kernel");
  return nullptr;
}

namespace {

/// Dims of a tensor and of what it is reshaped to that have the same product;
/// none of them has one element.
struct Run {
  Dims from, to;
};

/// The runs in row-major order. The tensor has elements.
std::vector<Run> runsOf(const Dims &from, const Dims &to) {
  std::vector<Run> runs;
  size_t i = 0, j = 0;
  while (i < from.size() || j < to.size()) {
    Run run;
    int64_t left = 1, right = 1;
    auto take = [](const Dims &dims, size_t &at, Dims &list, int64_t &product) {
      if (dims[at] != 1)
        list.push_back(int64_t(at));
      product *= dims[at++];
    };
    do {
      if (i < from.size() && (left <= right || j == to.size()))
        take(from, i, run.from, left);
      else
        take(to, j, run.to, right);
    } while (left != right);
    if (!run.from.empty())
      runs.push_back(std::move(run));
  }
  return runs;
}

/// Those that `list` does not name, which have one element, then `list`.
Dims completed(const Dims &list, size_t rank) {
  Dims order;
  for (int64_t dim = 0; dim < int64_t(rank); ++dim)
    if (std::find(list.begin(), list.end(), dim) == list.end())
      order.push_back(dim);
  order.insert(order.end(), list.begin(), list.end());
  return order;
}

/// Where each dim stands in the order, not counting those of one element.
std::vector<int64_t> placesOf(const TensorDesc &desc) {
  std::vector<int64_t> places(desc.dims.size(), -1);
  int64_t count = 0;
  for (int64_t dim : desc.order)
    if (desc.dims[size_t(dim)] != 1)
      places[size_t(dim)] = count++;
  return places;
}

} // namespace

/// The order of the result in which no byte moves.
std::optional<Dims> ReshapeNode::keptOrder(const TensorDesc &input) const {
  if (input.isPlain())
    return plainOrder(int64_t(dims.size()));
  if (input.elements() == 0)
    return std::nullopt;
  const std::vector<int64_t> places = placesOf(input);
  std::vector<Run> runs = runsOf(input.dims, dims);
  for (const Run &run : runs)
    for (size_t i = 1; i < run.from.size(); ++i)
      if (places[size_t(run.from[i])] != places[size_t(run.from[i - 1])] + 1)
        return std::nullopt;
  std::sort(runs.begin(), runs.end(), [&](const Run &a, const Run &b) {
    return places[size_t(a.from[0])] < places[size_t(b.from[0])];
  });
  Dims order;
  for (const Run &run : runs)
    order.insert(order.end(), run.to.begin(), run.to.end());
  return completed(order, dims.size());
}

/// The order to bring the input into, which does not allow the reshape:
/// row-major, unless the result would lie channels-last if each of its dims
/// stood where the longest dim that it is made of stands. So what is done to
/// the blocks of an image (DepthToSpace) leaves it in the order of images.
Dims ReshapeNode::newOrder(const TensorDesc &input) const {
  const Dims plain = plainOrder(input.rank());
  if (input.elements() == 0 || dims.size() < 4)
    return plain;
  const std::vector<int64_t> places = placesOf(input);
  auto place = [&](const Run &run) {
    return places[size_t(*std::max_element(
        run.from.begin(), run.from.end(), [&](int64_t a, int64_t b) {
          return input.dims[size_t(a)] < input.dims[size_t(b)];
        }))];
  };
  std::vector<Run> runs = runsOf(input.dims, dims);
  std::sort(runs.begin(), runs.end(),
            [&](const Run &a, const Run &b) { return place(a) < place(b); });
  Dims order;
  for (const Run &run : runs)
    order.insert(order.end(), run.from.begin(), run.from.end());
  order = completed(order, input.dims.size());
  const TensorDesc result = view(input.in(order));
  const bool images =
      result.sameOrder(result.in(channelsLastOrder(result.rank())));
  return images ? order : plain;
}

void ReshapeNode::chooseOrders(std::span<TensorDesc> inputs,
                               std::span<TensorDesc> outputs) const {
  if (!keptOrder(inputs[0]))
    inputs[0].order = newOrder(inputs[0]);
  outputs[0] = view(inputs[0]);
}

TensorDesc ReshapeNode::view(const TensorDesc &input) const {
  return {input.dtype, dims, keptOrder(input).value()};
}

void PermuteNode::chooseOrders(std::span<TensorDesc> inputs,
                               std::span<TensorDesc> outputs) const {
  outputs[0] = view(inputs[0]);
}

TensorDesc PermuteNode::view(const TensorDesc &input) const {
  TensorDesc result{input.dtype, {}, input.order};
  std::vector<int64_t> where(permutation.size());
  for (size_t i = 0; i < permutation.size(); ++i) {
    result.dims.push_back(input.dims[size_t(permutation[i])]);
    where[size_t(permutation[i])] = int64_t(i);
  }
  for (int64_t &dim : result.order)
    dim = where[size_t(dim)];
  return result;
}

} // namespace tpumlir::kernels
