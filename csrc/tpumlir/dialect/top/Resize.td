#ifndef TPUMLIR_TOP_RESIZE
#define TPUMLIR_TOP_RESIZE

include "tpumlir/dialect/top/TopBase.td"

def Top_InterpOp : Top_Op<"Interp"> {
  let summary = "rows and columns resampled, nearest or linear";
  let description = [{
    The result has floor(extent * scale) rows and columns, or those that
    `target_shape`, a weight with the last two or all extents, lists.

    Source: ONNX Resize, opset 19.

    Constraints:
    - (C1) `input` is of rank 4.
    - (C2) `scale_h` and `scale_w` are positive, or `target_shape` is a weight
      of positive extents that keeps batch and channels.
  }];
  let arguments = (ins Top_Tensor:$input, Top_TensorOrNone:$target_shape,
                       Top_Words<Top_InterpModeEnum>:$mode,
                       Top_Words<Top_CoordModeEnum>:$coord_mode,
                       Top_Default<Top_F64, "-1.0">:$scale_h,
                       Top_Default<Top_F64, "-1.0">:$scale_w);
  let results = (outs Top_Tensor:$output);
}

def Top_UpsampleOp : Top_Op<"Upsample", [SupportFuseRelu]> {
  let summary = "each element repeated scale_h x scale_w times";
  let description = [{
    Constraints:
    - (C1) `input` is of rank 4 and the scales are positive.
  }];
  let arguments = !con((ins Top_Tensor:$input, Top_I64:$scale_h,
                        Top_I64:$scale_w), Top_Relu);
  let results = (outs Top_Tensor:$output);
}

#endif
