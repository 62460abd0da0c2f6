#include "tpumlir/kernels/Index.h"

#include "tpumlir/kernels/Parallel.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace tpumlir::kernels {

namespace {

int64_t product(const Dims &dims, int64_t from, int64_t to) {
  int64_t n = 1;
  for (int64_t d = from; d < to; ++d)
    n *= dims[size_t(d)];
  return n;
}

/// Indices of either type as positions in an extent.
class Indices {
public:
  Indices(const TensorDesc &desc)
      : isInt(desc.dtype == DType::I32), count(desc.elements()) {}

  int64_t at(const void *data, int64_t i, int64_t extent) const {
    int64_t value = isInt ? int64_t(static_cast<const int32_t *>(data)[i])
                          : int64_t(static_cast<const float *>(data)[i]);
    if (value < -extent || value >= extent)
      throw KernelError("expected an index in [-" + std::to_string(extent) +
                        ", " + std::to_string(extent) + "), got " +
                        std::to_string(value));
    return value < 0 ? value + extent : value;
  }

  bool isInt;
  int64_t count;
};

class GatherKernel : public Kernel {
public:
  GatherKernel(const TensorDesc &in, const TensorDesc &indices, int64_t axis)
      : indices(indices), outer(product(in.dims, 0, axis)),
        extent(in.dims[size_t(axis)]),
        sliceBytes(size_t(product(in.dims, axis + 1, in.rank())) *
                   dtypeBytes(in.dtype)) {}

  void run() override {
    auto *from = data<const std::byte>(0);
    auto *to = data<std::byte>(2);
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < indices.count; ++i, to += sliceBytes) {
        int64_t at = indices.at(data<void>(1), i, extent);
        std::memcpy(to, from + size_t(o * extent + at) * sliceBytes,
                    sliceBytes);
      }
  }
  std::string implementation() const override { return "loop:gather"; }

private:
  Indices indices;
  int64_t outer, extent;
  size_t sliceBytes;
};

/// Walks the positions of `dims` in row-major order and calls
/// `body(i, offset)`: offset of the position in a tensor of `strides`, `axis`
/// left out.
template <typename Body>
void walk(const Dims &dims, const Dims &strides, int64_t axis,
          const Body &body) {
  Dims at(dims.size(), 0);
  const int64_t count = product(dims, 0, int64_t(dims.size()));
  int64_t offset = 0;
  for (int64_t i = 0; i < count; ++i) {
    body(i, offset);
    for (size_t d = dims.size(); d-- > 0;) {
      int64_t step = int64_t(d) == axis ? 0 : strides[d];
      offset += step;
      if (++at[d] < dims[d])
        break;
      offset -= step * dims[d];
      at[d] = 0;
    }
  }
}

class GatherElementsKernel : public Kernel {
public:
  GatherElementsKernel(const TensorDesc &in, const TensorDesc &out,
                       const TensorDesc &indices, int64_t axis)
      : indices(indices), dims(out.dims), strides(in.strides()), axis(axis),
        extent(in.dims[size_t(axis)]), bytes(dtypeBytes(in.dtype)) {}

  void run() override {
    auto *from = data<const std::byte>(0);
    auto *to = data<std::byte>(2);
    walk(dims, strides, axis, [&](int64_t i, int64_t offset) {
      int64_t at = indices.at(data<void>(1), i, extent);
      std::memcpy(to + size_t(i) * bytes,
                  from + size_t(offset + at * strides[size_t(axis)]) * bytes,
                  bytes);
    });
  }
  std::string implementation() const override { return "loop:gather"; }

private:
  Indices indices;
  Dims dims, strides;
  int64_t axis, extent;
  size_t bytes;
};

/// Offset that a tuple of indices names, in elements.
int64_t tupleOffset(const Indices &indices, const void *data, int64_t tuple,
                    const Dims &extents, const Dims &strides) {
  int64_t offset = 0;
  const int64_t length = int64_t(extents.size());
  for (int64_t k = 0; k < length; ++k)
    offset += indices.at(data, tuple * length + k, extents[size_t(k)]) *
              strides[size_t(k)];
  return offset;
}

class GatherNDKernel : public Kernel {
public:
  GatherNDKernel(const TensorDesc &in, const TensorDesc &indices,
                 int64_t batchDims)
      : indices(indices), bytes(dtypeBytes(in.dtype)) {
    const int64_t length = indices.dims.back();
    const Dims all = in.strides();
    for (int64_t k = 0; k < length; ++k) {
      extents.push_back(in.dims[size_t(batchDims + k)]);
      strides.push_back(all[size_t(batchDims + k)]);
    }
    batches = product(in.dims, 0, batchDims);
    batchElements = product(in.dims, batchDims, in.rank());
    slice = product(in.dims, batchDims + length, in.rank());
    tuples = indices.elements() / std::max<int64_t>(batches * length, 1);
  }

  void run() override {
    auto *from = data<const std::byte>(0);
    auto *to = data<std::byte>(2);
    const size_t sliceBytes = size_t(slice) * bytes;
    for (int64_t t = 0; t < batches * tuples; ++t, to += sliceBytes) {
      int64_t offset = t / tuples * batchElements +
                       tupleOffset(indices, data<void>(1), t, extents, strides);
      std::memcpy(to, from + size_t(offset) * bytes, sliceBytes);
    }
  }
  std::string implementation() const override { return "loop:gather"; }

private:
  Indices indices;
  size_t bytes;
  Dims extents, strides;
  int64_t batches, batchElements, slice, tuples;
};

float combined(ScatterMode mode, float old, float update) {
  switch (mode) {
  case ScatterMode::Replace:
    return update;
  case ScatterMode::Add:
    return old + update;
  case ScatterMode::Mul:
    return old * update;
  case ScatterMode::Max:
    return old > update || std::isnan(old) ? old : update;
  case ScatterMode::Min:
    return old < update || std::isnan(old) ? old : update;
  }
  return update;
}

/// Sums and products wrap around.
int32_t combined(ScatterMode mode, int32_t old, int32_t update) {
  switch (mode) {
  case ScatterMode::Replace:
    return update;
  case ScatterMode::Add:
    return int32_t(uint32_t(old) + uint32_t(update));
  case ScatterMode::Mul:
    return int32_t(uint32_t(old) * uint32_t(update));
  case ScatterMode::Max:
    return std::max(old, update);
  case ScatterMode::Min:
    return std::min(old, update);
  }
  return update;
}

template <typename T> class ScatterElementsKernel : public Kernel {
public:
  ScatterElementsKernel(const TensorDesc &in, const TensorDesc &indices,
                        int64_t axis, ScatterMode mode)
      : indices(indices), dims(indices.dims), strides(in.strides()), axis(axis),
        extent(in.dims[size_t(axis)]), bytes(in.bytes()), mode(mode) {}

  void run() override {
    T *out = this->template data<T>(3);
    if (out != this->template data<T>(0))
      std::memcpy(out, this->template data<T>(0), bytes);
    const T *updates = this->template data<T>(2);
    walk(dims, strides, axis, [&](int64_t i, int64_t offset) {
      int64_t at = indices.at(this->template data<void>(1), i, extent);
      T &place = out[offset + at * strides[size_t(axis)]];
      place = combined(mode, place, updates[i]);
    });
  }
  std::string implementation() const override { return "loop:scatter"; }

private:
  Indices indices;
  Dims dims, strides;
  int64_t axis, extent;
  size_t bytes;
  ScatterMode mode;
};

template <typename T> class ScatterNDKernel : public Kernel {
public:
  ScatterNDKernel(const TensorDesc &in, const TensorDesc &indices,
                  ScatterMode mode)
      : indices(indices), bytes(in.bytes()), mode(mode) {
    const int64_t length = indices.dims.back();
    const Dims all = in.strides();
    extents.assign(in.dims.begin(), in.dims.begin() + length);
    strides.assign(all.begin(), all.begin() + length);
    slice = product(in.dims, length, in.rank());
    tuples = indices.elements() / std::max<int64_t>(length, 1);
  }

  void run() override {
    T *out = this->template data<T>(3);
    if (out != this->template data<T>(0))
      std::memcpy(out, this->template data<T>(0), bytes);
    const T *updates = this->template data<T>(2);
    for (int64_t t = 0; t < tuples; ++t) {
      T *place = out + tupleOffset(indices, this->template data<void>(1), t,
                                   extents, strides);
      for (int64_t i = 0; i < slice; ++i)
        place[i] = combined(mode, place[i], updates[t * slice + i]);
    }
  }
  std::string implementation() const override { return "loop:scatter"; }

private:
  Indices indices;
  size_t bytes;
  ScatterMode mode;
  Dims extents, strides;
  int64_t slice, tuples;
};

template <typename T> class TopKKernel : public Kernel {
public:
  TopKKernel(const TensorDesc &in, const TensorDesc &values,
             const TensorDesc &positions, int64_t axis, bool largest,
             int64_t firstIndex)
      : outer(product(in.dims, 0, axis)), n(in.dims[size_t(axis)]),
        k(values.dims[size_t(axis)]),
        inner(product(in.dims, axis + 1, in.rank())), largest(largest),
        isInt(positions.dtype == DType::I32), firstIndex(firstIndex) {}

  void run() override {
    std::vector<int64_t> order(static_cast<size_t>(n));
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < inner; ++i) {
        const T *x = this->template data<T>(0) + o * n * inner + i;
        std::iota(order.begin(), order.end(), 0);
        std::partial_sort(order.begin(), order.begin() + k, order.end(),
                          [&](int64_t a, int64_t b) {
                            return before(x[a * inner], x[b * inner], a < b);
                          });
        for (int64_t r = 0; r < k; ++r) {
          int64_t to = (o * k + r) * inner + i;
          this->template data<T>(1)[to] = x[order[size_t(r)] * inner];
          if (isInt)
            this->template data<int32_t>(2)[to] =
                int32_t(firstIndex + order[size_t(r)]);
          else
            this->template data<float>(2)[to] =
                float(firstIndex + order[size_t(r)]);
        }
      }
  }
  std::string implementation() const override { return "loop:topk"; }

private:
  bool before(T a, T b, bool first) const {
    if (!largest)
      std::swap(a, b);
    bool aNan = a != a, bNan = b != b;
    if (aNan != bNan)
      return aNan;
    if (aNan || a == b)
      return first;
    return a > b;
  }

  int64_t outer, n, k, inner;
  bool largest, isInt;
  int64_t firstIndex;
};

/// Any type of 4 bytes.
class TriluKernel : public Kernel {
public:
  TriluKernel(const TensorDesc &in, bool upper, int64_t diagonal)
      : rows(in.dims[in.dims.size() - 2]), cols(in.dims.back()),
        matrices(in.elements() / std::max<int64_t>(rows * cols, 1)),
        upper(upper), diagonal(diagonal) {}

  void run() override {
    const auto *x = data<uint32_t>(0);
    auto *out = data<uint32_t>(1);
    for (int64_t r = 0; r < matrices * rows; ++r, x += cols, out += cols)
      for (int64_t c = 0; c < cols; ++c) {
        int64_t off = c - r % rows;
        out[c] = (upper ? off >= diagonal : off <= diagonal) ? x[c] : 0u;
      }
  }
  std::string implementation() const override { return "loop:trilu"; }

private:
  int64_t rows, cols, matrices;
  bool upper;
  int64_t diagonal;
};

/// Places of tuples in a row-major tensor of `extents`.
class FlatIndicesKernel : public Kernel {
public:
  FlatIndicesKernel(const TensorDesc &indices, Dims extents)
      : indices(indices), extents(std::move(extents)),
        strides(this->extents.size(), 1) {
    for (size_t k = this->extents.size(); k-- > 1;)
      strides[k - 1] = strides[k] * this->extents[k];
  }

  void run() override {
    auto *out = data<int32_t>(1);
    const int64_t tuples = indices.count / int64_t(extents.size());
    for (int64_t t = 0; t < tuples; ++t)
      out[t] =
          int32_t(tupleOffset(indices, data<void>(0), t, extents, strides));
  }
  std::string implementation() const override { return "loop:indices"; }

private:
  Indices indices;
  Dims extents, strides;
};

} // namespace

void IndexNode::checkTypes(std::span<const TensorDesc> inputs,
                           std::span<const TensorDesc> outputs) const {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (i != indicesAt)
      expectType(outputs[0].dtype, inputs[i].dtype);
    else if (inputs[i].dtype != DType::I32)
      expectType(DType::F32, inputs[i].dtype);
  }
  if (inputs.size() > 2 && outputs[0].dtype != DType::I32) // combined
    expectType(DType::F32, outputs[0].dtype);
}

std::unique_ptr<Kernel> GatherNode::build(const BuildContext &context) const {
  return std::make_unique<GatherKernel>(context.inputs[0], context.inputs[1],
                                        axis);
}

std::unique_ptr<Kernel>
GatherElementsNode::build(const BuildContext &context) const {
  return std::make_unique<GatherElementsKernel>(
      context.inputs[0], context.outputs[0], context.inputs[1], axis);
}

std::unique_ptr<Kernel> GatherNDNode::build(const BuildContext &context) const {
  return std::make_unique<GatherNDKernel>(context.inputs[0], context.inputs[1],
                                          batchDims);
}

/// Makes the kernel for elements of F32 or I32.
template <template <typename> class KernelT, typename... Args>
static std::unique_ptr<Kernel> forType(DType type, Args &&...args) {
  if (type == DType::I32)
    return std::make_unique<KernelT<int32_t>>(std::forward<Args>(args)...);
  return std::make_unique<KernelT<float>>(std::forward<Args>(args)...);
}

std::unique_ptr<Kernel>
ScatterElementsNode::build(const BuildContext &context) const {
  return forType<ScatterElementsKernel>(context.inputs[0].dtype,
                                        context.inputs[0], context.inputs[1],
                                        axis, mode);
}

std::unique_ptr<Kernel>
ScatterNDNode::build(const BuildContext &context) const {
  return forType<ScatterNDKernel>(context.inputs[0].dtype, context.inputs[0],
                                  context.inputs[1], mode);
}

std::unique_ptr<Kernel> TopKNode::build(const BuildContext &context) const {
  return forType<TopKKernel>(context.inputs[0].dtype, context.inputs[0],
                             context.outputs[0], context.outputs[1], axis,
                             largest, firstIndex);
}

void TopKNode::checkTypes(std::span<const TensorDesc> inputs,
                          std::span<const TensorDesc> outputs) const {
  if (inputs[0].dtype != DType::I32)
    expectType(DType::F32, inputs[0].dtype);
  expectType(inputs[0].dtype, outputs[0].dtype);
  if (outputs[1].dtype != DType::I32)
    expectType(DType::F32, outputs[1].dtype);
}

std::unique_ptr<Kernel> TriluNode::build(const BuildContext &context) const {
  return std::make_unique<TriluKernel>(context.inputs[0], upper, diagonal);
}

void TriluNode::checkTypes(std::span<const TensorDesc> inputs,
                           std::span<const TensorDesc> outputs) const {
  if (inputs[0].dtype != DType::I32)
    expectType(DType::F32, inputs[0].dtype);
  expectType(inputs[0].dtype, outputs[0].dtype);
}

std::unique_ptr<Kernel>
FlatIndicesNode::build(const BuildContext &context) const {
  return std::make_unique<FlatIndicesKernel>(context.inputs[0], extents);
}

void FlatIndicesNode::checkTypes(std::span<const TensorDesc> inputs,
                                 std::span<const TensorDesc> outputs) const {
  expectType(DType::I32, inputs[0].dtype);
  expectType(DType::I32, outputs[0].dtype);
}

} // namespace tpumlir::kernels
