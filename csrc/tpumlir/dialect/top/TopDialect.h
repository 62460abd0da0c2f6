#pragma once

#include "tpumlir/dialect/Interfaces.h"
#include "tpumlir/dialect/top/ModuleWeights.h"
#include "tpumlir/dialect/top/TopUtils.h"
#include "tpumlir/support/Weights.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace tpumlir::top {
/// Markers, see TopBase.td.
template <typename ConcreteType>
class SupportFuseRelu
    : public mlir::OpTrait::TraitBase<ConcreteType, SupportFuseRelu> {};
template <typename ConcreteType>
class StatesAttrRules
    : public mlir::OpTrait::TraitBase<ConcreteType, StatesAttrRules> {};
} // namespace tpumlir::top

#include "tpumlir/dialect/top/TopDialect.h.inc"

#include "tpumlir/dialect/top/TopEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "tpumlir/dialect/top/TopAttrs.h.inc"

#define GET_OP_CLASSES
#include "tpumlir/dialect/top/TopOps.h.inc"

namespace tpumlir::top {
/// Whether pads follow from the input so that the output has its extent (over
/// the stride).
inline bool isSame(AutoPad pad) {
  return pad == AutoPad::SAME_UPPER || pad == AutoPad::SAME_LOWER;
}

inline bool isSigned(StoredType type) {
  return type == StoredType::INT8 || type == StoredType::INT16;
}
inline int64_t bitsOf(StoredType type) {
  return type == StoredType::INT8 || type == StoredType::UINT8 ? 8 : 16;
}
/// The least and the greatest number.
inline std::pair<int64_t, int64_t> rangeOf(StoredType type) {
  int64_t steps = int64_t(1) << bitsOf(type);
  if (!isSigned(type))
    return {0, steps - 1};
  return {-steps / 2, steps / 2 - 1};
}
} // namespace tpumlir::top
