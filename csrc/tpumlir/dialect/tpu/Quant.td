#ifndef TPUMLIR_TPU_QUANT
#define TPUMLIR_TPU_QUANT

include "tpumlir/dialect/tpu/TpuBase.td"

def Tpu_LutOp : Tpu_Op<"Lut"> {
  let summary = "table[input]: any function of a number of 8 bits";
  let description = [{
    `table` has the 256 results, of the stored bytes 0 to 255; the byte of a
    negative number is that of its two's complement.

    Constraints:
    - (C1) input and output have the same shape.
    - (C2) they are quantised to 8 bits, and `table` is 256 elements of the
      output's type.
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_Tensor:$table);
  let hasVerifier = 1;
}

def Tpu_RequantFpOp : Tpu_Op<"RequantFp"> {
  let summary = "saturate(round(q * scale + offset)) of the stored integers";
  let description = [{
    A linear function of a quantised tensor, the change of its scale among them:
    the arithmetic is f32, rounded after the product and the sum, then half to
    even. The result is held in [least, greatest], by default all that its type
    stores.

    Constraints:
    - (C1) input and output have the same shape.
    - (C2) they are quantised to 8 bits with one scale each.
    - (C3) [least, greatest] is not empty and lies in the output's range.
  }];
  let arguments = (ins Tpu_Tensor:$input, Top_F64:$scale, Top_F64:$offset,
                       OptionalAttr<Top_I64>:$least,
                       OptionalAttr<Top_I64>:$greatest);
  let hasVerifier = 1;
}

def Tpu_RequantFpAxisOp : Tpu_Op<"RequantFpAxis"> {
  let summary = "RequantFp with a factor and an offset per channel";
  let description = [{
    `multi` has them for each index of axis 1 of the input, [c, 2]; the
    arithmetic and the bounds are those of RequantFp.

    Constraints:
    - (C1) input and output have the same shape.
    - (C2) they are quantised to 8 bits with one scale each, or one for each
      index of axis 1, `multi` is f32 and has two numbers per channel.
    - (C3) [least, greatest] is not empty and lies in the output's range.
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_Tensor:$multi,
                       OptionalAttr<Top_I64>:$least,
                       OptionalAttr<Top_I64>:$greatest);
  let extraClassDeclaration = Tpu_KeepsF32<1>.decl; // multi
  let hasVerifier = 1;
}

def Tpu_MulFpAxisOp : Tpu_Op<"MulFpAxis"> {
  let summary = "saturate(round((q - z) * (g - z_g) * factor + offset))";
  let description = [{
    The product of two quantised tensors, requantised as by RequantFpAxis:
    what stays of `input` behind a `gate`, with scales per channel.

    Constraints:
    - (C1) input, gate and output have the same shape.
    - (C2) they are quantised to 8 bits with one scale each, or one for each
      index of axis 1, `multi` is f32 and has two numbers per channel.
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_Tensor:$gate, Tpu_Tensor:$multi);
  let extraClassDeclaration = Tpu_KeepsF32<2>.decl; // multi
  let hasVerifier = 1;
}

#endif
