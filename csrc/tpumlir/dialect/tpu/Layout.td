#ifndef TPUMLIR_TPU_LAYOUT
#define TPUMLIR_TPU_LAYOUT

include "tpumlir/dialect/tpu/TpuBase.td"

def Tpu_ReshapeOp : Tpu_Op<"Reshape"> {
  let summary = "the same elements in another shape; costs nothing";
  let description = [{
    Constraints:
    - (C1) input and output have the same number of elements.
  }];
  let arguments = (ins Tpu_Tensor:$input);
  let extraClassDeclaration = Tpu_MovesData;
  let hasVerifier = 1;
}

def Tpu_PermuteOp : Tpu_Op<"Permute"> {
  let summary = "axis i of the output is axis order[i] of the input";
  let description = [{
    `buffer` is none in F32.

    Constraints:
    - (C1) `order` is a permutation of the axes.
    - (C2) the output's shape follows from it.
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_TensorOrNone:$buffer,
                       Top_I64s:$order);
  let extraClassDeclaration = Tpu_MovesData;
  let hasVerifier = 1;
}

def Tpu_ConcatOp : Tpu_Op<"Concat"> {
  let summary = "the operands one after another along `axis`";
  let description = [{
    Constraints:
    - (C1) `axis` is in range (not negative), and the shapes agree elsewhere.
  }];
  let arguments = !con((ins Variadic<Tpu_Tensor>:$inputs, Top_SI32:$axis),
                       Top_Relu);
  let extraClassDeclaration = Tpu_MovesData;
  let hasVerifier = 1;
}

def Tpu_SliceOp : Tpu_Op<"Slice"> {
  let summary = "every steps[i]-th element from offset[i] on";
  let description = [{
    One entry of `offset`, `steps` and `ends` per axis; steps may be negative.
    The output's extents say how many elements are taken. The further operands
    are none (run-time offsets are not supported).

    Constraints:
    - (C1) the arrays have one entry per axis; steps are not zero.
    - (C2) every element taken lies in the input.
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_TensorOrNone:$offsetT,
                       Tpu_TensorOrNone:$endsT, Tpu_TensorOrNone:$stepsT,
                       Tpu_TensorOrNone:$buffer, Top_I64s:$offset,
                       Top_I64s:$steps, Top_I64s:$ends);
  let extraClassDeclaration = Tpu_MovesData;
  let hasVerifier = 1;
}

def Tpu_PadOp : Tpu_Op<"Pad"> {
  let summary = "the input with a border";
  let description = [{
    `paddings` lists the begins, then the ends, none negative. `reflect` does
    not repeat the edge element, `symmetric` does. In a quantised tensor the
    border is the integer that `val` has there.

    Constraints:
    - (C1) `paddings` has two entries per axis; the output's shape follows.
    - (C2) reflect pads are less than the extent, symmetric ones at most that.
  }];
  let arguments = (ins Tpu_Tensor:$input, Top_I64s:$paddings,
                       Top_Default<Top_F64, "0.0">:$val,
                       Tpu_PaddingMode:$mode);
  let hasVerifier = 1;
}

def Tpu_TileOp : Tpu_Op<"Tile"> {
  let summary = "the input repeated tile[i] times along axis i";
  let description = [{
    Constraints:
    - (C1) `tile` has one positive entry per axis; the output's shape follows.
  }];
  let arguments = (ins Tpu_Tensor:$input, Top_I64s:$tile);
  let extraClassDeclaration = Tpu_MovesData;
  let hasVerifier = 1;
}

def Tpu_UpsampleOp : Tpu_Op<"Upsample"> {
  let summary = "every element repeated scale_h times down, scale_w across";
  let description = [{
    Constraints:
    - (C1) `input` is of rank 4; the output's shape follows from the scales.
  }];
  let arguments = (ins Tpu_Tensor:$input, Top_I64:$scale_h, Top_I64:$scale_w);
  let extraClassDeclaration = Tpu_MovesData;
  let hasVerifier = 1;
}

#endif
