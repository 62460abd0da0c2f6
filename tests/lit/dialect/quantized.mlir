// RUN: tpumlir-opt %s -mlir-print-local-scope | FileCheck %s
// RUN: not tpumlir-opt %s --processor-assign --convert-top-to-tpu 2>&1 | FileCheck %s --check-prefix=REFUSED

// Quantised tensors are read and written, per tensor and per axis. No precision computes with them: they are
// refused, not taken for the integers that they are stored as.

// CHECK: -> tensor<2x4x!quant.uniform<i8:f32, 5.000000e-01:3>>
// CHECK: -> tensor<2x4x!quant.uniform<u8:f32:1, {1.000000e-01,2.000000e-01:7,3.000000e-01,4.000000e-01}>>
// REFUSED: expected a static tensor of f32 or i32, got 'tensor<2x4x!quant.uniform<i8:f32, 5.000000e-01:3>>'
func.func @main(%x: tensor<2x4xf32>) -> tensor<2x4x!quant.uniform<u8:f32:1, {0.1,0.2:7,0.3,0.4}>> {
  %y = "top.Relu"(%x) : (tensor<2x4xf32>) -> tensor<2x4x!quant.uniform<i8:f32, 0.5:3>> loc("y")
  %z = "top.Relu"(%y) : (tensor<2x4x!quant.uniform<i8:f32, 0.5:3>>) -> tensor<2x4x!quant.uniform<u8:f32:1, {0.1,0.2:7,0.3,0.4}>> loc("z")
  return %z : tensor<2x4x!quant.uniform<u8:f32:1, {0.1,0.2:7,0.3,0.4}>>
}
