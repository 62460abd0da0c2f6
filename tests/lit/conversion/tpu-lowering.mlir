// RUN: tpumlir-opt %s --processor-assign --convert-top-to-tpu -split-input-file -mlir-print-local-scope | FileCheck %s

// The window is resolved, the fused Relu stays, a bias that is none says so.
// CHECK-LABEL: @conv
// CHECK: "tpu.Conv2D"(%arg0, %arg1, %{{.*}}) {{.*}}dilations = [1, 1]{{.*}}do_relu = true{{.*}}pads = [0, 0, 1, 1]{{.*}}with_bias = false
func.func @conv(%x: tensor<1x4x6x6xf32>, %w: tensor<8x4x2x2xf32>) -> tensor<1x8x6x6xf32> {
  %n = "top.None"() : () -> none
  %y = "top.Conv"(%x, %w, %n) {kernel_shape = [2, 2], strides = [1, 1], pads = [0, 0, 0, 0], auto_pad = "SAME_UPPER", do_relu = true} : (tensor<1x4x6x6xf32>, tensor<8x4x2x2xf32>, none) -> tensor<1x8x6x6xf32>
  return %y : tensor<1x8x6x6xf32>
}

// -----

// A run-time filter in ONNX's layout is permuted on the way.
// CHECK-LABEL: @deconv
// CHECK: %[[F:.*]] = "tpu.Permute"(%arg1, %{{.*}}) {order = [1, 0, 2, 3]} : (tensor<4x3x2x2xf32>, none) -> tensor<3x4x2x2xf32>
// CHECK: "tpu.Deconv"(%arg0, %[[F]],
func.func @deconv(%x: tensor<1x4x5x5xf32>, %w: tensor<4x3x2x2xf32>) -> tensor<1x3x6x6xf32> {
  %n = "top.None"() : () -> none
  %y = "top.Deconv"(%x, %w, %n) {kernel_shape = [2, 2], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x4x5x5xf32>, tensor<4x3x2x2xf32>, none) -> tensor<1x3x6x6xf32>
  return %y : tensor<1x3x6x6xf32>
}

// -----

// A mean that does not count its padding is the counting one times a constant.
// CHECK-LABEL: @avg_pool
// CHECK: %[[P:.*]] = "tpu.Pool2D"(%arg0) {count_include_pad = true
// CHECK: %[[W:.*]] = "top.Weight"() : () -> tensor<1x1x5x5xf32>
// CHECK: "tpu.Mul"(%[[P]], %[[W]])
func.func @avg_pool(%x: tensor<1x4x5x5xf32>) -> tensor<1x4x5x5xf32> {
  %y = "top.AvgPool"(%x) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], count_include_pad = false} : (tensor<1x4x5x5xf32>) -> tensor<1x4x5x5xf32>
  return %y : tensor<1x4x5x5xf32>
}

// -----

// Axes with another between them are reduced one after the other, the last first.
// CHECK-LABEL: @reduce
// CHECK: %[[R:.*]] = "tpu.Reduce"(%arg0, {{.*}}axes = [2], keepdims = true, mode = "ReduceMean"
// CHECK: "tpu.Reduce"(%[[R]], {{.*}}axes = [0], keepdims = true, mode = "ReduceMean"
func.func @reduce(%x: tensor<4x5x6xf32>) -> tensor<1x5x1xf32> {
  %y = "top.Reduce"(%x) {axes = [0, 2], keepdims = true, mode = "ReduceMean"} : (tensor<4x5x6xf32>) -> tensor<1x5x1xf32>
  return %y : tensor<1x5x1xf32>
}

// -----

// A bias of one number per column rides along, any other is added, and then gets the Relu.
// CHECK-LABEL: @matmul
// CHECK: "tpu.MatMul"(%arg0, %arg1, %arg2, {{.*}}do_relu = true
// CHECK: %[[P:.*]] = "tpu.MatMul"(%arg0, %arg1, %{{[^a]*}}, {{.*}}do_relu = false
// CHECK: "tpu.Add"(%[[P]], %arg3) {do_relu = true
func.func @matmul(%x: tensor<2x3xf32>, %w: tensor<3x4xf32>, %b: tensor<4xf32>, %c: tensor<2x1xf32>) -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  %y = "top.MatMul"(%x, %w, %b) {do_relu = true} : (tensor<2x3xf32>, tensor<3x4xf32>, tensor<4xf32>) -> tensor<2x4xf32>
  %z = "top.MatMul"(%x, %w, %c) {do_relu = true} : (tensor<2x3xf32>, tensor<3x4xf32>, tensor<2x1xf32>) -> tensor<2x4xf32>
  return %y, %z : tensor<2x4xf32>, tensor<2x4xf32>
}

// -----

// Every piece of a Split keeps its name.
// CHECK-LABEL: @split
// CHECK: "tpu.Slice"(%arg0, {{.*}}offset = [0, 0]{{.*}} loc("first")
// CHECK: "tpu.Slice"(%arg0, {{.*}}offset = [0, 1]{{.*}} loc("second")
func.func @split(%x: tensor<2x3xf32>) -> (tensor<2x1xf32>, tensor<2x2xf32>) {
  %y:2 = "top.Split"(%x) {axis = 1 : si32, num = 2 : i64, split_size = [1, 2]} : (tensor<2x3xf32>) -> (tensor<2x1xf32>, tensor<2x2xf32>) loc(fused["first", "second"])
  return %y#0, %y#1 : tensor<2x1xf32>, tensor<2x2xf32>
}

// -----

// Tensors in between have names of their own; a None that nobody uses does not stay.
// CHECK-LABEL: @sigmoid
// CHECK-NOT: top.None
// CHECK: "tpu.Active"(%arg0) {mode = #tpu<active_mode SIGMOID>}{{.*}} loc("y::sigmoid"
// CHECK: "tpu.MulConst"{{.*}} loc("y::scaled"
// CHECK: "tpu.AddConst"{{.*}} loc("y")
func.func @sigmoid(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %y = "top.Sigmoid"(%x) {scale = 2.0 : f64, bias = 1.0 : f64} : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("y")
  return %y : tensor<2x3xf32>
}
