// RUN: tpumlir-opt %s --processor-assign --convert-top-to-tpu -split-input-file -verify-diagnostics

// Every op that has no lowering is named, with the reason where there is one.
func.func @all_at_once(%x: tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<2x1xf32>) {
  // expected-error @+1 {{top.Trilu is not supported in F32: expected an op with a lowering}}
  %a = "top.Trilu"(%x) {upper = 1 : si32, diagonal = 0 : si32} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // expected-error @+1 {{top.Reduce is not supported in F32: expected a sum, a mean, a norm or an extremum}}
  %b = "top.Reduce"(%x) {axes = [1], keepdims = true, mode = "ReduceProd"} : (tensor<2x3xf32>) -> tensor<2x1xf32>
  return %a, %b : tensor<2x3xf32>, tensor<2x1xf32>
}

// -----

func.func @other_types(%x: tensor<2x3xi8>) -> tensor<2x3xi8> {
  // expected-error @+1 {{expected a static tensor of f32 or i32, got 'tensor<2x3xi8>'}}
  %y = "top.Relu"(%x) : (tensor<2x3xi8>) -> tensor<2x3xi8>
  return %y : tensor<2x3xi8>
}
