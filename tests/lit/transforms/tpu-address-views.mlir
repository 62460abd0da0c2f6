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

// -----

// What a group hands on to others lies in a Concat behind it. A Concat and a Reshape of a group are computed in
// local memory: they have places of their own, and so have their operands if somebody else reads them.
// CHECK-LABEL: module @groups
// CHECK: "tpu.Relu"{{.*}}region = neuron, offset = 12288>]} {{.*}} loc("a")
// CHECK: "tpu.Relu"{{.*}}region = neuron, offset = 16384>]} {{.*}} loc("b")
// CHECK: "tpu.Concat"{{.*}}region = neuron, offset = 12288>]} {{.*}} loc("c")
// CHECK: "tpu.Concat"{{.*}}region = neuron, offset = 20480>]} {{.*}} loc("d")
// CHECK: "tpu.Reshape"{{.*}}region = neuron, offset = 28672>]} {{.*}} loc("e")
#first = #tpu.group<id = 0, n = 1, h = 1, image = 0>
#second = #tpu.group<id = 1, n = 1, h = 1, image = 0>
module @groups {
  func.func @main(%arg0: tensor<1x1024xf32>) -> tensor<1x2048xf32> {
    %x = "top.Input"(%arg0) : (tensor<1x1024xf32>) -> tensor<1x1024xf32> loc("x")
    %a = "tpu.Relu"(%x) {tpu.group = #first} : (tensor<1x1024xf32>) -> tensor<1x1024xf32> loc("a")
    %b = "tpu.Relu"(%a) {tpu.group = #first} : (tensor<1x1024xf32>) -> tensor<1x1024xf32> loc("b")
    %c = "tpu.Concat"(%a, %b) {axis = 1 : si32} : (tensor<1x1024xf32>, tensor<1x1024xf32>) -> tensor<1x2048xf32> loc("c")
    %d = "tpu.Concat"(%b, %a) {axis = 1 : si32, tpu.group = #second} : (tensor<1x1024xf32>, tensor<1x1024xf32>) -> tensor<1x2048xf32> loc("d")
    %e = "tpu.Reshape"(%d) {tpu.group = #second} : (tensor<1x2048xf32>) -> tensor<1x2048x1xf32> loc("e")
    %f = "tpu.Reshape"(%e) : (tensor<1x2048x1xf32>) -> tensor<1x2048xf32> loc("f")
    %y = "tpu.Add"(%c, %d, %f) : (tensor<1x2048xf32>, tensor<1x2048xf32>, tensor<1x2048xf32>) -> tensor<1x2048xf32> loc("y")
    return %y : tensor<1x2048xf32>
  }
}

// -----

// The slices of a group read its operands until the last of them is written: %x lives as long as the group, though
// only the first operation reads it and a constant stands between.
// CHECK-LABEL: module @slices
// CHECK: "tpu.Relu"{{.*}}region = neuron, offset = 12288>]} {{.*}} loc("x2")
// CHECK: "tpu.Add"{{.*}}region = neuron, offset = 16384>]} {{.*}} loc("b")
#group = #tpu.group<id = 0, n = 2, h = 1, image = 0>
module @slices {
  func.func @main(%arg0: tensor<2x512xf32>) -> tensor<2x512xf32> {
    %x = "top.Input"(%arg0) : (tensor<2x512xf32>) -> tensor<2x512xf32> loc("x")
    %x2 = "tpu.Relu"(%x) : (tensor<2x512xf32>) -> tensor<2x512xf32> loc("x2")
    %a = "tpu.Relu"(%x2) {tpu.group = #group} : (tensor<2x512xf32>) -> tensor<2x512xf32> loc("a")
    %w = "top.Weight"() : () -> tensor<512xf32> loc("w")
    %b = "tpu.Add"(%a, %w) {tpu.group = #group} : (tensor<2x512xf32>, tensor<512xf32>) -> tensor<2x512xf32> loc("b")
    %y = "tpu.Relu"(%b) : (tensor<2x512xf32>) -> tensor<2x512xf32> loc("y")
    return %y : tensor<2x512xf32>
  }
}
