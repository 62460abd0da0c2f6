#ifndef TPUMLIR_TPU_REDUCE
#define TPUMLIR_TPU_REDUCE

include "tpumlir/dialect/tpu/TpuBase.td"

def Tpu_ReduceOp : Tpu_Op<"Reduce"> {
  let summary = "minimum, maximum, mean, sum or product over adjacent axes";
  let description = [{
    The other modes of Top and axes that are not adjacent are decomposed by the
    conversion. The two further operands are none in F32.

    Constraints:
    - (C1) `axes` are sorted, without repetition, in range, and no kept axis
      longer than 1 stands between two of them.
    - (C2) the output is the input with those axes 1 or, without `keepdims`,
      removed.
    - (C3) `mode` is not `ReduceL1` or `ReduceL2`.
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_TensorOrNone:$buffer,
                       Tpu_TensorOrNone:$reciprocal_mantissa_table,
                       Top_I64s:$axes, BoolAttr:$keepdims,
                       Top_ReduceMode:$mode);
  let hasVerifier = 1;
}

def Tpu_ArgOp : Tpu_Op<"Arg"> {
  let summary = "index of the least or greatest element along `axis`";
  let description = [{
    Of equal elements the last one if `select_last_index`, else the first. What
    the chip answers for NaN is not defined.

    Constraints:
    - (C1) `axis` is in range (not negative).
    - (C2) the output is i32 and has 1 there.
  }];
  let arguments = (ins Tpu_Tensor:$input, Top_I64:$axis,
                       Top_ArgMode:$mode,
                       BoolAttr:$select_last_index);
  let hasVerifier = 1;
}

def Tpu_CumSumOp : Tpu_UnaryOp<"CumSum"> {
  let summary = "running sum along `axis`";
  let description = [{
    Constraints:
    - (C1) `axis` is in range (not negative).
  }];
  let arguments = (ins Tpu_Tensor:$input, Top_I64:$axis);
  let hasVerifier = 1;
}

def Tpu_SoftmaxOp : Tpu_Op<"Softmax"> {
  let summary = "exp(beta * x) over its sum along `axis`; its log if `log`";
  let description = [{
    The tables and the buffer are none in F32.

    Constraints:
    - (C1) `axis` is in range (not negative).
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_TensorOrNone:$table,
                       Tpu_TensorOrNone:$slope_table,
                       Tpu_TensorOrNone:$reciprocal_table,
                       Tpu_TensorOrNone:$reciprocal_mantissa_table,
                       Tpu_TensorOrNone:$buffer, Top_SI32:$axis,
                       Top_Default<BoolAttr, "false">:$log,
                       Top_Default<Top_F64, "1.0">:$beta);
  let hasVerifier = 1;
}

#endif
