#ifndef TPUMLIR_TPU_CONV
#define TPUMLIR_TPU_CONV

include "tpumlir/dialect/tpu/TpuBase.td"

def Tpu_Conv2DOp : Tpu_Op<"Conv2D"> {
  let summary = "convolution over one or two axes";
  let description = [{
    `input` is [n, ic, spatial...] with one or two spatial axes, `bias` [oc] or
    none (then `with_bias` is false). `filter` is [oc, ic / group, kernel...];
    after `weight-reorder` a constant filter is [1, oc, ic / group, kh * kw],
    the same bytes in F32. `pads` lists the begins, then the ends, none left to
    be resolved. `do_kernel_rotate` turns the kernel by 180 degrees.

    Constraints:
    - (C1) the extents of input, filter, bias and output agree with the window.
    - (C2) `strides`, `dilations` have one entry per spatial axis, `pads` two.
  }];
  let arguments = !con((ins Tpu_Tensor:$input, Tpu_Tensor:$filter,
                        Tpu_TensorOrNone:$bias,
                        Top_I64s:$kernel_shape, Top_I64s:$strides,
                        Top_I64s:$pads, Top_Default<Top_I64, "1">:$group,
                        Top_I64s:$dilations,
                        Top_Default<BoolAttr, "false">:$do_kernel_rotate),
                       Top_Relu,
                       (ins BoolAttr:$with_bias,
                            Top_Default<Top_I64, "1">:$weight_is_coeff));
  let extraClassDeclaration = Tpu_KeepsF32<2>.decl; // bias
  let hasVerifier = 1;
}

def Tpu_DeconvOp : Tpu_Op<"Deconv"> {
  let summary = "transposed convolution over one or two axes";
  let description = [{
    `input` is [n, ic, spatial...], `bias` [oc] or none (then `with_bias` is
    false). `filter` is [oc / group, ic, kernel...]; after `weight-reorder` a
    constant filter is [1, oc / group, ic, kh * kw], the same bytes in F32.
    `pads` are those of ONNX ConvTranspose, `output_padding` extends the end.

    Constraints:
    - (C1) the extents of input, filter, bias and output agree with the window.
    - (C2) `strides`, `dilations`, `output_padding` have one entry per spatial
      axis, `pads` two.
  }];
  let arguments = !con((ins Tpu_Tensor:$input, Tpu_Tensor:$filter,
                        Tpu_TensorOrNone:$bias,
                        Top_I64s:$kernel_shape, Top_I64s:$strides,
                        Top_I64s:$pads, Top_Default<Top_I64, "1">:$group,
                        Top_I64s:$dilations, Top_I64s:$output_padding),
                       Top_Relu, (ins BoolAttr:$with_bias));
  let extraClassDeclaration = Tpu_KeepsF32<2>.decl; // bias
  let hasVerifier = 1;
}

#endif
