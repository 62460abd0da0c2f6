// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

// Operands have the precision of the result, but for biases, which are f32.
func.func @half(%x: tensor<1x4x6x6xf16>, %w: tensor<8x4x3x3xf16>, %b: tensor<8xf32>) -> tensor<1x8x4x4xf16> {
  %y = "tpu.Conv2D"(%x, %w, %b) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = true} : (tensor<1x4x6x6xf16>, tensor<8x4x3x3xf16>, tensor<8xf32>) -> tensor<1x8x4x4xf16>
  return %y : tensor<1x8x4x4xf16>
}

// -----

func.func @half_bias(%x: tensor<1x4x6x6xf16>, %w: tensor<8x4x3x3xf16>, %b: tensor<8xf16>) -> tensor<1x8x4x4xf16> {
  // expected-error @+1 {{expected operand 2 of 'f32', got 'f16'}}
  %y = "tpu.Conv2D"(%x, %w, %b) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = true} : (tensor<1x4x6x6xf16>, tensor<8x4x3x3xf16>, tensor<8xf16>) -> tensor<1x8x4x4xf16>
  return %y : tensor<1x8x4x4xf16>
}

// -----

func.func @mixed(%x: tensor<4xf16>, %y: tensor<4xbf16>) -> tensor<4xf16> {
  // expected-error @+1 {{expected operand 1 of 'f16', got 'bf16'}}
  %z = "tpu.Add"(%x, %y) : (tensor<4xf16>, tensor<4xbf16>) -> tensor<4xf16>
  return %z : tensor<4xf16>
}

// -----

func.func @move_converts(%x: tensor<4xf16>) -> tensor<4xf32> {
  // expected-error @+1 {{expected operand 0 of 'f32', got 'f16'}}
  %y = "tpu.Reshape"(%x) : (tensor<4xf16>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @cast_c1(%x: tensor<4xf16>) -> tensor<2x2xf32> {
  // expected-error @+1 {{expected a result of shape 4, got 2x2}}
  %y = "tpu.Cast"(%x) : (tensor<4xf16>) -> tensor<2x2xf32>
  return %y : tensor<2x2xf32>
}

// -----

func.func @cast_c2(%x: tensor<4xf16>) -> tensor<4xf16> {
  // expected-error @+1 {{expected two of f32, f16, bf16 and i32, ui8 and one of them, or a float and a quantised type, got 'f16' and 'f16'}}
  %y = "tpu.Cast"(%x) : (tensor<4xf16>) -> tensor<4xf16>
  return %y : tensor<4xf16>
}
