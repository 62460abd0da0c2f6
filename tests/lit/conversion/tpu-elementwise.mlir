// RUN: tpumlir-opt %s --processor-assign --convert-top-to-tpu -split-input-file -mlir-print-local-scope | FileCheck %s

// Integers of 8 and 16 bits wrap around: without a sign by a mask, with one by shifting it down.
// CHECK-LABEL: @narrow_casts
// CHECK: %[[I:.*]] = "tpu.Cast"(%arg0) {{.*}} loc("y::i32"
// CHECK: "tpu.Bitwise"(%[[I]], %{{.*}}) {const_val = 255 : i64, mode = "And"} : (tensor<3xi32>, none) -> tensor<3xi32> loc("y")
// CHECK: %[[H:.*]] = "tpu.Bitwise"(%arg1, %{{.*}}) {const_val = 16 : i64, mode = "ShiftLeft"}{{.*}} loc("z::high"
// CHECK: "tpu.Bitwise"(%[[H]], %{{.*}}) {const_val = 16 : i64, mode = "ShiftRightSigned"}{{.*}} loc("z")
func.func @narrow_casts(%x: tensor<3xf32>, %n: tensor<3xi32>) -> (tensor<3xi32>, tensor<3xi32>) {
  %y = "top.Cast"(%x) {to = "UINT8"} : (tensor<3xf32>) -> tensor<3xi32> loc("y")
  %z = "top.Cast"(%n) {to = "INT16"} : (tensor<3xi32>) -> tensor<3xi32> loc("z")
  return %y, %z : tensor<3xi32>, tensor<3xi32>
}

// -----

// Whole powers are squares and products, negative ones their reciprocal.
// CHECK-LABEL: @whole_power
// CHECK: %[[S:.*]] = "tpu.Mul"(%arg0, %arg0) {{.*}} loc("y::power2"
// CHECK: %[[F:.*]] = "tpu.Mul"(%[[S]], %[[S]]) {{.*}} loc("y::power4"
// CHECK: %[[P:.*]] = "tpu.Mul"(%arg0, %[[F]]) {{.*}} loc("y::product4"
// CHECK: "tpu.Reciprocal"(%[[P]]) {const_val = 1.000000e+00 : f64{{.*}} loc("y")
func.func @whole_power(%x: tensor<3xf32>) -> tensor<3xf32> {
  %y = "top.Pow"(%x) {exponent = -5.0 : f64} : (tensor<3xf32>) -> tensor<3xf32> loc("y")
  return %y : tensor<3xf32>
}

// -----

// The absolute value and the sign of integers are maxima and minima.
// CHECK-LABEL: @integers
// CHECK: %[[N:.*]] = "tpu.SubConst"(%arg0) {{.*}}is_reverse = true
// CHECK: "tpu.Max"(%arg0, %[[N]])
// CHECK: %[[A:.*]] = "tpu.MaxConst"(%arg0) {const_val = -1.000000e+00
// CHECK: "tpu.MinConst"(%[[A]]) {const_val = 1.000000e+00
func.func @integers(%x: tensor<3xi32>) -> (tensor<3xi32>, tensor<3xi32>) {
  %y = "top.Abs"(%x) : (tensor<3xi32>) -> tensor<3xi32>
  %z = "top.Sign"(%x) : (tensor<3xi32>) -> tensor<3xi32>
  return %y, %z : tensor<3xi32>, tensor<3xi32>
}

// -----

// CHECK-LABEL: @logical_and
// CHECK: "tpu.Compare"(%arg0, %arg1) {mode = "And"} : {{.*}} loc("y")
func.func @logical_and(%x: tensor<3xf32>, %m: tensor<3xf32>) -> tensor<3xf32> {
  %y = "top.LogicalAnd"(%x, %m) : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32> loc("y")
  return %y : tensor<3xf32>
}

// -----

// CHECK-LABEL: @upsample
// CHECK: "tpu.Upsample"(%arg0) {scale_h = 2 : i64, scale_w = 3 : i64} : {{.*}} loc("y")
func.func @upsample(%x: tensor<1x2x3x4xf32>) -> tensor<1x2x6x12xf32> {
  %y = "top.Upsample"(%x) {scale_h = 2 : i64, scale_w = 3 : i64} : (tensor<1x2x3x4xf32>) -> tensor<1x2x6x12xf32> loc("y")
  return %y : tensor<1x2x6x12xf32>
}
