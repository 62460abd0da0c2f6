#ifndef TPUMLIR_TOP_CONV
#define TPUMLIR_TOP_CONV

include "tpumlir/dialect/top/TopBase.td"

def Top_ConvOp : Top_NormalizedOp<"Conv", [SupportFuseRelu]> {
  let summary = "convolution over one, two or three axes";
  let description = [{
    `input` is [n, ic, spatial...], `filter` [oc, ic / group, kernel...],
    `bias` [oc] or none. `filter` and `bias` are weights or run-time tensors.
    `pads` lists the begins, then the ends. `inserts` is a vendor extension and
    must be zero.

    Source: ONNX Conv, opset 22.

    Constraints:
    - (C1) `input` and `filter` have the same rank, 3 to 5.
    - (C2) `kernel_shape` is the filter's.
    - (C3) `strides`, `dilations` have one entry per axis, `pads` two; strides
      and dilations are positive, pads not negative.
    - (C4) `group` divides ic and oc; the filter has ic / group channels.
    - (C5) `bias` has oc elements.
    - (C6) the dilated kernel fits into the padded input.
  }];
  let arguments = !con((ins
      Top_Tensor:$input, Top_Tensor:$filter, Top_TensorOrNone:$bias,
      Top_I64s:$kernel_shape, Top_I64s:$strides, Top_I64s:$pads,
      Top_Default<Top_I64, "1">:$group,
      OptionalAttr<Top_I64s>:$dilations, OptionalAttr<Top_I64s>:$inserts),
      Top_Relu, (ins
      Top_Default<BoolAttr, "false">:$dynweight_reorderd,
      Top_Default<Top_I64, "1">:$weight_is_coeff,
      OptionalAttr<BoolAttr>:$do_winograd, OptionalAttr<Top_AutoPad>:$auto_pad,
      OptionalAttr<Top_F64>:$in_int4_scale, OptionalAttr<Top_F64>:$in_int4_zp,
      OptionalAttr<Top_F64>:$out_int8_scale, OptionalAttr<Top_F64>:$out_int8_zp,
      OptionalAttr<Top_I64>:$weight_bits));
  let results = (outs Top_Tensor:$output);
  let extraClassDeclaration = [{
    /// The window, `auto_pad` resolved; errors are emitted at the op.
    ::mlir::FailureOr<::tpumlir::top::Window> getWindow();
  }];
}

def Top_DeconvOp : Top_NormalizedOp<"Deconv", [SupportFuseRelu]> {
  let summary = "transposed convolution over one, two or three axes";
  let description = [{
    `input` is [n, ic, spatial...], `bias` [oc] or none. The layout of `filter`
    depends on where it comes from: a `top.Weight` is [oc / group, ic,
    kernel...]; a run-time filter is [ic, oc / group, kernel...] as ONNX has it,
    until `dynweight_reorderd` says that it was permuted to the weight's layout.
    `output_padding` extends the end of the result.

    Source: ONNX ConvTranspose, opset 22; the layouts are TPU-MLIR's.

    Constraints: (C1) to (C5) of Conv with the filter's layout above, and
    - (C6) the result has at least one element per axis.
    - (C7) each `output_padding` is at least 0.
  }];
  let arguments = !con((ins
      Top_Tensor:$input, Top_Tensor:$filter, Top_TensorOrNone:$bias,
      Top_I64s:$kernel_shape, Top_I64s:$strides, Top_I64s:$pads,
      Top_Default<Top_I64, "1">:$group, OptionalAttr<Top_I64s>:$dilations,
      OptionalAttr<Top_I64s>:$output_padding,
      Top_Default<BoolAttr, "false">:$dynweight_reorderd), Top_Relu);
  let results = (outs Top_Tensor:$output);
  let extraClassDeclaration = [{
    /// The window; `output` is the result's extent. Errors are emitted.
    ::mlir::FailureOr<::tpumlir::top::Window> getWindow();
    /// Whether `filter` is [oc / group, ic, ...]; else [ic, oc / group, ...].
    bool filterIsOutputMajor();
  }];
}

#endif
