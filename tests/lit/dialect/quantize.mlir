// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

func.func @quantize_c1_none(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expected a scale and a zero point as attributes or as one or two operands, got 0 operands}}
  %y = "top.QuantizeLinear"(%x) {to = "INT8"} : (tensor<2x3xf32>) -> tensor<*xi32>
  return
}

// -----

func.func @quantize_c1_both(%x: tensor<2x3xf32>, %s: tensor<f32>) {
  // expected-error @+1 {{got 1 operands and a scale}}
  %y = "top.QuantizeLinear"(%x, %s) {y_scale = [0.5], to = "INT8"} : (tensor<2x3xf32>, tensor<f32>) -> tensor<*xi32>
  return
}

// -----

func.func @quantize_c2(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expected 3 numbers in the scale for axis 1, got 2}}
  %y = "top.QuantizeLinear"(%x) {y_scale = [0.5, 0.25], y_zero_point = [0 : i32, 0 : i32], to = "INT8"} : (tensor<2x3xf32>) -> tensor<*xi32>
  return
}

// -----

func.func @quantize_c2_zero_point(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expected 2 numbers in the zero point for axis 0, got 3}}
  %y = "top.QuantizeLinear"(%x) {y_scale = [0.5], y_zero_point = [0 : i32, 0 : i32, 0 : i32], axis = -2 : i64, to = "INT8"} : (tensor<2x3xf32>) -> tensor<*xi32>
  return
}

// -----

func.func @quantize_c3(%x: tensor<2x6xf32>, %s: tensor<2x2xf32>) {
  // expected-error @+1 {{expected a scale with one number for 2 of axis 1 of [2, 6], got [2, 2]}}
  %y = "top.QuantizeLinear"(%x, %s) {block_size = 2 : i64, to = "INT8"} : (tensor<2x6xf32>, tensor<2x2xf32>) -> tensor<*xi32>
  return
}

// -----

func.func @quantize_c3_no_block(%x: tensor<2x6xf32>, %s: tensor<2x2xf32>) {
  // expected-error @+1 {{expected a scale with one number for 0 of axis 1}}
  %y = "top.QuantizeLinear"(%x, %s) {to = "INT8"} : (tensor<2x6xf32>, tensor<2x2xf32>) -> tensor<*xi32>
  return
}

// -----

func.func @quantize_c4(%x: tensor<2x3xf32>, %s: tensor<3xf32>) {
  // expected-error @+1 {{expected an axis in [-2, 2), got 2}}
  %y = "top.QuantizeLinear"(%x, %s) {axis = 2 : i64, to = "INT8"} : (tensor<2x3xf32>, tensor<3xf32>) -> tensor<*xi32>
  return
}

// -----

func.func @quantize_c5(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expected `to`, the integer type of the result, got none (import the ONNX model with model_transform of this tool, which writes it)}}
  %y = "top.QuantizeLinear"(%x) {y_scale = [0.5], y_zero_point = [0 : i32]} : (tensor<2x3xf32>) -> tensor<*xi32>
  return
}

// -----

func.func @quantize_c6(%x: tensor<2x3xf32>) {
  // expected-error @+1 {{expected zero points of UINT8, got -1}}
  %y = "top.QuantizeLinear"(%x) {y_scale = [0.5], y_zero_point = [-1 : i32], to = "UINT8"} : (tensor<2x3xf32>) -> tensor<*xi32>
  return
}

// -----

func.func @dequantize_c1(%x: tensor<2x3xi32>, %s: tensor<f32>) {
  // expected-error @+1 {{got 3 operands}}
  %y = "top.DequantizeLinear"(%x, %s, %s, %s) : (tensor<2x3xi32>, tensor<f32>, tensor<f32>, tensor<f32>) -> tensor<*xf32>
  return
}

// -----

func.func @dequantize_c2(%x: tensor<2x3xi32>) {
  // expected-error @+1 {{expected 3 numbers in the scale for axis 1, got 2}}
  %y = "top.DequantizeLinear"(%x) {x_scale = [0.5, 0.25], x_zero_point = [0 : i32, 0 : i32]} : (tensor<2x3xi32>) -> tensor<*xf32>
  return
}

// -----

func.func @dequantize_c3(%x: tensor<2x6xi32>, %s: tensor<f32>, %z: tensor<2x4xi32>) {
  // expected-error @+1 {{expected a zero point with one number for 2 of axis 1 of [2, 6], got [2, 4]}}
  %y = "top.DequantizeLinear"(%x, %s, %z) {block_size = 2 : i64} : (tensor<2x6xi32>, tensor<f32>, tensor<2x4xi32>) -> tensor<*xf32>
  return
}

// -----

func.func @dequantize_c4(%x: tensor<2x3xi32>, %s: tensor<3xf32>) {
  // expected-error @+1 {{expected an axis in [-2, 2), got -3}}
  %y = "top.DequantizeLinear"(%x, %s) {axis = -3 : i64} : (tensor<2x3xi32>, tensor<3xf32>) -> tensor<*xf32>
  return
}
