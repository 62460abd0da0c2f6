// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

func.func @broadcast_c1_count(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected 2 operands, got 1}}
  %y = "top.Sub"(%x) : (tensor<2xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @broadcast_c1_none() {
  // expected-error @+1 {{expected at least 1 operands, got 0}}
  %y = "top.Add"() : () -> tensor<*xf32>
  return
}

// -----

func.func @broadcast_c2_shapes(%x: tensor<2x3xf32>, %y: tensor<2x4xf32>) {
  // expected-error @+1 {{expected shapes that broadcast, got [2, 3] and [2, 4]}}
  %z = "top.Mul"(%x, %y) : (tensor<2x3xf32>, tensor<2x4xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @broadcast_any_rank(%x: tensor<f32>, %y: tensor<2x1x4x1x3xf32>, %z: tensor<5x1xf32>) {
  %r = "top.Add"(%x, %y, %z) : (tensor<f32>, tensor<2x1x4x1x3xf32>, tensor<5x1xf32>) -> tensor<2x1x4x5x3xf32>
  return
}

// -----

func.func @add_c3_coeff(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected a coeff for each of 2 operands, got 1}}
  %y = "top.Add"(%x, %x) {coeff = [1.0]} : (tensor<2xf32>, tensor<2xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @compare_c2_not(%x: tensor<2xf32>) {
  // expected-error @+1 {{expected a mode of two operands, got Not}}
  %y = "top.Compare"(%x, %x) {mode = "Not"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @compare_mode_is_known(%x: tensor<2xf32>) {
  // expected-error @+1 {{attribute 'mode' failed to satisfy constraint: one of Equal, Greater}}
  %y = "top.Compare"(%x, %x) {mode = "Same"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @where_c2_branch(%x: tensor<2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected the true branch to be none exactly if x_is_const, got 'none' and 0}}
  %y = "top.Where"(%x, %n, %x) : (tensor<2xf32>, none, tensor<2xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @leaky_relu_c1_alpha_is_finite(%x: tensor<1xf32>) {
  // expected-error @+1 {{expected a finite alpha, got 0x7FF0000000000000}}
  %y = "top.LeakyRelu"(%x) {alpha = 0x7FF0000000000000 : f64} : (tensor<1xf32>) -> tensor<1xf32>
  return
}

// -----

func.func @clip_c1_order(%x: tensor<1xf32>) {
  // expected-error-re @+1 {{expected min not above max, got 2{{.*}} and 1}}
  %y = "top.Clip"(%x) {min = 2.0 : f64, max = 1.0 : f64} : (tensor<1xf32>) -> tensor<1xf32>
  return
}

// -----

func.func @cast_c1_to(%x: tensor<1xf32>) {
  // expected-error @+1 {{expected `to` empty, F32, F16, BF16, INT32, INT16, UINT16, INT8 or UINT8, got "INT4"}}
  %y = "top.Cast"(%x) {to = "INT4"} : (tensor<1xf32>) -> tensor<1xf32>
  return
}

// -----

func.func @cast_c2_halves(%x: tensor<1xi32>) {
  // expected-error @+1 {{expected f32 to round to F16, got 'tensor<1xi32>'}}
  %y = "top.Cast"(%x) {to = "F16"} : (tensor<1xi32>) -> tensor<1xi32>
  return
}

// -----

func.func @bitwise_c3_types(%x: tensor<1xf32>) {
  // expected-error @+1 {{expected operands of i32, got 'tensor<1xf32>'}}
  %y = "top.Bitwise"(%x, %x) {mode = "And"} : (tensor<1xf32>, tensor<1xf32>) -> tensor<1xf32>
  return
}

// -----

func.func @prelu_c1_slope(%x: tensor<2x3xf32>, %s: tensor<2x2x3xf32>) {
  // expected-error @+1 {{expected a slope that broadcasts to [2, 3], got [2, 2, 3]}}
  %y = "top.PRelu"(%x, %s) : (tensor<2x3xf32>, tensor<2x2x3xf32>) -> tensor<*xf32>
  return
}
