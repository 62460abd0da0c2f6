// RUN: tpumlir-opt %s --collapse-axes -split-input-file -mlir-print-local-scope | FileCheck %s

// The window is one axis; the vector of scales goes along. The tensor has its own shape for who reads it so.
// CHECK-LABEL: @scaled(
// CHECK: %[[W:.*]] = "tpu.Reshape"(%arg0) : (tensor<1x8x6x3x3xf32>) -> tensor<1x8x6x9xf32>
// CHECK: %[[S:.*]] = "tpu.Reshape"(%arg1) : (tensor<1x1x6x1x1xf32>) -> tensor<1x1x6x1xf32>
// CHECK: %[[M:.*]] = "tpu.Mul"(%[[W]], %[[S]]) {{.*}} -> tensor<1x8x6x9xf32> loc("m::collapsed"
// CHECK: %[[R:.*]] = "tpu.Reduce"(%[[M]]{{.*}}axes = [2, 3], keepdims = true{{.*}} -> tensor<1x8x1x1xf32> loc("r::collapsed"
// CHECK: %[[Y:.*]] = "tpu.Reshape"(%[[R]]) : (tensor<1x8x1x1xf32>) -> tensor<1x8xf32> loc("r")
// CHECK: return %[[Y]]
module {
func.func @scaled(%w: tensor<1x8x6x3x3xf32>, %s: tensor<1x1x6x1x1xf32>) -> tensor<1x8xf32> {
  %n = "top.None"() : () -> none
  %m = "tpu.Mul"(%w, %s) : (tensor<1x8x6x3x3xf32>, tensor<1x1x6x1x1xf32>) -> tensor<1x8x6x3x3xf32> loc("m")
  %r = "tpu.Reduce"(%m, %n, %n) {axes = [2, 3, 4], keepdims = false, mode = "ReduceSum"} : (tensor<1x8x6x3x3xf32>, none, none) -> tensor<1x8xf32> loc("r")
  return %r : tensor<1x8xf32>
}
}

// -----

// CHECK-LABEL: @undone(
// CHECK-NOT: tpu.Permute
// CHECK: %[[Y:.*]] = "tpu.Reshape"(%arg0) : (tensor<1x8x6x3x3xf32>) -> tensor<8x6x3x3xf32> loc("y")
// CHECK: return %[[Y]]
module {
func.func @undone(%x: tensor<1x8x6x3x3xf32>) -> tensor<8x6x3x3xf32> {
  %n = "top.None"() : () -> none
  %a = "tpu.Permute"(%x, %n) {order = [0, 2, 1, 3, 4]} : (tensor<1x8x6x3x3xf32>, none) -> tensor<1x6x8x3x3xf32> loc("a")
  %b = "tpu.Reshape"(%a) : (tensor<1x6x8x3x3xf32>) -> tensor<6x8x3x3xf32> loc("b")
  %y = "tpu.Permute"(%b, %n) {order = [1, 0, 2, 3]} : (tensor<6x8x3x3xf32>, none) -> tensor<8x6x3x3xf32> loc("y")
  return %y : tensor<8x6x3x3xf32>
}
}

// -----

// Zeros between elements: along the columns, then along the rows.
// CHECK-LABEL: @between(
// CHECK: %[[A:.*]] = "tpu.Reshape"(%arg0) : (tensor<2x5x1x7x1xf32>) -> tensor<10x7x1x1xf32>
// CHECK: %[[B:.*]] = "tpu.Pad"(%[[A]]) {{.*}} paddings = [0, 0, 0, 0, 0, 0, 0, 1]{{.*}} -> tensor<10x7x1x2xf32>
// CHECK: %[[C:.*]] = "tpu.Reshape"(%[[B]]) : (tensor<10x7x1x2xf32>) -> tensor<2x5x1x14xf32>
// CHECK: %[[D:.*]] = "tpu.Pad"(%[[C]]) {{.*}} paddings = [0, 0, 0, 0, 0, 0, 0, 14]{{.*}} -> tensor<2x5x1x28xf32>
// CHECK: %[[Y:.*]] = "tpu.Reshape"(%[[D]]) : (tensor<2x5x1x28xf32>) -> tensor<2x5x2x7x2xf32> loc("y")
module {
func.func @between(%x: tensor<2x5x1x7x1xf32>) -> tensor<2x5x2x7x2xf32> {
  %y = "tpu.Pad"(%x) {mode = #tpu<padding_mode constant>, paddings = [0, 0, 0, 0, 0, 0, 0, 1, 0, 1], val = 0.0 : f64} : (tensor<2x5x1x7x1xf32>) -> tensor<2x5x2x7x2xf32> loc("y")
  return %y : tensor<2x5x2x7x2xf32>
}
}

// -----

// A border that is mirrored lies along the columns, not over the lanes.
// CHECK-LABEL: @mirrored(
// CHECK: %[[A:.*]] = "tpu.Reshape"(%arg0) : (tensor<1x20x1xf32>) -> tensor<1x1x1x20xf32>
// CHECK: %[[B:.*]] = "tpu.Pad"(%[[A]]) {mode = #tpu<padding_mode reflect>, paddings = [0, 0, 0, 3, 0, 0, 0, 4]{{.*}} -> tensor<1x1x1x27xf32>
// CHECK: %[[Y:.*]] = "tpu.Reshape"(%[[B]]) : (tensor<1x1x1x27xf32>) -> tensor<1x27x1xf32> loc("y")
module {
func.func @mirrored(%x: tensor<1x20x1xf32>) -> tensor<1x27x1xf32> {
  %y = "tpu.Pad"(%x) {mode = #tpu<padding_mode reflect>, paddings = [0, 3, 0, 0, 4, 0], val = 0.0 : f64} : (tensor<1x20x1xf32>) -> tensor<1x27x1xf32> loc("y")
  return %y : tensor<1x27x1xf32>
}
}

// -----

// As it is: it has its columns, and several axes go one after the other.
// CHECK-LABEL: @columns(
// CHECK-NOT: tpu.Reshape
module {
func.func @columns(%x: tensor<3x20xf32>, %z: tensor<2x20xf32>) -> (tensor<3x27xf32>, tensor<3x21xf32>) {
  %y = "tpu.Pad"(%x) {mode = #tpu<padding_mode reflect>, paddings = [0, 3, 0, 4], val = 0.0 : f64} : (tensor<3x20xf32>) -> tensor<3x27xf32> loc("y")
  %w = "tpu.Pad"(%z) {mode = #tpu<padding_mode edge>, paddings = [1, 0, 0, 1], val = 0.0 : f64} : (tensor<2x20xf32>) -> tensor<3x21xf32> loc("w")
  return %y, %w : tensor<3x27xf32>, tensor<3x21xf32>
}
}

// -----

// The greatest of parts of the rows in more lanes, then of these.
// CHECK-LABEL: @greatest(
// CHECK: %[[A:.*]] = "tpu.Reshape"(%arg0) : (tensor<2x90x100xf32>) -> tensor<60x300xf32>
// CHECK: %[[B:.*]] = "tpu.Reduce"(%[[A]]{{.*}}axes = [1], keepdims = true, mode = "ReduceMax"{{.*}} -> tensor<60x1xf32> loc("y::parts"
// CHECK: %[[C:.*]] = "tpu.Reshape"(%[[B]]) : (tensor<60x1xf32>) -> tensor<2x30xf32>
// CHECK: %[[D:.*]] = "tpu.Reduce"(%[[C]]{{.*}}axes = [1], keepdims = true, mode = "ReduceMax"{{.*}} -> tensor<2x1xf32>
// CHECK: %[[Y:.*]] = "tpu.Reshape"(%[[D]]) : (tensor<2x1xf32>) -> tensor<2xf32> loc("y")
module {
func.func @greatest(%x: tensor<2x90x100xf32>) -> tensor<2xf32> {
  %n = "top.None"() : () -> none
  %y = "tpu.Reduce"(%x, %n, %n) {axes = [1, 2], keepdims = false, mode = "ReduceMax"} : (tensor<2x90x100xf32>, none, none) -> tensor<2xf32> loc("y")
  return %y : tensor<2xf32>
}
}

// -----

// The order of a sum counts.
// CHECK-LABEL: @sum(
// CHECK-NOT: tpu.Reshape
module {
func.func @sum(%x: tensor<2x90x100xf32>) -> tensor<2xf32> {
  %n = "top.None"() : () -> none
  %y = "tpu.Reduce"(%x, %n, %n) {axes = [1, 2], keepdims = false, mode = "ReduceSum"} : (tensor<2x90x100xf32>, none, none) -> tensor<2xf32> loc("y")
  return %y : tensor<2xf32>
}
}

// -----

// Axes of extent 1 in front of a matrix, as exporters add them for a product, are gone until who reads them.
// CHECK-LABEL: @unit_axes(
// CHECK: %[[C:.*]] = "tpu.Relu"(%arg0) {{.*}} -> tensor<1x6x8xf32> loc("c")
// CHECK-NEXT: %[[T:.*]] = "tpu.Permute"(%[[C]], {{.*}}order = [0, 2, 1]{{.*}} -> tensor<1x8x6xf32> loc("t::collapsed"
// CHECK: %[[M:.*]] = "tpu.Mul"(%[[T]], %[[T]]) {{.*}} -> tensor<1x8x6xf32> loc("m::collapsed"
// CHECK: %[[P:.*]] = "tpu.MatMul"(%[[M]], %arg1{{.*}} -> tensor<1x8x5xf32> loc("p::collapsed"
// CHECK: %[[Y:.*]] = "tpu.Reshape"(%[[P]]) : (tensor<1x8x5xf32>) -> tensor<1x1x8x5xf32> loc("p")
// CHECK: return %[[Y]]
module {
func.func @unit_axes(%x: tensor<1x6x8xf32>, %w: tensor<6x5xf32>) -> tensor<1x1x8x5xf32> {
  %n = "top.None"() : () -> none
  %c = "tpu.Relu"(%x) : (tensor<1x6x8xf32>) -> tensor<1x6x8xf32> loc("c")
  %u = "tpu.Reshape"(%c) : (tensor<1x6x8xf32>) -> tensor<1x1x6x8xf32> loc("u")
  %t = "tpu.Permute"(%u, %n) {order = [0, 1, 3, 2]} : (tensor<1x1x6x8xf32>, none) -> tensor<1x1x8x6xf32> loc("t")
  %m = "tpu.Mul"(%t, %t) : (tensor<1x1x8x6xf32>, tensor<1x1x8x6xf32>) -> tensor<1x1x8x6xf32> loc("m")
  %p = "tpu.MatMul"(%m, %w, %n, %n, %n) : (tensor<1x1x8x6xf32>, tensor<6x5xf32>, none, none, none) -> tensor<1x1x8x5xf32> loc("p")
  return %p : tensor<1x1x8x5xf32>
}
}

// -----

// A vector between two reshapes of a statistic keeps its columns.
// CHECK-LABEL: @statistic(
// CHECK: %[[R:.*]] = "tpu.Reduce"(%arg0{{.*}} -> tensor<1x1x8xf32> loc("r")
// CHECK-NOT: tpu.Reshape
// CHECK: %[[M:.*]] = "tpu.MulConst"(%[[R]]) {{.*}} -> tensor<1x1x8xf32> loc("m::collapsed"
// CHECK: "tpu.Sub"(%arg0, {{.*}} -> tensor<1x6x8xf32>
module {
func.func @statistic(%x: tensor<1x6x8xf32>) -> tensor<1x6x8xf32> {
  %n = "top.None"() : () -> none
  %r = "tpu.Reduce"(%x, %n, %n) {axes = [1], keepdims = true, mode = "ReduceSum"} : (tensor<1x6x8xf32>, none, none) -> tensor<1x1x8xf32> loc("r")
  %s = "tpu.Reshape"(%r) : (tensor<1x1x8xf32>) -> tensor<1x8xf32> loc("s")
  %m = "tpu.MulConst"(%s) {const_val = 0.125 : f64} : (tensor<1x8xf32>) -> tensor<1x8xf32> loc("m")
  %u = "tpu.Reshape"(%m) : (tensor<1x8xf32>) -> tensor<1x1x8xf32> loc("u")
  %d = "tpu.Sub"(%x, %u) : (tensor<1x6x8xf32>, tensor<1x1x8xf32>) -> tensor<1x6x8xf32> loc("d")
  return %d : tensor<1x6x8xf32>
}
}
