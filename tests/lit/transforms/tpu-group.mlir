// RUN: tpumlir-opt %s --weight-reorder --tpu-group --address-assign -mlir-print-local-scope | FileCheck %s
// RUN: tpumlir-opt %s --weight-reorder --tpu-group=level=1 -mlir-print-local-scope | FileCheck %s --check-prefix=NOPLACE

// A convolution, its activation and a sum with both readers of %a: one group. The filter is read from the
// group's constants alone and has no place; what stays inside has none either.
// CHECK: "top.Weight"() {tpu.packed}
// CHECK: "tpu.Conv2D"{{.*}}tpu.group = #tpu.group<id = 0, n = [[N:[0-9]+]], h = [[H:[0-9]+]], image = [[I:[0-9]+]]>, tpu.image = #tpu.gmem<region = weight, offset = 0>
// CHECK-NOT: tpu.place
// CHECK: "tpu.Active"{{.*}}tpu.group = #tpu.group<id = 0, n = [[N]], h = [[H]], image = [[I]]>}
// CHECK: "tpu.Add"{{.*}}tpu.group = #tpu.group<id = 0, n = [[N]], h = [[H]], image = [[I]]>, tpu.place = [#tpu.gmem<region = io
// NOPLACE: "tpu.Conv2D"{{.*}}tpu.group = #tpu.group<id = 0
// NOPLACE-NOT: tpu.place
module attributes {module.chip = "bm1684x", module.mode = "F32", module.state = "TPU_LOWERED"} {
  func.func @main(%arg0: tensor<1x8x12x10xf32>) -> tensor<1x16x12x10xf32> {
    %none = "top.None"() : () -> none
    %x = "top.Input"(%arg0) : (tensor<1x8x12x10xf32>) -> tensor<1x8x12x10xf32> loc("x")
    %w = "top.Weight"() : () -> tensor<16x8x3x3xf32> loc("w")
    %a = "tpu.Conv2D"(%x, %w, %none) {kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], with_bias = false} : (tensor<1x8x12x10xf32>, tensor<16x8x3x3xf32>, none) -> tensor<1x16x12x10xf32> loc("a")
    %b = "tpu.Active"(%a) {mode = #tpu<active_mode SIGMOID>} : (tensor<1x16x12x10xf32>) -> tensor<1x16x12x10xf32> loc("b")
    %c = "tpu.Add"(%a, %b) : (tensor<1x16x12x10xf32>, tensor<1x16x12x10xf32>) -> tensor<1x16x12x10xf32> loc("c")
    return %c : tensor<1x16x12x10xf32>
  }
}
