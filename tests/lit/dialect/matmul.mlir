// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

func.func @matmul_c1_inner_extents(%x: tensor<2x5xf32>, %y: tensor<4x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected left columns to equal right rows, got 5 and 4 (shapes [2, 5] and [4, 3])}}
  %z = "top.MatMul"(%x, %y, %n) : (tensor<2x5xf32>, tensor<4x3xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @matmul_c2_batches(%x: tensor<2x4x5xf32>, %y: tensor<3x5x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected shapes that broadcast, got [2] and [3]}}
  %z = "top.MatMul"(%x, %y, %n) : (tensor<2x4x5xf32>, tensor<3x5x3xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @matmul_c3_bias(%x: tensor<2x5xf32>, %y: tensor<5x3xf32>, %b: tensor<4x2x3xf32>) {
  // expected-error @+1 {{expected a bias that broadcasts to [2, 3], got [4, 2, 3]}}
  %z = "top.MatMul"(%x, %y, %b) : (tensor<2x5xf32>, tensor<5x3xf32>, tensor<4x2x3xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @matmul_c4_later_stages(%x: tensor<2x5xf32>, %y: tensor<5x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected hdim_is_batch = false and keep_dims = true, got 1 and 1}}
  %z = "top.MatMul"(%x, %y, %n) {hdim_is_batch = true} : (tensor<2x5xf32>, tensor<5x3xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @matmul_transposes(%x: tensor<7x1x5x2xf32>, %y: tensor<4x3x5xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected result #0 of shape [7, 4, 3, 2], got [1]}}
  %z = "top.MatMul"(%x, %y, %n) {left_transpose = true, right_transpose = true, output_transpose = true} : (tensor<7x1x5x2xf32>, tensor<4x3x5xf32>, none) -> tensor<1xf32>
  return
}

// -----

func.func @matmul_of_two_vectors_has_no_axes(%x: tensor<5xf32>, %y: tensor<5xf32>) {
  %n = "top.None"() : () -> none
  %z = "top.MatMul"(%x, %y, %n) : (tensor<5xf32>, tensor<5xf32>, none) -> tensor<f32>
  return
}
