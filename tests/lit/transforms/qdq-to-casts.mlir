// RUN: tpumlir-opt %s --qdq-to-casts -split-input-file -mlir-print-local-scope | FileCheck %s

// A product of integers gets the scales of the model back.
// CHECK-LABEL: @product(
// CHECK-DAG: %[[A:.*]] = "tpu.Cast"(%arg0) {{.*}} -> tensor<2x3x!quant.uniform<i8:f32, 5.000000e-01>>
// CHECK-DAG: %[[B:.*]] = "tpu.Cast"(%arg1) {{.*}} -> tensor<3x4x!quant.uniform<i8:f32, 2.500000e-01>>
// CHECK-DAG: %[[X:.*]] = "tpu.Cast"(%[[A]]) {{.*}} -> tensor<2x3xf32>
// CHECK-DAG: %[[Y:.*]] = "tpu.Cast"(%[[B]]) {{.*}} -> tensor<3x4xf32>
// CHECK: %[[P:.*]] = "top.MatMul"(%[[X]], %[[Y]]
// CHECK: "tpu.Cast"(%[[P]]) {{.*}} -> tensor<2x4x!quant.uniform<i8:f32, 2.000000e+00:3>>
// CHECK-NOT: LinearOp
module attributes {module.mode = "INT8"} {
func.func @product(%x: tensor<2x3xf32>, %y: tensor<3x4xf32>) -> tensor<2x4xf32> {
  %n = "top.None"() : () -> none
  %0 = "top.QuantizeLinear"(%x) {y_scale = [0.5], y_zero_point = [0 : i32], to = "INT8"} : (tensor<2x3xf32>) -> tensor<2x3xi32> loc("q")
  %1 = "top.QuantizeLinear"(%y) {y_scale = [0.25], y_zero_point = [0 : i32], to = "INT8"} : (tensor<3x4xf32>) -> tensor<3x4xi32> loc("r")
  %2 = "top.DequantizeLinear"(%0) {x_scale = [1.0], x_zero_point = [0 : i32]} : (tensor<2x3xi32>) -> tensor<2x3xf32> loc("a")
  %3 = "top.DequantizeLinear"(%1) {x_scale = [1.0], x_zero_point = [0 : i32]} : (tensor<3x4xi32>) -> tensor<3x4xf32> loc("b")
  %4 = "top.MatMul"(%2, %3, %n) : (tensor<2x3xf32>, tensor<3x4xf32>, none) -> tensor<2x4xf32> loc("p")
  %5 = "top.QuantizeLinear"(%4) {y_scale = [16.0], y_zero_point = [3 : i32], to = "INT8", product = [0.5, 2.0, 0.25]} : (tensor<2x4xf32>) -> tensor<2x4xi32> loc("s")
  %6 = "top.DequantizeLinear"(%5) {x_scale = [2.0], x_zero_point = [3 : i32]} : (tensor<2x4xi32>) -> tensor<2x4xf32> loc("y")
  return %6 : tensor<2x4xf32>
}
}

// -----

// So has one of two run-time tensors that have zero points.
// CHECK-LABEL: @zero_point(
// CHECK: "tpu.Cast"(%arg0) {{.*}} -> tensor<2x3x!quant.uniform<i8:f32, 5.000000e-01:7>>
// CHECK: "tpu.Cast"{{.*}}!quant.uniform<i8:f32, 2.000000e+00:3>
// CHECK-NOT: 1.600000e+01
module attributes {module.mode = "INT8"} {
func.func @zero_point(%x: tensor<2x3xf32>, %y: tensor<3x4xf32>) -> tensor<2x4xi32> {
  %n = "top.None"() : () -> none
  %0 = "top.QuantizeLinear"(%x) {y_scale = [0.5], y_zero_point = [7 : i32], to = "INT8"} : (tensor<2x3xf32>) -> tensor<2x3xi32> loc("q")
  %1 = "top.QuantizeLinear"(%y) {y_scale = [0.25], y_zero_point = [0 : i32], to = "INT8"} : (tensor<3x4xf32>) -> tensor<3x4xi32> loc("r")
  %2 = "top.DequantizeLinear"(%0) {x_scale = [1.0], x_zero_point = [7 : i32]} : (tensor<2x3xi32>) -> tensor<2x3xf32> loc("a")
  %3 = "top.DequantizeLinear"(%1) {x_scale = [1.0], x_zero_point = [0 : i32]} : (tensor<3x4xi32>) -> tensor<3x4xf32> loc("b")
  %4 = "top.MatMul"(%2, %3, %n) : (tensor<2x3xf32>, tensor<3x4xf32>, none) -> tensor<2x4xf32> loc("p")
  %5 = "top.QuantizeLinear"(%4) {y_scale = [16.0], y_zero_point = [3 : i32], to = "INT8", product = [0.5, 2.0, 0.25]} : (tensor<2x4xf32>) -> tensor<2x4xi32> loc("s")
  return %5 : tensor<2x4xi32>
}
}

// -----

// Who reads the integers gets them of what the casts make.
// CHECK-LABEL: @read_twice(
// CHECK: %[[Q:.*]] = "tpu.Cast"(%arg0) {{.*}} -> tensor<2x3x!quant.uniform<u8:f32, 5.000000e-01:9>>
// CHECK: %[[S:.*]] = "tpu.Cast"(%[[Q]]) {{.*}} -> tensor<2x3xf32> loc("q::stored"
// CHECK: %[[I:.*]] = "top.QuantizeLinear"(%[[S]])
// CHECK: %[[F:.*]] = "tpu.Cast"(%[[Q]]) {{.*}} -> tensor<2x3xf32> loc("y")
// CHECK: return %[[I]], %[[F]]
module attributes {module.mode = "INT8"} {
func.func @read_twice(%x: tensor<2x3xf32>) -> (tensor<2x3xi32>, tensor<2x3xf32>) {
  %0 = "top.QuantizeLinear"(%x) {y_scale = [0.5], y_zero_point = [9 : i32], to = "UINT8"} : (tensor<2x3xf32>) -> tensor<2x3xi32> loc("q")
  %1 = "top.DequantizeLinear"(%0) {x_scale = [0.5], x_zero_point = [9 : i32]} : (tensor<2x3xi32>) -> tensor<2x3xf32> loc("y")
  return %0, %1 : tensor<2x3xi32>, tensor<2x3xf32>
}
}
