#ifndef TPUMLIR_TPU_PASSES
#define TPUMLIR_TPU_PASSES

include "mlir/Pass/PassBase.td"

#endif
