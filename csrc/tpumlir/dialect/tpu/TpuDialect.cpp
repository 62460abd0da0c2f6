#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

#include "tpumlir/dialect/tpu/TpuDialect.cpp.inc"

#include "tpumlir/dialect/tpu/TpuEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "tpumlir/dialect/tpu/TpuAttrs.cpp.inc"

namespace tpumlir::tpu {

void TpuDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "tpumlir/dialect/tpu/TpuAttrs.cpp.inc"
      >();
  registerTpuDialectOperations(this);
}

LogicalResult TpuDialect::verifyOperationAttribute(Operation *op,
                                                   NamedAttribute attr) {
  if (attr.getName() != kPlaceAttr)
    return success();
  auto places = dyn_cast<ArrayAttr>(attr.getValue());
  if (!places || places.size() != op->getNumResults())
    return op->emitOpError("expected tpu.place to be an array of ")
           << op->getNumResults() << " places, got " << attr.getValue();
  for (Attribute place : places)
    if (!isa<GmemAttr>(place))
      return op->emitOpError("expected #tpu.gmem in tpu.place, got ") << place;
  return success();
}

LogicalResult
GmemAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError,
                 Region region, int64_t offset) {
  // (C1): 64 bytes serve every element type, 8 GiB is all the memory there is.
  if (offset < 0 || offset % 64 != 0 || offset >= (int64_t(1) << 33))
    return emitError() << "expected an offset that is a multiple of 64 in "
                          "[0, 8 GiB), got "
                       << offset;
  return success();
}

GmemAttr placeOf(Value value) {
  auto result = dyn_cast<OpResult>(value);
  if (!result)
    return {};
  auto places =
      result.getOwner()->getAttrOfType<ArrayAttr>(TpuDialect::kPlaceAttr);
  if (!places || places.size() <= result.getResultNumber())
    return {};
  return dyn_cast<GmemAttr>(places[result.getResultNumber()]);
}

void setPlace(Value value, GmemAttr place) {
  auto result = cast<OpResult>(value);
  Operation *op = result.getOwner();
  // What stands for the results that have no place yet.
  Attribute open = UnitAttr::get(op->getContext());
  SmallVector<Attribute> places(op->getNumResults(), open);
  if (auto old = op->getAttrOfType<ArrayAttr>(TpuDialect::kPlaceAttr))
    places.assign(old.begin(), old.end());
  places[result.getResultNumber()] = place;
  op->setAttr(TpuDialect::kPlaceAttr, ArrayAttr::get(op->getContext(), places));
}

} // namespace tpumlir::tpu
