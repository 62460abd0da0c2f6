#include "tpumlir/kernels/Pool.h"

#include "tpumlir/kernels/Parallel.h"

#include <array>
#include <cmath>
#include <limits>

namespace tpumlir::kernels {

namespace {

// A NaN in the window stays: ONNX leaves it open, numpy propagates.
TPUMLIR_VECTORISED void maxInto(float *acc, const float *x, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i)
    acc[i] = (acc[i] > x[i] || acc[i] != acc[i]) ? acc[i] : x[i];
}

TPUMLIR_VECTORISED void max2Into(float *acc, const float *x, const float *y,
                                 int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    float a = (acc[i] > x[i] || acc[i] != acc[i]) ? acc[i] : x[i];
    acc[i] = (a > y[i] || a != a) ? a : y[i];
  }
}

TPUMLIR_VECTORISED void addInto(float *acc, const float *x, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i)
    acc[i] += x[i];
}

TPUMLIR_VECTORISED void scale(float *acc, float factor, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i)
    acc[i] /= factor;
}

/// Three spatial dims; those that are missing have extent 1.
struct Window {
  std::array<int64_t, 3> in, out, kernel, stride, dilation, begin, end;
};

class PoolKernel : public Kernel {
public:
  PoolKernel(const PoolGeometry &g, const TensorDesc &in, const TensorDesc &out)
      : mode(g.mode), power(g.power), batch(in.dims[0]), channels(in.dims[1]) {
    size_t spatial = in.dims.size() - 2;
    for (size_t d = 0; d < 3; ++d) {
      bool real = d + spatial >= 3;
      size_t s = d + spatial - 3;
      w.in[d] = real ? in.dims[s + 2] : 1;
      w.out[d] = real ? out.dims[s + 2] : 1;
      w.kernel[d] = real ? g.kernel[s] : 1;
      w.stride[d] = real ? g.strides[s] : 1;
      w.dilation[d] = real ? g.dilations[s] : 1;
      w.begin[d] = real ? g.padsBegin[s] : 0;
      w.end[d] = real ? g.padsEnd[s] : 0;
    }
    pixels = w.out[0] * w.out[1] * w.out[2];
    taps = w.kernel[0] * w.kernel[1] * w.kernel[2];
  }

  void run() override {
    int64_t work = batch * pixels * taps * channels;
    // One or few outputs (global pooling): the threads share the channels.
    if (batch * pixels < 4) {
      constexpr int64_t kLine = 16;
      parallelFor((channels + kLine - 1) / kLine, work,
                  [this](int64_t begin, int64_t end) {
                    for (int64_t p = 0; p < batch * pixels; ++p)
                      pixel(p, begin * kLine, std::min(end * kLine, channels));
                  });
      return;
    }
    parallelFor(batch * pixels, work, [this](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p)
        pixel(p, 0, channels);
    });
  }

  std::string implementation() const override { return "loop:pool"; }

private:
  void pixel(int64_t index, int64_t firstChannel, int64_t endChannel) {
    const int64_t n = endChannel - firstChannel;
    const int64_t image = index / pixels;
    int64_t rest = index % pixels;
    std::array<int64_t, 3> at;
    for (size_t d = 3; d-- > 0;) {
      at[d] = rest % w.out[d] * w.stride[d] - w.begin[d];
      rest /= w.out[d];
    }
    // Taps inside the input, and how many an average counts.
    std::array<int64_t, 3> first, last;
    int64_t counted = 1;
    for (size_t d = 0; d < 3; ++d) {
      first[d] = at[d] >= 0 ? 0 : (-at[d] + w.dilation[d] - 1) / w.dilation[d];
      last[d] = std::min(w.kernel[d],
                         (w.in[d] - at[d] + w.dilation[d] - 1) / w.dilation[d]);
      int64_t inPad = std::min(
          w.kernel[d],
          (w.in[d] + w.end[d] - at[d] + w.dilation[d] - 1) / w.dilation[d]);
      counted *= mode == PoolMode::AverageIncludingPad
                     ? std::max<int64_t>(inPad, 0)
                     : std::max<int64_t>(last[d] - first[d], 0);
    }
    float *out = data<float>(1) + index * channels + firstChannel;
    const float *x = data<float>(0) +
                     image * w.in[0] * w.in[1] * w.in[2] * channels +
                     firstChannel;
    auto row = [&](int64_t a, int64_t b) {
      return x + (((at[0] + a * w.dilation[0]) * w.in[1] + at[1] +
                   b * w.dilation[1]) *
                      w.in[2] +
                  at[2]) *
                     channels;
    };
    const int64_t step = w.dilation[2] * channels;

    if (mode == PoolMode::Max) {
      std::fill_n(out, n, -std::numeric_limits<float>::infinity());
      for (int64_t a = first[0]; a < last[0]; ++a)
        for (int64_t b = first[1]; b < last[1]; ++b) {
          const float *from = row(a, b);
          int64_t c = first[2];
          for (; c + 1 < last[2]; c += 2)
            max2Into(out, from + c * step, from + (c + 1) * step, n);
          if (c < last[2])
            maxInto(out, from + c * step, n);
        }
      return;
    }

    std::fill_n(out, n, 0.0f);
    // Rows are summed by themselves first: less rounding in large windows.
    static thread_local std::vector<float> partial;
    partial.resize(size_t(n));
    for (int64_t a = first[0]; a < last[0]; ++a)
      for (int64_t b = first[1]; b < last[1]; ++b) {
        std::fill_n(partial.data(), n, 0.0f);
        const float *from = row(a, b);
        for (int64_t c = first[2]; c < last[2]; ++c) {
          if (mode != PoolMode::SumOfPowers) {
            addInto(partial.data(), from + c * step, n);
            continue;
          }
          for (int64_t i = 0; i < n; ++i)
            partial[size_t(i)] +=
                std::pow(std::fabs(from[c * step + i]), power);
        }
        addInto(out, partial.data(), n);
      }
    if (mode == PoolMode::SumOfPowers)
      for (int64_t i = 0; i < n; ++i)
        out[i] = std::pow(out[i], 1.0f / power);
    else
      scale(out, float(counted), n);
  }

  PoolMode mode;
  float power;
  int64_t batch, channels, pixels, taps;
  Window w;
};

class AdaptiveAvgPoolKernel : public Kernel {
public:
  AdaptiveAvgPoolKernel(const TensorDesc &in, const TensorDesc &out)
      : batch(in.dims[0]), channels(in.dims[1]) {
    size_t spatial = in.dims.size() - 2;
    for (size_t d = 0; d < 3; ++d) {
      bool real = d + spatial >= 3;
      from[d] = real ? in.dims[d + spatial - 1] : 1;
      to[d] = real ? out.dims[d + spatial - 1] : 1;
    }
  }

  void run() override {
    const int64_t pixels = to[0] * to[1] * to[2];
    parallelFor(batch * pixels, batch * from[0] * from[1] * from[2] * channels,
                [&](int64_t begin, int64_t end) {
                  for (int64_t p = begin; p < end; ++p)
                    pixel(p / pixels, p % pixels,
                          data<float>(1) + p * channels);
                });
  }
  std::string implementation() const override { return "loop:pool"; }

private:
  void pixel(int64_t n, int64_t rest, float *out) {
    std::array<int64_t, 3> first, last;
    int64_t count = 1;
    for (size_t d = 3; d-- > 0;) {
      int64_t i = rest % to[d];
      rest /= to[d];
      first[d] = i * from[d] / to[d];
      last[d] = ((i + 1) * from[d] + to[d] - 1) / to[d];
      count *= last[d] - first[d];
    }
    std::fill_n(out, channels, 0.0f);
    for (int64_t a = first[0]; a < last[0]; ++a)
      for (int64_t b = first[1]; b < last[1]; ++b)
        for (int64_t c = first[2]; c < last[2]; ++c)
          addInto(out,
                  data<const float>(0) +
                      (((n * from[0] + a) * from[1] + b) * from[2] + c) *
                          channels,
                  channels);
    scale(out, float(count), channels);
  }

  int64_t batch, channels;
  std::array<int64_t, 3> from, to;
};

class LrnKernel : public Kernel {
public:
  LrnKernel(const TensorDesc &in, int64_t size, float alpha, float beta,
            float bias)
      : channels(in.dims[1]),
        pixels(in.elements() / std::max<int64_t>(1, in.dims[1])), size(size),
        alpha(alpha / float(size)), beta(beta), bias(bias) {}

  void run() override {
    parallelFor(
        pixels, 20 * pixels * channels, [this](int64_t begin, int64_t end) {
          for (int64_t p = begin; p < end; ++p)
            pixel(data<float>(0) + p * channels, data<float>(1) + p * channels);
        });
  }
  std::string implementation() const override { return "loop:lrn"; }

private:
  void pixel(const float *x, float *out) const {
    const int64_t before = (size - 1) / 2, after = size / 2;
    for (int64_t c = 0; c < channels; ++c) {
      float sum = 0.0f;
      for (int64_t k = std::max<int64_t>(0, c - before);
           k <= std::min(channels - 1, c + after); ++k)
        sum += x[k] * x[k];
      out[c] = x[c] / std::pow(bias + alpha * sum, beta);
    }
  }

  int64_t channels, pixels, size;
  float alpha, beta, bias;
};

void channelsLast(std::span<TensorDesc> inputs, std::span<TensorDesc> outputs) {
  inputs[0].order = channelsLastOrder(inputs[0].rank());
  outputs[0].order = channelsLastOrder(outputs[0].rank());
}

} // namespace

void AdaptiveAvgPoolNode::chooseOrders(std::span<TensorDesc> inputs,
                                       std::span<TensorDesc> outputs) const {
  channelsLast(inputs, outputs);
}

std::unique_ptr<Kernel>
AdaptiveAvgPoolNode::build(const BuildContext &context) const {
  return std::make_unique<AdaptiveAvgPoolKernel>(context.inputs[0],
                                                 context.outputs[0]);
}

void LrnNode::chooseOrders(std::span<TensorDesc> inputs,
                           std::span<TensorDesc> outputs) const {
  if (inputs[0].rank() < 3)
    return Node::chooseOrders(inputs, outputs);
  channelsLast(inputs, outputs);
}

std::unique_ptr<Kernel> LrnNode::build(const BuildContext &context) const {
  return std::make_unique<LrnKernel>(context.inputs[0], size, alpha, beta,
                                     bias);
}

void PoolNode::chooseOrders(std::span<TensorDesc> inputs,
                            std::span<TensorDesc> outputs) const {
  channelsLast(inputs, outputs);
}

std::unique_ptr<Kernel> PoolNode::build(const BuildContext &context) const {
  const TensorDesc &in = context.inputs[0];
  if (in.rank() < 3 || in.rank() > 5)
    throw KernelError("expected 1 to 3 spatial dims, got the shape " +
                      shapeText(in.dims));
  return std::make_unique<PoolKernel>(geometry, in, context.outputs[0]);
}

} // namespace tpumlir::kernels
