// RUN: tpumlir-opt %s --address-assign -mlir-print-local-scope | FileCheck %s

// In the order of the program %c of two pages would not fit in front of %b, where %a is free again: four pages.
// The greatest first, it lies in front and %b behind it: three.
// CHECK: module.neuron_size = 36864 : i64
// CHECK: offset = 28672>]}{{.*}}loc("a")
// CHECK: offset = 36864>]}{{.*}}loc("b")
// CHECK: offset = 28672>]}{{.*}}loc("c")
module {
  func.func @main(%arg0: tensor<32xf32>, %arg1: tensor<2048xf32>) -> (tensor<32xf32>, tensor<2048xf32>) {
    %w = "top.Weight"() : () -> tensor<32xf32> loc("w")
    %x = "top.Input"(%arg0) : (tensor<32xf32>) -> tensor<32xf32> loc("x")
    %y = "top.Input"(%arg1) : (tensor<2048xf32>) -> tensor<2048xf32> loc("y")
    %a = "tpu.Add"(%x, %w) : (tensor<32xf32>, tensor<32xf32>) -> tensor<32xf32> loc("a")
    %b = "tpu.Relu"(%a) : (tensor<32xf32>) -> tensor<32xf32> loc("b")
    %c = "tpu.Relu"(%y) : (tensor<2048xf32>) -> tensor<2048xf32> loc("c")
    %d = "tpu.Mul"(%b, %w) : (tensor<32xf32>, tensor<32xf32>) -> tensor<32xf32> loc("d")
    %e = "tpu.Mul"(%c, %y) : (tensor<2048xf32>, tensor<2048xf32>) -> tensor<2048xf32> loc("e")
    return %d, %e : tensor<32xf32>, tensor<2048xf32>
  }
}
