#ifndef TPUMLIR_TOP_REDUCE
#define TPUMLIR_TOP_REDUCE

include "tpumlir/dialect/top/TopBase.td"

def Top_ReduceOp : Top_NormalizedOp<"Reduce"> {
  let summary = "minimum, maximum, mean, norm, sum or product over axes";
  let description = [{
    Empty `axes` stand for all. `keepdims` leaves them as 1. A result without
    axes has the shape [1] if `is_scalar`, else none.

    Source: ONNX Reduce*, opset 18.

    Constraints:
    - (C1) `axes` lie in [-rank, rank), each once.
  }];
  let arguments = !con((ins Top_Tensor:$input, Top_I64s:$axes,
      BoolAttr:$keepdims,
      Top_ReduceMode:$mode), Top_Scalar);
  let results = (outs Top_Tensor:$output);
}

def Top_ArgOp : Top_NormalizedOp<"Arg"> {
  let summary = "index (and value) of the least or greatest element of an axis";
  let description = [{
    Of equal elements the last one if `select_last_index`, else the first.

    Source: ONNX ArgMax and ArgMin, opset 13.

    Constraints:
    - (C1) `axis` lies in [-rank, rank).
  }];
  let arguments = (ins Top_Tensor:$input, Top_I64:$axis, BoolAttr:$keepdims,
                       Top_ArgMode:$mode,
                       Top_Default<BoolAttr, "true">:$select_last_index);
  let results = (outs Top_Tensor:$indices, Top_TensorOrNone:$values);
}

def Top_CumSumOp : Top_NormalizedOp<"CumSum"> {
  let summary = "running sum along `axis`";
  let description = [{
    Constraints:
    - (C1) `axis` lies in [-rank, rank).
  }];
  let arguments = (ins Top_Tensor:$input, Top_TensorOrNone:$dim, Top_I64:$axis);
  let results = (outs Top_Tensor:$output);
}

#endif
