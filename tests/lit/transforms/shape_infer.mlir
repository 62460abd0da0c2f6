// RUN: tpumlir-opt %s --shape-infer -split-input-file -mlir-print-local-scope | FileCheck %s

// Attributes that depend on shapes are written out; the function's type follows.
// CHECK-LABEL: func.func @conv_same
// CHECK-SAME: -> tensor<1x4x4x4xf32>
// CHECK: "top.Conv"
// CHECK-NOT: auto_pad
// CHECK-SAME: dilations = [1, 1]
// CHECK-SAME: pads = [0, 0, 1, 1]
// CHECK-SAME: -> tensor<1x4x4x4xf32>
func.func @conv_same(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) -> tensor<*xf32> {
  %n = "top.None"() : () -> none
  %y = "top.Conv"(%x, %w, %n) {auto_pad = "SAME_UPPER", kernel_shape = [3, 3], strides = [2, 2], pads = [0, 0, 0, 0]} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, none) -> tensor<*xf32>
  return %y : tensor<*xf32>
}

// -----

// CHECK-LABEL: @global_pool
// CHECK: "top.AvgPool"
// CHECK-SAME: kernel_shape = [5, 7]
// CHECK-SAME: pads = [0, 0, 0, 0]
// CHECK-SAME: strides = [1, 1]
// CHECK-SAME: -> tensor<1x3x1x1xf32>
func.func @global_pool(%x: tensor<1x3x5x7xf32>) -> tensor<*xf32> {
  %y = "top.AvgPool"(%x) {kernel_shape = [], strides = [], pads = []} : (tensor<1x3x5x7xf32>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}

// -----

// What follows an op gets its shape from it.
// CHECK-LABEL: @chain
// CHECK: "top.Softmax"{{.*}}axis = 2 : si32{{.*}} -> tensor<2x3x4xf32>
// CHECK: "top.Reduce"{{.*}}axes = [1, 2]{{.*}} -> tensor<2xf32>
// CHECK: "top.Unsqueeze"{{.*}}axes = [0, 2]{{.*}} -> tensor<1x2x1xf32>
func.func @chain(%x: tensor<2x3x4xf32>) -> tensor<*xf32> {
  %y = "top.Softmax"(%x) {axis = -1 : si32} : (tensor<2x3x4xf32>) -> tensor<*xf32>
  %z = "top.Reduce"(%y) {axes = [-1, 1], keepdims = false, mode = "ReduceMean"} : (tensor<*xf32>) -> tensor<*xf32>
  %u = "top.Unsqueeze"(%z) {axes = [-1, 0]} : (tensor<*xf32>) -> tensor<*xf32>
  return %u : tensor<*xf32>
}

// -----

// CHECK-LABEL: @slices
// CHECK: "top.Slice"{{.*}}axes = [0, 1], ends = [4, -7], {{.*}}offset = [1, 4], steps = [1, -2]{{.*}} -> tensor<3x3xf32>
func.func @slices(%x: tensor<5x6xf32>) -> tensor<*xf32> {
  %n = "top.None"() : () -> none
  %y = "top.Slice"(%x, %n, %n, %n) {axes = [-1, 0], offset = [-2, 1], ends = [-100, -1], steps = [-2, 1]} : (tensor<5x6xf32>, none, none, none) -> tensor<*xf32>
  return %y : tensor<*xf32>
}

// -----

// Element types that the text states stay.
// CHECK-LABEL: @element_types
// CHECK: "top.Relu"{{.*}} -> tensor<2x3x!quant.calibrated<f32<-1.000000e+00:1.000000e+00>>>
func.func @element_types(%x: tensor<2x3xf32>) -> tensor<*x!quant.calibrated<f32<-1.0:1.0>>> {
  %y = "top.Relu"(%x) : (tensor<2x3xf32>) -> tensor<*x!quant.calibrated<f32<-1.0:1.0>>>
  return %y : tensor<*x!quant.calibrated<f32<-1.0:1.0>>>
}

// -----

// Unknown attributes are kept.
// CHECK-LABEL: @unknown_attributes
// CHECK: "top.Relu"{{.*}}of_a_later_version = 3 : i64
func.func @unknown_attributes(%x: tensor<2xf32>) -> tensor<*xf32> {
  %y = "top.Relu"(%x) {of_a_later_version = 3} : (tensor<2xf32>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}
