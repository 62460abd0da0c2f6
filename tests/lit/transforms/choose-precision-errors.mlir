// RUN: not tpumlir-opt %s --choose-precision --materialise-casts -split-input-file 2>&1 | FileCheck %s

// CHECK: expected module.mode F32, F16, BF16 or INT8, got none (run processor-assign first)
module {
}

// -----

// CHECK: expected F32, F16, BF16 or INT8 for 'y' in module.quantize_table, got "INT4"
module attributes {module.mode = "F16", module.quantize_table = {"y" = "INT4"}} {
}

// -----

// One tensor in integers needs ranges, too.
// CHECK: expected module.calibration_table for INT8, got none (run run_calibration
module attributes {module.mode = "F16", module.quantize_table = {"y" = "INT8"}} {
}

// -----

// CHECK: expected module.calibration_table for INT8, got none (run run_calibration
module attributes {module.mode = "INT8"} {
}

// -----

// CHECK: expected module.calibration_table to be a dictionary, got "y"
module attributes {module.mode = "INT8", module.calibration_table = "y"} {
}

// -----

// CHECK: expected [threshold, min, max], or with the least and the greatest of each channel, for 'y' in module.calibration_table, got [1.000000e+00, 2.000000e+00]
module attributes {module.mode = "INT8", module.calibration_table = {y = [1.0, 2.0]}} {
}

// -----

// A range that ends before it begins.
// CHECK: expected [threshold, min, max], or with the least and the greatest of each channel, for 'y' in module.calibration_table, got [1.000000e+00, 2.000000e+00, -2.000000e+00]
module attributes {module.mode = "INT8", module.calibration_table = {y = [1.0, 2.0, -2.0]}} {
}

// -----

// CHECK: expected [threshold, min, max], or with the least and the greatest of each channel, for 'y' in module.calibration_table, got [-1.000000e+00
module attributes {module.mode = "INT8", module.calibration_table = {y = [-1.0, -2.0, 2.0]}} {
}

// -----

// CHECK: expected module.quantize_table to be a dictionary, got "y"
module attributes {module.mode = "F16", module.quantize_table = "y"} {
}

// -----

// CHECK: expected [threshold, min, max], or with the least and the greatest of each channel, for 'y' in module.calibration_table, got [1.000000e+00
module attributes {module.mode = "INT8", module.calibration_table = {y = [1.0, -2.0, 2.0, array<f32: 0.0, 1.0>, array<f32: 0.5>]}} {
  func.func @channels_of_two_lengths(%x: tensor<4xf32>) -> tensor<4xf32> {
    return %x : tensor<4xf32>
  }
}

// -----

// CHECK: expected [threshold, min, max], or with the least and the greatest of each channel, for 'y' in module.calibration_table, got [1.000000e+00
module attributes {module.mode = "INT8", module.calibration_table = {y = [1.0, -2.0, 2.0, array<f32: 1.0>, array<f32: 0.5>]}} {
  func.func @channel_upside_down(%x: tensor<4xf32>) -> tensor<4xf32> {
    return %x : tensor<4xf32>
  }
}
