// RUN: tpumlir-opt %s "--strip-io-casts=all-inputs=true all-outputs=true" -split-input-file -mlir-print-local-scope | FileCheck %s

// The casts of both ends go, through what moves a whole tensor; the output takes its name along.
// CHECK-LABEL: @ends(
// CHECK-SAME: %arg0: tensor<2x3xf16>
// CHECK-SAME: -> tensor<3x2xf16>
// CHECK: %[[X:.*]] = "top.Input"(%arg0) {{.*}} -> tensor<2x3xf16> loc("x")
// CHECK: %[[T:.*]] = "tpu.Reshape"(%[[X]]) : (tensor<2x3xf16>) -> tensor<3x2xf16> loc("t")
// CHECK-NOT: tpu.Cast
// CHECK: %[[Y:.*]] = "tpu.Relu"(%[[T]]) {{.*}} -> tensor<3x2xf16> loc("y"("node"))
// CHECK: return %[[Y]]
module {
func.func @ends(%arg0: tensor<2x3xf32>) -> tensor<3x2xf32> {
  %x = "top.Input"(%arg0) {do_preprocess = false} : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("x")
  %t = "tpu.Reshape"(%x) : (tensor<2x3xf32>) -> tensor<3x2xf32> loc("t")
  %h = "tpu.Cast"(%t) : (tensor<3x2xf32>) -> tensor<3x2xf16> loc("t::f16")
  %r = "tpu.Relu"(%h) : (tensor<3x2xf16>) -> tensor<3x2xf16> loc("y::f16"("node"))
  %y = "tpu.Cast"(%r) : (tensor<3x2xf16>) -> tensor<3x2xf32> loc("y"("node"))
  return %y : tensor<3x2xf32>
}
}

// -----

// Integers with their scale; who reads the output in f32 has a cast of its own.
// CHECK-LABEL: @integers(
// CHECK-SAME: %arg0: tensor<4x!quant.uniform<i8:f32, 5.000000e-01>>
// CHECK-SAME: -> (tensor<4x!quant.uniform<i8:f32, 5.000000e-01>>, tensor<4xf32>)
// CHECK: %[[R:.*]] = "tpu.Permute"({{.*}} loc("y")
// CHECK: %[[F:.*]] = "tpu.Cast"(%[[R]]) {{.*}} -> tensor<4xf32> loc("y::f32"
// CHECK: %[[Z:.*]] = "tpu.Relu"(%[[F]]) {{.*}} loc("z")
// CHECK: return %[[R]], %[[Z]]
module {
func.func @integers(%arg0: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %x = "top.Input"(%arg0) {do_preprocess = false} : (tensor<4xf32>) -> tensor<4xf32> loc("x")
  %q = "tpu.Cast"(%x) : (tensor<4xf32>) -> tensor<4x!quant.uniform<i8:f32, 0.5>> loc("x::int8")
  %n = "top.None"() : () -> none
  %r = "tpu.Permute"(%q, %n) {order = [0]} : (tensor<4x!quant.uniform<i8:f32, 0.5>>, none) -> tensor<4x!quant.uniform<i8:f32, 0.5>> loc("y::int8")
  %y = "tpu.Cast"(%r) : (tensor<4x!quant.uniform<i8:f32, 0.5>>) -> tensor<4xf32> loc("y")
  %z = "tpu.Relu"(%y) : (tensor<4xf32>) -> tensor<4xf32> loc("z")
  return %y, %z : tensor<4xf32>, tensor<4xf32>
}
}

// -----

// What is read in f32, in two types, or is an output itself stays.
// CHECK-LABEL: @stays(
// CHECK-SAME: %arg0: tensor<4xf32>
// CHECK-SAME: %arg1: tensor<4xf32>
// CHECK-SAME: %arg2: tensor<4xf32>
// CHECK-COUNT-3: "tpu.Cast"
module {
func.func @stays(%arg0: tensor<4xf32>, %arg1: tensor<4xf32>, %arg2: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf16>, tensor<4xf16>, tensor<4xbf16>, tensor<4xf32>) {
  %a = "top.Input"(%arg0) {do_preprocess = false} : (tensor<4xf32>) -> tensor<4xf32> loc("a")
  %b = "top.Input"(%arg1) {do_preprocess = false} : (tensor<4xf32>) -> tensor<4xf32> loc("b")
  %c = "top.Input"(%arg2) {do_preprocess = false} : (tensor<4xf32>) -> tensor<4xf32> loc("c")
  %ah = "tpu.Cast"(%a) : (tensor<4xf32>) -> tensor<4xf16> loc("a::f16")
  %ar = "tpu.Relu"(%a) : (tensor<4xf32>) -> tensor<4xf32> loc("ar")
  %bh = "tpu.Cast"(%b) : (tensor<4xf32>) -> tensor<4xf16> loc("b::f16")
  %bb = "tpu.Cast"(%b) : (tensor<4xf32>) -> tensor<4xbf16> loc("b::bf16")
  return %ar, %ah, %bh, %bb, %c : tensor<4xf32>, tensor<4xf16>, tensor<4xf16>, tensor<4xbf16>, tensor<4xf32>
}
}
