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
  if (attr.getName() == kGroupAttr && !isa<GroupAttr>(attr.getValue()))
    return op->emitOpError("expected tpu.group to be a #tpu.group, got ")
           << attr.getValue();
  if (attr.getName() == kImageAttr && !isa<GmemAttr>(attr.getValue()))
    return op->emitOpError("expected tpu.image to be a #tpu.gmem, got ")
           << attr.getValue();
  if (attr.getName() != kPlaceAttr)
    return success();
  auto places = dyn_cast<ArrayAttr>(attr.getValue());
  if (!places || places.size() != op->getNumResults())
    return op->emitOpError("expected tpu.place to be an array of ")
           << op->getNumResults() << " places, got " << attr.getValue();
  for (auto [place, type] : llvm::zip_equal(places, op->getResultTypes())) {
    auto gmem = dyn_cast<GmemAttr>(place);
    if (!gmem)
      return op->emitOpError("expected #tpu.gmem in tpu.place, got ") << place;
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor)
      continue;
    int64_t bytes = bytesOfElement(tensor);
    if (gmem.getOffset() % bytes != 0)
      return op->emitOpError("expected an offset that is a multiple of ")
             << bytes << ", the size of an element, in tpu.place, got "
             << gmem.getOffset();
  }
  return success();
}

LogicalResult
GmemAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError,
                 Region region, int64_t offset) {
  // (C1): 8 GiB is all the memory there is.
  if (offset < 0 || offset >= (int64_t(1) << 33))
    return emitError() << "expected an offset in [0, 8 GiB), got " << offset;
  return success();
}

LogicalResult
GroupAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError,
                  int64_t id, int64_t n, int64_t h, int64_t image) {
  if (id < 0 || image < 0 || n < 1 || h < 1)
    return emitError() << "expected a group with id >= 0, n >= 1, h >= 1 and "
                          "image >= 0, got id "
                       << id << ", n " << n << ", h " << h << ", image "
                       << image;
  return success();
}

GroupAttr groupOf(Operation *op) {
  return op->getAttrOfType<GroupAttr>(TpuDialect::kGroupAttr);
}

bool sameGroup(Operation *a, Operation *b) {
  GroupAttr of = groupOf(a);
  return of && of == groupOf(b);
}

bool staysLocal(Value value) {
  Operation *op = value.getDefiningOp();
  return op && groupOf(op) && !value.use_empty() &&
         llvm::all_of(value.getUsers(),
                      [&](Operation *user) { return sameGroup(op, user); });
}

bool isPacked(Value value) {
  Operation *op = value.getDefiningOp();
  return op && op->hasAttr(TpuDialect::kPackedAttr);
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
