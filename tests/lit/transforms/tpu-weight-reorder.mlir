// RUN: tpumlir-opt %s --weight-reorder -split-input-file -mlir-print-local-scope | FileCheck %s
// RUN: tpumlir-opt %s --weight-reorder --weight-reorder -split-input-file -mlir-print-local-scope | FileCheck %s

// A constant filter lies one output channel per lane, a bias one element per lane; run-time ones stay.
// CHECK-LABEL: @constant
// CHECK: "top.Weight"() : () -> tensor<1x8x4x9xf32>
// CHECK: "top.Weight"() : () -> tensor<1x8x1x1xf32>
func.func @constant(%x: tensor<1x4x6x6xf32>) -> tensor<1x8x6x6xf32> {
  %w = "top.Weight"() : () -> tensor<8x4x3x3xf32> loc("w")
  %b = "top.Weight"() : () -> tensor<8xf32> loc("b")
  %y = "tpu.Conv2D"(%x, %w, %b) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], with_bias = true} : (tensor<1x4x6x6xf32>, tensor<8x4x3x3xf32>, tensor<8xf32>) -> tensor<1x8x6x6xf32>
  return %y : tensor<1x8x6x6xf32>
}

// -----

// CHECK-LABEL: @run_time
// CHECK: tensor<8x4x3x3xf32>, none) -> tensor<1x8x6x6xf32>
func.func @run_time(%x: tensor<1x4x6x6xf32>, %w: tensor<8x4x3x3xf32>) -> tensor<1x8x6x6xf32> {
  %n = "top.None"() : () -> none
  %y = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6xf32>, tensor<8x4x3x3xf32>, none) -> tensor<1x8x6x6xf32>
  return %y : tensor<1x8x6x6xf32>
}

// -----

// A weight that something else uses keeps its shape there.
// CHECK-LABEL: @shared
// CHECK: "top.Weight"() : () -> tensor<4x2x3x3xf32>
// CHECK: "top.Weight"() : () -> tensor<1x4x2x9xf32>
func.func @shared(%x: tensor<1x2x6x6xf32>) -> (tensor<1x4x4x4xf32>, tensor<4x2x3x3xf32>) {
  %n = "top.None"() : () -> none
  %w = "top.Weight"() : () -> tensor<4x2x3x3xf32> loc("w")
  %y = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x2x6x6xf32>, tensor<4x2x3x3xf32>, none) -> tensor<1x4x4x4xf32>
  %z = "tpu.Relu"(%w) : (tensor<4x2x3x3xf32>) -> tensor<4x2x3x3xf32>
  return %y, %z : tensor<1x4x4x4xf32>, tensor<4x2x3x3xf32>
}

// -----

// Halves of a dense filter lie in cubes of 32 input channels: 33 channels take two. Those of a depthwise one do not.
// CHECK-LABEL: @halves
// CHECK: "top.Weight"() : () -> tensor<1x8x2x288xf16>
// CHECK: "top.Weight"() : () -> tensor<1x8x1x9xf16>
// CHECK: "tpu.Conv2D"{{.*}} filter_layout = #tpu<filter_layout Cubes>
// CHECK: "tpu.Conv2D"
// CHECK-NOT: Cubes
func.func @halves(%x: tensor<1x33x6x6xf16>) -> tensor<1x8x6x6xf16> {
  %n = "top.None"() : () -> none
  %w = "top.Weight"() : () -> tensor<8x33x3x3xf16> loc("w")
  %d = "top.Weight"() : () -> tensor<8x1x3x3xf16> loc("d")
  %y = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], with_bias = false} : (tensor<1x33x6x6xf16>, tensor<8x33x3x3xf16>, none) -> tensor<1x8x6x6xf16>
  %z = "tpu.Conv2D"(%y, %d, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], group = 8 : i64, with_bias = false} : (tensor<1x8x6x6xf16>, tensor<8x1x3x3xf16>, none) -> tensor<1x8x6x6xf16>
  return %z : tensor<1x8x6x6xf16>
}

// -----

// A group of a transposed convolution has its channels apart from the others.
// CHECK-LABEL: @transposed
// CHECK: "top.Weight"() : () -> tensor<1x6x2x128xbf16>
// CHECK: filter_layout = #tpu<filter_layout Cubes>
func.func @transposed(%x: tensor<1x70x4x4xbf16>) -> tensor<1x6x8x8xbf16> {
  %n = "top.None"() : () -> none
  %w = "top.Weight"() : () -> tensor<3x70x2x2xbf16> loc("w")
  %y = "tpu.Deconv"(%x, %w, %n) {kernel_shape = [2, 2], strides = [2, 2], pads = [0, 0, 0, 0], dilations = [1, 1], output_padding = [0, 0], group = 2 : i64, with_bias = false} : (tensor<1x70x4x4xbf16>, tensor<3x70x2x2xbf16>, none) -> tensor<1x6x8x8xbf16>
  return %y : tensor<1x6x8x8xbf16>
}

// -----

// One output channel of one input channel: its shape said nothing about its layout.
// CHECK-LABEL: @single
// CHECK: "top.Weight"() : () -> tensor<1x1x1x9xf32>
func.func @single(%x: tensor<1x1x6x6xf32>) -> tensor<1x1x4x4xf32> {
  %n = "top.None"() : () -> none
  %w = "top.Weight"() : () -> tensor<1x1x3x3xf32> loc("w")
  %y = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x1x6x6xf32>, tensor<1x1x3x3xf32>, none) -> tensor<1x1x4x4xf32>
  return %y : tensor<1x1x4x4xf32>
}

// -----

// Halves that are computed keep their layout, and the operation still says which.
// CHECK-LABEL: @computed_halves
// CHECK: filter_layout = #tpu<filter_layout OGIK>{{.*}}tensor<2x66x3x3xf16>, none) -> tensor<1x4x6x6xf16>
func.func @computed_halves(%x: tensor<1x66x6x6xf16>, %w: tensor<2x66x3x3xf16>) -> tensor<1x4x6x6xf16> {
  %n = "top.None"() : () -> none
  %y = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], group = 2 : i64, with_bias = false, filter_layout = #tpu<filter_layout OGIK>} : (tensor<1x66x6x6xf16>, tensor<2x66x3x3xf16>, none) -> tensor<1x4x6x6xf16>
  return %y : tensor<1x4x6x6xf16>
}
