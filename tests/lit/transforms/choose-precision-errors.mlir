// RUN: not tpumlir-opt %s --choose-precision --materialise-casts -split-input-file 2>&1 | FileCheck %s

// CHECK: expected module.mode F32, F16 or BF16, got none (run processor-assign first)
module {
}

// -----

// CHECK: expected F32, F16 or BF16 for 'y' in module.quantize_table, got "INT8"
module attributes {module.mode = "F16", module.quantize_table = {"y" = "INT8"}} {
}

// -----

// CHECK: expected module.quantize_table to be a dictionary, got "y"
module attributes {module.mode = "F16", module.quantize_table = "y"} {
}
