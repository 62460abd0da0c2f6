// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

// As many numbers as the function takes; none may be an empty list.
func.func @c1(%x: tensor<4xf32>) {
  %a = "tpu.Active"(%x) {mode = #tpu<active_mode ELU>, coeffs = [5.000000e-01]} : (tensor<4xf32>) -> tensor<4xf32>
  %b = "tpu.Active"(%x) {mode = #tpu<active_mode SWISH>, coeffs = [1.500000e+00]} : (tensor<4xf32>) -> tensor<4xf32>
  %c = "tpu.Active"(%x) {mode = #tpu<active_mode HSIGMOID>, coeffs = [2.000000e-01, 5.000000e-01]} : (tensor<4xf32>) -> tensor<4xf32>
  %d = "tpu.Active"(%x) {mode = #tpu<active_mode SILU>, coeffs = []} : (tensor<4xf32>) -> tensor<4xf32>
  %e = "tpu.Active"(%x) {mode = #tpu<active_mode SILU>} : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @c1_none(%x: tensor<4xf32>) {
  // expected-error @+1 {{expected 1 coeffs for ELU, got 0}}
  %a = "tpu.Active"(%x) {mode = #tpu<active_mode ELU>} : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @c1_few(%x: tensor<4xf32>) {
  // expected-error @+1 {{expected 2 coeffs for HSIGMOID, got 1}}
  %a = "tpu.Active"(%x) {mode = #tpu<active_mode HSIGMOID>, coeffs = [2.000000e-01]} : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @c1_many(%x: tensor<4xf32>) {
  // expected-error @+1 {{expected 0 coeffs for SILU, got 1}}
  %a = "tpu.Active"(%x) {mode = #tpu<active_mode SILU>, coeffs = [1.000000e+00]} : (tensor<4xf32>) -> tensor<4xf32>
  return
}
