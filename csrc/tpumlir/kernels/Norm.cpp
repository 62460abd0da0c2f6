#include "tpumlir/kernels/Norm.h"

#include "tpumlir/kernels/Lanes.h"
#include "tpumlir/kernels/Parallel.h"

#include <cmath>

namespace tpumlir::kernels {

namespace {

/// Sum of (x - shift) and of its square, in double lanes.
TPUMLIR_VECTORISED void moments(const float *x, int64_t n, double shift,
                                double *sum, double *square) {
  lanes::Doubles sumLow = {}, sumHigh = {}, squareLow = {}, squareHigh = {};
  int64_t i = 0;
  for (; i + lanes::kWidth <= n; i += lanes::kWidth) {
    lanes::HalfFloats low, high;
    lanes::load(low, x + i);
    lanes::load(high, x + i + lanes::kWidth / 2);
    lanes::Doubles a = __builtin_convertvector(low, lanes::Doubles) - shift;
    lanes::Doubles b = __builtin_convertvector(high, lanes::Doubles) - shift;
    sumLow += a;
    sumHigh += b;
    squareLow += a * a;
    squareHigh += b * b;
  }
  double sums[lanes::kWidth], squares[lanes::kWidth];
  lanes::store(sums, sumLow);
  lanes::store(sums + lanes::kWidth / 2, sumHigh);
  lanes::store(squares, squareLow);
  lanes::store(squares + lanes::kWidth / 2, squareHigh);
  for (int64_t l = 0; i < n; ++i, ++l) {
    double v = double(x[i]) - shift;
    sums[l] += v;
    squares[l] += v * v;
  }
  *sum = *square = 0.0;
  for (int64_t l = 0; l < lanes::kWidth; ++l) {
    *sum += sums[l];
    *square += squares[l];
  }
}

/// Affine per position.
TPUMLIR_VECTORISED void applyEach(const float *x, float mean, float scale,
                                  const float *weight, const float *bias,
                                  float *out, int64_t n) {
  if (weight && bias)
    for (int64_t i = 0; i < n; ++i)
      out[i] = (x[i] - mean) * scale * weight[i] + bias[i];
  else if (weight)
    for (int64_t i = 0; i < n; ++i)
      out[i] = (x[i] - mean) * scale * weight[i];
  else if (bias)
    for (int64_t i = 0; i < n; ++i)
      out[i] = (x[i] - mean) * scale + bias[i];
  else
    for (int64_t i = 0; i < n; ++i)
      out[i] = (x[i] - mean) * scale;
}

/// One affine for all.
TPUMLIR_VECTORISED void applyOne(const float *x, float mean, float scale,
                                 float weight, float bias, float *out,
                                 int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = (x[i] - mean) * scale * weight + bias;
}

class NormKernel : public Kernel {
public:
  /// `rows` stretches of `n`; a channel is `perChannel` neighbours, or 0 if the
  /// affine is per position.
  NormKernel(const NormGeometry &g, int64_t rows, int64_t n, int64_t perChannel,
             int64_t channels, bool hasWeight, bool hasBias)
      : centred(g.centred), eps(g.eps), rows(rows), n(n),
        perChannel(perChannel), channels(channels), weightAt(hasWeight ? 1 : 0),
        biasAt(hasBias ? (hasWeight ? 2 : 1) : 0),
        outputAt(size_t(1 + hasWeight + hasBias)) {}

  void run() override {
    parallelFor(rows, 4 * rows * n, [this](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        one(row);
    });
  }
  std::string implementation() const override { return "loop:norm"; }

private:
  void one(int64_t row) {
    const float *x = data<float>(0) + row * n;
    float *out = data<float>(outputAt) + row * n;
    const float *weight = weightAt ? data<float>(weightAt) : nullptr;
    const float *bias = biasAt ? data<float>(biasAt) : nullptr;
    // Sums about the first element lose nothing when the mean is large.
    double shift = centred ? x[0] : 0.0, sum, square;
    moments(x, n, shift, &sum, &square);
    double mean = centred ? sum / double(n) : 0.0;
    double variance = square / double(n) - mean * mean;
    variance = variance < 0.0 ? 0.0 : variance;
    float scale = float(1.0 / std::sqrt(variance + double(eps)));
    float centre = float(mean + shift);
    if (perChannel == 0)
      return applyEach(x, centre, scale, weight, bias, out, n);
    for (int64_t i = 0; i < n; i += perChannel) {
      int64_t channel = (row * n + i) / perChannel % channels;
      applyOne(x + i, centre, scale, weight ? weight[channel] : 1.0f,
               bias ? bias[channel] : 0.0f, out + i, perChannel);
    }
  }

  bool centred;
  float eps;
  int64_t rows, n, perChannel, channels;
  size_t weightAt, biasAt, outputAt;
};

} // namespace

void NormNode::chooseOrders(std::span<TensorDesc> inputs,
                            std::span<TensorDesc> outputs) const {
  Node::chooseOrders(inputs, outputs);
  if (geometry.over == NormGeometry::Over::Channel) {
    inputs[0].order = channelsLastOrder(inputs[0].rank());
    outputs[0].order = inputs[0].order;
  }
}

std::unique_ptr<Kernel> NormNode::build(const BuildContext &context) const {
  const TensorDesc &x = context.inputs[0];
  int64_t n = 1, perChannel = 0, channels = 1;
  int64_t affine = 1;
  switch (geometry.over) {
  case NormGeometry::Over::Inner:
    for (int64_t d = geometry.axis; d < x.rank(); ++d)
      n *= x.dims[size_t(d)];
    affine = n;
    break;
  case NormGeometry::Over::Groups:
    channels = x.dims[1];
    perChannel = 1;
    for (int64_t d = 2; d < x.rank(); ++d)
      perChannel *= x.dims[size_t(d)];
    n = channels / geometry.groups * perChannel;
    affine = channels;
    break;
  case NormGeometry::Over::Channel:
    n = affine = x.dims[1];
    break;
  }
  for (size_t i = 1; i < context.inputs.size(); ++i)
    if (context.inputs[i].elements() != affine)
      throw KernelError("expected " + std::to_string(affine) +
                        " weights and biases, got " +
                        shapeText(context.inputs[i].dims));
  int64_t rows = n ? x.elements() / n : 0;
  return std::make_unique<NormKernel>(geometry, rows, n, perChannel, channels,
                                      hasWeight, hasBias);
}

} // namespace tpumlir::kernels
