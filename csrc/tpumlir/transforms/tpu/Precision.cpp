#include "tpumlir/transforms/tpu/Precision.h"

#include "tpumlir/dialect/TensorType.h"
#include "tpumlir/support/Precisions.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/Diagnostics.h"

using namespace mlir;

namespace tpumlir {

void Precision::writeTo(Operation *op) const {
  Builder builder(op->getContext());
  NamedAttrList entries;
  entries.set("type", TypeAttr::get(type));
  if (!why.empty())
    entries.set("why", builder.getStringAttr(why));
  op->setAttr(kAttr, entries.getDictionary(op->getContext()));
}

Type Precision::ofMode(MLIRContext *context, StringRef mode) {
  const PrecisionInfo *precision = findPrecision(mode);
  return precision ? builtinType(context, precision->storage) : Type();
}

FailureOr<std::optional<Precision>> Precision::of(Operation *op) {
  Attribute attr = op->getAttr(kAttr);
  if (!attr)
    return std::optional<Precision>();
  auto entries = dyn_cast<DictionaryAttr>(attr);
  auto type = entries ? entries.getAs<TypeAttr>("type") : TypeAttr();
  auto why = entries ? entries.getAs<StringAttr>("why") : StringAttr();
  std::optional<DType> storage = type ? dtypeOf(type.getValue()) : std::nullopt;
  if (!storage || !precisionOf(*storage))
    return op->emitOpError("expected ")
           << kAttr << " = {type = " << listPrecisions(/*ofTypes=*/true)
           << "}, got " << attr;
  return std::optional<Precision>(
      {type.getValue(), why ? why.getValue() : StringRef()});
}

} // namespace tpumlir
