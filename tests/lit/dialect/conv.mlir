// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

func.func @conv_c1_ranks_agree(%x: tensor<1x3x8xf32>, %w: tensor<4x3x3x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected input and filter of one rank from 3 to 5, got 3 and 4}}
  %y = "top.Conv"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x3x8xf32>, tensor<4x3x3x3xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @conv_c2_kernel_shape_is_the_filters(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected kernel_shape [3, 3] as the filter has, got [3, 2]}}
  %y = "top.Conv"(%x, %w, %n) {kernel_shape = [3, 2], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @conv_c3_counts(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected 2 strides and dilations and 4 pads, got 1, 2 and 4}}
  %y = "top.Conv"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1], pads = [0, 0, 0, 0]} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @conv_c3_strides_are_positive(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected positive strides and dilations, got [1, 0] and [1, 1]}}
  %y = "top.Conv"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 0], pads = [0, 0, 0, 0]} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @conv_c3_pads_are_not_negative(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected pads of at least 0, got [0, -1, 0, 0]}}
  %y = "top.Conv"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, -1, 0, 0]} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @conv_c4_group_divides(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected a group that divides 3 input and 4 output channels, got 2}}
  %y = "top.Conv"(%x, %w, %n) {group = 2 : i64, kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @conv_c4_filter_channels(%x: tensor<1x4x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected a filter of 2 input channels per group (4 / 2), got 3}}
  %y = "top.Conv"(%x, %w, %n) {group = 2 : i64, kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x4x8x8xf32>, tensor<4x3x3x3xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @conv_c5_bias(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>, %b: tensor<3xf32>) {
  // expected-error @+1 {{expected a bias of 4 elements, got shape [3]}}
  %y = "top.Conv"(%x, %w, %b) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<3xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @conv_c6_kernel_fits(%x: tensor<1x3x8x4xf32>, %w: tensor<4x3x3x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected a kernel of at most 4 (the padded input) on spatial axis 1, got 5}}
  %y = "top.Conv"(%x, %w, %n) {dilations = [1, 2], kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x3x8x4xf32>, tensor<4x3x3x3xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @conv_result_shape(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected result #0 of shape [1, 4, 6, 6], got [1, 4, 8, 8]}}
  %y = "top.Conv"(%x, %w, %n) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, none) -> tensor<1x4x8x8xf32>
  return
}

// -----

func.func @conv_inserts(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected inserts of 0, got [1, 0]}}
  %y = "top.Conv"(%x, %w, %n) {inserts = [1, 0], kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @conv_attribute_is_required(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{requires attribute 'strides'}}
  %y = "top.Conv"(%x, %w, %n) {kernel_shape = [3, 3], pads = [0, 0, 0, 0]} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @deconv_c4_filter_lists_all_input_channels(%x: tensor<1x4x5x5xf32>, %w: tensor<3x4x2x2xf32>) {
  %n = "top.None"() : () -> none
  // A run-time filter is [ic, oc, ...].
  // expected-error @+1 {{expected a filter of 4 input channels, got 3}}
  %y = "top.Deconv"(%x, %w, %n) {kernel_shape = [2, 2], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x4x5x5xf32>, tensor<3x4x2x2xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @deconv_c6_result_is_not_empty(%x: tensor<1x4x1x5xf32>, %w: tensor<4x3x2x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected a result of at least 1 element on spatial axis 0, got 0}}
  %y = "top.Deconv"(%x, %w, %n) {kernel_shape = [2, 2], strides = [1, 1], pads = [1, 0, 1, 0]} : (tensor<1x4x1x5xf32>, tensor<4x3x2x2xf32>, none) -> tensor<*xf32>
  return
}

// -----

func.func @deconv_c7_output_padding(%x: tensor<1x4x5x5xf32>, %w: tensor<4x3x2x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected 2 output_padding of at least 0, got [-1, 0]}}
  %y = "top.Deconv"(%x, %w, %n) {output_padding = [-1, 0], kernel_shape = [2, 2], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x4x5x5xf32>, tensor<4x3x2x2xf32>, none) -> tensor<*xf32>
  return
}
