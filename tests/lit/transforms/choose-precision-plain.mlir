// RUN: tpumlir-opt %s --choose-precision=plain=true -mlir-print-local-scope | FileCheck %s

// Without rules the mode and the table decide: (P10) what moves data follows its input.
// CHECK-LABEL: @plain(
// CHECK: "tpu.Active"{{.*}}{type = f16}{{.*}}loc("s")
// CHECK: "tpu.Relu"{{.*}}{type = f32, why = "(P1) the quantize table"}{{.*}}loc("a")
// CHECK: "tpu.Reshape"{{.*}}{type = f32}{{.*}}loc("b")
module attributes {module.mode = "F16", module.quantize_table = {"a" = "F32"}} {
func.func @plain(%x: tensor<4xf32>) -> tensor<2x2xf32> {
  %s = "tpu.Active"(%x) {mode = #tpu<active_mode SIN>} : (tensor<4xf32>) -> tensor<4xf32> loc("s")
  %a = "tpu.Relu"(%s) : (tensor<4xf32>) -> tensor<4xf32> loc("a")
  %b = "tpu.Reshape"(%a) : (tensor<4xf32>) -> tensor<2x2xf32> loc("b")
  return %b : tensor<2x2xf32>
}
}
