#pragma once

#include "tpumlir/dialect/Interfaces.h"

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
