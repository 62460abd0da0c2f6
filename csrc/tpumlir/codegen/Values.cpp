#include "tpumlir/codegen/Values.h"

#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/dialect/tpu/Views.h"

using namespace mlir;

namespace tpumlir::codegen {

uint64_t addressOf(Value value) {
  // Before addresses are assigned, and within a group, only costs are asked
  // for; `tpu-check-placed` sees to the rest.
  tpu::GmemAttr place = tpu::placeOf(value);
  return isa::kGlobalMemory.begin + uint64_t(place ? place.getOffset() : 0);
}

isa::DType dtypeOf(Value value) {
  std::optional<ElementType> type = ElementType::of(value);
  assert(type && "emitOp refuses other types");
  switch (type->storage) {
  case tpumlir::DType::F32:
    return isa::DType::F32;
  case tpumlir::DType::F16:
    return isa::DType::F16;
  case tpumlir::DType::BF16:
    return isa::DType::BF16;
  case tpumlir::DType::I32:
  case tpumlir::DType::U32:
    return isa::DType::I32;
  case tpumlir::DType::I16:
  case tpumlir::DType::U16:
    return isa::DType::I16;
  case tpumlir::DType::I8:
  case tpumlir::DType::U8:
    return isa::DType::I8;
  }
  llvm_unreachable("a DType without a code of the chip");
}

bool isSigned(Value value) {
  std::optional<ElementType> type = ElementType::of(value);
  return !type || type->isSigned();
}

int64_t bytesOf(Value value) { return isa::bytes(dtypeOf(value)); }

SmallVector<int64_t> shapeOf(Value value) {
  return SmallVector<int64_t>(top::shapeOf(value));
}

Global globalOf(Value value) { return {addressOf(value), dtypeOf(value)}; }

bool isInPlace(Operation *op) {
  std::optional<tpu::View> view = tpu::viewOf(op);
  if (view && !tpu::placeOf(op->getResult(0)))
    return true;
  return view && (globalOf(view->base) + view->offset).addr ==
                     addressOf(op->getResult(0));
}

} // namespace tpumlir::codegen
