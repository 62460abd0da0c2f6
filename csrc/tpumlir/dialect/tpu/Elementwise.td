#ifndef TPUMLIR_TPU_ELEMENTWISE
#define TPUMLIR_TPU_ELEMENTWISE

include "tpumlir/dialect/tpu/TpuBase.td"

/// Two or more operands that broadcast to the result as in numpy. On i32 as in
/// Top.
class Tpu_BroadcastOp<string mnemonic, string what, dag attributes>
    : Tpu_Op<mnemonic> {
  let summary = what;
  let description = [{
    Constraints:
    - (C1) there are at least two operands (exactly two for Sub, Div, Mod and
      Pow3), and their shapes broadcast to that of the result.
    - (C2) operands and result are quantised to 8 bits, or none is; only Add and
      Mul take quantised ones, two of them, and Max and Min, all of one type.
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

def Tpu_ModOp : Tpu_BroadcastOp<"Mod",
    "remainder with the sign of the divisor, or of the dividend if `fmod`",
    (ins Top_Default<BoolAttr, "false">:$fmod)>;
def Tpu_Pow3Op : Tpu_BroadcastOp<"Pow3",
    "first operand to the power of the second", (ins)>;

/// One operand and a number, rounded to the type of the operand.
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

//===----------------------------------------------------------------------===//
// Comparison, choice, bits
//===----------------------------------------------------------------------===//

def Tpu_CompareOp : Tpu_Op<"Compare"> {
  let summary = "1 where the relation holds, else 0; see top.Compare";
  let description = [{
    Constraints:
    - (C1) the operand shapes broadcast to that of the result.
    - (C2) `mode` is not `Not`.
  }];
  let arguments = (ins Tpu_Tensor:$lhs, Tpu_Tensor:$rhs, Top_CompareMode:$mode);
  let hasVerifier = 1;
}

def Tpu_CompareConstOp : Tpu_UnaryOp<"CompareConst"> {
  let summary = "1 where input relates to const_val, else 0";
  let description = [{
    `inversed` puts `const_val` on the left. `Not` is 1 where the input is 0.

    Constraints:
    - (C1) `mode` is not `And` or `Xor`.
  }];
  let arguments = (ins Tpu_Tensor:$input, Top_CompareMode:$mode,
                       Top_F64:$const_val, BoolAttr:$inversed);
  let hasVerifier = 1;
}

def Tpu_WhereOp : Tpu_Op<"Where"> {
  let summary = "true branch where cond is not 0, else false branch";
  let description = [{
    A branch is a tensor, or none with `x_is_const` (true branch) or
    `y_is_const` (false branch) and a number.

    Constraints:
    - (C1) the operand shapes broadcast to that of the result.
    - (C2) a branch is none exactly if its `*_is_const` is set.
  }];
  let arguments = (ins Tpu_Tensor:$cond, Tpu_TensorOrNone:$tbrn,
                       Tpu_TensorOrNone:$fbrn,
                       Top_Default<BoolAttr, "false">:$x_is_const,
                       Top_Default<BoolAttr, "false">:$y_is_const,
                       Top_Default<Top_F64, "0.0">:$x_const_val,
                       Top_Default<Top_F64, "0.0">:$y_const_val);
  let hasVerifier = 1;
}

def Tpu_BitwiseOp : Tpu_Op<"Bitwise"> {
  let summary = "bits of lhs changed by rhs, or by const_val if rhs is none";
  let description = [{
    Constraints:
    - (C1) the operand shapes broadcast to that of the result.
    - (C2) the elements are i32.
  }];
  let arguments = (ins Tpu_Tensor:$lhs, Tpu_TensorOrNone:$rhs,
                       Top_BitwiseMode:$mode,
                       Top_Default<Top_I64, "0">:$const_val);
  let hasVerifier = 1;
}

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
