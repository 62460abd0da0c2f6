// RUN: tpumlir-opt s -split-input-file | FileCheck %s

// What the vendor's front end writes in its own way (tests/python/test_vendor_text.py computes it).

// CHECK-LABEL: @one_step_of_a_layer
// CHECK-NOT: top.LSTM
// CHECK: "top.MatMul"{{.*}}right_transpose = true
// CHECK: "top.Sigmoid"
// CHECK: "top.Reshape"{{.*}} -> tensor<1x1x2x4xf32>
// CHECK-NEXT: return
func.func @one_step_of_a_layer(%x: tensor<1x2x3xf32>, %w: tensor<1x16x3xf32>, %r: tensor<1x16x4xf32>) -> tensor<1x1x2x4xf32> {
  %n = "top.None"() : () -> none
  %y:3 = "top.LSTM"(%x, %w, %r, %n, %n, %n, %n) {bidirectional = false, hidden_size = 4 : i64} : (tensor<1x2x3xf32>, tensor<1x16x3xf32>, tensor<1x16x4xf32>, none, none, none, none) -> (tensor<1x1x2x4xf32>, none, none) loc(fused["y", "h", "c"])
  return %y#4294967295 : tensor<1x1x2x4xf32>
}

