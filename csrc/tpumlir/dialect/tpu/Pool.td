#ifndef TPUMLIR_TPU_POOL
#define TPUMLIR_TPU_POOL

include "tpumlir/dialect/tpu/TpuBase.td"

class Tpu_PoolOp<string mnemonic> : Tpu_Op<mnemonic> {
  let summary = "maximum or mean over a sliding window";
  let description = [{
    `pads` lists the begins, then the ends, and reaches exactly as far as the
    windows do. Max: padding never wins. Avg: padding counts as zeros and the
    divisor is the window's size always (`count_include_pad`); other divisors
    are a Mul by a constant that the conversion appends.

    Constraints:
    - (C1) the output's extents agree with the window.
    - (C2) `kernel_shape`, `strides` and, if given, `dilations` have one entry
      per spatial axis, `pads` two.
    - (C3) Avg has `count_include_pad`, unless `pads` are zero.
  }];
  let arguments = !con((ins Tpu_Tensor:$input, Top_I64s:$kernel_shape,
                        Top_I64s:$strides, Top_I64s:$pads,
                        OptionalAttr<Top_I64s>:$dilations,
                        Tpu_PoolMode:$pool_mode,
                        Top_Default<BoolAttr, "false">:$count_include_pad),
                       Top_Relu);
  let hasVerifier = 1;
}

def Tpu_Pool1DOp : Tpu_PoolOp<"Pool1D">;
def Tpu_Pool2DOp : Tpu_PoolOp<"Pool2D">;

#endif
