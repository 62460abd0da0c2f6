#pragma once

#include "tpumlir/dialect/top/TopDialect.h"

/// Ops that are in texts only: reading unrolls them, no later stage has them.
#define GET_OP_CLASSES
#include "tpumlir/dialect/top/Recurrent.h.inc"
