// RUN: tpumlir-opt %s --address-assign -mlir-print-local-scope | FileCheck %s

// Weights first, in pages; then inputs and outputs; then the rest, which shares memory: %b may lie where %a
// was only after %a was read, so it lies behind, and %c where %a lay. A Reshape lies where its input does.
// CHECK: module.coeff_addr = 4294967296 : i64, module.coeff_size = 8192 : i64
// CHECK-SAME: module.neuron_addr = 4294975488 : i64, module.neuron_size = 16384 : i64
// CHECK: "top.Weight"() {tpu.place = [#tpu.gmem<region = weight, offset = 0>]}
// CHECK: "top.Weight"() {tpu.place = [#tpu.gmem<region = weight, offset = 4096>]}
// CHECK: "top.Input"(%arg0) {{.*}}tpu.place = [#tpu.gmem<region = io, offset = 8192>]}
// CHECK: "tpu.Add"{{.*}}tpu.place = [#tpu.gmem<region = neuron, offset = 16384>]
// CHECK: "tpu.Reshape"{{.*}}tpu.place = [#tpu.gmem<region = neuron, offset = 16384>]
// CHECK: "tpu.Relu"{{.*}}tpu.place = [#tpu.gmem<region = neuron, offset = 20480>]
// CHECK: "tpu.Mul"{{.*}}tpu.place = [#tpu.gmem<region = io, offset = 12288>]
module {
  func.func @main(%arg0: tensor<4x8xf32>) -> tensor<32xf32> {
    %w = "top.Weight"() : () -> tensor<4x8xf32> loc("w")
    %v = "top.Weight"() : () -> tensor<32xf32> loc("v")
    %x = "top.Input"(%arg0) : (tensor<4x8xf32>) -> tensor<4x8xf32> loc("x")
    %a = "tpu.Add"(%x, %w) : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32> loc("a")
    %r = "tpu.Reshape"(%a) : (tensor<4x8xf32>) -> tensor<32xf32> loc("r")
    %b = "tpu.Relu"(%r) : (tensor<32xf32>) -> tensor<32xf32> loc("b")
    %c = "tpu.Mul"(%b, %v) : (tensor<32xf32>, tensor<32xf32>) -> tensor<32xf32> loc("c")
    return %c : tensor<32xf32>
  }
}
