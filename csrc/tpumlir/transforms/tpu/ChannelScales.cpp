#include "tpumlir/transforms/tpu/ChannelScales.h"

#include "tpumlir/dialect/tpu/FilterLayout.h"

#include <cmath>

using namespace mlir;

namespace tpumlir {

std::optional<Quantization>
CalibrationTable::ofChannels(Value value, bool doZerosCost) const {
  auto found = rows.find(top::tensorName(value));
  ArrayRef<int64_t> shape = top::shapeOf(value);
  if (found == rows.end() || shape.size() < 2 || statedOf(value) ||
      int64_t(found->second.least.size()) != shape[1])
    return std::nullopt;
  const Row &row = found->second;
  // The extremes of a channel are those of fewer numbers than the tensor's:
  // other inputs go beyond them. Of each so much more as one scale for all
  // would keep too (docs/int8.md has what was measured).
  constexpr double kRoom = 2;
  const double low = std::max(row.min, -row.threshold),
               high = std::min(row.max, row.threshold);
  SmallVector<std::pair<double, double>> ends;
  double most = 0;
  for (auto [least, greatest] : llvm::zip(row.least, row.greatest)) {
    ends.emplace_back(std::clamp(kRoom * least, std::min(low, 0.0), 0.0),
                      std::clamp(kRoom * greatest, 0.0, std::max(high, 0.0)));
    most = std::max({most, -ends.back().first, ends.back().second});
  }
  if (most == 0)
    return std::nullopt;
  // What a calibration saw little of may hold more: this part of the greatest
  // scale is left to it.
  constexpr double kLeast = 1.0 / 256;
  auto withZero = [&](DType storage, int64_t zero) {
    Quantization type{storage, 0, zero};
    const double below = double(zero - type.least()),
                 above = double(type.greatest() - zero);
    for (auto [least, greatest] : ends)
      type.channels.push_back(std::max(least < 0 ? -least / below : 0.0,
                                       greatest > 0 ? greatest / above : 0.0));
    type.scale = *llvm::max_element(type.channels);
    for (double &scale : type.channels)
      scale = double(float(std::max(scale, kLeast * type.scale)));
    type.scale = *llvm::max_element(type.channels);
    return type;
  };
  // Their noise: every channel adds the square of its scale.
  auto noise = [](const Quantization &type) {
    double sum = 0;
    for (double scale : type.channels)
      sum += scale * scale;
    return sum;
  };
  const bool isNegative =
      llvm::any_of(ends, [](auto both) { return both.first < 0; });
  // Each scale is the greatest of functions that are convex in the zero point,
  // and so is the sum of their squares.
  int64_t zero = isNegative ? 1 : 0, last = isNegative ? 254 : 0;
  while (zero < last) {
    const int64_t middle = (zero + last) / 2;
    if (noise(withZero(DType::U8, middle)) <=
        noise(withZero(DType::U8, middle + 1)))
      last = middle;
    else
      zero = middle + 1;
  }
  Quantization best = withZero(DType::U8, zero);
  const double much = doZerosCost ? 1.1 : 1.0;
  if (Quantization plain = withZero(DType::I8, 0);
      best.zeroPoint != 0 && noise(plain) <= much * noise(best))
    best = std::move(plain);
  return best.scale > 0x1p-100 ? std::optional(best) : std::nullopt;
}

bool isOverLanes(Value value) {
  ArrayRef<int64_t> shape = top::shapeOf(value);
  return shape.size() == 4 || (shape.size() == 3 && shape[1] > 1);
}

/// Whether an op can make a result, of which each channel has a scale: there is
/// a factor for each of them anyway.
static bool makesChannels(Operation *op) {
  return isa<tpu::Conv2DOp, tpu::DeconvOp, tpu::ScaleOp>(op) ||
         isHardSwish(op) || LinearForm::of(op);
}

/// Whether a reader takes a tensor, of which each channel has a scale.
bool ChannelScales::isTaken(OpOperand &use) const {
  Operation *op = use.getOwner();
  if (!chosen.contains(op) || use.getOperandNumber() != 0)
    return false;
  // A filter that is computed wants an input without a zero point.
  if (auto conv = dyn_cast<tpu::Conv2DOp>(op))
    return tpu::FilterLayout::of(conv).ic == 1 &&
           succeeded(top::constantF32s(conv.getFilter()));
  if (!LinearForm::of(op))
    return isHardSwish(op) ||
           isa<tpu::LeakyReluOp, tpu::PReluOp, tpu::ScaleOp>(op);
  // No part of a function that becomes a table.
  return llvm::none_of(op->getResult(0).getUsers(), [&](Operation *next) {
    return chosen.contains(next) && isUnaryFunction(next) &&
           !isCheapFunction(next) && !LinearForm::of(next);
  });
}

void ChannelScales::choose(Operation *op) {
  if (op->getNumResults() != 1 || !makesChannels(op))
    return;
  Value result = op->getResult(0);
  if (!isOverLanes(result) || top::shapeOf(result)[1] == 1 ||
      result.use_empty() ||
      !llvm::all_of(result.getUses(),
                    [&](OpOperand &use) { return isTaken(use); }))
    return;
  // Who multiplies takes zero points away, in two commands.
  const bool isMultiplied = llvm::any_of(result.getUsers(), isHardSwish);
  if (std::optional<Quantization> type = table.ofChannels(result, isMultiplied))
    types[result] = *type;
}

Quantization ChannelScales::typeOf(Value result, const Quantization &own,
                                   const LinearForm &form) const {
  auto found = types.find(result);
  const bool isBound = form.greatest || (form.least && *form.least != 0);
  return found == types.end() || isBound ? own : found->second;
}

} // namespace tpumlir
