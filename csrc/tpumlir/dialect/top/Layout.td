#ifndef TPUMLIR_TOP_LAYOUT
#define TPUMLIR_TOP_LAYOUT

include "tpumlir/dialect/top/TopBase.td"

def Top_PermuteOp : Top_NormalizedOp<"Permute"> {
  let summary = "axes in another order: result axis i is input axis order[i]";
  let description = [{
    Source: ONNX Transpose, opset 21.

    Constraints:
    - (C1) `order` is a permutation of the axes.
  }];
  let arguments = (ins Top_Tensor:$input, Top_I64s:$order);
  let results = (outs Top_Tensor:$output);
}

def Top_TransposeOp : Top_NormalizedOp<"Transpose"> {
  let summary = "two axes exchanged";
  let description = [{
    Constraints:
    - (C1) `dim0` and `dim1` lie in [-rank, rank).
  }];
  let arguments = (ins Top_Tensor:$input, Top_SI32:$dim0, Top_SI32:$dim1);
  let results = (outs Top_Tensor:$output);
}

def Top_ReshapeOp : Top_NormalizedOp<"Reshape"> {
  let summary = "the same elements in row-major order in another shape";
  let description = [{
    The shape is `shape`, else the constant `shapeT`, else `input` flattened
    from `flatten_start_dim` on. In it 0 copies the input's extent and one -1 is
    what remains.

    Source: ONNX Reshape, opset 21.

    Constraints:
    - (C1) a shape is given; `shapeT` is a weight.
    - (C2) at most one -1; a 0 has an input axis.
    - (C3) both shapes have the same number of elements.
  }];
  let arguments = (ins Top_Tensor:$input, Optional<Top_Tensor>:$shapeT,
                       OptionalAttr<Top_I64s>:$shape,
                       Top_Default<Top_I64, "-1">:$flatten_start_dim);
  let results = (outs Top_Tensor:$output);
}

def Top_FlattenOp : Top_NormalizedOp<"Flatten"> {
  let summary = "axes start_dim to end_dim (inclusive) as one";
  let description = [{
    Constraints:
    - (C1) both lie in [-rank, rank) and `start_dim` is not behind `end_dim`.
  }];
  let arguments = (ins Top_Tensor:$input, Top_Default<Top_I64, "0">:$start_dim,
                       Top_Default<Top_I64, "-1">:$end_dim);
  let results = (outs Top_Tensor:$output);
}

def Top_SqueezeOp : Top_NormalizedOp<"Squeeze"> {
  let summary = "drops axes of extent 1, all of them if `axes` is empty";
  let description = [{
    A result without axes has the shape [1] if `is_scalar`, else none.

    Constraints:
    - (C1) `axes` lie in [-rank, rank), each once.
    - (C2) they have extent 1.
  }];
  let arguments = !con((ins Top_Tensor:$input, Top_I64s:$axes), Top_Scalar);
  let results = (outs Top_Tensor:$output);
}

def Top_UnsqueezeOp : Top_NormalizedOp<"Unsqueeze"> {
  let summary = "adds axes of extent 1 at the places `axes` of the result";
  let description = [{
    Constraints:
    - (C1) `axes` lie in [-rank, rank) of the result, each once.
  }];
  let arguments = (ins Top_Tensor:$input, Top_I64s:$axes);
  let results = (outs Top_Tensor:$output);
}

def Top_ConcatOp : Top_NormalizedOp<"Concat"> {
  let summary = "operands one after the other along `axis`";
  let description = [{
    Constraints:
    - (C1) at least one operand.
    - (C2) `axis` lies in [-rank, rank).
    - (C3) the operands agree in rank and in every other extent.
  }];
  let arguments = !con((ins Variadic<Top_Tensor>:$inputs,
                        Top_Default<Top_SI32, "1">:$axis), Top_Relu, (ins
                        Top_Default<BoolAttr, "false">:$only_merge), Top_Round);
  let results = (outs Top_Tensor:$output);
}

def Top_SplitOp : Top_NormalizedOp<"Split"> {
  let summary = "pieces of `input` along `axis`, one result each";
  let description = [{
    `split_size` lists the extents; without it they are equal (the last one the
    rest).

    Source: ONNX Split, opset 18.

    Constraints:
    - (C1) `axis` lies in [-rank, rank).
    - (C2) `num` is the number of results.
    - (C3) `split_size` has `num` entries whose sum is the axis' extent.
  }];
  let arguments = (ins Top_Tensor:$input, Top_SI32:$axis, Top_I64:$num,
                       OptionalAttr<Top_I64s>:$split_size);
  let results = (outs Variadic<Top_Tensor>:$outputs);
  let extraClassDeclaration = [{
    /// Extent of each piece; the op has been verified.
    ::llvm::SmallVector<int64_t> getSizes();
  }];
}

def Top_SliceOp : Top_NormalizedOp<"Slice"> {
  let summary = "elements offset, offset + steps, ... before ends of some axes";
  let description = [{
    Entry i of `offset`, `steps`, `ends` is about axis `axes[i]`; about axis i if
    `axes` is empty or `hasparamConvert_axes` is not (the vendor's mark that the
    lists were extended to all axes). Negative offsets and ends count from the
    extent; both are clamped. A step may be negative. The tensors `offsetT`,
    `endsT` and `stepsT` are none, or weights that replace the list.

    Source: ONNX Slice, opset 13.

    Constraints:
    - (C1) the lists have one length, that of `axes` or of the rank.
    - (C2) `axes` lie in [-rank, rank), each once.
    - (C3) no step is 0.
    - (C4) at least one element remains per axis.
    - (C5) `offsetT`, `endsT` and `stepsT` are none or weights.
  }];
  let arguments = (ins Top_Tensor:$input, Top_TensorOrNone:$offsetT,
                       Top_TensorOrNone:$endsT, Top_TensorOrNone:$stepsT,
                       Top_I64s:$offset, Top_I64s:$steps, Top_I64s:$ends,
                       Top_Default<Top_I64s, "{}">:$axes,
                       Top_Default<Top_I64s, "{}">:$hasparamConvert_axes);
  let results = (outs Top_Tensor:$output);
  let extraClassDeclaration = [{
    /// What is taken of each axis, resolved; errors are emitted at the op.
    ::mlir::FailureOr<::llvm::SmallVector<::tpumlir::top::AxisSlice>>
    getSlices();
  }];
}

def Top_PadOp : Top_NormalizedOp<"Pad"> {
  let summary = "`input` with a margin: constant, reflected or repeated";
  let description = [{
    `paddings` lists the begins of all axes, then the ends; `paddingsT`, a
    weight, replaces it. `reflect` mirrors without the edge element, `symmetric`
    with it, `edge` repeats it.

    Source: ONNX Pad, opset 21.

    Constraints:
    - (C1) `paddings` has two entries per axis; `paddingsT` is a weight.
    - (C2) no entry is negative.
    - (C3) `reflect` pads by less than the extent, `symmetric` by at most it.
  }];
  let arguments = (ins Top_Tensor:$input, Optional<Top_Tensor>:$paddingsT,
                       Top_I64s:$paddings, Top_Default<Top_F64, "0.0">:$val,
                       Top_Words<Top_PaddingModeEnum>:$mode);
  let results = (outs Top_Tensor:$output);
}

def Top_TileOp : Top_NormalizedOp<"Tile"> {
  let summary = "`input` repeated `tile[i]` times along axis i";
  let description = [{
    `tileT`, a weight, replaces `tile`.

    Constraints:
    - (C1) a positive entry per axis.
  }];
  let arguments = (ins Top_Tensor:$input, Optional<Top_Tensor>:$tileT,
                       OptionalAttr<Top_I64s>:$tile);
  let results = (outs Top_Tensor:$output);
}

def Top_ExpandOp : Top_NormalizedOp<"Expand"> {
  let summary = "`input` broadcast against `shape`";
  let description = [{
    `shapeT`, a weight, replaces `shape`. An extent of 1 in `shape` keeps that of
    the input.

    Source: ONNX Expand, opset 13.

    Constraints:
    - (C1) a shape is given and broadcasts with the input's.
  }];
  let arguments = (ins Top_Tensor:$input, Optional<Top_Tensor>:$shapeT,
                       Top_Default<Top_I64s, "{}">:$shape);
  let results = (outs Top_Tensor:$output);
}

def Top_Depth2SpaceOp : Top_Op<"Depth2Space"> {
  let summary = "channels into blocks of block_h x block_w; back if `is_inversed`";
  let description = [{
    `is_CRD`: the channel is [c, block_h, block_w], else [block_h, block_w, c].
    `swap_cr` exchanges block row and column.

    Source: ONNX DepthToSpace and SpaceToDepth, opset 13.

    Constraints:
    - (C1) `input` is of rank 4, blocks are positive.
    - (C2) the blocks divide the channels, or rows and columns if `is_inversed`.
  }];
  let arguments = (ins Top_Tensor:$input, Top_I64:$block_h, Top_I64:$block_w,
                       BoolAttr:$is_CRD, BoolAttr:$is_inversed,
                       Top_Default<BoolAttr, "true">:$in_is_NCHW,
                       Top_Default<BoolAttr, "true">:$out_is_NCHW,
                       Top_Default<BoolAttr, "false">:$swap_cr);
  let results = (outs Top_Tensor:$output);
}

def Top_ReverseOp : Top_NormalizedOp<"Reverse"> {
  let summary = "elements of `axis` in reverse order";
  let description = [{
    Constraints:
    - (C1) `axis` lies in [-rank, rank).
  }];
  let arguments = (ins Top_Tensor:$input, Top_I64:$axis);
  let results = (outs Top_Tensor:$output);
}

def Top_ShapeOp : Top_Op<"Shape"> {
  let summary = "the extents of `input` from `start` to `end`";
  let description = [{
    Source: ONNX Shape, opset 21.

    Constraints:
    - (C1) `step` is positive and at least one axis is taken.
  }];
  let arguments = (ins Top_Tensor:$input, OptionalAttr<Top_I64>:$start,
                       OptionalAttr<Top_I64>:$end, OptionalAttr<Top_I64>:$step);
  let results = (outs Top_Tensor:$output);
}

def Top_ConstantFillOp : Top_Op<"ConstantFill"> {
  let summary = "a tensor of the shape that `input` lists, all `value`";
  let description = [{
    Constraints:
    - (C1) `input` is a weight of positive extents.
  }];
  let arguments = (ins Top_Tensor:$input, Top_F64:$value);
  let results = (outs Top_Tensor:$output);
}

#endif
