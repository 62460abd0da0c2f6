// RUN: tpumlir-opt %s --choose-precision -split-input-file -mlir-print-local-scope | FileCheck %s

// (P1) The table goes before every rule, for `b::square` too: it belongs to `b`. Where a rule says otherwise, that is noted.
// CHECK-LABEL: @table(
// CHECK: "tpu.Conv2D"{{.*}}tpu.precision = {type = bf16}
// CHECK: "tpu.Mul"{{.*}}tpu.precision = {type = f32, why = "(P1) the quantize table"}
// CHECK: "tpu.Active"{{.*}}tpu.precision = {type = f16, why = "(P1) the quantize table, against (P4) an angle that can grow"}
module attributes {module.mode = "BF16", module.quantize_table = {"b" = "F32", "y" = "F16"}} {
func.func @table(%x: tensor<1x1x4x4xf32>) -> tensor<1x1x4x4xf32> {
  %none = "top.None"() : () -> none
  %w = "top.Weight"() : () -> tensor<1x1x1x1xf32> loc("w")
  %a = "tpu.Conv2D"(%x, %w, %none) {kernel_shape = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x1x4x4xf32>, tensor<1x1x1x1xf32>, none) -> tensor<1x1x4x4xf32> loc("a")
  %s = "tpu.Mul"(%a, %a) : (tensor<1x1x4x4xf32>, tensor<1x1x4x4xf32>) -> tensor<1x1x4x4xf32> loc("b::square")
  %y = "tpu.Active"(%s) {mode = #tpu<active_mode SIN>} : (tensor<1x1x4x4xf32>) -> tensor<1x1x4x4xf32> loc("y")
  return %y : tensor<1x1x4x4xf32>
}
}

// -----

// (P2) Integers of any size stay F32, and so does what reads them; those of a byte fit. A comparison makes 0 and 1.
// CHECK-LABEL: @integers(
// CHECK: "tpu.Cast"{{.*}}{type = f32, why = "(P2) integers that the half does not hold exactly"}{{.*}}loc("c")
// CHECK: "tpu.Concat"{{.*}}{type = f32, why = "(P2){{.*}}loc("j")
// CHECK: "tpu.MulConst"{{.*}}{type = f32, why = "(P2){{.*}}loc("m")
// CHECK: "tpu.AddConst"{{.*}}{type = f16}{{.*}}loc("n")
// CHECK: "tpu.Cast"{{.*}}{type = f16}{{.*}}loc("b")
// CHECK: "tpu.Cast"{{.*}}{type = f16}{{.*}}loc("t")
module attributes {module.mode = "F16"} {
func.func @integers(%x: tensor<4xf32>, %i: tensor<4xi32>) -> (tensor<8xf32>, tensor<4xf32>, tensor<4xf32>) {
  %none = "top.None"() : () -> none
  %c = "tpu.Cast"(%i) : (tensor<4xi32>) -> tensor<4xf32> loc("c")
  %j = "tpu.Concat"(%x, %c) {axis = 0 : si32} : (tensor<4xf32>, tensor<4xf32>) -> tensor<8xf32> loc("j")
  %m = "tpu.MulConst"(%j) {const_val = 0.3} : (tensor<8xf32>) -> tensor<8xf32> loc("m")
  %n = "tpu.AddConst"(%m) {const_val = 0.5} : (tensor<8xf32>) -> tensor<8xf32> loc("n")
  %a = "tpu.Bitwise"(%i, %none) {mode = "And", const_val = 255} : (tensor<4xi32>, none) -> tensor<4xi32> loc("a")
  %b = "tpu.Cast"(%a) : (tensor<4xi32>) -> tensor<4xf32> loc("b")
  %e = "tpu.CompareConst"(%i) {mode = "Equal", const_val = 49407.0, inversed = false} : (tensor<4xi32>) -> tensor<4xi32> loc("e")
  %t = "tpu.Cast"(%e) : (tensor<4xi32>) -> tensor<4xf32> loc("t")
  return %n, %b, %t : tensor<8xf32>, tensor<4xf32>, tensor<4xf32>
}
}

// -----

// (P3) What a cast to integers reads is F32 back to the convolution, and what the rounding leaves over; no name counts.
// CHECK-LABEL: @to_integers(
// CHECK: "tpu.Conv2D"{{.*}}{type = bf16}
// CHECK: "tpu.AddConst"{{.*}}{type = f32, why = "(P3) decides integers"}{{.*}}loc("s"
// CHECK: "tpu.Active"{{.*}}{type = f32, why = {{.*}}loc("f"
// CHECK: "tpu.Sub"{{.*}}{type = f32, why = {{.*}}loc("r"
module attributes {module.mode = "BF16"} {
func.func @to_integers(%x: tensor<1x1x4x4xf32>) -> (tensor<1x1x4x4xf32>, tensor<1x1x4x4xi32>) {
  %none = "top.None"() : () -> none
  %w = "top.Weight"() : () -> tensor<1x1x1x1xf32> loc("w")
  %c = "tpu.Conv2D"(%x, %w, %none) {kernel_shape = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x1x4x4xf32>, tensor<1x1x1x1xf32>, none) -> tensor<1x1x4x4xf32> loc("c")
  %s = "tpu.AddConst"(%c) {const_val = 0.5} : (tensor<1x1x4x4xf32>) -> tensor<1x1x4x4xf32> loc("s"("node"))
  %f = "tpu.Active"(%s) {mode = #tpu<active_mode FLOOR>} : (tensor<1x1x4x4xf32>) -> tensor<1x1x4x4xf32> loc("f"("other"))
  %i = "tpu.Cast"(%f) : (tensor<1x1x4x4xf32>) -> tensor<1x1x4x4xi32> loc("i"("third"))
  %r = "tpu.Sub"(%s, %f) : (tensor<1x1x4x4xf32>, tensor<1x1x4x4xf32>) -> tensor<1x1x4x4xf32> loc("r"("fourth"))
  return %r, %i : tensor<1x1x4x4xf32>, tensor<1x1x4x4xi32>
}
}

// -----

// (P4) Angles that may be more than a turn are F32 with what makes them; a bounded one is a number like any other.
// CHECK-LABEL: @angles(
// CHECK: "tpu.MulConst"{{.*}}{type = f32, why = "(P4) an angle that can grow"}{{.*}}loc("p")
// CHECK: "tpu.Active"{{.*}}{type = f32, why = "(P4){{.*}}loc("s")
// CHECK: "tpu.Active"{{.*}}{type = f16}{{.*}}loc("t")
// CHECK: "tpu.Active"{{.*}}{type = f16}{{.*}}loc("c")
module attributes {module.mode = "F16"} {
func.func @angles(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %p = "tpu.MulConst"(%x) {const_val = 0.1} : (tensor<4xf32>) -> tensor<4xf32> loc("p")
  %s = "tpu.Active"(%p) {mode = #tpu<active_mode SIN>} : (tensor<4xf32>) -> tensor<4xf32> loc("s")
  %t = "tpu.Active"(%x) {mode = #tpu<active_mode TANH>} : (tensor<4xf32>) -> tensor<4xf32> loc("t")
  %c = "tpu.Active"(%t) {mode = #tpu<active_mode COS>} : (tensor<4xf32>) -> tensor<4xf32> loc("c")
  return %s, %c : tensor<4xf32>, tensor<4xf32>
}
}

// -----

// (P5) Centring, squares, their mean and what uses it; the tensor behind is one like any other. A plain mean is half.
// CHECK-LABEL: @statistics(
// CHECK: "tpu.Reduce"{{.*}}{type = f32, why = "(P5) a statistic: sums of squares, exponentials or long rows"}{{.*}}loc("mean")
// CHECK: "tpu.Sub"{{.*}}{type = f32, why = "(P5){{.*}}loc("centred")
// CHECK: "tpu.Active"{{.*}}{type = f32, why = "(P5){{.*}}loc("square")
// CHECK: "tpu.Reduce"{{.*}}{type = f32, why = "(P5){{.*}}loc("variance")
// CHECK: "tpu.Active"{{.*}}{type = f32, why = "(P5){{.*}}loc("root")
// CHECK: "tpu.Div"{{.*}}{type = f32, why = "(P5){{.*}}loc("normal")
// CHECK: "tpu.Relu"{{.*}}{type = f16}{{.*}}loc("y")
// CHECK: "tpu.Reduce"{{.*}}{type = f16}{{.*}}loc("z")
module attributes {module.mode = "F16"} {
func.func @statistics(%x: tensor<2x8xf32>) -> tensor<2x1xf32> {
  %none = "top.None"() : () -> none
  %m = "tpu.Reduce"(%x, %none, %none) {axes = [1], keepdims = true, mode = "ReduceMean"} : (tensor<2x8xf32>, none, none) -> tensor<2x1xf32> loc("mean")
  %d = "tpu.Sub"(%x, %m) : (tensor<2x8xf32>, tensor<2x1xf32>) -> tensor<2x8xf32> loc("centred")
  %s = "tpu.Active"(%d) {mode = #tpu<active_mode SQUARE>} : (tensor<2x8xf32>) -> tensor<2x8xf32> loc("square")
  %v = "tpu.Reduce"(%s, %none, %none) {axes = [1], keepdims = true, mode = "ReduceMean"} : (tensor<2x8xf32>, none, none) -> tensor<2x1xf32> loc("variance")
  %r = "tpu.Active"(%v) {mode = #tpu<active_mode SQRT>} : (tensor<2x1xf32>) -> tensor<2x1xf32> loc("root")
  %n = "tpu.Div"(%d, %r) : (tensor<2x8xf32>, tensor<2x1xf32>) -> tensor<2x8xf32> loc("normal")
  %y = "tpu.Relu"(%n) : (tensor<2x8xf32>) -> tensor<2x8xf32> loc("y")
  %z = "tpu.Reduce"(%y, %none, %none) {axes = [1], keepdims = true, mode = "ReduceMean"} : (tensor<2x8xf32>, none, none) -> tensor<2x1xf32> loc("z")
  return %z : tensor<2x1xf32>
}
}

// -----

// (P6) F16 does not know 1e-10: log(x + 1e-10) is F32. BF16 does, but a logarithm is F32 in both.
// CHECK-LABEL: @small_numbers(
// CHECK: "tpu.AddConst"{{.*}}{type = f32, why = "(P6) small numbers under a division, logarithm or root"}{{.*}}loc("a")
// CHECK: "tpu.Active"{{.*}}{type = f32, why = "(P6){{.*}}loc("l")
// CHECK: "tpu.AddConst"{{.*}}{type = f16}{{.*}}loc("b")
// CHECK: "tpu.Reciprocal"{{.*}}{type = f16}{{.*}}loc("r")
module attributes {module.mode = "F16"} {
func.func @small_numbers(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %a = "tpu.AddConst"(%x) {const_val = 1.0e-10} : (tensor<4xf32>) -> tensor<4xf32> loc("a")
  %l = "tpu.Active"(%a) {mode = #tpu<active_mode LN>} : (tensor<4xf32>) -> tensor<4xf32> loc("l")
  %b = "tpu.AddConst"(%x) {const_val = 0.5} : (tensor<4xf32>) -> tensor<4xf32> loc("b")
  %r = "tpu.Reciprocal"(%b) {const_val = 1.0} : (tensor<4xf32>) -> tensor<4xf32> loc("r")
  return %l, %r : tensor<4xf32>, tensor<4xf32>
}
}

// -----

// (P7) A mask below the range stays F32 up to the softmax. Bounds that nothing reaches bring nothing.
// CHECK-LABEL: @beyond(
// CHECK: "tpu.Where"{{.*}}{type = f32, why = "(P7) numbers beyond the half's range"}{{.*}}loc("w")
// CHECK: "tpu.Add"{{.*}}{type = f32, why = "(P7){{.*}}loc("a")
// CHECK: "tpu.Softmax"{{.*}}{type = f32, why = "(P7){{.*}}loc("s")
// CHECK: "tpu.Clip"{{.*}}{type = f16}{{.*}}loc("y")
module attributes {module.mode = "F16"} {
func.func @beyond(%x: tensor<2x4xf32>, %m: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %none = "top.None"() : () -> none
  %w = "tpu.Where"(%m, %none, %x) {x_is_const = true, x_const_val = -1.0e9} : (tensor<2x4xf32>, none, tensor<2x4xf32>) -> tensor<2x4xf32> loc("w")
  %a = "tpu.Add"(%w, %x) : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32> loc("a")
  %s = "tpu.Softmax"(%a, %none, %none, %none, %none, %none) {axis = 1 : si32} : (tensor<2x4xf32>, none, none, none, none, none) -> tensor<2x4xf32> loc("s")
  %y = "tpu.Clip"(%s) {min = 0.0, max = 3.0e38} : (tensor<2x4xf32>) -> tensor<2x4xf32> loc("y")
  return %y : tensor<2x4xf32>
}
}

// -----

// (P8) Keys are F32 from the sums of the network on.
// CHECK-LABEL: @keys(
// CHECK: "tpu.MatMul"{{.*}}{type = bf16}
// CHECK: "tpu.Active"{{.*}}{type = f32, why = "(P8) keys that near-ties decide"}
// CHECK: "tpu.Arg"{{.*}}{type = f32}
module attributes {module.mode = "BF16"} {
func.func @keys(%x: tensor<2x8xf32>, %w: tensor<8x4xf32>) -> tensor<2x1xi32> {
  %none = "top.None"() : () -> none
  %m = "tpu.MatMul"(%x, %w, %none, %none, %none) : (tensor<2x8xf32>, tensor<8x4xf32>, none, none, none) -> tensor<2x4xf32> loc("m")
  %s = "tpu.Active"(%m) {mode = #tpu<active_mode SIGMOID>} : (tensor<2x4xf32>) -> tensor<2x4xf32> loc("s")
  %i = "tpu.Arg"(%s) {axis = 1, mode = "ArgMax", select_last_index = false} : (tensor<2x4xf32>) -> tensor<2x1xi32> loc("i")
  return %i : tensor<2x1xi32>
}
}

// -----

// (P9) A scale of 1e-6 and what it makes, until something of ordinary size is added.
// CHECK-LABEL: @tiny(
// CHECK: "tpu.MulConst"{{.*}}{type = f32, why = "(P9) factors below the half's normal range"}{{.*}}loc("t")
// CHECK: "tpu.Relu"{{.*}}{type = f32, why = "(P9){{.*}}loc("u")
// CHECK: "tpu.Add"{{.*}}{type = f16}{{.*}}loc("y")
module attributes {module.mode = "F16"} {
func.func @tiny(%x: tensor<4xf32>) -> tensor<4xf32> {
  %t = "tpu.MulConst"(%x) {const_val = 1.0e-6} : (tensor<4xf32>) -> tensor<4xf32> loc("t")
  %u = "tpu.Relu"(%t) : (tensor<4xf32>) -> tensor<4xf32> loc("u")
  %y = "tpu.Add"(%x, %u) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32> loc("y")
  return %y : tensor<4xf32>
}
}
