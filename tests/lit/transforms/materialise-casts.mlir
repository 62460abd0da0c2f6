// RUN: tpumlir-opt %s "--choose-precision=plain=true" --materialise-casts -split-input-file -mlir-print-local-scope | FileCheck %s

// One cast per value and type at the borders; the output keeps its name. Filters become half, biases stay.
// CHECK-LABEL: @borders(
// CHECK-SAME: %arg0: tensor<1x4x6x6xf32>
// CHECK-SAME: -> tensor<1x8x4x4xf32>
// CHECK: %[[X:.*]] = "tpu.Cast"(%arg0) : (tensor<1x4x6x6xf32>) -> tensor<1x4x6x6xf16>
// CHECK: %[[W:.*]] = "top.Weight"() : () -> tensor<8x4x3x3xf16> loc("w::f16"
// CHECK: %[[B:.*]] = "top.Weight"() : () -> tensor<8xf32> loc("b")
// CHECK: %[[C:.*]] = "tpu.Conv2D"(%[[X]], %[[W]], %[[B]]) {{.*}} -> tensor<1x8x4x4xf16> loc("c")
// CHECK: %[[A:.*]] = "tpu.Add"(%[[C]], %[[C]]) {{.*}} -> tensor<1x8x4x4xf16> loc("y::f16"("node"))
// CHECK: %[[Y:.*]] = "tpu.Cast"(%[[A]]) : (tensor<1x8x4x4xf16>) -> tensor<1x8x4x4xf32> loc("y"("node"))
// CHECK: return %[[Y]]
module attributes {module.mode = "F16"} {
func.func @borders(%x: tensor<1x4x6x6xf32>) -> tensor<1x8x4x4xf32> {
  %w = "top.Weight"() : () -> tensor<8x4x3x3xf32> loc("w")
  %b = "top.Weight"() : () -> tensor<8xf32> loc("b")
  %c = "tpu.Conv2D"(%x, %w, %b) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = true} : (tensor<1x4x6x6xf32>, tensor<8x4x3x3xf32>, tensor<8xf32>) -> tensor<1x8x4x4xf32> loc("c")
  %y = "tpu.Add"(%c, %c) : (tensor<1x8x4x4xf32>, tensor<1x8x4x4xf32>) -> tensor<1x8x4x4xf32> loc("y"("node"))
  return %y : tensor<1x8x4x4xf32>
}
}

// -----

// The table goes before the mode, for `b::square` too: it belongs to `b`. Neighbours in F32 share no cast pair.
// CHECK-LABEL: @table(
// CHECK: %[[A:.*]] = "tpu.Relu"{{.*}} -> tensor<2x3xbf16> loc("a")
// CHECK: %[[F:.*]] = "tpu.Cast"(%[[A]]) : (tensor<2x3xbf16>) -> tensor<2x3xf32> loc("a::f32"
// CHECK: %[[S:.*]] = "tpu.Mul"(%[[F]], %[[F]]) {{.*}} -> tensor<2x3xf32> loc("b::square")
// CHECK: %[[B:.*]] = "tpu.Relu"(%[[S]]) {{.*}} -> tensor<2x3xf32> loc("b")
// CHECK: %[[H:.*]] = "tpu.Cast"(%[[B]]) : (tensor<2x3xf32>) -> tensor<2x3xf16> loc("b::f16"
// CHECK: "tpu.Relu"(%[[H]]) {{.*}} -> tensor<2x3xf16> loc("y::f16"
module attributes {module.mode = "BF16", module.quantize_table = {"b" = "F32", "y" = "F16"}} {
func.func @table(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %a = "tpu.Relu"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("a")
  %s = "tpu.Mul"(%a, %a) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32> loc("b::square")
  %b = "tpu.Relu"(%s) : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("b")
  %y = "tpu.Relu"(%b) : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("y")
  return %y : tensor<2x3xf32>
}
}

// -----

// What only moves data has the type of its input, unless the cast behind it leaves fewer bytes to move.
// CHECK-LABEL: @moves(
// CHECK: "tpu.Cast"{{.*}} -> tensor<2x3xf16> loc("a::f16"
// CHECK-NEXT: "tpu.Reshape"{{.*}} -> tensor<3x2xf16> loc("b")
// CHECK-NEXT: "tpu.Permute"{{.*}} -> tensor<2x3xf16> loc("c")
// CHECK-NEXT: "tpu.Relu"{{.*}} -> tensor<2x3xf16>
module attributes {module.mode = "F16", module.quantize_table = {"a" = "F32"}} {
func.func @moves(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %n = "top.None"() : () -> none
  %a = "tpu.Relu"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("a")
  %b = "tpu.Reshape"(%a) : (tensor<2x3xf32>) -> tensor<3x2xf32> loc("b")
  %c = "tpu.Permute"(%b, %n) {order = [1, 0]} : (tensor<3x2xf32>, none) -> tensor<2x3xf32> loc("c")
  %y = "tpu.Relu"(%c) : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("y")
  return %y : tensor<2x3xf32>
}
}

// -----

// A cast that leaves more to move stays where it is, and so does one whose tensor somebody else reads.
// CHECK-LABEL: @wider(
// CHECK: "tpu.Permute"{{.*}} -> tensor<3x2xf16> loc("b")
// CHECK: "tpu.Cast"{{.*}} -> tensor<3x2xf32>
// CHECK: "tpu.Permute"{{.*}} -> tensor<2x3xf32> loc("d")
// CHECK: "tpu.Cast"{{.*}} -> tensor<2x3xf16>
module attributes {module.mode = "F16", module.quantize_table = {"c" = "F32", "z" = "F32"}} {
func.func @wider(%x: tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<2x3xf32>) {
  %n = "top.None"() : () -> none
  %a = "tpu.Relu"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("a")
  %b = "tpu.Permute"(%a, %n) {order = [1, 0]} : (tensor<2x3xf32>, none) -> tensor<3x2xf32> loc("b")
  %c = "tpu.Relu"(%b) : (tensor<3x2xf32>) -> tensor<3x2xf32> loc("c")
  %d = "tpu.Permute"(%c, %n) {order = [1, 0]} : (tensor<3x2xf32>, none) -> tensor<2x3xf32> loc("d")
  %y = "tpu.Relu"(%d) : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("y")
  %z = "tpu.Relu"(%d) : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("z")
  return %y, %z : tensor<2x3xf32>, tensor<2x3xf32>
}
}

// -----

// A filter is computed before the group of its reader: its integers stand beside what computes it.
// CHECK-LABEL: @filter(
// CHECK: "tpu.Relu"{{.*}} -> tensor<4x9xf32> loc("a")
// CHECK-NEXT: "tpu.Cast"{{.*}} -> tensor<4x9x!quant.uniform<i8:f32, 1.000000e-01>> loc("a::int8"
// CHECK-NEXT: "tpu.Reshape"{{.*}} -> tensor<2x2x3x3x!quant.uniform<i8:f32, 1.000000e-01>> loc("b::int8"
// A tensor that somebody else computes with is cast beside its reader.
// CHECK-LABEL: @operand(
// CHECK: "tpu.Reshape"{{.*}} -> tensor<2x18xf32> loc("b")
// CHECK-NEXT: "tpu.Cast"{{.*}} -> tensor<2x18x!quant.uniform<i8:f32, 1.000000e-01>> loc("b::int8"
module attributes {module.mode = "F16", module.quantize_table = {"a" = "F32", "b" = "F32"}} {
func.func @filter(%x: tensor<1x2x6x6x!quant.uniform<i8:f32, 1.000000e-01>>, %f: tensor<4x9xf32>, %m: tensor<1x2x1x2xf32>) -> tensor<1x2x4x4xf32> {
  %n = "top.None"() : () -> none
  %a = "tpu.Relu"(%f) : (tensor<4x9xf32>) -> tensor<4x9xf32> loc("a")
  %b = "tpu.Reshape"(%a) : (tensor<4x9xf32>) -> tensor<2x2x3x3xf32> loc("b")
  %q = "tpu.Cast"(%b) : (tensor<2x2x3x3xf32>) -> tensor<2x2x3x3x!quant.uniform<i8:f32, 1.000000e-01>> loc("b::int8")
  %y = "tpu.Conv2D"(%x, %q, %n, %m) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], group = 1 : i64, with_bias = false, do_relu = false, relu_limit = -1.0 : f64} : (tensor<1x2x6x6x!quant.uniform<i8:f32, 1.000000e-01>>, tensor<2x2x3x3x!quant.uniform<i8:f32, 1.000000e-01>>, none, tensor<1x2x1x2xf32>) -> tensor<1x2x4x4x!quant.uniform<i8:f32, 1.000000e-01>> loc("y::int8")
  %z = "tpu.Cast"(%y) : (tensor<1x2x4x4x!quant.uniform<i8:f32, 1.000000e-01>>) -> tensor<1x2x4x4xf32> loc("z")
  return %z : tensor<1x2x4x4xf32>
}
func.func @operand(%f: tensor<4x9xf32>) -> tensor<2x18xf32> {
  %a = "tpu.Relu"(%f) : (tensor<4x9xf32>) -> tensor<4x9xf32> loc("a")
  %b = "tpu.Reshape"(%a) : (tensor<4x9xf32>) -> tensor<2x18xf32> loc("b")
  %q = "tpu.Cast"(%b) : (tensor<2x18xf32>) -> tensor<2x18x!quant.uniform<i8:f32, 1.000000e-01>> loc("b::int8")
  %y = "tpu.Cast"(%q) : (tensor<2x18x!quant.uniform<i8:f32, 1.000000e-01>>) -> tensor<2x18xf32> loc("y")
  return %y : tensor<2x18xf32>
}
}

// -----

// Integers are moved rather than the floats that they are rounded from; they do not have the floats' name.
// CHECK-LABEL: @integers(
// CHECK: "tpu.Cast"{{.*}} -> tensor<2x3x!quant.uniform<i8:f32, 1.000000e-01>> loc("a::int8"
// CHECK-NEXT: "tpu.Permute"{{.*}} -> tensor<3x2x!quant.uniform<i8:f32, 1.000000e-01>> loc("b::int8"
module attributes {module.mode = "F16", module.quantize_table = {"a" = "F32", "b" = "F32"}} {
func.func @integers(%x: tensor<2x3xf32>) -> tensor<3x2xf32> {
  %n = "top.None"() : () -> none
  %a = "tpu.Relu"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("a")
  %b = "tpu.Permute"(%a, %n) {order = [1, 0]} : (tensor<2x3xf32>, none) -> tensor<3x2xf32> loc("b")
  %q = "tpu.Cast"(%b) : (tensor<3x2xf32>) -> tensor<3x2x!quant.uniform<i8:f32, 1.000000e-01>> loc("b::int8")
  %y = "tpu.Cast"(%q) : (tensor<3x2x!quant.uniform<i8:f32, 1.000000e-01>>) -> tensor<3x2xf32> loc("y")
  return %y : tensor<3x2xf32>
}
}

// -----

// A cast to half, moves, a cast back: neither cast is left.
// CHECK-LABEL: @pair(
// CHECK-NOT: tpu.Cast
// CHECK: %[[B:.*]] = "tpu.Reshape"(%arg0) : (tensor<2x3xf32>) -> tensor<3x2xf32> loc("b")
// CHECK: "tpu.Concat"(%[[B]], %[[B]]) {{.*}} -> tensor<6x2xf32> loc("y")
// CHECK-NOT: tpu.Cast
module attributes {module.mode = "F16"} {
func.func @pair(%x: tensor<2x3xf32>) -> tensor<6x2xf32> {
  %b = "tpu.Reshape"(%x) : (tensor<2x3xf32>) -> tensor<3x2xf32> loc("b")
  %y = "tpu.Concat"(%b, %b) {axis = 0 : si32} : (tensor<3x2xf32>, tensor<3x2xf32>) -> tensor<6x2xf32> loc("y")
  return %y : tensor<6x2xf32>
}
}

// -----

// Casts that stand in the text already are merged; what another op reads stays.
// CHECK-LABEL: @merged(
// CHECK: %[[H:.*]] = "tpu.Cast"(%arg0) : (tensor<4xf32>) -> tensor<4xf16>
// CHECK: %[[R:.*]] = "tpu.Relu"(%[[H]]) {{.*}} tensor<4xf16>
// CHECK: "tpu.Relu"(%arg0) {{.*}} tensor<4xf32> loc("z")
module attributes {module.mode = "F16", module.quantize_table = {"z" = "F32"}} {
func.func @merged(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %h = "tpu.Cast"(%x) : (tensor<4xf32>) -> tensor<4xf16> loc("h")
  %f = "tpu.Cast"(%h) : (tensor<4xf16>) -> tensor<4xf32> loc("f")
  %y = "tpu.Relu"(%x) : (tensor<4xf32>) -> tensor<4xf32> loc("y")
  %z = "tpu.Relu"(%f) : (tensor<4xf32>) -> tensor<4xf32> loc("z")
  return %y, %z : tensor<4xf32>, tensor<4xf32>
}
}

// -----

// Integers stay integers; a constant that two precisions use is there in both, each once.
// CHECK-LABEL: @constants(
// CHECK-DAG: "top.Weight"() : () -> tensor<4xf32> loc("w")
// CHECK-DAG: "top.Weight"() : () -> tensor<4xf16> loc("w::f16"
// CHECK-NOT: "top.Weight"
// CHECK: return
module attributes {module.mode = "F16", module.quantize_table = {"z" = "F32"}} {
func.func @constants(%x: tensor<4xf32>, %i: tensor<4xi32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xi32>) {
  %w = "top.Weight"() : () -> tensor<4xf32> loc("w")
  %a = "tpu.Mul"(%x, %w) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32> loc("a")
  %b = "tpu.Add"(%x, %w) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32> loc("b")
  %z = "tpu.Add"(%x, %w) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32> loc("z")
  %j = "tpu.Reshape"(%i) : (tensor<4xi32>) -> tensor<4xi32> loc("j")
  return %a, %b, %z, %j : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xi32>
}
}

// -----

// What stands in the text counts, whoever wrote it; an op without a choice stays as it is.
// CHECK-LABEL: @edited(
// CHECK: "tpu.Relu"{{.*}} -> tensor<4xf16> loc("a")
// CHECK: "tpu.Cast"{{.*}} -> tensor<4xf32>
// CHECK: "tpu.Relu"{{.*}}tpu.precision = {type = f32, why = "by hand"}{{.*}} -> tensor<4xf32> loc("y")
module attributes {module.mode = "F32"} {
func.func @edited(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = "tpu.Relu"(%x) {tpu.precision = {type = f16}} : (tensor<4xf32>) -> tensor<4xf32> loc("a")
  %y = "tpu.Relu"(%a) {tpu.precision = {type = f32, why = "by hand"}} : (tensor<4xf32>) -> tensor<4xf32> loc("y")
  return %y : tensor<4xf32>
}
}

// -----

// In F32 without a table nothing happens.
// CHECK-LABEL: @nothing(
// CHECK-NOT: tpu.Cast
module attributes {module.mode = "F32"} {
func.func @nothing(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = "tpu.Relu"(%x) : (tensor<4xf32>) -> tensor<4xf32> loc("y")
  return %y : tensor<4xf32>
}
}

// -----

// What is turned for a product in F32 is taken as it was, behind arithmetic on elements too.
// CHECK-LABEL: @turned(
// CHECK: %[[A:.*]] = "tpu.Mul"(%arg0, %arg0) {{.*}} -> tensor<1x6x8xf32> loc("a::turned"
// CHECK: %[[B:.*]] = "tpu.Add"(%[[A]], %arg1) {{.*}} -> tensor<1x6x8xf32> loc("b::turned"
// CHECK: "tpu.MatMul"(%[[B]], {{.*}}left_transpose = true{{.*}} -> tensor<1x8x5xf32> loc("y")
module attributes {module.mode = "F32"} {
func.func @turned(%x: tensor<1x6x8xf32>, %z: tensor<1x6x8xf32>) -> tensor<1x8x5xf32> {
  %n = "top.None"() : () -> none
  %w = "top.Weight"() : () -> tensor<6x5xf32> loc("w")
  %t = "tpu.Permute"(%x, %n) {order = [0, 2, 1], tpu.precision = {type = f32}} : (tensor<1x6x8xf32>, none) -> tensor<1x8x6xf32> loc("t")
  %a = "tpu.Mul"(%t, %t) {tpu.precision = {type = f32}} : (tensor<1x8x6xf32>, tensor<1x8x6xf32>) -> tensor<1x8x6xf32> loc("a")
  %u = "tpu.Permute"(%z, %n) {order = [0, 2, 1], tpu.precision = {type = f32}} : (tensor<1x6x8xf32>, none) -> tensor<1x8x6xf32> loc("u")
  %b = "tpu.Add"(%a, %u) {tpu.precision = {type = f32}} : (tensor<1x8x6xf32>, tensor<1x8x6xf32>) -> tensor<1x8x6xf32> loc("b")
  %y = "tpu.MatMul"(%b, %w, %n, %n, %n) {tpu.precision = {type = f32}} : (tensor<1x8x6xf32>, tensor<6x5xf32>, none, none, none) -> tensor<1x8x5xf32> loc("y")
  return %y : tensor<1x8x5xf32>
}
}
