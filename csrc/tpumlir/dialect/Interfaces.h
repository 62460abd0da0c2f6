#pragma once

#include "mlir/IR/OpDefinition.h"

namespace tpumlir {
class PlanBuilder;
} // namespace tpumlir

#include "tpumlir/dialect/Interfaces.h.inc"
