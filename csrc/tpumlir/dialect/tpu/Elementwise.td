#ifndef TPUMLIR_TPU_ELEMENTWISE
#define TPUMLIR_TPU_ELEMENTWISE

include "tpumlir/dialect/tpu/TpuBase.td"

/// Two or more operands that broadcast to the result as in numpy.
class Tpu_BroadcastOp<string mnemonic, string what, dag attributes>
    : Tpu_Op<mnemonic> {
  let summary = what;
  let description = [{
    Constraints:
    - (C1) there are at least two operands (exactly two for Sub and Div), and
      their shapes broadcast to that of the result.
  }];
  let arguments = !con((ins Variadic<Tpu_Tensor>:$inputs), attributes);
  let hasVerifier = 1;
}
defvar Tpu_Reverse = (ins Top_Default<BoolAttr, "false">:$is_reverse);

def Tpu_AddOp : Tpu_BroadcastOp<"Add", "sum of the operands, left to right",
                                Top_Relu>;
def Tpu_SubOp : Tpu_BroadcastOp<"Sub",
    "first minus second operand; the other way if `is_reverse`",
    !con(Tpu_Reverse, Top_Relu)>;
def Tpu_MulOp : Tpu_BroadcastOp<"Mul", "product of the operands, left to right",
                                Top_Relu>;
def Tpu_DivOp : Tpu_BroadcastOp<"Div",
    "first over second operand; the other way if `is_reverse`",
    !con(Tpu_Reverse, Top_Relu)>;
def Tpu_MaxOp : Tpu_BroadcastOp<"Max", "greatest of the operands", Top_Relu>;
def Tpu_MinOp : Tpu_BroadcastOp<"Min", "least of the operands", Top_Relu>;

/// One operand and a number, rounded to f32.
class Tpu_ConstOp<string mnemonic, string what, dag attributes>
    : Tpu_UnaryOp<mnemonic> {
  let summary = what;
  let arguments =
      !con((ins Tpu_Tensor:$input, Top_F64:$const_val), attributes);
}
def Tpu_AddConstOp : Tpu_ConstOp<"AddConst", "input + const_val", Top_Relu>;
def Tpu_SubConstOp : Tpu_ConstOp<"SubConst",
    "input - const_val; const_val - input if `is_reverse`",
    !con(Tpu_Reverse, Top_Relu)>;
def Tpu_MulConstOp : Tpu_ConstOp<"MulConst", "input * const_val", Top_Relu>;
def Tpu_MaxConstOp : Tpu_ConstOp<"MaxConst", "max(input, const_val)", Top_Relu>;
def Tpu_MinConstOp : Tpu_ConstOp<"MinConst", "min(input, const_val)", Top_Relu>;
def Tpu_ReciprocalOp : Tpu_ConstOp<"Reciprocal", "const_val / input", Top_Relu>;

def Tpu_ScaleOp : Tpu_Op<"Scale"> {
  let summary = "input * scale + bias per channel, two roundings";
  let description = [{
    `scale` and `bias` have one element per channel (axis 1); `lshift` is none
    in F32.

    Constraints:
    - (C1) `scale` and `bias` have as many elements as `input` has channels.
  }];
  let arguments = !con((ins Tpu_Tensor:$input, Tpu_Tensor:$scale,
                        Tpu_Tensor:$bias, Tpu_TensorOrNone:$lshift), Top_Relu);
  let extraClassDeclaration = Tpu_KeepsF32<1, 2>.decl; // scale, bias
  let hasVerifier = 1;
}

#endif
