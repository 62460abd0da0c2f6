#ifndef TPUMLIR_TOP_INDEX
#define TPUMLIR_TOP_INDEX

include "tpumlir/dialect/top/TopBase.td"

def Top_GatherOp : Top_NormalizedOp<"Gather"> {
  let summary = "slices of `input` along `axis` that `indices` choose";
  let description = [{
    The axis is replaced by the shape of `indices`; without `keepdims` one index
    leaves no axis. A result without axes has the shape [1] if `is_scalar`.
    Negative indices count from the extent.

    Source: ONNX Gather, opset 13.

    Constraints:
    - (C1) `axis` lies in [-rank, rank).
  }];
  let arguments = !con((ins Top_Tensor:$input, Top_Tensor:$indices,
                        Top_Default<BoolAttr, "true">:$keepdims,
                        Top_Default<Top_SI32, "0">:$axis), Top_Scalar, (ins
                        Top_Default<BoolAttr, "false">:$is_lora));
  let results = (outs Top_Tensor:$output);
}

def Top_GatherElementsOp : Top_NormalizedOp<"GatherElements"> {
  let summary = "result element at a place is input's with `axis` from indices";
  let description = [{
    Source: ONNX GatherElements, opset 13.

    Constraints:
    - (C1) `axis` lies in [-rank, rank).
    - (C2) `indices` has the input's rank and exceeds it in no other axis.
  }];
  let arguments = (ins Top_Tensor:$input, Top_Tensor:$indices,
                       Top_Default<Top_I64, "2">:$axis);
  let results = (outs Top_Tensor:$output);
}

def Top_GatherNDOp : Top_Op<"GatherND"> {
  let summary = "slices of `input` at the index tuples in `indices`' last axis";
  let description = [{
    Source: ONNX GatherND, opset 13.

    Constraints:
    - (C1) `batch_dims` is at least 0 and below both ranks.
    - (C2) both agree in the batch axes.
    - (C3) a tuple has between 1 and rank - batch_dims indices.
  }];
  let arguments = (ins Top_Tensor:$input, Top_Tensor:$indices,
                       OptionalAttr<Top_I64>:$indice_dims,
                       Top_Default<Top_I64, "0">:$batch_dims);
  let results = (outs Top_Tensor:$output);
}

def Top_ScatterElementsOp : Top_NormalizedOp<"ScatterElements"> {
  let summary = "`input` with `updates` written at `indices` along `axis`";
  let description = [{
    `reduction`: 0 replaces, 1 adds, 2 multiplies, 3 takes the greater one, 4 the
    lesser one.

    Source: ONNX ScatterElements, opset 18.

    Constraints:
    - (C1) `axis` lies in [-rank, rank).
    - (C2) `indices` has the shape of `updates` and the input's rank, and exceeds
      it in no other axis.
  }];
  let arguments = (ins Top_Tensor:$input, Top_Tensor:$indices,
                       Top_Tensor:$updates, Top_I64:$axis,
                       Top_Default<Top_I64, "0">:$reduction,
                       Top_Default<BoolAttr, "false">:$nc_can_split);
  let results = (outs Top_Tensor:$output);
}

def Top_ScatterNDOp : Top_Op<"ScatterND"> {
  let summary = "`input_data` with `updates` written at the tuples in `indices`";
  let description = [{
    `reduction`: 0 replaces, 1 adds, 2 multiplies, 3 takes the greater one, 4 the
    lesser one.

    Source: ONNX ScatterND, opset 18.

    Constraints:
    - (C1) a tuple has between 1 and rank indices.
    - (C2) `updates` has the shape indices[:-1] + input[tuple length:].
  }];
  let arguments = (ins Top_Tensor:$input_data, Top_Tensor:$indices,
                       Top_Tensor:$updates,
                       Top_Default<Top_I32, "0">:$reduction);
  let results = (outs Top_Tensor:$output);
}

def Top_TopKOp : Top_NormalizedOp<"TopK"> {
  let summary = "the K greatest (or least) elements of `axis`, and their places";
  let description = [{
    `kT`, a weight, replaces `K`.

    Source: ONNX TopK, opset 11.

    Constraints:
    - (C1) `axis` lies in [-rank, rank).
    - (C2) K lies in [1, extent].
  }];
  let arguments = (ins Top_Tensor:$input, Optional<Top_Tensor>:$kT,
                       Top_I64:$axis, Top_Default<Top_I64, "-1">:$K,
                       Top_Default<BoolAttr, "true">:$largest,
                       Top_Default<BoolAttr, "true">:$sorted,
                       Top_Default<BoolAttr, "false">:$replace_topk_indices,
                       Top_Default<BoolAttr, "true">:$use_hau);
  let results = (outs Top_TensorOrNone:$values, Top_TensorOrNone:$indices);
}

def Top_TriluOp : Top_SameTypeOp<"Trilu"> {
  let summary = "upper or lower triangle of the last two axes, the rest 0";
  let description = [{
    Kept is column - row >= `diagonal` if `upper`, else <= `diagonal`.

    Constraints:
    - (C1) `input` has at least two axes.
  }];
  let arguments = (ins Top_Tensor:$input, Top_SI32:$upper, Top_SI32:$diagonal);
  let hasVerifier = 1;
}

#endif
