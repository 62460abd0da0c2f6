// RUN: tpumlir-opt %s --tpu-check-placed -split-input-file -verify-diagnostics

func.func @every_missing_place_is_named(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{expected a place for top.Input, got none (run address-assign first)}}
  %x = "top.Input"(%arg0) : (tensor<4xf32>) -> tensor<4xf32>
  // expected-error @+1 {{expected a place for tpu.Relu, got none (run address-assign first)}}
  %y = "tpu.Relu"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @arguments_go_through_input(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{expected every function argument to go through top.Input, got one as an operand of tpu.Relu}}
  %y = "tpu.Relu"(%arg0) {tpu.place = [#tpu.gmem<region = io, offset = 0>]} : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @places_are_as_many_as_results(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{expected tpu.place to be an array of 1 places}}
  %y = "tpu.Relu"(%arg0) {tpu.place = []} : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @c1_offsets_are_multiples_of_elements(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{expected an offset that is a multiple of 4, the size of an element, in tpu.place, got 66}}
  %y = "tpu.Relu"(%arg0) {tpu.place = [#tpu.gmem<region = io, offset = 66>]} : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @halves_may_lie_at_two_bytes(%arg0: tensor<4xf16>) -> tensor<4xf16> {
  // expected-error @+1 {{expected an offset that is a multiple of 2, the size of an element, in tpu.place, got 67}}
  %y = "tpu.Relu"(%arg0) {tpu.place = [#tpu.gmem<region = io, offset = 67>]} : (tensor<4xf16>) -> tensor<4xf16>
  return %y : tensor<4xf16>
}

// -----

func.func @c1_offsets_are_inside_of_memory(%arg0: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{expected an offset in [0, 8 GiB), got 8589934592}}
  %y = "tpu.Relu"(%arg0) {tpu.place = [#tpu.gmem<region = io, offset = 8589934592>]} : (tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}
