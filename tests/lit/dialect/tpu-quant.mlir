// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

!q = !quant.uniform<i8:f32, 0.5>
!u = !quant.uniform<u8:f32, 0.25:3>

func.func @fine(%x: tensor<1x4x6x6x!q>, %table: tensor<256x!u>) -> tensor<1x4x6x6x!u> {
  %y = "tpu.Lut"(%x, %table) : (tensor<1x4x6x6x!q>, tensor<256x!u>) -> tensor<1x4x6x6x!u>
  %z = "tpu.RequantFp"(%y) {scale = 0.5 : f64, offset = 1.0 : f64, least = 3 : i64} : (tensor<1x4x6x6x!u>) -> tensor<1x4x6x6x!u>
  return %z : tensor<1x4x6x6x!u>
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
func.func @lut_table(%x: tensor<4x!q>, %table: tensor<255x!q>) {
  // expected-error @+1 {{expected a table of 256 elements of '!quant.uniform<i8:f32, 5.000000e-01>', got 'tensor<255x!quant.uniform<i8:f32, 5.000000e-01>>'}}
  %y = "tpu.Lut"(%x, %table) : (tensor<4x!q>, tensor<255x!q>) -> tensor<4x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!u = !quant.uniform<u8:f32, 0.5>
func.func @lut_table_of_another_type(%x: tensor<4x!q>, %table: tensor<256x!u>) {
  // expected-error @+1 {{expected a table of 256 elements of '!quant.uniform<i8:f32, 5.000000e-01>', got}}
  %y = "tpu.Lut"(%x, %table) : (tensor<4x!q>, tensor<256x!u>) -> tensor<4x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
func.func @lut_of_floats(%x: tensor<4xf32>, %table: tensor<256x!q>) {
  // expected-error @+1 {{expected tensors quantised to 8 bits with one scale each, got 'f32' and}}
  %y = "tpu.Lut"(%x, %table) : (tensor<4xf32>, tensor<256x!q>) -> tensor<4x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
func.func @lut_shape(%x: tensor<4x!q>, %table: tensor<256x!q>) {
  // expected-error @+1 {{expected a result of shape 4, got 2x2}}
  %y = "tpu.Lut"(%x, %table) : (tensor<4x!q>, tensor<256x!q>) -> tensor<2x2x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!rows = !quant.uniform<i8:f32:0, {0.5, 0.25}>
func.func @requant_of_rows(%x: tensor<2x!rows>) {
  // expected-error @+1 {{expected quantised tensors with one scale, got one with a scale for each channel}}
  %y = "tpu.RequantFp"(%x) {scale = 0.5 : f64, offset = 1.0 : f64} : (tensor<2x!rows>) -> tensor<2x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
func.func @requant_c3_outside(%x: tensor<2x!q>) {
  // expected-error @+1 {{expected least and greatest within [-128, 127], got -129 and 127}}
  %y = "tpu.RequantFp"(%x) {scale = 0.5 : f64, offset = 1.0 : f64, least = -129 : i64} : (tensor<2x!q>) -> tensor<2x!q>
  return
}

// -----

!u = !quant.uniform<u8:f32, 0.5:128>
func.func @requant_c3_empty(%x: tensor<2x!u>) {
  // expected-error @+1 {{expected least and greatest within [0, 255], got 9 and 8}}
  %y = "tpu.RequantFp"(%x) {scale = 0.5 : f64, offset = 1.0 : f64, least = 9 : i64, greatest = 8 : i64} : (tensor<2x!u>) -> tensor<2x!u>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
func.func @add_of_a_float(%x: tensor<2x!q>, %f: tensor<2xf32>) {
  // expected-error @+1 {{expected two quantised operands and a quantised result, or none, got 1 of 2 operands}}
  %y = "tpu.Add"(%x, %f) : (tensor<2x!q>, tensor<2xf32>) -> tensor<2x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
func.func @add_of_three(%x: tensor<2x!q>) {
  // expected-error @+1 {{expected two quantised operands and a quantised result, or none, got 3 of 3 operands}}
  %y = "tpu.Add"(%x, %x, %x) : (tensor<2x!q>, tensor<2x!q>, tensor<2x!q>) -> tensor<2x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 256.0>
!r = !quant.uniform<i8:f32, 1.0>
func.func @add_of_far_greater_steps(%x: tensor<2x!q>) {
  // expected-error @+1 {{expected operands whose steps are at most 255 times that of the result}}
  %y = "tpu.Add"(%x, %x) : (tensor<2x!q>, tensor<2x!q>) -> tensor<2x!r>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!r = !quant.uniform<i8:f32, 0.25>
func.func @max_of_unlike_scales(%x: tensor<2x!q>, %y: tensor<2x!r>) {
  // expected-error @+1 {{expected quantised operands of the result's type and no Relu, got}}
  %z = "tpu.Max"(%x, %y) : (tensor<2x!q>, tensor<2x!r>) -> tensor<2x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!r = !quant.uniform<i8:f32, 0.25>
func.func @what_moves_keeps_the_scale(%x: tensor<4x!q>) {
  // expected-error @+1 {{expected operand 0 of '!quant.uniform<i8:f32, 2.500000e-01>', got '!quant.uniform<i8:f32, 5.000000e-01>'}}
  %y = "tpu.Reshape"(%x) : (tensor<4x!q>) -> tensor<2x2x!r>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
func.func @cast_of_integers_to_integers(%x: tensor<4x!q>) {
  // expected-error @+1 {{or a float and a quantised type, got}}
  %y = "tpu.Cast"(%x) : (tensor<4x!q>) -> tensor<4x!q>
  return
}

// -----

!q = !quant.uniform<i16:f32, 0.5>
func.func @cast_to_16_bits(%x: tensor<4xf32>) {
  // expected-error @+1 {{or a float and a quantised type, got}}
  %y = "tpu.Cast"(%x) : (tensor<4xf32>) -> tensor<4x!q>
  return
}

// -----

!u = !quant.uniform<u8:f32, 0.5:128>
func.func @per_channel(%x: tensor<1x4x6x6x!u>, %m: tensor<4x2xf32>) -> tensor<1x4x6x6x!u> {
  %y = "tpu.RequantFpAxis"(%x, %m) {greatest = 200 : i64} : (tensor<1x4x6x6x!u>, tensor<4x2xf32>) -> tensor<1x4x6x6x!u>
  return %y : tensor<1x4x6x6x!u>
}

// -----

!u = !quant.uniform<u8:f32, 0.5:128>
func.func @per_channel_c2(%x: tensor<1x4x6x6x!u>, %m: tensor<3x2xf32>) {
  // expected-error @+1 {{expected multi of two f32 for each channel of}}
  %y = "tpu.RequantFpAxis"(%x, %m) : (tensor<1x4x6x6x!u>, tensor<3x2xf32>) -> tensor<1x4x6x6x!u>
  return
}

// -----

!u = !quant.uniform<u8:f32:1, {0.5:3, 0.25:3}>
!g = !quant.uniform<u8:f32, 0.0039>
!q = !quant.uniform<i8:f32, 0.5>
func.func @scales_per_channel(%x: tensor<1x2x6x6x!u>, %g: tensor<1x2x6x6x!g>, %m: tensor<2x2xf32>) -> tensor<1x2x6x6x!q> {
  %y = "tpu.RequantFpAxis"(%x, %m) : (tensor<1x2x6x6x!u>, tensor<2x2xf32>) -> tensor<1x2x6x6x!u>
  %z = "tpu.MulFpAxis"(%y, %g, %m) : (tensor<1x2x6x6x!u>, tensor<1x2x6x6x!g>, tensor<2x2xf32>) -> tensor<1x2x6x6x!q>
  return %z : tensor<1x2x6x6x!q>
}

// -----

!u = !quant.uniform<u8:f32:1, {0.5:3, 0.25:4}>
func.func @zero_points_per_channel(%x: tensor<1x2x6x6x!u>, %m: tensor<2x2xf32>) {
  // expected-error @+1 {{expected tensors of one shape, quantised to 8 bits with one scale, or one per channel and one zero point, got}}
  %y = "tpu.RequantFpAxis"(%x, %m) : (tensor<1x2x6x6x!u>, tensor<2x2xf32>) -> tensor<1x2x6x6x!u>
  return
}

// -----

!u = !quant.uniform<u8:f32:1, {0.5:3, 0.25:3}>
func.func @gate_of_another_shape(%x: tensor<1x2x6x6x!u>, %g: tensor<1x2x1x1x!u>, %m: tensor<2x2xf32>) {
  // expected-error @+1 {{expected tensors of one shape, quantised to 8 bits with one scale, or one per channel and one zero point, got}}
  %y = "tpu.MulFpAxis"(%x, %g, %m) : (tensor<1x2x6x6x!u>, tensor<1x2x1x1x!u>, tensor<2x2xf32>) -> tensor<1x2x6x6x!u>
  return
}

// -----

!u = !quant.uniform<u8:f32:1, {0.5:3, 0.25:3}>
func.func @sum_of_scales_per_channel(%x: tensor<1x2x6x6x!u>) {
  // expected-error @+1 {{expected quantised tensors with one scale, got one with a scale for each channel}}
  %y = "tpu.Add"(%x, %x) : (tensor<1x2x6x6x!u>, tensor<1x2x6x6x!u>) -> tensor<1x2x6x6x!u>
  return
}

// -----

!u = !quant.uniform<u8:f32:1, {0.5:3, 0.25:3}>
func.func @number_of_scales_per_channel(%x: tensor<1x2x6x6x!u>) {
  // expected-error @+1 {{expected quantised tensors with one scale, got one with a scale for each channel}}
  %y = "tpu.Cast"(%x) : (tensor<1x2x6x6x!u>) -> tensor<1x2x6x6xf32>
  return
}
