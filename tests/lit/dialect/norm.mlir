// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

func.func @batchnorm_c1_rank(%x: tensor<4xf32>, %p: tensor<4xf32>) {
  // expected-error @+1 {{expected an input of at least rank 2, got 1}}
  %y = "top.BatchNorm"(%x, %p, %p, %p, %p) : (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @batchnorm_c2_parameters(%x: tensor<1x3x2xf32>, %p: tensor<3xf32>, %q: tensor<2xf32>) {
  // expected-error @+1 {{expected variance of 3 elements, got 2 (shape [2])}}
  %y = "top.BatchNorm"(%x, %p, %q, %p, %p) : (tensor<1x3x2xf32>, tensor<3xf32>, tensor<2xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @batchnorm_c3_epsilon(%x: tensor<1x3x2xf32>, %p: tensor<3xf32>) {
  // expected-error @+1 {{expected an epsilon of at least 0, got -1.000000e+00}}
  %y = "top.BatchNorm"(%x, %p, %p, %p, %p) {epsilon = -1.0 : f64} : (tensor<1x3x2xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @scale_c2_bias(%x: tensor<1x3x2xf32>, %p: tensor<3xf32>, %q: tensor<1xf32>) {
  // expected-error @+1 {{expected bias of 3 elements, got 1 (shape [1])}}
  %y = "top.Scale"(%x, %p, %q) : (tensor<1x3x2xf32>, tensor<3xf32>, tensor<1xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @layernorm_c1_axis(%x: tensor<1x3x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected an axis in [-3, 3), got 3}}
  %y = "top.LayerNorm"(%x, %n, %n) {normalized_shape = [], axis = 3 : si32, eps = 1.0e-5 : f64} : (tensor<1x3x2xf32>, none, none) -> tensor<*xf32>
  return
}

// -----

func.func @layernorm_c2_weight(%x: tensor<1x3x2xf32>, %w: tensor<2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected weight of 6 elements, got 2 (shape [2])}}
  %y = "top.LayerNorm"(%x, %w, %n) {normalized_shape = [], axis = 1 : si32, eps = 1.0e-5 : f64} : (tensor<1x3x2xf32>, tensor<2xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @layernorm_c3_normalized_shape(%x: tensor<1x3x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected normalized_shape [3, 2], got [2]}}
  %y = "top.LayerNorm"(%x, %n, %n) {normalized_shape = [2], axis = 1 : si32, eps = 1.0e-5 : f64} : (tensor<1x3x2xf32>, none, none) -> tensor<*xf32>
  return
}

// -----

func.func @groupnorm_c3_groups(%x: tensor<1x6x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected num_groups that divides 6 channels, got 4}}
  %y = "top.GroupNorm"(%x, %n, %n) {num_groups = 4 : i64, eps = 1.0e-5 : f64} : (tensor<1x6x2xf32>, none, none) -> tensor<*xf32>
  return
}

// -----

func.func @rmsnorm_c2_gamma(%x: tensor<1x6xf32>, %g: tensor<5xf32>) {
  // expected-error @+1 {{expected gamma of 6 elements, got 5 (shape [5])}}
  %y = "top.RMSNorm"(%x, %g) {eps = 1.0e-5 : f64} : (tensor<1x6xf32>, tensor<5xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @lrn_c2_size(%x: tensor<1x6x2x2xf32>) {
  // expected-error @+1 {{expected a positive size, got 0}}
  %y = "top.LRN"(%x) {size = 0 : i64} : (tensor<1x6x2x2xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @softmax_c1_axis(%x: tensor<1x6xf32>) {
  // expected-error @+1 {{expected an axis in [-2, 2), got -3}}
  %y = "top.Softmax"(%x) {axis = -3 : si32} : (tensor<1x6xf32>) -> tensor<*xf32>
  return
}
