#pragma once

#include "tpumlir/dialect/Interfaces.h"
#include "tpumlir/dialect/top/TopDialect.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "tpumlir/dialect/tpu/TpuDialect.h.inc"

#include "tpumlir/dialect/tpu/TpuEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "tpumlir/dialect/tpu/TpuAttrs.h.inc"

#define GET_OP_CLASSES
#include "tpumlir/dialect/tpu/TpuOps.h.inc"

namespace tpumlir::tpu {

/// Place of a value, or null if it has none yet.
GmemAttr placeOf(mlir::Value value);
/// Gives a result its place. Values without a defining op have none.
void setPlace(mlir::Value value, GmemAttr place);

/// The group of an operation, or null.
GroupAttr groupOf(mlir::Operation *op);
/// Whether both are operations of one group.
bool sameGroup(mlir::Operation *a, mlir::Operation *b);
/// Whether a value is used within its group only, so that it never leaves local
/// memory.
bool staysLocal(mlir::Value value);
/// Whether a constant is part of the images of groups only.
bool isPacked(mlir::Value value);

} // namespace tpumlir::tpu
