#ifndef TPUMLIR_TOP_OPS
#define TPUMLIR_TOP_OPS

include "tpumlir/dialect/top/TopBase.td"
include "tpumlir/dialect/top/Activation.td"
include "tpumlir/dialect/top/Conv.td"
include "tpumlir/dialect/top/Elementwise.td"
include "tpumlir/dialect/top/Index.td"
include "tpumlir/dialect/top/Layout.td"
include "tpumlir/dialect/top/MatMul.td"
include "tpumlir/dialect/top/Norm.td"
include "tpumlir/dialect/top/Pool.td"
include "tpumlir/dialect/top/Quantize.td"
include "tpumlir/dialect/top/Reduce.td"
include "tpumlir/dialect/top/Resize.td"
include "tpumlir/dialect/top/Softmax.td"

def Top_NoneOp : Top_BaseOp<"None", [Pure]> {
  let summary = "stands for an operand that is not there";
  let results = (outs NoneType:$output);
}

def Top_WeightOp : Top_BaseOp<"Weight", [Pure]> {
  let summary = "constant; its data are found under the location's name";
  let description = [{
    Constraints:
    - (C1) the type is ranked and static.
    - (C2) the location is a name.
  }];
  let arguments = (ins
      OptionalAttr<Top_F64s>:$scale,
      OptionalAttr<Top_PlainWords<["1N", "2N", "4N"]>>:$store_mode,
      OptionalAttr<Top_I64s>:$allow_split, OptionalAttr<Top_I64s>:$indices_idx,
      OptionalAttr<Top_I64s>:$indices_slice, OptionalAttr<StrAttr>:$path,
      OptionalAttr<BoolAttr>:$do_compress, OptionalAttr<Top_I64>:$bias0,
      OptionalAttr<Top_I64>:$bias1, OptionalAttr<BoolAttr>:$is_signed,
      OptionalAttr<BoolAttr>:$zero_guard, OptionalAttr<StrAttr>:$inline_bytes);
  let results = (outs AnyRankedTensor:$output);
  let extraClassDeclaration = [{
    /// The data, or null if the module was parsed without them.
    const ::tpumlir::Weight *getWeight();
  }];
  let hasVerifier = 1;
}

// Not Pure: an input that nothing uses is still one of the model's.
def Top_InputOp
    : Top_BaseOp<"Input", [DeclareOpInterfaceMethods<ShapeOpInterface>,
                           DeclareOpInterfaceMethods<PlanOpInterface>]> {
  let summary = "a model input; its location is the input's name";
  let description = [{
    The attributes tell how an image becomes this input.
  }];
  let arguments = (ins Top_Tensor:$input,
      OptionalAttr<Top_I64s>:$shape_tensor,
      Top_Default<BoolAttr, "false">:$do_preprocess,
      OptionalAttr<Top_PlainWords<["rgb", "bgr", "gray", "rgba", "gbrg", "grbg",
                              "bggr", "rggb"]>>:$pixel_format,
      OptionalAttr<Top_PlainWords<["nhwc", "nchw"]>>:$channel_format,
      OptionalAttr<Top_I64s>:$resize_dims,
      OptionalAttr<BoolAttr>:$keep_aspect_ratio,
      OptionalAttr<StrAttr>:$keep_ratio_mode, OptionalAttr<Top_I64>:$pad_value,
      OptionalAttr<Top_PlainWords<["normal", "center"]>>:$pad_type,
      OptionalAttr<Top_F64s>:$scale, OptionalAttr<Top_F64s>:$mean,
      OptionalAttr<StrAttr>:$customization_format,
      OptionalAttr<BoolAttr>:$aligned, OptionalAttr<StrAttr>:$yuv_type);
  let results = (outs Top_Tensor:$output);
}

#endif
