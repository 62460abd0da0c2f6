#include "tpumlir/kernels/Reduce.h"

#include "tpumlir/kernels/Lanes.h"
#include "tpumlir/kernels/Parallel.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tpumlir::kernels {

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

/// Independent sums, kept in vector registers.
constexpr int64_t kLanes = 2 * lanes::kWidth;
/// Elements summed in F32 before the sum goes into a double.
constexpr int64_t kBlock = 1024;

// `kStart` changes no result.
struct Plus {
  template <typename T> TPUMLIR_INLINE static void add(T &a, const T &x) {
    a += x;
  }
  static constexpr float kStart = 0.0f;
};
struct PlusAbs {
  TPUMLIR_INLINE static void add(float &a, const float &x) {
    a += std::fabs(x);
  }
  TPUMLIR_INLINE static void add(lanes::Floats &a, const lanes::Floats &x) {
    a += lanes::Floats(lanes::Bits(x) & 0x7fffffff);
  }
  static constexpr float kStart = 0.0f;
};
struct PlusSquare {
  template <typename T> TPUMLIR_INLINE static void add(T &a, const T &x) {
    a += x * x;
  }
  static constexpr float kStart = 0.0f;
};
struct Times {
  template <typename T> TPUMLIR_INLINE static void add(T &a, const T &x) {
    a *= x;
  }
  static constexpr float kStart = 1.0f;
};
struct Largest {
  TPUMLIR_INLINE static void add(float &a, const float &x) {
    a = (a > x || a != a) ? a : x;
  }
  static constexpr float kStart = -kInf;
};
struct Smallest {
  TPUMLIR_INLINE static void add(float &a, const float &x) {
    a = (a < x || a != a) ? a : x;
  }
  static constexpr float kStart = kInf;
};

template <typename Op>
TPUMLIR_INLINE void lanesOf(const float *x, int64_t n, float *result) {
  lanes::Floats low, high;
  auto add = [&](const float *from) {
    lanes::Floats a, b;
    lanes::load(a, from);
    lanes::load(b, from + lanes::kWidth);
    Op::add(low, a);
    Op::add(high, b);
  };
  lanes::load(low, result);
  lanes::load(high, result + lanes::kWidth);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    add(x + i);
  if (i < n) {
    float rest[kLanes];
    const int32_t left = int32_t(n - i);
    for (int32_t l = 0; l < int32_t(kLanes); ++l)
      rest[l] = l < left ? x[i + l] : Op::kStart;
    add(rest);
  }
  lanes::store(result, low);
  lanes::store(result + lanes::kWidth, high);
}

/// The first of the list becomes that of it and `2 * count - 1` others.
template <typename Op, int64_t count> TPUMLIR_INLINE void fold(float *list) {
  for (int64_t l = 0; l < count; ++l)
    Op::add(list[l], list[l + count]);
  if constexpr (count > 1)
    fold<Op, count / 2>(list);
}

/// The extreme of a row: in so many lanes that none waits for its turn before.
template <typename Op>
TPUMLIR_INLINE float extremeOf(const float *x, int64_t n) {
  constexpr int64_t kMany = 64;
  float best[kMany];
  std::fill_n(best, kMany, Op::kStart);
  int64_t i = 0;
  for (; i + kMany <= n; i += kMany)
    for (int64_t l = 0; l < kMany; ++l)
      Op::add(best[l], x[i + l]);
  for (int64_t l = 0; l < n - i; ++l)
    Op::add(best[l], x[i + l]);
  fold<Op, kMany / 2>(best);
  return best[0];
}

TPUMLIR_VECTORISED float largestOf(const float *x, int64_t n) {
  return extremeOf<Largest>(x, n);
}
TPUMLIR_VECTORISED float smallestOf(const float *x, int64_t n) {
  return extremeOf<Smallest>(x, n);
}

template <typename Op>
TPUMLIR_INLINE void into(float *acc, const float *x, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i)
    Op::add(acc[i], x[i]);
}

#define TPUMLIR_SUMS(X) X(Plus) X(PlusAbs) X(PlusSquare) X(Times)
#define X(Op)                                                                  \
  TPUMLIR_VECTORISED void lanes##Op(const float *x, int64_t n, float *lanes) { \
    lanesOf<Op>(x, n, lanes);                                                  \
  }
TPUMLIR_SUMS(X)
#undef X

#define TPUMLIR_REDUCTIONS(X) TPUMLIR_SUMS(X) X(Largest) X(Smallest)
#define X(Op)                                                                  \
  TPUMLIR_VECTORISED void into##Op(float *acc, const float *x, int64_t n) {    \
    into<Op>(acc, x, n);                                                       \
  }
TPUMLIR_REDUCTIONS(X)
#undef X

TPUMLIR_VECTORISED void expInto(float *acc, const float *x, const float *top,
                                int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i)
    acc[i] += vec::exp(x[i] - top[i]);
}

TPUMLIR_VECTORISED void expMinus(const float *x, float top, float beta,
                                 float *out, int64_t n) {
  lanes::pieces(x, out, n, [=](const float *from, float *to) {
#pragma GCC ivdep
    for (int64_t l = 0; l < lanes::kWidth; ++l)
      to[l] = vec::exp(beta * from[l] - top);
  });
}

TPUMLIR_VECTORISED void scaled(const float *x, float factor, float *out,
                               int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i)
    out[i] = x[i] * factor;
}

TPUMLIR_VECTORISED void scaledMinus(const float *x, float beta, float minus,
                                    float *out, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i)
    out[i] = beta * x[i] - minus;
}

using LanesFn = void (*)(const float *, int64_t, float *);

/// Sum of a row: F32 in blocks, double over them.
double rowSum(LanesFn fn, const float *x, int64_t n) {
  double total = 0.0;
  for (int64_t i = 0; i < n; i += kBlock * kLanes) {
    float lanes[kLanes] = {};
    fn(x + i, std::min(kBlock * kLanes, n - i), lanes);
    double parts[4] = {}; // none waits for the sum before
    for (size_t l = 0; l < size_t(kLanes); ++l)
      parts[l % 4] += lanes[l];
    total += (parts[0] + parts[1]) + (parts[2] + parts[3]);
  }
  return total;
}

float rowProduct(const float *x, int64_t n) {
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, 1.0f);
  lanesTimes(x, n, lanes);
  float result = 1.0f;
  for (float lane : lanes)
    result *= lane;
  return result;
}

/// [outer, n, inner] -> [outer, inner].
class ReduceKernel : public Kernel {
public:
  ReduceKernel(ReduceMode mode, int64_t outer, int64_t n, int64_t inner)
      : mode(mode), outer(outer), n(n), inner(inner) {}

  void run() override {
    if (inner == 1) {
      parallelFor(outer, outer * n, [this](int64_t begin, int64_t end) {
        for (int64_t o = begin; o < end; ++o)
          data<float>(1)[o] = row(data<float>(0) + o * n);
      });
      return;
    }
    static constexpr int64_t kStrip = 256;
    const int64_t strips = (inner + kStrip - 1) / kStrip;
    parallelFor(outer * strips, outer * n * inner,
                [this, strips](int64_t begin, int64_t end) {
                  for (int64_t s = begin; s < end; ++s) {
                    int64_t first = s % strips * kStrip;
                    strip(s / strips, first, std::min(kStrip, inner - first));
                  }
                });
  }

  std::string implementation() const override { return "loop:reduce"; }

private:
  float finish(double total) const {
    switch (mode) {
    case ReduceMode::Mean:
      return float(total / double(n));
    case ReduceMode::L2:
      return float(std::sqrt(total));
    case ReduceMode::LogSum:
      return float(std::log(total));
    default:
      return float(total);
    }
  }

  LanesFn sumFn() const {
    if (mode == ReduceMode::L1)
      return lanesPlusAbs;
    if (mode == ReduceMode::L2 || mode == ReduceMode::SumSquare)
      return lanesPlusSquare;
    return lanesPlus;
  }

  float row(const float *x) const {
    switch (mode) {
    case ReduceMode::Max:
      return largestOf(x, n);
    case ReduceMode::Min:
      return smallestOf(x, n);
    case ReduceMode::Prod:
      return rowProduct(x, n);
    case ReduceMode::LogSumExp: {
      float top = largestOf(x, n);
      if (!std::isfinite(top))
        top = std::isnan(top) ? top : 0.0f;
      double sum = 0.0;
      for (int64_t i = 0; i < n; ++i)
        sum += std::exp(double(x[i]) - top);
      return float(std::log(sum) + top);
    }
    default:
      return finish(rowSum(sumFn(), x, n));
    }
  }

  /// Columns [first, first + count) of slab `o`.
  void strip(int64_t o, int64_t first, int64_t count) {
    const float *x = data<float>(0) + o * n * inner + first;
    float *out = data<float>(1) + o * inner + first;
    auto all = [&](auto fn, float start) {
      std::fill_n(out, count, start);
      for (int64_t i = 0; i < n; ++i)
        fn(out, x + i * inner, count);
    };
    switch (mode) {
    case ReduceMode::Max:
      return all(intoLargest, Largest::kStart);
    case ReduceMode::Min:
      return all(intoSmallest, Smallest::kStart);
    case ReduceMode::Prod:
      return all(intoTimes, Times::kStart);
    case ReduceMode::LogSumExp: {
      std::vector<float> top(static_cast<size_t>(count));
      all(intoLargest, Largest::kStart);
      for (int64_t c = 0; c < count; ++c)
        top[size_t(c)] = std::isinf(out[c]) ? 0.0f : out[c];
      std::fill_n(out, count, 0.0f);
      for (int64_t i = 0; i < n; ++i)
        expInto(out, x + i * inner, top.data(), count);
      for (int64_t c = 0; c < count; ++c)
        out[c] = std::log(out[c]) + top[size_t(c)];
      return;
    }
    default:
      break;
    }
    auto fn = mode == ReduceMode::L1 ? intoPlusAbs
              : mode == ReduceMode::L2 || mode == ReduceMode::SumSquare
                  ? intoPlusSquare
                  : intoPlus;
    std::vector<double> total(static_cast<size_t>(count), 0.0);
    for (int64_t from = 0; from < n; from += kBlock) {
      std::fill_n(out, count, 0.0f);
      for (int64_t i = from; i < std::min(from + kBlock, n); ++i)
        fn(out, x + i * inner, count);
      for (int64_t c = 0; c < count; ++c)
        total[size_t(c)] += out[c];
    }
    for (int64_t c = 0; c < count; ++c)
      out[c] = finish(total[size_t(c)]);
  }

  ReduceMode mode;
  int64_t outer, n, inner;
};

/// [outer, n, inner]: products of the extents before, at and behind a dim of a
/// row-major tensor.
struct Split {
  int64_t outer = 1, n = 1, inner = 1;
  Split(const Dims &dims, int64_t axis) {
    for (size_t d = 0; d < dims.size(); ++d)
      (int64_t(d) < axis ? outer : int64_t(d) == axis ? n : inner) *= dims[d];
  }
};

template <typename T> class ArgKernel : public Kernel {
public:
  ArgKernel(Split split, bool largest, bool lastIndex, bool isInt, bool values)
      : split(split), largest(largest), lastIndex(lastIndex), isInt(isInt),
        values(values) {}

  void run() override {
    parallelFor(split.outer * split.inner, split.outer * split.n * split.inner,
                [this](int64_t begin, int64_t end) {
                  for (int64_t i = begin; i < end; ++i)
                    one(i);
                });
  }
  std::string implementation() const override { return "loop:arg"; }

private:
  void one(int64_t index) {
    const T *x = this->template data<T>(0) +
                 index / split.inner * split.n * split.inner +
                 index % split.inner;
    int64_t best = 0;
    for (int64_t i = 1; i < split.n; ++i) {
      T v = x[i * split.inner], b = x[best * split.inner];
      bool beats = v != v ? b == b || lastIndex : largest ? v > b : v < b;
      if (beats || (lastIndex && v == b))
        best = i;
    }
    if (isInt)
      this->template data<int32_t>(1)[index] = int32_t(best);
    else
      this->template data<float>(1)[index] = float(best);
    if (values)
      this->template data<T>(2)[index] = x[best * split.inner];
  }

  Split split;
  bool largest, lastIndex, isInt, values;
};

/// Integers wrap around.
template <typename T, typename Sum> class CumSumKernel : public Kernel {
public:
  CumSumKernel(Split split, bool exclusive, bool reverse)
      : split(split), exclusive(exclusive), reverse(reverse) {}

  void run() override {
    parallelFor(split.outer * split.inner, split.outer * split.n * split.inner,
                [this](int64_t begin, int64_t end) {
                  for (int64_t i = begin; i < end; ++i)
                    one(i / split.inner * split.n * split.inner +
                        i % split.inner);
                });
  }
  std::string implementation() const override { return "loop:cumsum"; }

private:
  void one(int64_t start) {
    const T *x = this->template data<T>(0) + start;
    T *out = this->template data<T>(1) + start;
    Sum sum = 0;
    for (int64_t k = 0; k < split.n; ++k) {
      int64_t at = (reverse ? split.n - 1 - k : k) * split.inner;
      Sum before = sum;
      sum += Sum(x[at]);
      out[at] = T(exclusive ? before : sum);
    }
  }

  Split split;
  bool exclusive, reverse;
};

/// Reductions of I32; sums and products wrap around, a mean drops its fraction.
class IntReduceKernel : public Kernel {
public:
  IntReduceKernel(ReduceMode mode, int64_t outer, int64_t n, int64_t inner)
      : mode(mode), outer(outer), n(n), inner(inner) {}

  void run() override {
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < inner; ++i) {
        const int32_t *x = data<int32_t>(0) + o * n * inner + i;
        data<int32_t>(1)[o * inner + i] = column(x);
      }
  }
  std::string implementation() const override { return "loop:reduce"; }

private:
  int32_t column(const int32_t *x) const {
    int64_t total = 0; // exact: below 2^31 elements of 32 bits
    uint32_t product = 1;
    int32_t least = x[0], greatest = x[0];
    uint32_t magnitudes = 0;
    for (int64_t k = 0; k < n; ++k) {
      int32_t v = x[k * inner];
      total += v;
      product *= uint32_t(v);
      magnitudes += v < 0 ? 0u - uint32_t(v) : uint32_t(v);
      least = std::min(least, v);
      greatest = std::max(greatest, v);
    }
    switch (mode) {
    case ReduceMode::Max:
      return greatest;
    case ReduceMode::Min:
      return least;
    case ReduceMode::Prod:
      return int32_t(product);
    case ReduceMode::L1:
      return int32_t(magnitudes);
    case ReduceMode::Mean:
      return int32_t(total / n);
    default:
      return int32_t(uint32_t(total));
    }
  }

  ReduceMode mode;
  int64_t outer, n, inner;
};

class SoftmaxKernel : public Kernel {
public:
  SoftmaxKernel(int64_t outer, int64_t n, int64_t inner, bool log, float beta)
      : outer(outer), n(n), inner(inner), log(log), beta(beta) {}

  void run() override {
    // Exponentials count for some ten plain operations.
    int64_t work = 10 * outer * n * inner;
    parallelFor(outer * inner, work, [this](int64_t begin, int64_t end) {
      std::vector<float> column(inner == 1 ? 0 : size_t(n));
      for (int64_t i = begin; i < end; ++i) {
        int64_t at = i / inner * n * inner + i % inner;
        const float *x = data<float>(0) + at;
        float *out = data<float>(1) + at;
        if (inner == 1) {
          row(x, out);
          continue;
        }
        for (int64_t k = 0; k < n; ++k)
          column[size_t(k)] = x[k * inner];
        row(column.data(), column.data());
        for (int64_t k = 0; k < n; ++k)
          out[k * inner] = column[size_t(k)];
      }
    });
  }
  std::string implementation() const override { return "loop:softmax"; }

private:
  void row(const float *x, float *out) const {
    float top = beta >= 0.0f ? largestOf(x, n) : smallestOf(x, n);
    top *= beta;
    if (!log) {
      expMinus(x, top, beta, out, n);
      scaled(out, float(1.0 / rowSum(lanesPlus, out, n)), out, n);
      return;
    }
    static thread_local std::vector<float> powers;
    powers.resize(size_t(n));
    expMinus(x, top, beta, powers.data(), n);
    double sum = rowSum(lanesPlus, powers.data(), n);
    scaledMinus(x, beta, top, out, n);
    scaledMinus(out, 1.0f, float(std::log(sum)), out, n);
  }

  int64_t outer, n, inner;
  bool log;
  float beta;
};

} // namespace

bool ReduceNode::reduced(int64_t dim) const {
  return std::find(axes.begin(), axes.end(), dim) != axes.end();
}

void ReduceNode::chooseOrders(std::span<TensorDesc> inputs,
                              std::span<TensorDesc> outputs) const {
  TensorDesc &in = inputs[0];
  // Reduced dims must lie together in memory; those of extent 1 lie anywhere.
  auto together = [&](const Dims &order) {
    int changes = 0;
    bool before = false;
    for (int64_t dim : order) {
      if (in.dims[size_t(dim)] == 1)
        continue;
      changes += reduced(dim) && !before;
      before = reduced(dim);
    }
    return changes <= 1;
  };
  if (!together(in.order))
    in.order = plainOrder(in.rank());
  if (!together(in.order))
    std::stable_partition(in.order.begin(), in.order.end(),
                          [&](int64_t dim) { return !reduced(dim); });
  outputs[0].order = in.order;
}

std::unique_ptr<Kernel> ReduceNode::build(const BuildContext &context) const {
  const TensorDesc &in = context.inputs[0];
  int64_t outer = 1, n = 1, inner = 1;
  for (int64_t dim : in.order) {
    int64_t extent = in.dims[size_t(dim)];
    if (reduced(dim))
      n *= extent;
    else if (n == 1)
      outer *= extent;
    else
      inner *= extent;
  }
  if (in.dtype == DType::I32)
    return std::make_unique<IntReduceKernel>(mode, outer, n, inner);
  return std::make_unique<ReduceKernel>(mode, outer, n, inner);
}

void ReduceNode::checkTypes(std::span<const TensorDesc> inputs,
                            std::span<const TensorDesc> outputs) const {
  expectType(inputs[0].dtype, outputs[0].dtype);
  bool isExact = mode == ReduceMode::Sum || mode == ReduceMode::Mean ||
                 mode == ReduceMode::Max || mode == ReduceMode::Min ||
                 mode == ReduceMode::Prod || mode == ReduceMode::L1;
  if (inputs[0].dtype != DType::I32 || !isExact)
    expectType(DType::F32, inputs[0].dtype);
}

void ArgNode::checkTypes(std::span<const TensorDesc> inputs,
                         std::span<const TensorDesc> outputs) const {
  if (inputs[0].dtype != DType::I32)
    expectType(DType::F32, inputs[0].dtype);
  if (outputs[0].dtype != DType::I32)
    expectType(DType::F32, outputs[0].dtype);
  if (outputs.size() > 1)
    expectType(inputs[0].dtype, outputs[1].dtype);
}

void CumSumNode::checkTypes(std::span<const TensorDesc> inputs,
                            std::span<const TensorDesc> outputs) const {
  if (inputs[0].dtype != DType::I32)
    expectType(DType::F32, inputs[0].dtype);
  expectType(inputs[0].dtype, outputs[0].dtype);
}

std::unique_ptr<Kernel> CumSumNode::build(const BuildContext &context) const {
  const TensorDesc &in = context.inputs[0];
  Split split(in.dims, axis);
  if (in.dtype == DType::I32)
    return std::make_unique<CumSumKernel<int32_t, uint32_t>>(split, exclusive,
                                                             reverse);
  return std::make_unique<CumSumKernel<float, double>>(split, exclusive,
                                                       reverse);
}

std::unique_ptr<Kernel> ArgNode::build(const BuildContext &context) const {
  const TensorDesc &in = context.inputs[0];
  Split split(in.dims, axis);
  bool isInt = context.outputs[0].dtype == DType::I32;
  bool values = context.outputs.size() > 1;
  if (in.dtype == DType::I32)
    return std::make_unique<ArgKernel<int32_t>>(split, largest, lastIndex,
                                                isInt, values);
  return std::make_unique<ArgKernel<float>>(split, largest, lastIndex, isInt,
                                            values);
}

void SoftmaxNode::chooseOrders(std::span<TensorDesc> inputs,
                               std::span<TensorDesc> outputs) const {
  outputs[0].order = inputs[0].order;
}

std::unique_ptr<Kernel> SoftmaxNode::build(const BuildContext &context) const {
  const TensorDesc &in = context.inputs[0];
  Dims dims;
  int64_t at = 0;
  for (int64_t dim : in.order) {
    if (dim == axis)
      at = int64_t(dims.size());
    dims.push_back(in.dims[size_t(dim)]);
  }
  Split split(dims, at);
  return std::make_unique<SoftmaxKernel>(split.outer, split.n, split.inner, log,
                                         beta);
}

} // namespace tpumlir::kernels
