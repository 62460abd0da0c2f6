#ifndef TPUMLIR_TPU_INDEX
#define TPUMLIR_TPU_INDEX

include "tpumlir/dialect/tpu/TpuBase.td"

def Tpu_ScatterMode : Top_Words<Top_ScatterModeEnum>;

def Tpu_FlatIndicesOp : Tpu_Op<"FlatIndices"> {
  let summary = "the row that each tuple of indices names";
  let description = [{
    The last axis of `indices` is a tuple with one index per entry of `extents`;
    a negative one counts from the end. The result is the place of the tuple in
    a row-major tensor of `extents`.

    A tuple out of range is an error of the interpreter. The chip makes it -1,
    which the ops of this family treat as "no row".

    Constraints:
    - (C1) `indices` is i32 and its last axis has one entry per extent.
    - (C2) the result is i32, without that axis.
  }];
  let arguments = (ins Tpu_Tensor:$indices, Top_I64s:$extents);
  let hasVerifier = 1;
}

def Tpu_GatherOp : Tpu_Op<"Gather"> {
  let summary = "slices of `input` along `axis` that `indices` choose";
  let description = [{
    The first `batch_dims` axes belong together: indices[b, i] chooses in
    input[b]. The result has the further axes of `indices` in place of `axis`.
    Indices count from 0; an index that names no slice gives zeros.

    Constraints:
    - (C1) `axis` is in range; `batch_dims` is 0 or `axis`, and the batch axes
      of both operands agree.
    - (C2) `indices` is i32; the output's shape follows.
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_Tensor:$indices, Top_I64:$axis,
                       Top_Default<Top_I64, "0">:$batch_dims);
  let extraClassDeclaration = Tpu_MovesData;
  let hasVerifier = 1;
}

def Tpu_GatherElementsOp : Tpu_Op<"GatherElements"> {
  let summary = "the element of `input` at each place, `axis` from indices";
  let description = [{
    Indices count from 0; an index out of range gives 0.

    Constraints:
    - (C1) `axis` is in range; `indices` is i32, of the input's rank, and
      exceeds it in no other axis.
    - (C2) the output has the shape of `indices`.
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_Tensor:$indices, Top_I64:$axis);
  let extraClassDeclaration = Tpu_MovesData;
  let hasVerifier = 1;
}

def Tpu_ScatterElementsOp : Tpu_Op<"ScatterElements"> {
  let summary = "`input` with `updates` put at `indices` along `axis`";
  let description = [{
    In the order of `indices` along `axis`, which counts when a place is named
    twice. `unique` says that no place is. Indices count from 0; an index out of
    range does nothing.

    Constraints:
    - (C1) `axis` is in range; `indices` is i32, of the input's rank, and
      exceeds it in no other axis.
    - (C2) `updates` has the shape of `indices`, the output that of `input`.
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_Tensor:$indices,
                       Tpu_Tensor:$updates, Top_I64:$axis,
                       Tpu_ScatterMode:$reduction,
                       Top_Default<BoolAttr, "false">:$unique);
  let extraClassDeclaration = [{
    bool movesData() { return getReduction() == top::ScatterMode::none; }
  }];
  let hasVerifier = 1;
}

def Tpu_ScatterNDOp : Tpu_Op<"ScatterND"> {
  let summary = "rows of `input_data` replaced or combined with `updates`";
  let description = [{
    `input_data` is a matrix, `indices` the list of its rows that the rows of
    `updates` belong to, in order. `unique` says that no row is named twice.
    Indices count from 0; an index out of range does nothing.

    Constraints:
    - (C1) `input_data` and `updates` are of rank 2 and equally wide, `indices`
      is i32 with one entry per row of `updates`.
    - (C2) the output has the shape of `input_data`.
  }];
  let arguments = (ins Tpu_Tensor:$input_data, Tpu_Tensor:$indices,
                       Tpu_Tensor:$updates, Tpu_ScatterMode:$reduction,
                       Top_Default<BoolAttr, "false">:$unique);
  let extraClassDeclaration = [{
    bool movesData() { return getReduction() == top::ScatterMode::none; }
  }];
  let hasVerifier = 1;
}

def Tpu_TopKOp : Tpu_Op<"TopK"> {
  let summary = "the K greatest (or least) elements of the last axis, in order";
  let description = [{
    Of equal elements the first comes first. Indices count from `first_index`.
    The chip does not order NaN.

    Constraints:
    - (C1) K lies in [1, extent of the last axis].
    - (C2) both results have that axis cut to K; `indices` is i32.
    - (C3) the axis has at most kMostElements elements: a lane sorts them.
  }];
  let arguments = (ins Tpu_Tensor:$input, Top_I64:$K, BoolAttr:$largest,
                       Top_Default<Top_I64, "0">:$first_index);
  let results = (outs Tpu_Tensor:$values, Tpu_Tensor:$indices);
  let extraClassDeclaration = [{
    static constexpr int64_t kMostElements = 8192;
    bool movesData() { return true; }
  }];
  let hasVerifier = 1;
}

def Tpu_TriluOp : Tpu_UnaryOp<"Trilu"> {
  let summary = "upper or lower triangle of the last two axes, the rest 0";
  let description = [{
    Kept is column - row >= `diagonal` if `upper`, else <= `diagonal`.

    Constraints:
    - (C1) `input` has at least two axes.
  }];
  let arguments = (ins Tpu_Tensor:$input, BoolAttr:$upper, Top_I64:$diagonal);
  let extraClassDeclaration = Tpu_MovesData;
  let hasVerifier = 1;
}

#endif
