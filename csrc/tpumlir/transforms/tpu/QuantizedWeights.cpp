#include "tpumlir/transforms/tpu/QuantizedWeights.h"

#include "tpumlir/dialect/top/TopDialect.h"

#include <algorithm>
#include <cmath>

using namespace mlir;

namespace tpumlir {

static int8_t stored(double number, int64_t least, int64_t greatest) {
  return int8_t(
      std::clamp<int64_t>(int64_t(std::nearbyint(number)), least, greatest));
}

std::vector<int8_t> storedNumbers(ArrayRef<float> numbers,
                                  const Quantization &type) {
  std::vector<int8_t> bytes;
  bytes.reserve(numbers.size());
  const float factor = 1.0f / float(type.scale);
  for (float number : numbers)
    bytes.push_back(stored(double(number * factor + float(type.zeroPoint)),
                           type.least(), type.greatest()));
  return bytes;
}

Value createBytes(OpBuilder &builder, Operation *op, StringRef base,
                  ArrayRef<int64_t> shape, std::vector<int8_t> data,
                  Type element) {
  WeightStore &store = *top::weightsOf(op);
  std::string name = store.freeName(base.str());
  auto owner = std::make_shared<std::vector<int8_t>>(std::move(data));
  Weight weight;
  weight.dtype = ElementType::of(element)->storage;
  weight.shape.assign(shape.begin(), shape.end());
  weight.data = std::shared_ptr<const void>(owner, owner->data());
  store.set(name, std::move(weight));
  OperationState state(NameLoc::get(builder.getStringAttr(name)),
                       top::WeightOp::getOperationName());
  state.addTypes(RankedTensorType::get(shape, element));
  return builder.create(state)->getResult(0);
}

QuantizedRows::QuantizedRows(ArrayRef<float> numbers, int64_t rows,
                             int64_t rowStride, int64_t count, int64_t stride,
                             const std::optional<SmallVector<double>> &stated)
    : bytes(numbers.size()) {
  for (int64_t r = 0; r < rows; ++r) {
    const float *row = numbers.data() + r * rowStride;
    double most = 0;
    for (int64_t k = 0; k < count; ++k)
      most = std::max(most, double(std::fabs(row[k * stride])));
    double scale = double(float(most / 127));
    if (!(scale > 0x1p-100)) // nothing, or nothing that counts
      scale = 1;
    if (stated)
      scale = (*stated)[r];
    const int64_t least = stated ? -128 : -127;
    int64_t sum = 0;
    for (int64_t k = 0; k < count; ++k) {
      int8_t q = stored(double(row[k * stride]) / scale, least, 127);
      bytes[r * rowStride + k * stride] = q;
      sum += q;
    }
    scales.push_back(scale);
    sums.push_back(sum);
  }
}

} // namespace tpumlir
