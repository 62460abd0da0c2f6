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
/// Marker, see TopBase.td.
template <typename ConcreteType>
class SupportFuseRelu
    : public mlir::OpTrait::TraitBase<ConcreteType, SupportFuseRelu> {};
} // namespace tpumlir::top

#include "tpumlir/dialect/top/TopDialect.h.inc"

#include "tpumlir/dialect/top/TopEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "tpumlir/dialect/top/TopAttrs.h.inc"

#define GET_OP_CLASSES
#include "tpumlir/dialect/top/TopOps.h.inc"
