#include "tpumlir/transforms/tpu/ChannelScales.h"

#include "tpumlir/dialect/tpu/FilterLayout.h"

#include <cmath>

using namespace mlir;

namespace tpumlir {

/// The zero points of u8 with the least sum of squared scales, as far as that
/// can be told before scales are rounded: a few that follow each other. A scale
/// is the greatest of low / zero, high / (255 - zero) and a part of the
/// greatest scale, all convex in the zero point, and so is the sum of their
/// squares.
static std::pair<int64_t, int64_t>
bestZeros(ArrayRef<std::pair<double, double>> ends, double leastPart) {
  constexpr int64_t kLowest = 1, kHighest = 254;
  constexpr double kRounding = 1e-5; // that of scales to F32 is well below
  double below = 0, above = 0;
  for (auto [least, greatest] : ends) {
    below = std::max(below, -least);
    above = std::max(above, greatest);
  }
  auto noise = [&](int64_t zero) {
    const double ofBelow = 1.0 / double(zero),
                 ofAbove = 1.0 / double(255 - zero);
    const double floor = leastPart * std::max(below * ofBelow, above * ofAbove);
    double sum = 0;
    for (auto [least, greatest] : ends) {
      const double scale =
          std::max({-least * ofBelow, greatest * ofAbove, floor});
      sum += scale * scale;
    }
    return sum;
  };
  int64_t first = kLowest, last = kHighest;
  while (first < last) {
    const int64_t middle = (first + last) / 2;
    if (noise(middle) <= noise(middle + 1))
      last = middle;
    else
      first = middle + 1;
  }
  const double alike = noise(first) * (1 + kRounding);
  while (first > kLowest && noise(first - 1) <= alike)
    --first;
  while (last < kHighest && noise(last + 1) <= alike)
    ++last;
  return {first, last};
}

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
  const auto [first, last] =
      isNegative ? bestZeros(ends, kLeast) : std::pair<int64_t, int64_t>{0, 0};
  Quantization best = withZero(DType::U8, first);
  for (int64_t zero = first + 1; zero <= last; ++zero)
    if (Quantization other = withZero(DType::U8, zero);
        noise(other) < noise(best))
      best = std::move(other);
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
