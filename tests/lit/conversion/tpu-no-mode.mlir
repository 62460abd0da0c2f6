// RUN: not tpumlir-opt %s --convert-top-to-tpu 2>&1 | FileCheck %s
// RUN: not tpumlir-opt %s --processor-assign=mode=INT4 2>&1 | FileCheck %s --check-prefix=MODE
// RUN: not tpumlir-opt %s --processor-assign=chip=bm1690 2>&1 | FileCheck %s --check-prefix=CHIP

// CHECK: expected module.mode, got none (run processor-assign first)
// MODE: expected mode F32, F16, BF16 or INT8, got INT4
// CHIP: expected chip bm1684x, got bm1690
module {
}
