// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

func.func @permute_c1_count(%x: tensor<1x2x3xf32>) {
  // expected-error @+1 {{expected an order of 3 axes, got [1, 0]}}
  %y = "top.Permute"(%x) {order = [1, 0]} : (tensor<1x2x3xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @permute_c1_twice(%x: tensor<1x2x3xf32>) {
  // expected-error @+1 {{expected each axis once, got axis 1 twice}}
  %y = "top.Permute"(%x) {order = [0, 1, 1]} : (tensor<1x2x3xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @reshape_c1_shape(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expected a shape, got none}}
  %y = "top.Reshape"(%x) : (tensor<2x3xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @reshape_c2_one_open_extent(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expected at most one -1 in the shape, got [-1, -1]}}
  %y = "top.Reshape"(%x) {shape = [-1, -1]} : (tensor<2x3xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @reshape_c2_copied_extent(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expected a 0 in the shape to copy an input axis, got 0 at 2 for an input of rank 2}}
  %y = "top.Reshape"(%x) {shape = [2, 3, 0]} : (tensor<2x3xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @reshape_c3_elements(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expected a shape of 6 elements (input [2, 3]), got [4, -1]}}
  %y = "top.Reshape"(%x) {shape = [4, -1]} : (tensor<2x3xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @reshape_c1_shape_operand_is_a_weight(%x: tensor<2x3xf32>, %s: tensor<2xf32>) {
  // expected-error @+1 {{expected shapeT to be a weight, got a run-time tensor}}
  %y = "top.Reshape"(%x, %s) {shape = []} : (tensor<2x3xf32>, tensor<2xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @flatten_c1(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expected start_dim not behind end_dim, got 1 and 0}}
  %y = "top.Flatten"(%x) {start_dim = 1 : i64, end_dim = 0 : i64} : (tensor<2x3xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @squeeze_c2_extent(%x: tensor<2x1xf32>) {
  // expected-error @+1 {{expected an extent of 1 at axis 0, got 2 (input [2, 1])}}
  %y = "top.Squeeze"(%x) {axes = [0]} : (tensor<2x1xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @squeeze_scalar(%x: tensor<1x1xf32>) {
  %y = "top.Squeeze"(%x) {axes = []} : (tensor<1x1xf32>) -> tensor<f32>
  %z = "top.Squeeze"(%x) {axes = [], is_scalar = true} : (tensor<1x1xf32>) -> tensor<1xf32>
  return
}

// -----

func.func @unsqueeze_c1(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected an axis in [-2, 2), got 2}}
  %y = "top.Unsqueeze"(%x) {axes = [2]} : (tensor<2xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @concat_c3(%x: tensor<2x3xf32>, %y: tensor<2x4xf32>) {
  // expected-error @+1 {{expected operands that agree but for axis 0, got [2, 3] and [2, 4]}}
  %z = "top.Concat"(%x, %y) {axis = 0 : si32} : (tensor<2x3xf32>, tensor<2x4xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @split_c2_num(%x: tensor<2x4xf32>) {
  // expected-error @+1 {{expected num to be the number of results, got 3 and 2}}
  %y:2 = "top.Split"(%x) {axis = 1 : si32, num = 3 : i64} : (tensor<2x4xf32>) -> (tensor<*xf32>, tensor<*xf32>)
  return
}

// -----

func.func @split_c3_sizes(%x: tensor<2x4xf32>) {
  // expected-error @+1 {{expected 2 positive sizes with a sum of 4, got [3, 2]}}
  %y:2 = "top.Split"(%x) {axis = 1 : si32, num = 2 : i64, split_size = [3, 2]} : (tensor<2x4xf32>) -> (tensor<*xf32>, tensor<*xf32>)
  return
}

// -----

func.func @slice_c1_counts(%x: tensor<4x4xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected 1 entries in offset, ends and steps, got 2, 1 and 1}}
  %y = "top.Slice"(%x, %n, %n, %n) {axes = [1], offset = [0, 0], ends = [2], steps = [1]} : (tensor<4x4xf32>, none, none, none) -> tensor<*xf32>
  return
}

// -----

func.func @slice_c3_step(%x: tensor<4x4xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected steps other than 0, got [0]}}
  %y = "top.Slice"(%x, %n, %n, %n) {axes = [1], offset = [0], ends = [2], steps = [0]} : (tensor<4x4xf32>, none, none, none) -> tensor<*xf32>
  return
}

// -----

func.func @slice_c4_empty(%x: tensor<4x4xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected at least one element of axis 1 (extent 4), got offset 3, end 2, step 1}}
  %y = "top.Slice"(%x, %n, %n, %n) {axes = [1], offset = [3], ends = [2], steps = [1]} : (tensor<4x4xf32>, none, none, none) -> tensor<*xf32>
  return
}

// -----

func.func @slice_c5_run_time_offset(%x: tensor<4x4xf32>, %o: tensor<1xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected offsetT to be none or a weight, got a run-time tensor}}
  %y = "top.Slice"(%x, %o, %n, %n) {axes = [1], offset = [0], ends = [2], steps = [1]} : (tensor<4x4xf32>, tensor<1xf32>, none, none) -> tensor<*xf32>
  return
}

// -----

func.func @pad_c1_count(%x: tensor<4x4xf32>) {
  // expected-error @+1 {{expected 4 paddings, got [1, 1]}}
  %y = "top.Pad"(%x) {paddings = [1, 1], mode = "constant"} : (tensor<4x4xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @pad_c2_negative(%x: tensor<4x4xf32>) {
  // expected-error @+1 {{expected paddings of at least 0, got [0, -1, 0, 0] (use a Slice to cut)}}
  %y = "top.Pad"(%x) {paddings = [0, -1, 0, 0], mode = "constant"} : (tensor<4x4xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @pad_c3_reflect(%x: tensor<4x4xf32>) {
  // expected-error @+1 {{expected reflect paddings of at most 3 on axis 1, got 4}}
  %y = "top.Pad"(%x) {paddings = [0, 4, 0, 0], mode = "reflect"} : (tensor<4x4xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @tile_c1(%x: tensor<4x4xf32>) {
  // expected-error @+1 {{expected 2 positive entries in tile, got [2, 0]}}
  %y = "top.Tile"(%x) {tile = [2, 0]} : (tensor<4x4xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @expand_c1(%x: tensor<4x1xf32>) {
  // expected-error @+1 {{expected shapes that broadcast, got [4, 1] and [3, 2]}}
  %y = "top.Expand"(%x) {shape = [3, 2]} : (tensor<4x1xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @depth2space_c2(%x: tensor<1x6x2x2xf32>) {
  // expected-error @+1 {{expected blocks of 2 x 2 to divide the channels, got input [1, 6, 2, 2]}}
  %y = "top.Depth2Space"(%x) {block_h = 2 : i64, block_w = 2 : i64, is_CRD = true, is_inversed = false} : (tensor<1x6x2x2xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @constant_fill_c1(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected the shape to be a weight, got a run-time tensor}}
  %y = "top.ConstantFill"(%x) {value = 1.0 : f64} : (tensor<2xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @weight_c2_name() {
  // expected-error @+1 {{expected a name as location, got none}}
  %y = "top.Weight"() : () -> tensor<2xf32>
  return
}

// -----

func.func @shapes_are_known(%x: tensor<?x2xf32>) {
  // expected-error @+1 {{expected operands of known shape, got 'tensor<?x2xf32>'}}
  %y = "top.Relu"(%x) : (tensor<?x2xf32>) -> tensor<*xf32>
  return
}
