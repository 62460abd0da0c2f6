// RUN: tpumlir-opt %s --processor-assign --convert-top-to-tpu -split-input-file -mlir-print-local-scope | FileCheck %s

// The depth of a volume becomes channels: two taps of four places each, which are batches then.
// CHECK-LABEL: @volume
// CHECK-COUNT-2: "tpu.Slice"(%arg0, {{.*}} -> tensor<1x3x4x6x6xf32>
// CHECK: "tpu.Concat"{{.*}} -> tensor<1x3x2x4x6x6xf32>
// CHECK: "tpu.Permute"{{.*}} -> tensor<1x4x6x6x6xf32>
// CHECK: "tpu.Conv2D"{{.*}}kernel_shape = [3, 3]{{.*}} : (tensor<4x6x6x6xf32>, tensor<8x6x3x3xf32>, none) -> tensor<4x8x4x4xf32>
func.func @volume(%x: tensor<1x3x5x6x6xf32>, %w: tensor<8x3x2x3x3xf32>) -> tensor<1x8x4x4x4xf32> {
  %n = "top.None"() : () -> none
  %y = "top.Conv"(%x, %w, %n) {kernel_shape = [2, 3, 3], strides = [1, 1, 1], pads = [0, 0, 0, 0, 0, 0]} : (tensor<1x3x5x6x6xf32>, tensor<8x3x2x3x3xf32>, none) -> tensor<1x8x4x4x4xf32>
  return %y : tensor<1x8x4x4x4xf32>
}

// -----

// A dilation that no command holds: the taps are slices, a product over the places is left.
// CHECK-LABEL: @far_apart
// CHECK: "tpu.Slice"{{.*}}offset = [0, 0, 40]
// CHECK: "tpu.Conv2D"{{.*}}dilations = [1]{{.*}}kernel_shape = [1]{{.*}} : (tensor<1x6x60xf32>, tensor<8x6x1xf32>, none) -> tensor<1x8x60xf32>
func.func @far_apart(%x: tensor<1x2x100xf32>, %w: tensor<8x2x3xf32>) -> tensor<1x8x60xf32> {
  %n = "top.None"() : () -> none
  %y = "top.Conv"(%x, %w, %n) {kernel_shape = [3], strides = [1], dilations = [20], pads = [0, 0]} : (tensor<1x2x100xf32>, tensor<8x2x3xf32>, none) -> tensor<1x8x60xf32>
  return %y : tensor<1x8x60xf32>
}

// -----

// Windows of a pool are separable: planes first, then the depth.
// CHECK-LABEL: @pool_volume
// CHECK: "tpu.Pool2D"{{.*}}kernel_shape = [3, 3]{{.*}} : (tensor<1x10x6x6xf32>) -> tensor<1x10x4x4xf32>
// CHECK: "tpu.Pool2D"{{.*}}kernel_shape = [2, 1]{{.*}} : (tensor<1x2x5x16xf32>) -> tensor<1x2x4x16xf32>
func.func @pool_volume(%x: tensor<1x2x5x6x6xf32>) -> tensor<1x2x4x4x4xf32> {
  %y = "top.MaxPool"(%x) {kernel_shape = [2, 3, 3], strides = [1, 1, 1], pads = [0, 0, 0, 0, 0, 0]} : (tensor<1x2x5x6x6xf32>) -> tensor<1x2x4x4x4xf32>
  return %y : tensor<1x2x4x4x4xf32>
}

// -----

// Doubling is a transposed convolution with a triangle, one per channel; other factors are products.
// CHECK-LABEL: @resize
// CHECK: "tpu.Pad"{{.*}}mode = #tpu<padding_mode edge>
// CHECK: "tpu.Deconv"{{.*}}group = 3{{.*}}kernel_shape = [4, 4]{{.*}}strides = [2, 2]
// CHECK: "tpu.MatMul"
func.func @resize(%x: tensor<1x3x5x5xf32>) -> (tensor<1x3x10x10xf32>, tensor<1x3x7x7xf32>) {
  %n = "top.None"() : () -> none
  %y = "top.Interp"(%x, %n) {coord_mode = "half_pixel", mode = "linear", scale_h = 2.0, scale_w = 2.0} : (tensor<1x3x5x5xf32>, none) -> tensor<1x3x10x10xf32>
  %z = "top.Interp"(%x, %n) {coord_mode = "half_pixel", mode = "linear", scale_h = 1.5, scale_w = 1.5} : (tensor<1x3x5x5xf32>, none) -> tensor<1x3x7x7xf32>
  return %y, %z : tensor<1x3x10x10xf32>, tensor<1x3x7x7xf32>
}
