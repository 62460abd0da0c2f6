// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

func.func @gather_c1(%x: tensor<4x5xf32>, %i: tensor<2xf32>) {
  // expected-error @+1 {{expected an axis in [-2, 2), got 2}}
  %y = "top.Gather"(%x, %i) {axis = 2 : si32} : (tensor<4x5xf32>, tensor<2xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @gather_one_index(%x: tensor<4x5xf32>, %i: tensor<1xf32>) {
  %y = "top.Gather"(%x, %i) {axis = 1 : si32, keepdims = false} : (tensor<4x5xf32>, tensor<1xf32>) -> tensor<4xf32>
  %z = "top.Gather"(%x, %i) {axis = 1 : si32} : (tensor<4x5xf32>, tensor<1xf32>) -> tensor<4x1xf32>
  return
}

// -----

func.func @gather_elements_c2(%x: tensor<4x5xf32>, %i: tensor<5x2xf32>) {
  // expected-error @+1 {{expected indices within [4, 5] but for axis 1, got [5, 2]}}
  %y = "top.GatherElements"(%x, %i) {axis = 1 : i64} : (tensor<4x5xf32>, tensor<5x2xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @gather_nd_c1(%x: tensor<4x5xf32>, %i: tensor<4x2xf32>) {
  // expected-error @+1 {{expected batch_dims below both ranks (2 and 2), got 2}}
  %y = "top.GatherND"(%x, %i) {batch_dims = 2 : i64} : (tensor<4x5xf32>, tensor<4x2xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @gather_nd_c2(%x: tensor<4x5xf32>, %i: tensor<3x1xf32>) {
  // expected-error @+1 {{expected equal batch axes, got [4] and [3]}}
  %y = "top.GatherND"(%x, %i) {batch_dims = 1 : i64} : (tensor<4x5xf32>, tensor<3x1xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @gather_nd_c3(%x: tensor<4x5xf32>, %i: tensor<3x3xf32>) {
  // expected-error @+1 {{expected index tuples of 1 to 2, got 3}}
  %y = "top.GatherND"(%x, %i) : (tensor<4x5xf32>, tensor<3x3xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @scatter_elements_c2(%x: tensor<4x5xf32>, %i: tensor<4x2xf32>, %u: tensor<4x3xf32>) {
  // expected-error @+1 {{expected indices and updates of one shape, got [4, 2] and [4, 3]}}
  %y = "top.ScatterElements"(%x, %i, %u) {axis = 1 : i64} : (tensor<4x5xf32>, tensor<4x2xf32>, tensor<4x3xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @scatter_nd_c2(%x: tensor<4x5xf32>, %i: tensor<3x1xf32>, %u: tensor<3x4xf32>) {
  // expected-error @+1 {{expected updates of shape [3, 5], got [3, 4]}}
  %y = "top.ScatterND"(%x, %i, %u) : (tensor<4x5xf32>, tensor<3x1xf32>, tensor<3x4xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @topk_c2(%x: tensor<4x5xf32>) {
  // expected-error @+1 {{expected K in [1, 5], got 6}}
  %v, %i = "top.TopK"(%x) {axis = 1 : i64, K = 6 : i64} : (tensor<4x5xf32>) -> (tensor<*xf32>, tensor<*xf32>)
  return
}

// -----

func.func @topk_results_may_be_absent(%x: tensor<4x5xf32>) {
  %v, %i = "top.TopK"(%x) {axis = -1 : i64, K = 2 : i64} : (tensor<4x5xf32>) -> (none, tensor<4x2xf32>)
  return
}

// -----

func.func @trilu_c1(%x: tensor<5xf32>) {
  // expected-error @+1 {{expected an input of at least rank 2, got 1}}
  %y = "top.Trilu"(%x) {upper = 1 : si32, diagonal = 0 : si32} : (tensor<5xf32>) -> tensor<5xf32>
  return
}

// -----

func.func @interp_c2_scale(%x: tensor<1x2x5x5xf32>) {
  %n = "top.None"() : () -> none
  // expected-error-re @+1 {{expected positive scales or a target_shape, got 2{{.*}} and -1}}
  %y = "top.Interp"(%x, %n) {mode = "nearest", coord_mode = "asymmetric", scale_h = 2.0 : f64} : (tensor<1x2x5x5xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @reduce_c1(%x: tensor<4x5xf32>) {
  // expected-error @+1 {{expected each axis once, got axis 1 twice}}
  %y = "top.Reduce"(%x) {axes = [1, -1], keepdims = true, mode = "ReduceSum"} : (tensor<4x5xf32>) -> tensor<*xf32>
  return
}
