#ifndef TPUMLIR_TPU_CAST
#define TPUMLIR_TPU_CAST

include "tpumlir/dialect/tpu/TpuBase.td"

def Tpu_CastOp : Tpu_Op<"Cast"> {
  let summary = "the input in another element type";
  let description = [{
    Floats become i32 towards zero; every other conversion rounds half to even,
    as docs/numerics.md, N3, says.

    Constraints:
    - (C1) input and output have the same shape.
    - (C2) the element types are f32, f16, bf16 or i32 and differ.
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
