// RUN: tpumlir-opt %s --canonicalize -split-input-file -mlir-print-local-scope | FileCheck %s

// CHECK-LABEL: @silu
// CHECK: "top.SiLU"(%arg0){{.*}} loc("y")
// CHECK-NOT: top.Sigmoid
func.func @silu(%x: tensor<4xf32>) -> tensor<4xf32> {
  %s = "top.Sigmoid"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %y = "top.Mul"(%s, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32> loc("y")
  return %y : tensor<4xf32>
}

// -----

// CHECK-LABEL: @sigmoid_of_another_tensor
// CHECK: "top.Mul"
func.func @sigmoid_of_another_tensor(%x: tensor<4xf32>, %z: tensor<4xf32>) -> tensor<4xf32> {
  %s = "top.Sigmoid"(%z) : (tensor<4xf32>) -> tensor<4xf32>
  %y = "top.Mul"(%s, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// CHECK-LABEL: @scaled_sigmoid
// CHECK: "top.Mul"
func.func @scaled_sigmoid(%x: tensor<4xf32>) -> tensor<4xf32> {
  %s = "top.Sigmoid"(%x) {scale = 2.0 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  %y = "top.Mul"(%s, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// x * clip(x + 3, 0, 6) / 6, as Paddle writes it.
// CHECK-LABEL: @hard_swish_divided_last
// CHECK: "top.HardSwish"(%arg0){{.*}} loc("y")
func.func @hard_swish_divided_last(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = "top.AddConst"(%x) {const_val = 3.0 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  %c = "top.Clip"(%a) {min = 0.0 : f64, max = 6.0 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  %m = "top.Mul"(%x, %c) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %y = "top.MulConst"(%m) {const_val = 0.1666666716337204 : f64} : (tensor<4xf32>) -> tensor<4xf32> loc("y")
  return %y : tensor<4xf32>
}

// -----

// x * (clip(x + 3, 0, 6) / 6).
// CHECK-LABEL: @hard_swish_divided_first
// CHECK: "top.HardSwish"(%arg0)
func.func @hard_swish_divided_first(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = "top.AddConst"(%x) {const_val = 3.0 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  %c = "top.Relu"(%a) {relu_limit = 6.0 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  %h = "top.MulConst"(%c) {const_val = 0.1666666716337204 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  %y = "top.Mul"(%x, %h) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// With other numbers it is none.
// CHECK-LABEL: @almost_hard_swish
// CHECK-NOT: "top.HardSwish"
func.func @almost_hard_swish(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = "top.AddConst"(%x) {const_val = 2.0 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  %c = "top.Clip"(%a) {min = 0.0 : f64, max = 6.0 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  %m = "top.Mul"(%x, %c) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %y = "top.MulConst"(%m) {const_val = 0.1666666716337204 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// alpha 0.2 is HardSigmoid's default, not HardSwish's.
// CHECK-LABEL: @hard_sigmoid_gate
// CHECK: "top.HardSigmoid"
// CHECK: "top.Mul"
func.func @hard_sigmoid_gate(%x: tensor<4xf32>) -> tensor<4xf32> {
  %h = "top.HardSigmoid"(%x) {alpha = 0.2 : f64, beta = 0.5 : f64} : (tensor<4xf32>) -> tensor<4xf32>
  %y = "top.Mul"(%x, %h) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}
