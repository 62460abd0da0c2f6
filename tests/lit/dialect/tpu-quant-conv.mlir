// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

!q = !quant.uniform<i8:f32, 0.5>
!w = !quant.uniform<i8<-127:127>:f32:0, {0.5, 0.25}>
!z = !quant.uniform<u8:f32, 0.5:128>
!wide = !quant.uniform<i16:f32, 0.5>
func.func @fine(%x: tensor<1x4x6x6x!q>, %w: tensor<2x4x3x3x!w>, %b: tensor<2xf32>, %m: tensor<2x2xf32>) {
  %n = "top.None"() : () -> none
  %y = "tpu.Conv2D"(%x, %w, %n, %m) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6x!q>, tensor<2x4x3x3x!w>, none, tensor<2x2xf32>) -> tensor<1x2x4x4x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!w = !quant.uniform<i8<-127:127>:f32:0, {0.5, 0.25}>
!z = !quant.uniform<u8:f32, 0.5:128>
!wide = !quant.uniform<i16:f32, 0.5>
func.func @zero_point_of_the_input(%x: tensor<1x4x6x6x!z>, %w: tensor<2x4x3x3x!w>, %b: tensor<2xf32>, %m: tensor<2x2xf32>) {
  %n = "top.None"() : () -> none
  %y = "tpu.Conv2D"(%x, %w, %n, %m) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6x!z>, tensor<2x4x3x3x!w>, none, tensor<2x2xf32>) -> tensor<1x2x4x4x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!w = !quant.uniform<i8<-127:127>:f32:0, {0.5, 0.25}>
!z = !quant.uniform<u8:f32, 0.5:128>
!wide = !quant.uniform<i16:f32, 0.5>
func.func @filter_of_floats(%x: tensor<1x4x6x6x!q>, %w: tensor<2x4x3x3xf32>, %b: tensor<2xf32>, %m: tensor<2x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected all operands and the result to be quantised, or none, got 2 of 3}}
  %y = "tpu.Conv2D"(%x, %w, %n, %m) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6x!q>, tensor<2x4x3x3xf32>, none, tensor<2x2xf32>) -> tensor<1x2x4x4x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!w = !quant.uniform<i8<-127:127>:f32:0, {0.5, 0.25}>
!z = !quant.uniform<u8:f32, 0.5:128>
!wide = !quant.uniform<i16:f32, 0.5>
func.func @result_of_floats(%x: tensor<1x4x6x6x!q>, %w: tensor<2x4x3x3x!w>, %b: tensor<2xf32>, %m: tensor<2x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected all operands and the result to be quantised, or none, got 2 of 3}}
  %y = "tpu.Conv2D"(%x, %w, %n, %m) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6x!q>, tensor<2x4x3x3x!w>, none, tensor<2x2xf32>) -> tensor<1x2x4x4xf16>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!w = !quant.uniform<i8<-127:127>:f32:0, {0.5, 0.25}>
!z = !quant.uniform<u8:f32, 0.5:128>
!wide = !quant.uniform<i16:f32, 0.5>
func.func @floats_with_multi(%x: tensor<1x4x6x6xf32>, %w: tensor<2x4x3x3xf32>, %b: tensor<2xf32>, %m: tensor<2x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected no multi for floats, got 'tensor<2x2xf32>'}}
  %y = "tpu.Conv2D"(%x, %w, %n, %m) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6xf32>, tensor<2x4x3x3xf32>, none, tensor<2x2xf32>) -> tensor<1x2x4x4xf32>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!w = !quant.uniform<i8<-127:127>:f32:0, {0.5, 0.25}>
!z = !quant.uniform<u8:f32, 0.5:128>
!wide = !quant.uniform<i16:f32, 0.5>
func.func @no_multi(%x: tensor<1x4x6x6x!q>, %w: tensor<2x4x3x3x!w>, %b: tensor<2xf32>, %m: tensor<2x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected multi of 2 factors and offsets, got 'none'}}
  %y = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6x!q>, tensor<2x4x3x3x!w>, none) -> tensor<1x2x4x4x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!w = !quant.uniform<i8<-127:127>:f32:0, {0.5, 0.25}>
!z = !quant.uniform<u8:f32, 0.5:128>
!wide = !quant.uniform<i16:f32, 0.5>
func.func @multi_of_other_channels(%x: tensor<1x4x6x6x!q>, %w: tensor<2x4x3x3x!w>, %b: tensor<2xf32>, %m: tensor<3x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected multi of 2 factors and offsets, got 'tensor<3x2xf32>'}}
  %y = "tpu.Conv2D"(%x, %w, %n, %m) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6x!q>, tensor<2x4x3x3x!w>, none, tensor<3x2xf32>) -> tensor<1x2x4x4x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!w = !quant.uniform<i8<-127:127>:f32:0, {0.5, 0.25}>
!z = !quant.uniform<u8:f32, 0.5:128>
!wide = !quant.uniform<i16:f32, 0.5>
func.func @a_bias(%x: tensor<1x4x6x6x!q>, %w: tensor<2x4x3x3x!w>, %b: tensor<2xf32>, %m: tensor<2x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected the bias of integers in the offsets of multi, got 'tensor<2xf32>'}}
  %y = "tpu.Conv2D"(%x, %w, %b, %m) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = true} : (tensor<1x4x6x6x!q>, tensor<2x4x3x3x!w>, tensor<2xf32>, tensor<2x2xf32>) -> tensor<1x2x4x4x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!w = !quant.uniform<i8<-127:127>:f32:0, {0.5, 0.25}>
!z = !quant.uniform<u8:f32, 0.5:128>
!wide = !quant.uniform<i16:f32, 0.5>
func.func @zero_point_of_a_computed_filter(%x: tensor<1x4x6x6x!z>, %w: tensor<2x4x3x3x!z>, %b: tensor<2xf32>, %m: tensor<2x2xf32>) {
  %n = "top.None"() : () -> none
  %y = "tpu.Conv2D"(%x, %w, %n, %m) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6x!z>, tensor<2x4x3x3x!z>, none, tensor<2x2xf32>) -> tensor<1x2x4x4x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!w = !quant.uniform<i8<-127:127>:f32:0, {0.5, 0.25}>
!z = !quant.uniform<u8:f32, 0.5:128>
!wide = !quant.uniform<i16:f32, 0.5>
func.func @zero_point_of_a_constant_filter(%x: tensor<1x4x6x6x!q>, %b: tensor<2xf32>, %m: tensor<2x2xf32>) {
  %n = "top.None"() : () -> none
  %w = "top.Weight"() : () -> tensor<2x4x3x3x!z> loc("w")
  // expected-error @+1 {{expected a filter without zero point, got}}
  %y = "tpu.Conv2D"(%x, %w, %n, %m) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6x!q>, tensor<2x4x3x3x!z>, none, tensor<2x2xf32>) -> tensor<1x2x4x4x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!w = !quant.uniform<i8<-127:127>:f32:0, {0.5, 0.25}>
!z = !quant.uniform<u8:f32, 0.5:128>
!wide = !quant.uniform<i16:f32, 0.5>
func.func @zero_point_of_a_depthwise_filter(%x: tensor<1x2x6x6x!q>, %w: tensor<2x1x3x3x!z>, %b: tensor<2xf32>, %m: tensor<2x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected a depthwise filter without zero point, got 128}}
  %y = "tpu.Conv2D"(%x, %w, %n, %m) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], group = 2, dilations = [1, 1], with_bias = false} : (tensor<1x2x6x6x!q>, tensor<2x1x3x3x!z>, none, tensor<2x2xf32>) -> tensor<1x2x4x4x!q>
  return
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!w = !quant.uniform<i8<-127:127>:f32:0, {0.5, 0.25}>
!z = !quant.uniform<u8:f32, 0.5:128>
!wide = !quant.uniform<i16:f32, 0.5>
func.func @integers_of_16_bits(%x: tensor<1x4x6x6x!wide>, %w: tensor<2x4x3x3x!w>, %b: tensor<2xf32>, %m: tensor<2x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected integers of 8 bits, got}}
  %y = "tpu.Conv2D"(%x, %w, %n, %m) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6x!wide>, tensor<2x4x3x3x!w>, none, tensor<2x2xf32>) -> tensor<1x2x4x4x!q>
  return
}
