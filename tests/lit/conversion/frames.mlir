// RUN: not tpumlir-opt %s --processor-assign --convert-top-to-tpu -split-input-file 2>&1 | FileCheck %s

// Bytes of a frame are moved and cast; nothing computes with them.
// CHECK: error: {{.*}}expected elements of ui8 to be moved or cast only, got them as an operand of top.AddConst
func.func @main(%arg: tensor<1x4x4x3xui8>) -> tensor<1x4x4x3xf32> {
  %x = "top.Input"(%arg) {customization_format = "RGB_PACKED"} : (tensor<1x4x4x3xui8>) -> tensor<1x4x4x3xui8> loc("x")
  %y = "top.AddConst"(%x) {const_val = 1.0} : (tensor<1x4x4x3xui8>) -> tensor<1x4x4x3xui8> loc("y")
  %z = "top.Cast"(%y) {to = "F32"} : (tensor<1x4x4x3xui8>) -> tensor<1x4x4x3xf32> loc("z")
  return %z : tensor<1x4x4x3xf32>
}

// -----

// CHECK: error: {{.*}}expected elements of ui8 to be moved or cast only, got them as an operand of top.CompareConst
func.func @main(%arg: tensor<1x4x4x3xui8>) -> tensor<1x4x4x3xf32> {
  %x = "top.Input"(%arg) {customization_format = "RGB_PACKED"} : (tensor<1x4x4x3xui8>) -> tensor<1x4x4x3xui8> loc("x")
  %y = "top.CompareConst"(%x) {const_val = 1.0, inversed = false, mode = "Less"} : (tensor<1x4x4x3xui8>) -> tensor<1x4x4x3xf32> loc("y")
  return %y : tensor<1x4x4x3xf32>
}
