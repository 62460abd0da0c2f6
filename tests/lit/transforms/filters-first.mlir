// RUN: tpumlir-opt %s --filters-first -mlir-print-local-scope | FileCheck %s

// The filter of the second convolution does not wait for the first; one that is made of a picture does.
// CHECK-LABEL: @main(
// CHECK: "tpu.Active"(%arg1) {{.*}} loc("k")
// CHECK: "tpu.Conv2D"{{.*}} loc("a")
// CHECK: "tpu.Conv2D"{{.*}} loc("b")
// CHECK: "tpu.Active"{{.*}} loc("l")
// CHECK: "tpu.Conv2D"{{.*}} loc("c")
module {
func.func @main(%x: tensor<1x8x3x3xf32>, %w: tensor<8x8x1x1xf32>) -> tensor<1x1x3x3xf32> {
  %n = "top.None"() : () -> none
  %a = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x8x3x3xf32>, tensor<8x8x1x1xf32>, none) -> tensor<1x8x3x3xf32> loc("a")
  %k = "tpu.Active"(%w) {mode = #tpu<active_mode SIGMOID>} : (tensor<8x8x1x1xf32>) -> tensor<8x8x1x1xf32> loc("k")
  %b = "tpu.Conv2D"(%a, %k, %n) {kernel_shape = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x8x3x3xf32>, tensor<8x8x1x1xf32>, none) -> tensor<1x8x3x3xf32> loc("b")
  %l = "tpu.Active"(%a) {mode = #tpu<active_mode SIGMOID>} : (tensor<1x8x3x3xf32>) -> tensor<1x8x3x3xf32> loc("l")
  %c = "tpu.Conv2D"(%b, %l, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], with_bias = false} : (tensor<1x8x3x3xf32>, tensor<1x8x3x3xf32>, none) -> tensor<1x1x3x3xf32> loc("c")
  return %c : tensor<1x1x3x3xf32>
}
}
