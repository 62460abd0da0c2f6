// RUN: tpumlir-opt %s --unused-weights -mlir-print-local-scope | FileCheck %s

// A constant that nobody reads goes; one that somebody reads stays, and so does everything else.
// CHECK-LABEL: @constants
// CHECK-NOT: loc("left")
// CHECK: "top.Weight"() : () -> tensor<8x4x3x3xf32> loc("w")
// CHECK-NOT: loc("left")
// CHECK: "tpu.Conv2D"{{.*}} loc("unread")
func.func @constants(%x: tensor<1x4x6x6xf32>) -> tensor<1x8x6x6xf32> {
  %n = "top.None"() : () -> none
  %l = "top.Weight"() : () -> tensor<8x4x3x3xf32> loc("left")
  %w = "top.Weight"() : () -> tensor<8x4x3x3xf32> loc("w")
  %u = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6xf32>, tensor<8x4x3x3xf32>, none) -> tensor<1x8x6x6xf32> loc("unread")
  %y = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6xf32>, tensor<8x4x3x3xf32>, none) -> tensor<1x8x6x6xf32>
  return %y : tensor<1x8x6x6xf32>
}
