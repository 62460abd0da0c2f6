// RUN: tpumlir-opt %s -mlir-print-local-scope | FileCheck %s
// RUN: tpumlir-opt %s --shape-infer -mlir-print-local-scope | FileCheck %s
// RUN: tpumlir-opt %s --canonicalize -mlir-print-local-scope | FileCheck %s --check-prefix=FEWER
// RUN: tpumlir-opt %s --processor-assign=mode=F16 --convert-top-to-tpu --choose-precision --materialise-casts -mlir-print-local-scope | FileCheck %s --check-prefix=TPU

// What a calibration saw stands in the type of a tensor, in the vendor's spelling. It is of that tensor alone:
// what a rewrite makes has none, and a Tpu module has none at all.

// CHECK-LABEL: func.func @main(
// CHECK-SAME: -> tensor<1x4x6x6x!quant.calibrated<f32<0.000000e+00:6.000000e+00>>>
// CHECK: "top.Input"{{.*}} -> tensor<1x3x8x8x!quant.calibrated<f32<-3.500000e+00:3.500000e+00>>>
// CHECK: "top.Conv"{{.*}} -> tensor<1x4x6x6x!quant.calibrated<f32<-8.250000e+00:8.250000e+00>>>
// CHECK: "top.Relu"{{.*}} -> tensor<1x4x6x6x!quant.calibrated<f32<0.000000e+00:6.000000e+00>>>

// FEWER-LABEL: func.func @main(
// FEWER-SAME: -> tensor<1x4x6x6x!quant.calibrated<f32<0.000000e+00:6.000000e+00>>>
// FEWER: "top.Conv"{{.*}}do_relu = true{{.*}} -> tensor<1x4x6x6x!quant.calibrated<f32<0.000000e+00:6.000000e+00>>> loc("y")
// FEWER-NOT: top.Relu

// TPU-LABEL: func.func @main(
// TPU-SAME: -> tensor<1x4x6x6xf32>
// TPU-NOT: quant
// TPU: "tpu.Conv2D"{{.*}} -> tensor<1x4x6x6xf16>
// TPU-NOT: quant
func.func @main(%x: tensor<1x3x8x8xf32>) -> tensor<1x4x6x6x!quant.calibrated<f32<0.0:6.0>>> {
  %none = "top.None"() : () -> none
  %w = "top.Weight"() : () -> tensor<4x3x3x3xf32> loc("w")
  %i = "top.Input"(%x) : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8x!quant.calibrated<f32<-3.5:3.5>>> loc("x")
  %c = "top.Conv"(%i, %w, %none) {kernel_shape = [3, 3], strides = [1, 1], pads = [0, 0, 0, 0]} : (tensor<1x3x8x8x!quant.calibrated<f32<-3.5:3.5>>>, tensor<4x3x3x3xf32>, none) -> tensor<1x4x6x6x!quant.calibrated<f32<-8.25:8.25>>> loc("c")
  %y = "top.Relu"(%c) : (tensor<1x4x6x6x!quant.calibrated<f32<-8.25:8.25>>>) -> tensor<1x4x6x6x!quant.calibrated<f32<0.0:6.0>>> loc("y")
  return %y : tensor<1x4x6x6x!quant.calibrated<f32<0.0:6.0>>>
}
