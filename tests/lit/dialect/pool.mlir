// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

func.func @pool_c1_rank(%x: tensor<3x8xf32>) {
  // expected-error @+1 {{expected an input of rank 3 to 5, got 2}}
  %y = "top.MaxPool"(%x) {kernel_shape = [], strides = [], pads = []} : (tensor<3x8xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @pool_c2_counts(%x: tensor<1x3x8x8xf32>) {
  // expected-error @+1 {{expected 2 kernel extents, strides and dilations and 4 pads, got 2, 2, 2 and 2}}
  %y = "top.MaxPool"(%x) {kernel_shape = [2, 2], strides = [2, 2], pads = [0, 0]} : (tensor<1x3x8x8xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @pool_c2_positive(%x: tensor<1x3x8x8xf32>) {
  // expected-error @+1 {{expected positive kernel extents, strides and dilations and pads of at least 0, got [2, 2], [0, 2], [1, 1] and [0, 0, 0, 0]}}
  %y = "top.AvgPool"(%x) {kernel_shape = [2, 2], strides = [0, 2], pads = [0, 0, 0, 0]} : (tensor<1x3x8x8xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @pool_c3_fits(%x: tensor<1x3x2x8xf32>) {
  // expected-error @+1 {{expected a kernel of at most 2 (the padded input) on spatial axis 0, got 3}}
  %y = "top.MaxPool"(%x) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x3x2x8xf32>) -> tensor<*xf32>
  return
}

// -----

func.func @pool_c4_pads(%x: tensor<1x3x8x8xf32>) {
  // expected-error @+1 {{expected pads smaller than the kernel on spatial axis 1, got 2 and 0 for a kernel of 2}}
  %y = "top.MaxPool"(%x) {kernel_shape = [2, 2], strides = [2, 2], pads = [0, 2, 0, 0]} : (tensor<1x3x8x8xf32>) -> tensor<*xf32>
  return
}

// -----

// (8 - 3) / 2 is 2.5: three windows, four with ceil_mode.
func.func @pool_ceil_mode(%x: tensor<1x3x8x8xf32>) {
  %y = "top.MaxPool"(%x) {ceil_mode = false, kernel_shape = [3, 3], strides = [2, 2], pads = [0, 0, 0, 0]} : (tensor<1x3x8x8xf32>) -> tensor<1x3x3x3xf32>
  %z = "top.MaxPool"(%x) {ceil_mode = true, kernel_shape = [3, 3], strides = [2, 2], pads = [0, 0, 0, 0]} : (tensor<1x3x8x8xf32>) -> tensor<1x3x4x4xf32>
  return
}

// -----

// The third window would start at 4, behind the 3 elements and the begin padding.
func.func @pool_ceil_mode_drops_a_window_in_the_padding(%x: tensor<1x1x3x3xf32>) {
  %y = "top.AvgPool"(%x) {ceil_mode = true, kernel_shape = [2, 2], strides = [2, 2], pads = [1, 1, 1, 1]} : (tensor<1x1x3x3xf32>) -> tensor<1x1x2x2xf32>
  return
}

// -----

func.func @adaptive_c1(%x: tensor<1x3x8x8xf32>) {
  // expected-error @+1 {{expected a positive output_size per spatial axis of [1, 3, 8, 8], got [2]}}
  %y = "top.AdaptiveAvgPool"(%x) {output_size = [2]} : (tensor<1x3x8x8xf32>) -> tensor<*xf32>
  return
}
