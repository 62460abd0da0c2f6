#include "tpumlir/transforms/tpu/Precision.h"

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

FailureOr<std::optional<Precision>> Precision::of(Operation *op) {
  Attribute attr = op->getAttr(kAttr);
  if (!attr)
    return std::optional<Precision>();
  auto entries = dyn_cast<DictionaryAttr>(attr);
  auto type = entries ? entries.getAs<TypeAttr>("type") : TypeAttr();
  auto why = entries ? entries.getAs<StringAttr>("why") : StringAttr();
  if (!type || !isa<Float32Type, Float16Type, BFloat16Type>(type.getValue()))
    return op->emitOpError("expected ")
           << kAttr << " = {type = f32, f16 or bf16}, got " << attr;
  return std::optional<Precision>(
      {cast<FloatType>(type.getValue()), why ? why.getValue() : StringRef()});
}

} // namespace tpumlir
