// RUN: tpumlir-opt %s --window-columns -split-input-file -mlir-print-local-scope | FileCheck %s

// A filter that is computed, and one of halves, of which a zero may meet an infinity, stay as they are.
// CHECK-LABEL: @computed(
// CHECK: "tpu.Conv2D"(%arg0, %arg1{{.*}} -> tensor<1x1x40x40x!quant.uniform<i8:f32, 1.000000e+00>> loc("y")
module {
func.func @computed(%x: tensor<1x32x40x40x!quant.uniform<i8:f32, 1.0>>, %w: tensor<1x32x7x7x!quant.uniform<i8:f32, 1.0>>, %m: tensor<1x2xf32>) -> tensor<1x1x40x40x!quant.uniform<i8:f32, 1.0>> {
  %n = "top.None"() : () -> none
  %y = "tpu.Conv2D"(%x, %w, %n, %m) {kernel_shape = [7, 7], strides = [1, 1], pads = [3, 3, 3, 3], dilations = [1, 1], with_bias = false} : (tensor<1x32x40x40x!quant.uniform<i8:f32, 1.0>>, tensor<1x32x7x7x!quant.uniform<i8:f32, 1.0>>, none, tensor<1x2xf32>) -> tensor<1x1x40x40x!quant.uniform<i8:f32, 1.0>> loc("y")
  return %y : tensor<1x1x40x40x!quant.uniform<i8:f32, 1.0>>
}
}

// -----

// CHECK-LABEL: @halves(
// CHECK: "tpu.Conv2D"{{.*}} -> tensor<1x1x40x40xf16> loc("y")
module {
func.func @halves(%x: tensor<1x32x40x40xf16>) -> tensor<1x1x40x40xf16> {
  %n = "top.None"() : () -> none
  %w = "top.Weight"() : () -> tensor<1x32x7x7xf16> loc("w")
  %y = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [7, 7], strides = [1, 1], pads = [3, 3, 3, 3], dilations = [1, 1], with_bias = false} : (tensor<1x32x40x40xf16>, tensor<1x32x7x7xf16>, none) -> tensor<1x1x40x40xf16> loc("y")
  return %y : tensor<1x1x40x40xf16>
}
}
