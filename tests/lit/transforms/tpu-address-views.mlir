// RUN: tpumlir-opt %s --address-assign -mlir-print-local-scope -split-input-file | FileCheck %s

// Operands of a Concat along the first axis of more than one element lie in its result; what is a model input
// is copied there. A page of memory is one operand here, so the places tell.
// CHECK-LABEL: module @operands
// CHECK: "top.Input"{{.*}}region = io, offset = 0>
// CHECK: "tpu.Relu"{{.*}}region = neuron, offset = 20480>
// CHECK: "tpu.Relu"{{.*}}region = neuron, offset = 24576>
// CHECK: "tpu.Concat"{{.*}}region = neuron, offset = 16384>
// CHECK: "tpu.Relu"{{.*}}region = io, offset = 4096>
module @operands {
  func.func @main(%arg0: tensor<1x1024xf32>) -> tensor<1x3072xf32> {
    %x = "top.Input"(%arg0) : (tensor<1x1024xf32>) -> tensor<1x1024xf32> loc("x")
    %a = "tpu.Relu"(%x) : (tensor<1x1024xf32>) -> tensor<1x1024xf32> loc("a")
    %b = "tpu.Relu"(%a) : (tensor<1x1024xf32>) -> tensor<1x1024xf32> loc("b")
    %c = "tpu.Concat"(%x, %a, %b) {axis = 1 : si32} : (tensor<1x1024xf32>, tensor<1x1024xf32>, tensor<1x1024xf32>) -> tensor<1x3072xf32> loc("c")
    %y = "tpu.Relu"(%c) : (tensor<1x3072xf32>) -> tensor<1x3072xf32> loc("y")
    return %y : tensor<1x3072xf32>
  }
}

// -----

// A Concat that is returned lies with the outputs, and its operands in it, to the element; one that is returned
// itself has a place of its own, and one that occurs twice is in the first of its parts.
// CHECK-LABEL: module @returned
// CHECK: "tpu.Relu"{{.*}}region = io, offset = 4096>]} {{.*}} loc("a")
// CHECK: "tpu.AddConst"{{.*}}region = io, offset = 8204>]} {{.*}} loc("b")
// CHECK: "tpu.Concat"{{.*}}region = io, offset = 8192>]} {{.*}} loc("c")
module @returned {
  func.func @main(%arg0: tensor<3xf32>) -> (tensor<3xf32>, tensor<9xf32>) {
    %x = "top.Input"(%arg0) : (tensor<3xf32>) -> tensor<3xf32> loc("x")
    %a = "tpu.Relu"(%x) : (tensor<3xf32>) -> tensor<3xf32> loc("a")
    %b = "tpu.AddConst"(%x) {const_val = 1.0 : f64} : (tensor<3xf32>) -> tensor<3xf32> loc("b")
    %c = "tpu.Concat"(%a, %b, %b) {axis = 0 : si32} : (tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<9xf32> loc("c")
    return %a, %c : tensor<3xf32>, tensor<9xf32>
  }
}
