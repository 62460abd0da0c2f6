#include "tpumlir/kernels/Resize.h"

#include "tpumlir/kernels/Parallel.h"

#include <array>
#include <cmath>

namespace tpumlir::kernels {

namespace {

/// The one or two input positions an output position is made of.
struct Tap {
  int64_t low, high;
  float weight; ///< of `high`
};

std::vector<Tap> tapsOf(const ResizeGeometry &g, int64_t in, int64_t out,
                        double scale) {
  std::vector<Tap> taps;
  for (int64_t i = 0; i < out; ++i) {
    double at = 0.0;
    switch (g.coord) {
    case ResizeCoord::HalfPixel:
      at = (double(i) + 0.5) / scale - 0.5;
      break;
    case ResizeCoord::PytorchHalfPixel:
      at = out > 1 ? (double(i) + 0.5) / scale - 0.5 : 0.0;
      break;
    case ResizeCoord::AlignCorners:
      at = out > 1 ? double(i) * double(in - 1) / double(out - 1) : 0.0;
      break;
    case ResizeCoord::Asymmetric:
      at = double(i) / scale;
      break;
    }
    if (!g.linear) {
      double place = g.coord == ResizeCoord::Asymmetric ? std::floor(at)
                                                        : std::ceil(at - 0.5);
      int64_t near = std::clamp<int64_t>(int64_t(place), 0, in - 1);
      taps.push_back({near, near, 0.0f});
      continue;
    }
    at = std::clamp(at, 0.0, double(in - 1));
    int64_t low = int64_t(std::floor(at));
    taps.push_back({low, std::min(low + 1, in - 1), float(at - double(low))});
  }
  return taps;
}

TPUMLIR_VECTORISED void mix(const float *a, const float *b, float weight,
                            float *out, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i)
    out[i] = a[i] * (1.0f - weight) + b[i] * weight;
}

/// Channels-last; one spatial dim after the other would lose no time, but all
/// at once needs no memory between.
class ResizeKernel : public Kernel {
public:
  ResizeKernel(const ResizeGeometry &g, const TensorDesc &in)
      : batch(in.dims[0]), channels(in.dims[1]), linear(g.linear) {
    size_t spatial = in.dims.size() - 2;
    for (size_t d = 0; d < 3; ++d) {
      bool real = d + spatial >= 3;
      size_t s = d + spatial - 3;
      extent[d] = real ? in.dims[s + 2] : 1;
      taps[d] = real ? tapsOf(g, extent[d], g.spatialExtents[s], g.scales[s])
                     : std::vector<Tap>{{0, 0, 0.0f}};
    }
  }

  void run() override {
    const int64_t d = int64_t(taps[0].size()), h = int64_t(taps[1].size()),
                  w = int64_t(taps[2].size());
    parallelFor(batch * d * h, batch * d * h * w * channels * (linear ? 8 : 1),
                [&](int64_t begin, int64_t end) {
                  for (int64_t r = begin; r < end; ++r)
                    row(r / (d * h), taps[0][size_t(r / h % d)],
                        taps[1][size_t(r % h)],
                        data<float>(1) + r * w * channels);
                });
  }
  std::string implementation() const override { return "loop:resize"; }

private:
  const float *pixel(int64_t n, int64_t d, int64_t h, int64_t w) const {
    return data<const float>(0) +
           (((n * extent[0] + d) * extent[1] + h) * extent[2] + w) * channels;
  }

  void row(int64_t n, const Tap &d, const Tap &h, float *out) {
    static thread_local std::vector<float> corner;
    corner.resize(size_t(2 * channels));
    float *low = corner.data(), *high = low + channels;
    auto line = [&](int64_t at, const Tap &w, float *to) {
      mix(pixel(n, at, h.low, w.low), pixel(n, at, h.low, w.high), w.weight, to,
          channels);
      if (h.weight == 0.0f)
        return;
      mix(pixel(n, at, h.high, w.low), pixel(n, at, h.high, w.high), w.weight,
          high, channels);
      mix(to, high, h.weight, to, channels);
    };
    for (const Tap &w : taps[2]) {
      if (!linear) {
        std::copy_n(pixel(n, d.low, h.low, w.low), channels, out);
      } else {
        line(d.low, w, out);
        if (d.weight != 0.0f) {
          line(d.high, w, low);
          mix(out, low, d.weight, out, channels);
        }
      }
      out += channels;
    }
  }

  int64_t batch, channels;
  bool linear;
  std::array<int64_t, 3> extent;
  std::array<std::vector<Tap>, 3> taps;
};

} // namespace

void ResizeNode::chooseOrders(std::span<TensorDesc> inputs,
                              std::span<TensorDesc> outputs) const {
  inputs[0].order = channelsLastOrder(inputs[0].rank());
  outputs[0].order = channelsLastOrder(outputs[0].rank());
}

std::unique_ptr<Kernel> ResizeNode::build(const BuildContext &context) const {
  const TensorDesc &in = context.inputs[0];
  if (in.rank() < 3 || in.rank() > 5)
    throw KernelError("expected 1 to 3 spatial dims, got the shape " +
                      shapeText(in.dims));
  return std::make_unique<ResizeKernel>(geometry, in);
}

} // namespace tpumlir::kernels
