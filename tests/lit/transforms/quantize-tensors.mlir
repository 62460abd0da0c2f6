// RUN: tpumlir-opt %s --choose-precision --quantize-tensors -split-input-file -mlir-print-local-scope | FileCheck %s

// What comes before a product stays float; both its operands are cast. Its Relu is in the bounds of the requantisation,
// and the model's output keeps its name.
// CHECK-LABEL: @product(
// CHECK: %[[E:.*]] = "tpu.Active"(%arg0) {{.*}} -> tensor<1x4x6x6xf32> loc("e")
// CHECK: %[[Q:.*]] = "tpu.Cast"(%[[E]]) : (tensor<1x4x6x6xf32>) -> tensor<1x4x6x6x!quant.uniform<u8:f32, {{[^:]*}}>> loc("e::int8"
// CHECK: %[[R:.*]] = "tpu.Reshape"(%arg1)
// CHECK: %[[W:.*]] = "tpu.Cast"(%[[R]]) : {{.*}} -> tensor<2x4x3x3x!quant.uniform<i8:f32, {{[^:]*}}>> loc("w::int8"
// CHECK: %[[M:.*]] = "top.Weight"() : () -> tensor<2x2xf32> loc("y::multi")
// CHECK: %[[Y:.*]] = "tpu.Conv2D"(%[[Q]], %[[W]], %{{.*}}, %[[M]]) {{.*}}do_relu = true{{.*}} -> tensor<1x2x4x4x!quant.uniform<u8:f32, {{[^:]*}}>> loc("y::int8"
// CHECK: %[[F:.*]] = "tpu.Cast"(%[[Y]]) {{.*}} -> tensor<1x2x4x4xf32> loc("y")
// CHECK: return %[[F]]
module attributes {module.mode = "INT8", module.calibration_table = {w = [1.0, -1.0, 1.0], e = [2.0, 0.0, 2.0], c = [9.0, -9.0, 9.0], y = [4.0, 0.0, 4.0]}} {
func.func @product(%x: tensor<1x4x6x6xf32>, %v: tensor<2x4x3x3xf32>) -> tensor<1x2x4x4xf32> {
  %n = "top.None"() : () -> none
  %e = "tpu.Active"(%x) {mode = #tpu<active_mode EXP>} : (tensor<1x4x6x6xf32>) -> tensor<1x4x6x6xf32> loc("e")
  %w = "tpu.Reshape"(%v) : (tensor<2x4x3x3xf32>) -> tensor<2x4x3x3xf32> loc("w")
  %c = "tpu.Conv2D"(%e, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6xf32>, tensor<2x4x3x3xf32>, none) -> tensor<1x2x4x4xf32> loc("c")
  %y = "tpu.Relu"(%c) : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32> loc("y")
  return %y : tensor<1x2x4x4xf32>
}
}

// -----

// Both tensors have a scale for each channel: the function's gate and its product are requantised channel by channel, and so is what the
// last function compares. The result is read as floats and has one scale.
// CHECK-LABEL: @channels(
// CHECK: %[[C:.*]] = "tpu.Conv2D"(%{{.*}}) {{.*}} -> tensor<1x2x6x6x!quant.uniform<{{.*}}:f32:1, {{.*}}>> loc("c")
// CHECK: %[[G:.*]] = "tpu.RequantFpAxis"(%[[C]], %{{.*}}) : {{.*}} -> tensor<1x2x6x6x!quant.uniform<u8:f32, {{[^:]*}}>> loc("h::gate"
// CHECK: %[[H:.*]] = "tpu.MulFpAxis"(%[[C]], %[[G]], %{{.*}}) : {{.*}} -> tensor<1x2x6x6x!quant.uniform<u8:f32:1, {{.*}}>> loc("h")
// CHECK-DAG: %[[P:.*]] = "tpu.RequantFpAxis"(%[[H]], %{{.*}}) : {{.*}} loc("h::rescaled"
// CHECK-DAG: %[[S:.*]] = "tpu.RequantFpAxis"(%[[H]], %{{.*}}) : {{.*}} loc("l::times_alpha"
// CHECK: "tpu.Max"(%[[P]], %[[S]]) {{.*}} -> tensor<1x2x6x6x!quant.uniform<i8:f32, {{[^:]*}}>> loc("l::int8"
module attributes {module.mode = "INT8", module.calibration_table = {x = [1.0, -1.0, 1.0], w = [1.0, -1.0, 1.0], c = [4.0, -4.0, 4.0, array<f32: -4.0, -1.0>, array<f32: 4.0, 0.5>], h = [4.0, -0.375, 4.0, array<f32: -0.375, -0.2>, array<f32: 4.0, 0.25>], l = [4.0, -4.0, 4.0]}} {
func.func @channels(%x: tensor<1x2x6x6xf32>, %v: tensor<2x2x1x1xf32>) -> tensor<1x2x6x6xf32> {
  %n = "top.None"() : () -> none
  %i = "tpu.Reshape"(%x) : (tensor<1x2x6x6xf32>) -> tensor<1x2x6x6xf32> loc("x")
  %w = "tpu.Reshape"(%v) : (tensor<2x2x1x1xf32>) -> tensor<2x2x1x1xf32> loc("w")
  %c = "tpu.Conv2D"(%i, %w, %n) {kernel_shape = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x2x6x6xf32>, tensor<2x2x1x1xf32>, none) -> tensor<1x2x6x6xf32> loc("c")
  %h = "tpu.Active"(%c) {mode = #tpu<active_mode HSWISH>} : (tensor<1x2x6x6xf32>) -> tensor<1x2x6x6xf32> loc("h")
  %l = "tpu.LeakyRelu"(%h) {alpha = 0.1} : (tensor<1x2x6x6xf32>) -> tensor<1x2x6x6xf32> loc("l")
  return %l : tensor<1x2x6x6xf32>
}
}

// -----

// Parts of unlike ranges, one of them a float: products that read all of it give it one scale in any case. Of what only
// moves on the way that is so too.
// CHECK-LABEL: @concat_for_products(
// CHECK: %[[S:.*]] = "tpu.Cast"(%arg1) {{.*}} -> tensor<1x2x6x6x!quant.uniform<i8:f32, 1.000000e+00>>
// CHECK: %[[L:.*]] = "tpu.Conv2D"{{.*}} -> tensor<1x2x6x6x!quant.uniform<i8:f32, 1.000000e+00>> loc("l")
// CHECK: %[[J:.*]] = "tpu.Concat"(%[[L]], %[[S]]) {{.*}} -> tensor<1x4x6x6x!quant.uniform<i8:f32, 1.000000e+00>> loc("j")
// CHECK: "tpu.Conv2D"(%[[J]]
// CHECK: %[[P:.*]] = "tpu.Permute"(%[[J]]
// CHECK: "tpu.Conv2D"(%[[P]]
module attributes {module.mode = "INT8", module.calibration_table = {x = [3.0, -3.0, 3.0], l = [127.0, -127.0, 127.0], s = [1.0, -1.0, 1.0], j = [127.0, -127.0, 127.0], p = [127.0, -127.0, 127.0], y = [4.0, -4.0, 4.0], z = [4.0, -4.0, 4.0]}} {
func.func @concat_for_products(%x: tensor<1x4x6x6xf32> loc("x"), %s: tensor<1x2x6x6xf32> loc("s"), %w: tensor<2x4x1x1xf32> loc("s"), %v: tensor<2x6x1x1xf32> loc("s")) -> (tensor<1x2x6x6xf32>, tensor<1x2x4x6xf32>) {
  %n = "top.None"() : () -> none
  %l = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6xf32>, tensor<2x4x1x1xf32>, none) -> tensor<1x2x6x6xf32> loc("l")
  %j = "tpu.Concat"(%l, %s) {axis = 1 : si32} : (tensor<1x2x6x6xf32>, tensor<1x2x6x6xf32>) -> tensor<1x4x6x6xf32> loc("j")
  %y = "tpu.Conv2D"(%j, %w, %n) {kernel_shape = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6xf32>, tensor<2x4x1x1xf32>, none) -> tensor<1x2x6x6xf32> loc("y")
  %p = "tpu.Permute"(%j, %n) {order = [0, 2, 1, 3]} : (tensor<1x4x6x6xf32>, none) -> tensor<1x6x4x6xf32> loc("p")
  %z = "tpu.Conv2D"(%p, %v, %n) {kernel_shape = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x6x4x6xf32>, tensor<2x6x1x1xf32>, none) -> tensor<1x2x4x6xf32> loc("z")
  return %y, %z : tensor<1x2x6x6xf32>, tensor<1x2x4x6xf32>
}
}

// -----

// Who reads only the small part reads it in steps of its own; the convolution beside takes what it takes.
// CHECK-LABEL: @concat_for_others(
// CHECK: "tpu.Concat"{{.*}}why = "(P11) operands of unlike ranges"{{.*}} -> tensor<1x4x6x6xf32> loc("j")
module attributes {module.mode = "INT8", module.calibration_table = {x = [3.0, -3.0, 3.0], l = [127.0, -127.0, 127.0], s = [1.0, -1.0, 1.0], j = [127.0, -127.0, 127.0], t = [1.0, -1.0, 1.0], y = [4.0, -4.0, 4.0], z = [4.0, -4.0, 4.0]}} {
func.func @concat_for_others(%x: tensor<1x4x6x6xf32> loc("x"), %w: tensor<2x4x1x1xf32> loc("s"), %v: tensor<2x2x1x1xf32> loc("s")) -> (tensor<1x2x6x6xf32>, tensor<1x2x6x6xf32>) {
  %n = "top.None"() : () -> none
  %l = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6xf32>, tensor<2x4x1x1xf32>, none) -> tensor<1x2x6x6xf32> loc("l")
  %s = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6xf32>, tensor<2x4x1x1xf32>, none) -> tensor<1x2x6x6xf32> loc("s")
  %j = "tpu.Concat"(%l, %s) {axis = 1 : si32} : (tensor<1x2x6x6xf32>, tensor<1x2x6x6xf32>) -> tensor<1x4x6x6xf32> loc("j")
  %y = "tpu.Conv2D"(%j, %w, %n) {kernel_shape = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6xf32>, tensor<2x4x1x1xf32>, none) -> tensor<1x2x6x6xf32> loc("y")
  %t = "tpu.Slice"(%j, %n, %n, %n, %n) {offset = [0, 2, 0, 0], steps = [1, 1, 1, 1], ends = [1, 4, 6, 6]} : (tensor<1x4x6x6xf32>, none, none, none, none) -> tensor<1x2x6x6xf32> loc("t")
  %z = "tpu.Conv2D"(%t, %v, %n) {kernel_shape = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x2x6x6xf32>, tensor<2x2x1x1xf32>, none) -> tensor<1x2x6x6xf32> loc("z")
  return %y, %z : tensor<1x2x6x6xf32>, tensor<1x2x6x6xf32>
}
}
