// RUN: tpumlir-opt %s --shape-infer -verify-diagnostics

// Both wrong ops are reported, not the first one only; what depends on them is not.
func.func @all_errors(%x: tensor<2x3xf32>) -> (tensor<*xf32>, tensor<*xf32>) {
  %a = "top.Relu"(%x) : (tensor<2x3xf32>) -> tensor<*xf32>
  // expected-error @+1 {{expected a shape of 6 elements (input [2, 3]), got [5]}}
  %b = "top.Reshape"(%a) {shape = [5]} : (tensor<*xf32>) -> tensor<*xf32>
  %c = "top.Relu"(%b) : (tensor<*xf32>) -> tensor<*xf32>
  // expected-error @+1 {{expected an axis in [-2, 2), got 2}}
  %d = "top.Softmax"(%a) {axis = 2 : si32} : (tensor<*xf32>) -> tensor<*xf32>
  return %c, %d : tensor<*xf32>, tensor<*xf32>
}
