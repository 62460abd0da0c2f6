#ifndef TPUMLIR_TPU_CAST
#define TPUMLIR_TPU_CAST

include "tpumlir/dialect/tpu/TpuBase.td"

def Tpu_CastOp : Tpu_Op<"Cast"> {
  let summary = "the input in another element type";
  let description = [{
    Floats become i32 towards zero; every other conversion rounds half to even,
    as docs/numerics.md, N3, says. A quantised tensor, whose scale s and zero
    point z stand in its type, becomes f32 by (q - z) * s, and a half by rounding
    that; it is made by saturate(round(x * (1 / s) + z)), where 1 / s is an f32
    and the arithmetic too.

    Constraints:
    - (C1) input and output have the same shape.
    - (C2) the element types are f32, f16, bf16 or i32 and differ (the input's
      may be ui8, too), or one is a float and the other quantised to 8 bits with
      one scale.
  }];
  let arguments = (ins Tpu_Tensor:$input);
  let extraClassDeclaration = [{
    ::tpumlir::OperandPrecision operandPrecision(unsigned) {
      return ::tpumlir::OperandPrecision::Any;
    }
  }];
  let hasVerifier = 1;
}

#endif
