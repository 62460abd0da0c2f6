// RUN: tpumlir-opt %s --canonicalize -split-input-file -mlir-print-local-scope | FileCheck %s
// RUN: tpumlir-opt %s --extra-optimize -split-input-file -mlir-print-local-scope | FileCheck %s

// What no output needs goes; an input stays.
// CHECK-LABEL: @unused
// CHECK-NOT: top.Exp
// CHECK-NOT: top.Weight
// CHECK: "top.Input"(%arg0){{.*}} loc("x")
// CHECK: "top.Input"(%arg1){{.*}} loc("unused")
// CHECK-NOT: top.Exp
func.func @unused(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
  %w = "top.Weight"() : () -> tensor<4xf32> loc("w")
  %x = "top.Input"(%a) : (tensor<4xf32>) -> tensor<4xf32> loc("x")
  %u = "top.Input"(%b) : (tensor<4xf32>) -> tensor<4xf32> loc("unused")
  %e = "top.Exp"(%u) : (tensor<4xf32>) -> tensor<4xf32>
  %s = "top.Sqrt"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return %s : tensor<4xf32>
}
