// RUN: not tpumlir-opt %s --convert-top-to-tpu 2>&1 | FileCheck %s
// RUN: not tpumlir-opt %s --processor-assign=mode=INT8 2>&1 | FileCheck %s --check-prefix=MODE
// RUN: not tpumlir-opt %s --processor-assign=chip=bm1690 2>&1 | FileCheck %s --check-prefix=CHIP

// CHECK: expected module.mode, got none (run processor-assign first)
// MODE: expected mode F32, F16 or BF16, got INT8
// CHIP: expected chip bm1684x, got bm1690
module {
}
