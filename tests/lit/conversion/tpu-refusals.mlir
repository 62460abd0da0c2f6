// RUN: tpumlir-opt %s --processor-assign --convert-top-to-tpu -split-input-file -verify-diagnostics

// Every op that has no lowering is named, with the reason where there is one.
func.func @all_at_once(%x: tensor<2x3xi32>) -> (tensor<2xi32>, tensor<2x1xi32>) {
  // expected-error @+1 {{top.Shape is not supported in F32: expected an op with a lowering}}
  %a = "top.Shape"(%x) : (tensor<2x3xi32>) -> tensor<2xi32>
  // expected-error @+1 {{top.Reduce is not supported in F32: expected a sum, a product or an extremum of integers}}
  %b = "top.Reduce"(%x) {axes = [1], keepdims = true, mode = "ReduceMean"} : (tensor<2x3xi32>) -> tensor<2x1xi32>
  return %a, %b : tensor<2xi32>, tensor<2x1xi32>
}

// -----

func.func @other_types(%x: tensor<2x3xi8>) -> tensor<2x3xi8> {
  // expected-error @+1 {{expected a static tensor of f32 or i32, got 'tensor<2x3xi8>'}}
  %y = "top.Relu"(%x) : (tensor<2x3xi8>) -> tensor<2x3xi8>
  return %y : tensor<2x3xi8>
}

// -----

// What computes in floats only does not take integers for bits.
func.func @integer_product(%x: tensor<2x2xi32>, %w: tensor<2x2xi32>) -> tensor<2x2xi32> {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{tpu.MatMul is not supported on integers: expected floats, got 'tensor<2x2xi32>' (cast to float32 before it: exact up to 2^24)}}
  %y = "top.MatMul"(%x, %w, %n) : (tensor<2x2xi32>, tensor<2x2xi32>, none) -> tensor<2x2xi32>
  return %y : tensor<2x2xi32>
}
