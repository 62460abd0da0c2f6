#include "tpumlir/dialect/tpu/FilterLayout.h"

#include "tpumlir/isa/Chip.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace tpumlir::tpu {

int64_t FilterLayout::cubeOf(Value filter) {
  std::optional<ElementType> type = ElementType::of(filter);
  if (!type || type->bytes() == 4)
    return 1;
  return isa::convChannelCube(type->bytes() == 2 ? isa::DType::F16
                                                 : isa::DType::I8);
}

int64_t FilterLayout::outputStride() const {
  switch (order) {
  case FilterOrder::GOIK:
    return ic * taps();
  case FilterOrder::OGIK:
    return group * ic * taps();
  case FilterOrder::Cubes:
    return blocks() * cube * taps();
  }
  llvm_unreachable("every order is listed");
}

SmallVector<int64_t> FilterLayout::lanes() const {
  switch (order) {
  case FilterOrder::GOIK:
    return {1, group * oc, ic, taps()};
  case FilterOrder::OGIK:
    return {1, oc, group * ic, taps()};
  case FilterOrder::Cubes:
    return {1, group * oc, blocks(), taps() * cube};
  }
  llvm_unreachable("every order is listed");
}

SmallVector<int64_t> FilterLayout::shape() const {
  SmallVector<int64_t> all = lanes();
  if (order == FilterOrder::Cubes)
    return all;
  all = {all[1], all[2]};
  llvm::append_range(all, kernel);
  return all;
}

} // namespace tpumlir::tpu
