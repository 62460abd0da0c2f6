#ifndef TPUMLIR_TPU_CONV
#define TPUMLIR_TPU_CONV

include "tpumlir/dialect/tpu/TpuBase.td"

def Tpu_Conv2DOp : Tpu_Op<"Conv2D"> {
  let summary = "convolution over one or two axes";
  let description = [{
    `input` is [n, ic, spatial...] with one or two spatial axes, `bias` [oc] or
    none (then `with_bias` is false). `pads` lists the begins, then the ends,
    none left to be resolved. `do_kernel_rotate` turns the kernel by 180 degrees.

    `filter_layout` says how the elements of `filter` lie, whether it is a
    weight or computed: `GOIK` as ONNX Conv has it, [oc, ic / group, kernel...];
    `OGIK` as Top's Deconv has it, [oc / group, ic, kernel...]; or `Cubes` as
    the chip reads halves, [1, oc, blocks, kernel * 32]. The same bytes in the
    shape [1, rows, columns, kernel] serve for the first two.

    Constraints:
    - (C1) the extents of input, filter, bias and output agree with the window
      and `filter_layout`.
    - (C2) `strides`, `dilations` have one entry per spatial axis, `pads` two.
    - (C3) `Cubes` are of f16, bf16 or 8 bits, and groups have several input
      channels, a single group of halves more than four.
    - (C4) input, filter and output are quantised to 8 bits, or none is, or the
      output alone is f32. With integers
      `bias` is none, and `multi` has a factor and an offset per output channel,
      [oc, 2], or of two functions, [2, oc, 2]; else there is none. A filter has
      a zero point only if it is computed and not depthwise.
    - (C5) `filter_shift` is 0 for integers, for groups and for a kernel that is
      turned.

    The filter is stored times 2^`filter_shift`, and the sums are multiplied by
    2^-`filter_shift` in f32 before the bias is added: so numbers below a half's
    normal range keep their digits.

    Of quantised tensors the stored integers are convolved, less both zero points
    if the filter is computed, and padded with that of the input. The sum times
    the factor, rounded to f32, plus the offset, rounded to f32, is rounded half
    to even, saturated, and held by the Relu. Of two such functions the result is
    the greater one: x and slope * x of a LeakyRelu or PRelu. An output of f32 is
    that number itself.
  }];
  let arguments = !con((ins Tpu_Tensor:$input, Tpu_Tensor:$filter,
                        Tpu_TensorOrNone:$bias, Optional<Tpu_Tensor>:$multi,
                        Top_I64s:$kernel_shape, Top_I64s:$strides,
                        Top_I64s:$pads, Top_Default<Top_I64, "1">:$group,
                        Top_I64s:$dilations,
                        Top_Default<BoolAttr, "false">:$do_kernel_rotate),
                       Top_Relu,
                       (ins BoolAttr:$with_bias,
                            Top_Default<Top_I64, "1">:$weight_is_coeff,
                            Tpu_FilterLayout<"GOIK">:$filter_layout,
                            Top_Default<Top_I64, "0">:$filter_shift));
  let extraClassDeclaration = Tpu_KeepsF32<2, 3>.decl; // bias, multi
  let hasVerifier = 1;
}

def Tpu_DeconvOp : Tpu_Op<"Deconv"> {
  let summary = "transposed convolution over one or two axes";
  let description = [{
    `input` is [n, ic, spatial...], `bias` [oc] or none (then `with_bias` is
    false). `filter` lies as `filter_layout` says, see Conv2D. `pads` are those
    of ONNX ConvTranspose, `output_padding` extends the end.

    Constraints:
    - (C1) the extents of input, filter, bias and output agree with the window
      and `filter_layout`.
    - (C2) `strides`, `dilations`, `output_padding` have one entry per spatial
      axis, `pads` two.
    - (C3) `Cubes` are of f16, bf16 or 8 bits, and groups have several input
      channels, a single group of halves more than four.
    - (C4) quantised tensors are as those of Conv2D; the input has no zero point.
  }];
  let arguments = !con((ins Tpu_Tensor:$input, Tpu_Tensor:$filter,
                        Tpu_TensorOrNone:$bias, Optional<Tpu_Tensor>:$multi,
                        Top_I64s:$kernel_shape, Top_I64s:$strides,
                        Top_I64s:$pads, Top_Default<Top_I64, "1">:$group,
                        Top_I64s:$dilations, Top_I64s:$output_padding),
                       Top_Relu, (ins BoolAttr:$with_bias,
                                      Tpu_FilterLayout<"OGIK">:$filter_layout));
  let extraClassDeclaration = Tpu_KeepsF32<2, 3>.decl; // bias, multi
  let hasVerifier = 1;
}

#endif
