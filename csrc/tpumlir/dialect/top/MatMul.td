#ifndef TPUMLIR_TOP_MATMUL
#define TPUMLIR_TOP_MATMUL

include "tpumlir/dialect/top/TopBase.td"

def Top_MatMulOp : Top_Op<"MatMul", [SupportFuseRelu]> {
  let summary = "matrix product over the last two axes, batches broadcast";
  let description = [{
    `input` is [batch..., m, k], `right` [batch..., k, n], each with its last
    two axes exchanged if its `*_transpose` is set; `output_transpose` exchanges
    those of the result. `bias` (or none) is added and broadcasts to the result.
    A rank 1 operand is a row (left) or a column (right) and its axis is absent
    from the result. Any operand is a weight or a run-time tensor.

    Source: numpy.matmul, ONNX MatMul opset 13 and Gemm opset 13.

    Constraints:
    - (C1) the inner extents agree.
    - (C2) the batches broadcast.
    - (C3) `bias` broadcasts to the result.
    - (C4) `hdim_is_batch` is false and `keep_dims` true (other values belong to
      later stages of the vendor's flow).
  }];
  let arguments = !con((ins
      Top_Tensor:$input, Top_Tensor:$right, Top_TensorOrNone:$bias,
      Top_Default<BoolAttr, "false">:$right_transpose,
      Top_Default<BoolAttr, "false">:$left_transpose,
      Top_Default<BoolAttr, "false">:$output_transpose,
      Top_Default<BoolAttr, "false">:$hdim_is_batch,
      Top_Default<BoolAttr, "true">:$keep_dims), Top_Relu, (ins
      Top_Default<BoolAttr, "false">:$is_lora,
      OptionalAttr<Top_I64>:$weight_bits,
      OptionalAttr<Top_F64>:$in_int4_scale, OptionalAttr<Top_F64>:$in_int4_zp,
      OptionalAttr<Top_F64>:$out_int8_scale, OptionalAttr<Top_F64>:$out_int8_zp,
      Top_DefaultWord<Top_DqType, "NONE">:$dq_type,
      Top_Default<Top_I64, "0">:$q_group_size));
  let results = (outs Top_Tensor:$output);
}

#endif
