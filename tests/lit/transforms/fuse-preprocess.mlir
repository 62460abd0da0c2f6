// RUN: tpumlir-opt %s --fuse-preprocess="mode=INT8 customization_format=BGR_PACKED align=false" -mlir-print-local-scope | FileCheck %s
// RUN: tpumlir-opt %s --fuse-preprocess -mlir-print-local-scope | FileCheck %s --check-prefix=PLAIN
// RUN: tpumlir-opt %s --fuse-preprocess="mode=INT8 customization_format=BGR_PACKED align=true" -mlir-print-local-scope | FileCheck %s
// RUN: not tpumlir-opt %s --fuse-preprocess="customization_format=NV12" 2>&1 | FileCheck %s --check-prefix=FORMAT
// RUN: not tpumlir-opt %s --fuse-preprocess="customization_format=GRAYSCALE" 2>&1 | FileCheck %s --check-prefix=GRAY

// The vendor's align is for other chips.
// One cast of all bytes, then the channels in the order of the model.
// CHECK: @main(%arg0: tensor<1x9x10x3xui8> {{.*}}, %arg1: tensor<4xf32>
// CHECK: "top.Input"(%arg0) {{.*}}customization_format = "BGR_PACKED"{{.*}} tensor<1x9x10x3xui8> loc("image")
// CHECK: "top.Cast"{{.*}}to = "F32"
// CHECK-NOT: "top.Cast"
// CHECK: "top.Slice"{{.*}}offset = [2]{{.*}}steps = [3]
// CHECK: "top.Slice"{{.*}}offset = [1]{{.*}}steps = [3]
// CHECK: "top.Slice"{{.*}}offset = [0]{{.*}}steps = [3]
// A mean of 0 and a scale of 1 are no operations.
// CHECK: "top.SubConst"{{.*}}const_val = 1.0
// CHECK-NEXT: "top.MulConst"{{.*}}const_val = 5.0
// CHECK-NEXT: "top.MulConst"{{.*}}const_val = 2.5
// CHECK-NEXT: "top.SubConst"{{.*}}const_val = 3.0
// CHECK-NOT: "top.MulConst"
// CHECK: "top.Concat"
// CHECK-NEXT: %[[WHOLE:.*]] = "top.Reshape"{{.*}} tensor<1x3x9x10xf32> loc("image::preprocessed"
// CHECK: "top.Input"(%arg1) {{.*}} tensor<4xf32> loc("v")
// CHECK: "top.Relu"(%[[WHOLE]])

// Planes lie side by side: nothing moves.
// PLAIN: customization_format = "RGB_PLANAR"{{.*}} tensor<1x3x9x10xui8> loc("image")

// FORMAT: error: {{.*}}expected a customization_format of RGB_PLANAR, {{.*}}YUV_NV12, got NV12
// GRAY: error: {{.*}}expected a customization_format with the channels of a model that reads rgb pictures, got GRAYSCALE
func.func @main(%x: tensor<1x3x9x10xf32>, %y: tensor<4xf32>) -> (tensor<1x3x9x10xf32>, tensor<4xf32>) {
  %image = "top.Input"(%x) {do_preprocess = true, pixel_format = "rgb", channel_format = "nchw", mean = [1.0, 0.0, 3.0], scale = [5.0, 2.5, 1.0]} : (tensor<1x3x9x10xf32>) -> tensor<1x3x9x10xf32> loc("image")
  %v = "top.Input"(%y) : (tensor<4xf32>) -> tensor<4xf32> loc("v")
  %r = "top.Relu"(%image) : (tensor<1x3x9x10xf32>) -> tensor<1x3x9x10xf32> loc("r")
  %n = "top.Relu"(%v) : (tensor<4xf32>) -> tensor<4xf32> loc("n")
  return %r, %n : tensor<1x3x9x10xf32>, tensor<4xf32>
}
