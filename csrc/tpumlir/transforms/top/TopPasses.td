#ifndef TPUMLIR_TOP_PASSES
#define TPUMLIR_TOP_PASSES

include "mlir/Pass/PassBase.td"

#endif
