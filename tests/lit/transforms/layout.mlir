// RUN: tpumlir-opt %s --canonicalize -split-input-file -mlir-print-local-scope | FileCheck %s

// CHECK-LABEL: @reshapes_join
// CHECK: "top.Reshape"(%arg0){{.*}}shape = [24]{{.*}} loc("z")
// CHECK-NOT: top.Reshape
// CHECK-NOT: top.Flatten
func.func @reshapes_join(%x: tensor<2x3x4xf32>) -> tensor<24xf32> {
  %a = "top.Unsqueeze"(%x) {axes = [0]} : (tensor<2x3x4xf32>) -> tensor<1x2x3x4xf32>
  %b = "top.Flatten"(%a) {start_dim = 1 : i64} : (tensor<1x2x3x4xf32>) -> tensor<1x24xf32>
  %c = "top.Squeeze"(%b) {axes = [0]} : (tensor<1x24xf32>) -> tensor<24xf32> loc("z")
  return %c : tensor<24xf32>
}

// -----

// CHECK-LABEL: @reshape_back_is_nothing
// CHECK-NOT: top.Reshape
// CHECK: "top.Exp"(%arg0)
func.func @reshape_back_is_nothing(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %a = "top.Reshape"(%x) {shape = [6]} : (tensor<2x3xf32>) -> tensor<6xf32>
  %b = "top.Reshape"(%a) {shape = [2, 3]} : (tensor<6xf32>) -> tensor<2x3xf32>
  %c = "top.Exp"(%b) : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return %c : tensor<2x3xf32>
}

// -----

// A model output keeps an op of its name.
// CHECK-LABEL: @output_keeps_its_name
// CHECK: "top.Reshape"(%arg0){{.*}} loc("y")
func.func @output_keeps_its_name(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %a = "top.Reshape"(%x) {shape = [2, 3]} : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("y")
  return %a : tensor<2x3xf32>
}

// -----

// An intermediate result that is a model output stays beside the joined one.
// CHECK-LABEL: @both_are_outputs
// CHECK-DAG: "top.Reshape"(%arg0){{.*}}shape = [6]
// CHECK-DAG: "top.Reshape"(%arg0){{.*}}shape = [3, 2]
func.func @both_are_outputs(%x: tensor<2x3xf32>) -> (tensor<6xf32>, tensor<3x2xf32>) {
  %a = "top.Reshape"(%x) {shape = [6]} : (tensor<2x3xf32>) -> tensor<6xf32>
  %b = "top.Reshape"(%a) {shape = [3, 2]} : (tensor<6xf32>) -> tensor<3x2xf32>
  return %a, %b : tensor<6xf32>, tensor<3x2xf32>
}

// -----

// CHECK-LABEL: @permutes_compose
// CHECK: "top.Permute"(%arg0){{.*}}order = [2, 0, 1]
// CHECK-NOT: top.Permute
func.func @permutes_compose(%x: tensor<2x3x4xf32>) -> tensor<4x2x3xf32> {
  %a = "top.Permute"(%x) {order = [0, 2, 1]} : (tensor<2x3x4xf32>) -> tensor<2x4x3xf32>
  %b = "top.Permute"(%a) {order = [1, 0, 2]} : (tensor<2x4x3xf32>) -> tensor<4x2x3xf32>
  return %b : tensor<4x2x3xf32>
}

// -----

// CHECK-LABEL: @permute_of_ones_is_a_reshape
// CHECK: "top.Reshape"(%arg0){{.*}}shape = [1, 3, 1, 5]
func.func @permute_of_ones_is_a_reshape(%x: tensor<1x1x3x5xf32>) -> tensor<1x3x1x5xf32> {
  %a = "top.Permute"(%x) {order = [0, 2, 1, 3]} : (tensor<1x1x3x5xf32>) -> tensor<1x3x1x5xf32>
  return %a : tensor<1x3x1x5xf32>
}

// -----

// CHECK-LABEL: @transpose
// CHECK: "top.Permute"(%arg0){{.*}}order = [0, 2, 1]
func.func @transpose(%x: tensor<2x3x4xf32>) -> tensor<2x4x3xf32> {
  %a = "top.Transpose"(%x) {dim0 = 1 : si32, dim1 = 2 : si32} : (tensor<2x3x4xf32>) -> tensor<2x4x3xf32>
  return %a : tensor<2x4x3xf32>
}

// -----

// CHECK-LABEL: @whole_slice
// CHECK-NOT: top.Slice
func.func @whole_slice(%x: tensor<4xf32>) -> tensor<4xf32> {
  %n = "top.None"() : () -> none
  %a = "top.Slice"(%x, %n, %n, %n) {offset = [0], ends = [4], steps = [1]} : (tensor<4xf32>, none, none, none) -> tensor<4xf32>
  %b = "top.Exp"(%a) : (tensor<4xf32>) -> tensor<4xf32>
  return %b : tensor<4xf32>
}

// -----

// CHECK-LABEL: @reversing_slice_stays
// CHECK: top.Slice
func.func @reversing_slice_stays(%x: tensor<4xf32>) -> tensor<4xf32> {
  %n = "top.None"() : () -> none
  %a = "top.Slice"(%x, %n, %n, %n) {offset = [-1], ends = [-5], steps = [-1]} : (tensor<4xf32>, none, none, none) -> tensor<4xf32>
  %b = "top.Exp"(%a) : (tensor<4xf32>) -> tensor<4xf32>
  return %b : tensor<4xf32>
}

// -----

// CHECK-LABEL: @pad_into_conv
// CHECK-NOT: top.Pad
// CHECK: "top.Conv"(%arg0{{.*}}pads = [2, 3, 1, 4]
func.func @pad_into_conv(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) -> tensor<1x4x9x13xf32> {
  %n = "top.None"() : () -> none
  %p = "top.Pad"(%x) {mode = "constant", paddings = [0, 0, 1, 2, 0, 0, 0, 3]} : (tensor<1x3x8x8xf32>) -> tensor<1x3x9x13xf32>
  %y = "top.Conv"(%p, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1]} : (tensor<1x3x9x13xf32>, tensor<4x3x3x3xf32>, none) -> tensor<1x4x9x13xf32>
  return %y : tensor<1x4x9x13xf32>
}

// -----

// Not zeros, or of the channels: the Pad stays.
// CHECK-LABEL: @pad_stays
// CHECK: top.Pad
// CHECK: top.Conv
// CHECK: top.Pad
// CHECK: top.Conv
func.func @pad_stays(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>, %v: tensor<4x4x3x3xf32>) -> (tensor<1x4x8x8xf32>, tensor<1x4x6x6xf32>) {
  %n = "top.None"() : () -> none
  %p = "top.Pad"(%x) {mode = "constant", val = 1.0 : f64, paddings = [0, 0, 1, 1, 0, 0, 1, 1]} : (tensor<1x3x8x8xf32>) -> tensor<1x3x10x10xf32>
  %y = "top.Conv"(%p, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x3x10x10xf32>, tensor<4x3x3x3xf32>, none) -> tensor<1x4x8x8xf32>
  %q = "top.Pad"(%x) {mode = "constant", paddings = [0, 1, 0, 0, 0, 0, 0, 0]} : (tensor<1x3x8x8xf32>) -> tensor<1x4x8x8xf32>
  %z = "top.Conv"(%q, %v, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x4x8x8xf32>, tensor<4x4x3x3xf32>, none) -> tensor<1x4x6x6xf32>
  return %y, %z : tensor<1x4x8x8xf32>, tensor<1x4x6x6xf32>
}

// -----

// -inf wins in MaxPool, not 0.
// CHECK-LABEL: @pad_before_maxpool_stays
// CHECK: top.Pad
func.func @pad_before_maxpool_stays(%x: tensor<1x3x8x8xf32>) -> tensor<1x3x5x5xf32> {
  %p = "top.Pad"(%x) {mode = "constant", paddings = [0, 0, 1, 1, 0, 0, 1, 1]} : (tensor<1x3x8x8xf32>) -> tensor<1x3x10x10xf32>
  %y = "top.MaxPool"(%p) {kernel_shape = [2, 2], strides = [2, 2], pads = [0, 0, 0, 0]} : (tensor<1x3x10x10xf32>) -> tensor<1x3x5x5xf32>
  return %y : tensor<1x3x5x5xf32>
}
