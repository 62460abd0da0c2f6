// RUN: tpumlir-opt %s --canonicalize -split-input-file -mlir-print-local-scope | FileCheck %s
// RUN: tpumlir-opt %s --canonicalize --canonicalize -split-input-file -mlir-print-local-scope | FileCheck %s

// A filter that is computed gets the layout that constants have, once.
// CHECK-LABEL: @inserted
// CHECK: %[[W:.*]] = "top.Exp"(%arg1)
// CHECK: %[[P:.*]] = "top.Permute"(%[[W]]) {order = [1, 0, 2, 3]} : (tensor<4x3x2x2xf32>) -> tensor<3x4x2x2xf32>
// CHECK-NOT: top.Permute
// CHECK: "top.Deconv"(%arg0, %[[P]], {{.*}}dynweight_reorderd = true{{.*}} -> tensor<1x3x6x6xf32>
func.func @inserted(%x: tensor<1x4x5x5xf32>, %v: tensor<4x3x2x2xf32>) -> tensor<1x3x6x6xf32> {
  %n = "top.None"() : () -> none
  %w = "top.Exp"(%v) : (tensor<4x3x2x2xf32>) -> tensor<4x3x2x2xf32>
  %y = "top.Deconv"(%x, %w, %n) {kernel_shape = [2, 2], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x4x5x5xf32>, tensor<4x3x2x2xf32>, none) -> tensor<1x3x6x6xf32>
  return %y : tensor<1x3x6x6xf32>
}

// -----

// One that was permuted just so before: the two cancel.
// CHECK-LABEL: @cancelled
// CHECK-NOT: top.Permute
// CHECK: "top.Deconv"(%arg0, %arg1, {{.*}}dynweight_reorderd = true
func.func @cancelled(%x: tensor<1x4x5x5xf32>, %v: tensor<3x4x2x2xf32>) -> tensor<1x3x6x6xf32> {
  %n = "top.None"() : () -> none
  %w = "top.Permute"(%v) {order = [1, 0, 2, 3]} : (tensor<3x4x2x2xf32>) -> tensor<4x3x2x2xf32>
  %y = "top.Deconv"(%x, %w, %n) {kernel_shape = [2, 2], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x4x5x5xf32>, tensor<4x3x2x2xf32>, none) -> tensor<1x3x6x6xf32>
  return %y : tensor<1x3x6x6xf32>
}

// -----

// Another user of the permuted filter keeps it.
// CHECK-LABEL: @other_users
// CHECK: %[[W:.*]] = "top.Permute"(%arg1)
// CHECK: "top.Deconv"(%arg0, %arg1,
// CHECK: "top.Exp"(%[[W]])
func.func @other_users(%x: tensor<1x4x5x5xf32>, %v: tensor<3x4x2x2xf32>) -> (tensor<1x3x6x6xf32>, tensor<4x3x2x2xf32>) {
  %n = "top.None"() : () -> none
  %w = "top.Permute"(%v) {order = [1, 0, 2, 3]} : (tensor<3x4x2x2xf32>) -> tensor<4x3x2x2xf32>
  %y = "top.Deconv"(%x, %w, %n) {kernel_shape = [2, 2], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x4x5x5xf32>, tensor<4x3x2x2xf32>, none) -> tensor<1x3x6x6xf32>
  %e = "top.Exp"(%w) : (tensor<4x3x2x2xf32>) -> tensor<4x3x2x2xf32>
  return %y, %e : tensor<1x3x6x6xf32>, tensor<4x3x2x2xf32>
}

// -----

// Constants are in order already.
// CHECK-LABEL: @constant
// CHECK-NOT: top.Permute
// CHECK: dynweight_reorderd = false
func.func @constant(%x: tensor<1x4x5x5xf32>) -> tensor<1x3x6x6xf32> {
  %n = "top.None"() : () -> none
  %w = "top.Weight"() : () -> tensor<3x4x2x2xf32> loc("w")
  %y = "top.Deconv"(%x, %w, %n) {kernel_shape = [2, 2], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x4x5x5xf32>, tensor<3x4x2x2xf32>, none) -> tensor<1x3x6x6xf32>
  return %y : tensor<1x3x6x6xf32>
}

// -----

// A 1-D filter has one axis less.
// CHECK-LABEL: @one_axis
// CHECK: "top.Permute"(%arg1) {order = [1, 0, 2]}
func.func @one_axis(%x: tensor<1x4x5xf32>, %v: tensor<4x3x2xf32>) -> tensor<1x3x6xf32> {
  %n = "top.None"() : () -> none
  %y = "top.Deconv"(%x, %v, %n) {kernel_shape = [2], strides = [1], pads = [0, 0]} : (tensor<1x4x5xf32>, tensor<4x3x2xf32>, none) -> tensor<1x3x6xf32>
  return %y : tensor<1x3x6xf32>
}

// -----

// An op that changes nothing between a constant and Deconv: the filter is still
// in ONNX's layout, and must be permuted before it is taken for a constant.
// CHECK-LABEL: @constant_behind_a_reshape
// CHECK: %[[W:.*]] = "top.Weight"() : () -> tensor<4x3x2x2xf32>
// CHECK: %[[P:.*]] = "top.Permute"({{.*}} -> tensor<3x4x2x2xf32>
// CHECK: "top.Deconv"(%arg0, %[[P]], {{.*}}dynweight_reorderd = true
func.func @constant_behind_a_reshape(%x: tensor<1x4x5x5xf32>) -> tensor<1x3x6x6xf32> {
  %n = "top.None"() : () -> none
  %c = "top.Weight"() : () -> tensor<4x3x2x2xf32> loc("w")
  %w = "top.Reshape"(%c) {shape = [4, 3, 2, 2]} : (tensor<4x3x2x2xf32>) -> tensor<4x3x2x2xf32>
  %y = "top.Deconv"(%x, %w, %n) {kernel_shape = [2, 2], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x4x5x5xf32>, tensor<4x3x2x2xf32>, none) -> tensor<1x3x6x6xf32>
  return %y : tensor<1x3x6x6xf32>
}
