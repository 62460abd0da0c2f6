// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

func.func @flat_indices_c1(%i: tensor<4x2xi32>) {
  // expected-error @+1 {{expected tuples of 3 indices, got a tensor of 4x2}}
  %y = "tpu.FlatIndices"(%i) {extents = [5, 6, 7]} : (tensor<4x2xi32>) -> tensor<4xi32>
  return
}

// -----

func.func @flat_indices_c2(%i: tensor<4x2xi32>) {
  // expected-error @+1 {{expected a result of shape 4, got 4x1}}
  %y = "tpu.FlatIndices"(%i) {extents = [5, 6]} : (tensor<4x2xi32>) -> tensor<4x1xi32>
  return
}

// -----

func.func @gather_c1_batch(%x: tensor<2x5x3xf32>, %i: tensor<3x4xi32>) {
  // expected-error @+1 {{expected 0 or axis as batch_dims and equal batch axes, got 1 with 2x5x3 and 3x4}}
  %y = "tpu.Gather"(%x, %i) {axis = 1 : i64, batch_dims = 1 : i64} : (tensor<2x5x3xf32>, tensor<3x4xi32>) -> tensor<2x4x3xf32>
  return
}

// -----

func.func @gather_c2_type(%x: tensor<5x3xf32>, %i: tensor<4xf32>) {
  // expected-error @+1 {{expected indices of i32, got 'tensor<4xf32>'}}
  %y = "tpu.Gather"(%x, %i) {axis = 0 : i64} : (tensor<5x3xf32>, tensor<4xf32>) -> tensor<4x3xf32>
  return
}

// -----

func.func @gather_c2_shape(%x: tensor<5x3xf32>, %i: tensor<4xi32>) {
  // expected-error @+1 {{expected a result of shape 4x3, got 5x3}}
  %y = "tpu.Gather"(%x, %i) {axis = 0 : i64} : (tensor<5x3xf32>, tensor<4xi32>) -> tensor<5x3xf32>
  return
}

// -----

func.func @gather_elements_c1(%x: tensor<5x3xf32>, %i: tensor<5x4xi32>) {
  // expected-error @+1 {{expected indices within 5x3 but for axis 0, got 5x4}}
  %y = "tpu.GatherElements"(%x, %i) {axis = 0 : i64} : (tensor<5x3xf32>, tensor<5x4xi32>) -> tensor<5x4xf32>
  return
}

// -----

func.func @scatter_elements_c2(%x: tensor<5x3xf32>, %i: tensor<2x3xi32>, %u: tensor<3x3xf32>) {
  // expected-error @+1 {{expected updates of shape 2x3, got 3x3}}
  %y = "tpu.ScatterElements"(%x, %i, %u) {axis = 0 : i64, reduction = "none"} : (tensor<5x3xf32>, tensor<2x3xi32>, tensor<3x3xf32>) -> tensor<5x3xf32>
  return
}

// -----

func.func @scatter_nd_c1(%x: tensor<5x3xf32>, %i: tensor<2xi32>, %u: tensor<2x4xf32>) {
  // expected-error @+1 {{expected rows, their indices and rows of that width, got 5x3, 2 and 2x4}}
  %y = "tpu.ScatterND"(%x, %i, %u) {reduction = "add"} : (tensor<5x3xf32>, tensor<2xi32>, tensor<2x4xf32>) -> tensor<5x3xf32>
  return
}

// -----

func.func @top_k_c1(%x: tensor<2x5xf32>) {
  // expected-error @+1 {{expected K in [1, extent of the last axis of 2x5], got 6}}
  %v, %i = "tpu.TopK"(%x) {K = 6 : i64, largest = true} : (tensor<2x5xf32>) -> (tensor<2x6xf32>, tensor<2x6xi32>)
  return
}

// -----

func.func @top_k_c3(%x: tensor<2x9000xf32>) {
  // expected-error @+1 {{expected a last axis of at most 8192, got 9000}}
  %v, %i = "tpu.TopK"(%x) {K = 1 : i64, largest = true} : (tensor<2x9000xf32>) -> (tensor<2x1xf32>, tensor<2x1xi32>)
  return
}

// -----

func.func @trilu_c1(%x: tensor<5xf32>) {
  // expected-error @+1 {{expected an input of at least rank 2, got 1}}
  %y = "tpu.Trilu"(%x) {upper = true, diagonal = 0 : i64} : (tensor<5xf32>) -> tensor<5xf32>
  return
}

// -----

func.func @arg_c2(%x: tensor<2x5xf32>) {
  // expected-error @+1 {{expected a result of shape 2x1, got 2}}
  %y = "tpu.Arg"(%x) {axis = 1 : i64, mode = "ArgMax", select_last_index = false} : (tensor<2x5xf32>) -> tensor<2xi32>
  return
}

// -----

func.func @cum_sum_c1(%x: tensor<2x5xf32>) {
  // expected-error @+1 {{expected axis in [0, 2), got 2}}
  %y = "tpu.CumSum"(%x) {axis = 2 : i64} : (tensor<2x5xf32>) -> tensor<2x5xf32>
  return
}

// -----

func.func @reduce_c3(%x: tensor<2x5xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected a minimum, maximum, mean, sum or product, got ReduceL2}}
  %y = "tpu.Reduce"(%x, %n, %n) {axes = [1], keepdims = true, mode = "ReduceL2"} : (tensor<2x5xf32>, none, none) -> tensor<2x1xf32>
  return
}
