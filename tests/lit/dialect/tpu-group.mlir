// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

func.func @group(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = "tpu.Relu"(%x) {tpu.group = #tpu.group<id = 0, n = 1, h = 1, image = 0>} : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @c1_id(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{expected a group with id >= 0, n >= 1, h >= 1 and image >= 0, got id -1, n 1, h 1, image 0}}
  %y = "tpu.Relu"(%x) {tpu.group = #tpu.group<id = -1, n = 1, h = 1, image = 0>} : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @c1_n(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{got id 0, n 0, h 1, image 0}}
  %y = "tpu.Relu"(%x) {tpu.group = #tpu.group<id = 0, n = 0, h = 1, image = 0>} : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @c1_h(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{got id 0, n 1, h -2, image 0}}
  %y = "tpu.Relu"(%x) {tpu.group = #tpu.group<id = 0, n = 1, h = -2, image = 0>} : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @c1_image(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{got id 0, n 1, h 1, image -4}}
  %y = "tpu.Relu"(%x) {tpu.group = #tpu.group<id = 0, n = 1, h = 1, image = -4>} : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @not_a_group(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{expected tpu.group to be a #tpu.group, got 3 : i64}}
  %y = "tpu.Relu"(%x) {tpu.group = 3 : i64} : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @not_a_place(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{expected tpu.image to be a #tpu.gmem, got 3 : i64}}
  %y = "tpu.Relu"(%x) {tpu.image = 3 : i64} : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}
