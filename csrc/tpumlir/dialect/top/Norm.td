#ifndef TPUMLIR_TOP_NORM
#define TPUMLIR_TOP_NORM

include "tpumlir/dialect/top/TopBase.td"

def Top_BatchNormOp : Top_Op<"BatchNorm", [SupportFuseRelu]> {
  let summary = "(x - mean) / sqrt(variance + epsilon) * gamma + beta";
  let description = [{
    Per channel (axis 1). A `gamma` of none is 1, a `beta` of none 0.

    Source: ONNX BatchNormalization, opset 15, inference.

    Constraints:
    - (C1) `input` has at least two axes.
    - (C2) each parameter has one element per channel.
    - (C3) `epsilon` is not negative.
  }];
  let arguments = !con((ins
      Top_Tensor:$input, Top_Tensor:$mean, Top_Tensor:$variance,
      Top_TensorOrNone:$gamma, Top_TensorOrNone:$beta,
      Top_Default<Top_F64, "1e-05">:$epsilon), Top_Relu);
  let results = (outs Top_Tensor:$output);
}

def Top_ScaleOp : Top_Op<"Scale", [SupportFuseRelu]> {
  let summary = "x * scale + bias per channel (axis 1)";
  let description = [{
    A `bias` of none is 0. The parameters may have any shape of one element per
    channel.

    Constraints:
    - (C1) `input` has at least two axes.
    - (C2) each parameter has one element per channel.
  }];
  let arguments = !con((ins Top_Tensor:$input, Top_Tensor:$scale,
                            Top_TensorOrNone:$bias), Top_Relu);
  let results = (outs Top_Tensor:$output);
}

def Top_LayerNormOp : Top_NormalizedOp<"LayerNorm"> {
  let summary = "normalised over the axes from `axis` on, * weight + bias";
  let description = [{
    (x - mean) / sqrt(variance + eps), mean and biased variance over those axes.
    `normalized_shape` repeats their extents or is empty.

    Source: ONNX LayerNormalization, opset 17.

    Constraints:
    - (C1) `axis` lies in [-rank, rank).
    - (C2) `weight` and `bias` have one element per normalised element.
    - (C3) `normalized_shape` is empty or the extents from `axis` on.
  }];
  let arguments = (ins Top_Tensor:$input, Top_TensorOrNone:$weight,
                       Top_TensorOrNone:$bias, Top_I64s:$normalized_shape,
                       Top_SI32:$axis, Top_F64:$eps);
  let results = (outs Top_Tensor:$output);
}

def Top_InstanceNormOp : Top_Op<"InstanceNorm"> {
  let summary = "normalised over the spatial axes per sample and channel";
  let description = [{
    Source: ONNX InstanceNormalization, opset 22.

    Constraints:
    - (C1) `input` has at least three axes.
    - (C2) `weight` and `bias` have one element per channel.
  }];
  let arguments = (ins Top_Tensor:$input, Top_TensorOrNone:$weight,
                       Top_TensorOrNone:$bias, Top_F64:$eps);
  let results = (outs Top_Tensor:$output);
}

def Top_GroupNormOp : Top_Op<"GroupNorm"> {
  let summary = "normalised over groups of channels and the spatial axes";
  let description = [{
    Source: ONNX GroupNormalization, opset 21.

    Constraints:
    - (C1) `input` has at least two axes.
    - (C2) `weight` and `bias` have one element per channel.
    - (C3) `num_groups` divides the channels.
  }];
  let arguments = (ins Top_Tensor:$input, Top_TensorOrNone:$weight,
                       Top_TensorOrNone:$bias, Top_I64:$num_groups,
                       Top_F64:$eps);
  let results = (outs Top_Tensor:$output);
}

def Top_PixelNormOp : Top_Op<"PixelNorm"> {
  let summary = "normalised over the channels (axis 1) per pixel";
  let description = [{
    Constraints:
    - (C1) `input` has at least two axes.
    - (C2) `weight` and `bias` have one element per channel.
  }];
  let arguments = (ins Top_Tensor:$input, Top_TensorOrNone:$weight,
                       Top_TensorOrNone:$bias, Top_F64:$eps);
  let results = (outs Top_Tensor:$output);
}

def Top_RMSNormOp : Top_Op<"RMSNorm"> {
  let summary = "x / sqrt(mean(x * x) + eps) * gamma over the last axis";
  let description = [{
    Constraints:
    - (C1) `input` has an axis.
    - (C2) `gamma` has one element per element of the last axis.
  }];
  let arguments = (ins Top_Tensor:$input, Top_TensorOrNone:$gamma, Top_F64:$eps,
                       Top_Default<BoolAttr, "false">:$weight_keep_f32);
  let results = (outs Top_Tensor:$output);
}

def Top_LRNOp : Top_Op<"LRN"> {
  let summary = "x / (bias + alpha / size * sum of squares over channels)^beta";
  let description = [{
    The sum is over the `size` channels around the element's own.

    Source: ONNX LRN, opset 13.

    Constraints:
    - (C1) `input` has at least two axes.
    - (C2) `size` is positive.
  }];
  let arguments = (ins Top_Tensor:$input, Top_I64:$size,
                       Top_Default<Top_F64, "0.0001">:$alpha,
                       Top_Default<Top_F64, "0.75">:$beta,
                       Top_Default<Top_F64, "1.0">:$bias);
  let results = (outs Top_Tensor:$output);
}

#endif
