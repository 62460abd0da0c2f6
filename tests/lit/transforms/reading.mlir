// RUN: tpumlir-opt %s -split-input-file | FileCheck %s

// What the vendor's front end writes in its own way (tests/python/test_vendor_text.py computes it).

// CHECK-LABEL: @one_step_of_a_layer
// CHECK-NOT: top.LSTM
// CHECK: "top.MatMul"{{.*}}right_transpose = true
// CHECK: "top.Sigmoid"
// CHECK: "top.Reshape"{{.*}} -> tensor<1x1x2x4xf32>
// CHECK-NEXT: return
func.func @one_step_of_a_layer(%x: tensor<1x2x3xf32>, %w: tensor<1x16x3xf32>, %r: tensor<1x16x4xf32>) -> tensor<1x1x2x4xf32> {
  %n = "top.None"() : () -> none
  %y:3 = "top.LSTM"(%x, %w, %r, %n, %n, %n, %n) {bidirectional = false, hidden_size = 4 : i64} : (tensor<1x2x3xf32>, tensor<1x16x3xf32>, tensor<1x16x4xf32>, none, none, none, none) -> (tensor<1x1x2x4xf32>, none, none) loc(fused["y", "h", "c"])
  return %y#0 : tensor<1x1x2x4xf32>
}

// -----

// CHECK-LABEL: @one_axis
// CHECK: "top.Reshape"{{.*}} -> tensor<8x4x5xf32>
// CHECK: "top.Conv"{{.*}}dilations = [1]{{.*}}kernel_shape = [5], pads = [1, 1]{{.*}}strides = [2]
func.func @one_axis(%x: tensor<1x4x33xf32>, %w: tensor<8x4x5x1xf32>) -> tensor<1x8x16xf32> {
  %n = "top.None"() : () -> none
  %y = "top.Conv"(%x, %w, %n) {dilations = [1, 1], kernel_shape = [5, 1], pads = [1, 0, 1, 0], strides = [2, 1]} : (tensor<1x4x33xf32>, tensor<8x4x5x1xf32>, none) -> tensor<1x8x16xf32>
  return %y : tensor<1x8x16xf32>
}

// -----

// CHECK-LABEL: @open_extents
// CHECK: "top.Reshape"{{.*}}shape = [-1, 8]{{.*}} -> tensor<6x8xf32>
// CHECK: "top.Relu"{{.*}} -> tensor<6x8xf32>
func.func @open_extents(%x: tensor<2x3x8xf32>) -> tensor<-1x8xf32> {
  %y = "top.Reshape"(%x) {flatten_start_dim = -1 : i64} : (tensor<2x3x8xf32>) -> tensor<-1x8xf32>
  %z = "top.Relu"(%y) : (tensor<-1x8xf32>) -> tensor<-1x8xf32>
  return %z : tensor<-1x8xf32>
}

// -----

// CHECK-LABEL: @integers
// CHECK-SAME: %[[ARG:.*]]: tensor<4xi32>
// CHECK: %[[I:.*]] = "top.Input"(%[[ARG]]){{.*}} -> tensor<4xi32>
// CHECK: %[[F:.*]] = "top.Cast"(%[[I]]) {{.*}}to = "F32"
// CHECK: "top.Gather"(%{{.*}}, %[[I]])
// CHECK: "top.MulConst"(%[[F]])
func.func @integers(%arg: tensor<4xsi32>, %t: tensor<9x2xf32>) -> (tensor<4x2xf32>, tensor<4xf32>) {
  %i = "top.Input"(%arg) : (tensor<4xsi32>) -> tensor<4xf32>
  %y = "top.Gather"(%t, %i) {axis = 0 : si32} : (tensor<9x2xf32>, tensor<4xf32>) -> tensor<4x2xf32>
  %z = "top.MulConst"(%i) {const_val = 2.5} : (tensor<4xf32>) -> tensor<4xf32>
  return %y, %z : tensor<4x2xf32>, tensor<4xf32>
}
