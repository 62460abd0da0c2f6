// RUN: tpumlir-opt %s --canonicalize -split-input-file -mlir-print-local-scope | FileCheck %s

// The fused op has the Relu's name.
// CHECK-LABEL: @add_relu
// CHECK: "top.Add"{{.*}}do_relu = true{{.*}}relu_limit = 6.0{{.*}} loc("r")
// CHECK-NOT: top.Relu
func.func @add_relu(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  %a = "top.Add"(%x, %y) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32> loc("a")
  %r = "top.Relu"(%a) {relu_limit = 6.0 : f64} : (tensor<4xf32>) -> tensor<4xf32> loc("r")
  return %r : tensor<4xf32>
}

// -----

// Two uses: the sum is needed as it is.
// CHECK-LABEL: @two_uses
// CHECK: "top.Add"{{.*}}do_relu = false
// CHECK: "top.Relu"
func.func @two_uses(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %a = "top.Add"(%x, %y) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %r = "top.Relu"(%a) : (tensor<4xf32>) -> tensor<4xf32>
  %e = "top.Exp"(%a) : (tensor<4xf32>) -> tensor<4xf32>
  return %r, %e : tensor<4xf32>, tensor<4xf32>
}

// -----

// A model output is a use.
// CHECK-LABEL: @output_is_a_use
// CHECK: %[[A:.*]] = "top.Add"{{.*}}do_relu = false{{.*}} loc("a")
// CHECK: %[[R:.*]] = "top.Relu"(%[[A]])
// CHECK: return %[[A]], %[[R]]
func.func @output_is_a_use(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %a = "top.Add"(%x, %y) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32> loc("a")
  %r = "top.Relu"(%a) : (tensor<4xf32>) -> tensor<4xf32>
  return %a, %r : tensor<4xf32>, tensor<4xf32>
}

// -----

// Limits: the tighter one holds.
// CHECK-LABEL: @relu_of_relu
// CHECK: "top.Mul"{{.*}}relu_limit = 4.0
// CHECK-NOT: top.Relu
func.func @relu_of_relu(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = "top.Mul"(%x, %x) {do_relu = true, relu_limit = 4.0 : f64} : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %r = "top.Relu"(%a) {relu_limit = 6.0 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

// CHECK-LABEL: @clip_from_zero
// CHECK: "top.Relu"{{.*}}relu_limit = 6.0
func.func @clip_from_zero(%x: tensor<4xf32>) -> tensor<4xf32> {
  %r = "top.Clip"(%x) {min = 0.0 : f64, max = 6.0 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

// CHECK-LABEL: @clip_without_upper_limit
// CHECK: "top.Relu"{{.*}}relu_limit = -1.0
func.func @clip_without_upper_limit(%x: tensor<4xf32>) -> tensor<4xf32> {
  %r = "top.Clip"(%x) {min = 0.0 : f64, max = 0x7FF0000000000000 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

// CHECK-LABEL: @clip_from_below_zero_stays
// CHECK: "top.Clip"
func.func @clip_from_below_zero_stays(%x: tensor<4xf32>) -> tensor<4xf32> {
  %r = "top.Clip"(%x) {min = -1.0 : f64, max = 6.0 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

// CHECK-LABEL: @max_with_zero
// CHECK: "top.Relu"
func.func @max_with_zero(%x: tensor<4xf32>) -> tensor<4xf32> {
  %r = "top.MaxConst"(%x) {const_val = 0.0 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

// max(leaky(x), c) with another constant is no Relu.
// CHECK-LABEL: @max_with_another_number_stays
// CHECK: "top.LeakyRelu"
// CHECK: "top.MaxConst"
func.func @max_with_another_number_stays(%x: tensor<4xf32>) -> tensor<4xf32> {
  %l = "top.LeakyRelu"(%x) {alpha = 0.2 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  %r = "top.MaxConst"(%l) {const_val = -0.4 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}
