// RUN: tpumlir-opt %s --tpu-group -mlir-print-local-scope | FileCheck %s

// Groups of an earlier run count for nothing. An operation without local form stays alone, and no group
// reaches over it.
// CHECK-NOT: id = 7
// CHECK: "tpu.Relu"{{.*}}tpu.group = #tpu.group<id = 0,
// CHECK: "tpu.AddConst"{{.*}}tpu.group = #tpu.group<id = 0,
// CHECK: "tpu.CumSum"
// CHECK-NOT: tpu.group
// CHECK: "tpu.Relu"{{.*}}tpu.group = #tpu.group<id = 1,
// CHECK: "tpu.AddConst"{{.*}}tpu.group = #tpu.group<id = 1,
func.func @main(%arg0: tensor<1x64x16x16xf32>) -> tensor<1x64x16x16xf32> {
  %x = "top.Input"(%arg0) : (tensor<1x64x16x16xf32>) -> tensor<1x64x16x16xf32> loc("x")
  %a = "tpu.Relu"(%x) : (tensor<1x64x16x16xf32>) -> tensor<1x64x16x16xf32> loc("a")
  %b = "tpu.AddConst"(%a) {const_val = 1.0 : f64} : (tensor<1x64x16x16xf32>) -> tensor<1x64x16x16xf32> loc("b")
  %s = "tpu.CumSum"(%b) {axis = 3 : i64, tpu.group = #tpu.group<id = 7, n = 1, h = 1, image = 0>} : (tensor<1x64x16x16xf32>) -> tensor<1x64x16x16xf32> loc("s")
  %c = "tpu.Relu"(%s) : (tensor<1x64x16x16xf32>) -> tensor<1x64x16x16xf32> loc("c")
  %d = "tpu.AddConst"(%c) {const_val = 1.0 : f64} : (tensor<1x64x16x16xf32>) -> tensor<1x64x16x16xf32> loc("d")
  return %d : tensor<1x64x16x16xf32>
}
