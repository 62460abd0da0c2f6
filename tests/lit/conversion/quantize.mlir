// RUN: tpumlir-opt %s --processor-assign --convert-top-to-tpu -split-input-file -mlir-print-local-scope | FileCheck %s

// One number is no tensor. The quotient of 8 bits is mended, the sum clamps from 0 on by itself.
// CHECK-LABEL: @one_number
// CHECK: "tpu.MulConst"(%arg0) {const_val = 2.000000e+00
// CHECK-COUNT-2: <active_mode ROUND>
// CHECK-NOT: "tpu.Clip"
// CHECK: "tpu.AddConst"{{.*}}const_val = 3.000000e+00{{.*}}do_relu = true, relu_limit = 2.550000e+02
// CHECK: "tpu.Cast"{{.*}} -> tensor<2x3xi32> loc("y::i32"
// CHECK: "tpu.Bitwise"{{.*}}const_val = 255{{.*}} loc("y")
func.func @one_number(%x: tensor<2x3xf32>) -> tensor<2x3xi32> {
  %y = "top.QuantizeLinear"(%x) {y_scale = [0.5], y_zero_point = [3 : i32], to = "UINT8"} : (tensor<2x3xf32>) -> tensor<2x3xi32> loc("y")
  return %y : tensor<2x3xi32>
}

// -----

// 16 bits: one quotient. Numbers of an axis are a constant that broadcasts; zeros are nothing.
// CHECK-LABEL: @along_an_axis
// CHECK: [[SCALE:%.*]] = "top.Weight"() : () -> tensor<3x1xf32>
// CHECK: "tpu.Div"(%arg0, [[SCALE]])
// CHECK-COUNT-1: <active_mode ROUND>
// CHECK-NOT: "tpu.Add
// CHECK: "tpu.Clip"{{.*}}max = 3.276700e+04 : f64, min = -3.276800e+04
func.func @along_an_axis(%x: tensor<2x3x4xf32>) -> tensor<2x3x4xi32> {
  %y = "top.QuantizeLinear"(%x) {y_scale = [0.1, 0.2, 0.3], y_zero_point = [0 : i32, 0 : i32, 0 : i32], to = "INT16"} : (tensor<2x3x4xf32>) -> tensor<2x3x4xi32> loc("y")
  return %y : tensor<2x3x4xi32>
}

// -----

// What the network computes for blocks of two is repeated; the last block is short.
// CHECK-LABEL: @blocks
// CHECK: "tpu.Cast"(%arg2) : (tensor<2x2xi32>) -> tensor<2x2xf32>
// CHECK: "tpu.Tile"{{.*}}tile = [1, 1, 2]
// CHECK: "tpu.Slice"{{.*}} : (tensor<2x4xf32>, {{.*}} -> tensor<2x3xf32>
// CHECK: "tpu.Sub"
// CHECK: "tpu.Tile"{{.*}}tile = [1, 1, 2]
// CHECK: "tpu.Mul"
func.func @blocks(%x: tensor<2x3xi32>, %s: tensor<2x2xf32>, %z: tensor<2x2xi32>) -> tensor<2x3xf32> {
  %y = "top.DequantizeLinear"(%x, %s, %z) {axis = -1 : i64, block_size = 2 : i64} : (tensor<2x3xi32>, tensor<2x2xf32>, tensor<2x2xi32>) -> tensor<2x3xf32> loc("y")
  return %y : tensor<2x3xf32>
}

// -----

// The product takes a Relu behind it, and its name, if nothing else reads it.
// CHECK-LABEL: @relu
// CHECK: "tpu.MulConst"{{.*}}do_relu = true, relu_limit = 6.000000e+00{{.*}} loc("a")
// CHECK-NOT: "tpu.Relu"
// CHECK: "tpu.MulConst"{{.*}}do_relu = false{{.*}} loc("z")
// CHECK: "tpu.Relu"{{.*}} loc("b")
func.func @relu(%x: tensor<2x3xi32>) -> (tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>) {
  %y = "top.DequantizeLinear"(%x) {x_scale = [0.5], x_zero_point = [0 : i32]} : (tensor<2x3xi32>) -> tensor<2x3xf32> loc("y")
  %a = "top.Relu"(%y) {relu_limit = 6.0 : f64} : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("a")
  %z = "top.DequantizeLinear"(%x) {x_scale = [0.25], x_zero_point = [0 : i32]} : (tensor<2x3xi32>) -> tensor<2x3xf32> loc("z")
  %b = "top.Relu"(%z) : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("b")
  return %a, %z, %b : tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>
}
