#pragma once

#include "mlir/Pass/Pass.h"

namespace tpumlir {

#define GEN_PASS_DECL
#include "tpumlir/schedule/SchedulePasses.h.inc"

#define GEN_PASS_REGISTRATION
#include "tpumlir/schedule/SchedulePasses.h.inc"

} // namespace tpumlir
