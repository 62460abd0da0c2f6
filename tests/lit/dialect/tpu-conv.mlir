// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

// A filter is where `filter_layout` says; a weight or computed makes no difference. Any order goes with both operations.
func.func @orders(%x: tensor<1x66x6x6xf16>, %goik: tensor<4x33x3x3xf16>, %ogik: tensor<2x66x3x3xf16>, %cubes: tensor<1x4x2x288xf16>, %lanes: tensor<1x4x33x9xf16>) {
  %n = "top.None"() : () -> none
  %a = "tpu.Conv2D"(%x, %goik, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], group = 2 : i64, with_bias = false} : (tensor<1x66x6x6xf16>, tensor<4x33x3x3xf16>, none) -> tensor<1x4x6x6xf16>
  %b = "tpu.Conv2D"(%x, %ogik, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], group = 2 : i64, with_bias = false, filter_layout = #tpu<filter_layout OGIK>} : (tensor<1x66x6x6xf16>, tensor<2x66x3x3xf16>, none) -> tensor<1x4x6x6xf16>
  %c = "tpu.Conv2D"(%x, %cubes, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], group = 2 : i64, with_bias = false, filter_layout = #tpu<filter_layout Cubes>} : (tensor<1x66x6x6xf16>, tensor<1x4x2x288xf16>, none) -> tensor<1x4x6x6xf16>
  %d = "tpu.Conv2D"(%x, %lanes, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], group = 2 : i64, with_bias = false} : (tensor<1x66x6x6xf16>, tensor<1x4x33x9xf16>, none) -> tensor<1x4x6x6xf16>
  %e = "tpu.Deconv"(%x, %ogik, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], output_padding = [0, 0], group = 2 : i64, with_bias = false} : (tensor<1x66x6x6xf16>, tensor<2x66x3x3xf16>, none) -> tensor<1x4x6x6xf16>
  %f = "tpu.Deconv"(%x, %goik, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], output_padding = [0, 0], group = 2 : i64, with_bias = false, filter_layout = #tpu<filter_layout GOIK>} : (tensor<1x66x6x6xf16>, tensor<4x33x3x3xf16>, none) -> tensor<1x4x6x6xf16>
  return
}

// -----

// As many elements in another shape are no filter of that layout.
func.func @c1_shape(%x: tensor<1x4x6x6xf32>, %w: tensor<4x8x3x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected a filter of [8, 4, 3, 3] or [1, 8, 4, 9] in GOIK, got [4, 8, 3, 3]}}
  %y = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], with_bias = false} : (tensor<1x4x6x6xf32>, tensor<4x8x3x3xf32>, none) -> tensor<1x8x6x6xf32>
  return
}

// -----

// What the shape alone used to say, the layout has to.
func.func @c1_cubes_unsaid(%x: tensor<1x33x6x6xf16>, %w: tensor<1x8x2x288xf16>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected a filter of [8, 33, 3, 3] or [1, 8, 33, 9] in GOIK, got [1, 8, 2, 288]}}
  %y = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], with_bias = false} : (tensor<1x33x6x6xf16>, tensor<1x8x2x288xf16>, none) -> tensor<1x8x6x6xf16>
  return
}

// -----

func.func @c3_type(%x: tensor<1x4x6x6xf32>, %w: tensor<1x8x4x9xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected a filter in Cubes to be of f16, bf16 or 8 bits and of several input channels, got 'tensor<1x8x4x9xf32>' and 4}}
  %y = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], with_bias = false, filter_layout = #tpu<filter_layout Cubes>} : (tensor<1x4x6x6xf32>, tensor<1x8x4x9xf32>, none) -> tensor<1x8x6x6xf32>
  return
}

// -----

func.func @c3_depthwise(%x: tensor<1x8x6x6xbf16>, %w: tensor<1x8x1x288xbf16>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{and of several input channels, got 'tensor<1x8x1x288xbf16>' and 1}}
  %y = "tpu.Deconv"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], output_padding = [0, 0], group = 8 : i64, with_bias = false, filter_layout = #tpu<filter_layout Cubes>} : (tensor<1x8x6x6xbf16>, tensor<1x8x1x288xbf16>, none) -> tensor<1x8x6x6xbf16>
  return
}

// -----

func.func @unknown_layout(%x: tensor<1x4x6x6xf32>, %w: tensor<8x4x3x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{attribute 'filter_layout' failed to satisfy constraint: order of a filter's elements}}
  %y = "tpu.Conv2D"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], with_bias = false, filter_layout = 1 : i32} : (tensor<1x4x6x6xf32>, tensor<8x4x3x3xf32>, none) -> tensor<1x8x6x6xf32>
  return
}
