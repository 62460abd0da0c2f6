#ifndef TPUMLIR_TPU_MATMUL
#define TPUMLIR_TPU_MATMUL

include "tpumlir/dialect/tpu/TpuBase.td"

def Tpu_MatMulOp : Tpu_Op<"MatMul"> {
  let summary = "matrix product over the last two axes, batches broadcast";
  let description = [{
    `input` is [batch..., m, k], `right` [batch..., k, n], each with its last
    two axes exchanged if its `*_transpose` is set. `bias` (or none) has n
    elements. A rank 1 operand is a row (left) or a column (right) and its axis
    is absent from the result. `buffer` is none.

    Constraints:
    - (C1) the inner extents agree.
    - (C2) the batches broadcast to that of the result.
    - (C3) `bias` has n elements.
    - (C4) `input`, `right` and the result are quantised to 8 bits, or none is.
      Then `bias` is none, and `multi` has a factor and an offset per column,
      [n, 2], as that of Conv2D; else it is none. A constant `right` has no
      zero point.
  }];
  let arguments = !con((ins Tpu_Tensor:$input, Tpu_Tensor:$right,
                        Tpu_TensorOrNone:$bias, Tpu_TensorOrNone:$multi,
                        Tpu_TensorOrNone:$buffer,
                        Top_Default<BoolAttr, "false">:$left_transpose,
                        Top_Default<BoolAttr, "false">:$right_transpose),
                       Top_Relu);
  let extraClassDeclaration = Tpu_KeepsF32<2, 3>.decl; // bias, multi
  let hasVerifier = 1;
}

#endif
