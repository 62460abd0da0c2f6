#ifndef TPUMLIR_TOP_ELEMENTWISE
#define TPUMLIR_TOP_ELEMENTWISE

include "tpumlir/dialect/top/TopBase.td"

/// Operands broadcast to the result as in numpy. On i32, arithmetic wraps around
/// at 32 bits, a quotient is cut towards zero, and x / 0 is 0.
class Top_BroadcastOp<string mnemonic, dag attributes, list<Trait> traits = []>
    : Top_Op<mnemonic, traits> {
  let arguments = !con((ins Variadic<Top_Tensor>:$inputs), attributes);
  let results = (outs Top_Tensor:$output);
  let extraClassDefinition = [{
    ::llvm::LogicalResult $cppClass::inferTypes(
        ::llvm::SmallVectorImpl<::mlir::Type> &types) {
      return ::tpumlir::top::inferBroadcast(*this, getInputs(), minInputs(),
                                            maxInputs(), types);
    }
  }];
  string count = "static constexpr unsigned minInputs() { return 2; }\n"
                 "static constexpr unsigned maxInputs() { return 2; }\n";
  string variadic = "static constexpr unsigned minInputs() { return 1; }\n"
                    "static constexpr unsigned maxInputs() { return ~0u; }\n";
  string rules = [{
    Constraints:
    - (C1) the number of operands is allowed.
    - (C2) the operand shapes broadcast.
  }];
}
defvar Top_Coeff = (ins OptionalAttr<Top_F64s>:$coeff);
defvar Top_Reverse = (ins Top_Default<BoolAttr, "false">:$is_reverse);

def Top_AddOp : Top_BroadcastOp<"Add", !con(Top_Relu, Top_Coeff, Top_Scalar),
                                [SupportFuseRelu]> {
  let summary = "sum of the operands, each times its `coeff` if given";
  let description = rules # "\n    - (C3) `coeff` has one entry per operand.\n";
  let extraClassDeclaration = variadic;
  let hasVerifier = 1;
}
def Top_SubOp : Top_BroadcastOp<"Sub", !con(Top_Reverse, Top_Relu, Top_Coeff,
                                            Top_Scalar), [SupportFuseRelu]> {
  let summary = "first minus second operand; the other way if `is_reverse`";
  let description = rules # "\n    - (C3) `coeff` has one entry per operand.\n";
  let extraClassDeclaration = count;
  let hasVerifier = 1;
}
def Top_MulOp : Top_BroadcastOp<"Mul", !con(Top_Relu, Top_Scalar),
                                [SupportFuseRelu]> {
  let summary = "product of the operands";
  let description = rules;
  let extraClassDeclaration = variadic;
}
def Top_DivOp : Top_BroadcastOp<"Div", !con(Top_Reverse, Top_Relu, Top_Scalar),
                                [SupportFuseRelu]> {
  let summary = "first over second operand; the other way if `is_reverse`";
  let description = rules;
  let extraClassDeclaration = count;
}
def Top_MaxOp : Top_BroadcastOp<"Max", (ins)> {
  let summary = "greatest of the operands";
  let description = rules;
  let extraClassDeclaration = variadic;
}
def Top_MinOp : Top_BroadcastOp<"Min", (ins)> {
  let summary = "least of the operands";
  let description = rules;
  let extraClassDeclaration = variadic;
}
def Top_ModOp
    : Top_BroadcastOp<"Mod", (ins Top_Default<BoolAttr, "false">:$fmod)> {
  let summary = "remainder with the sign of the divisor (floor division)";
  let description =
      "The sign is that of the dividend if `fmod`.\n\n" # rules;
  let extraClassDeclaration = count;
}
def Top_Pow3Op : Top_BroadcastOp<"Pow3", (ins)> {
  let summary = "first operand to the power of the second";
  let description = rules;
  let extraClassDeclaration = count;
}
def Top_LogicalAndOp : Top_BroadcastOp<"LogicalAnd", (ins)> {
  let summary = "1 where both operands are not 0, else 0";
  let description = rules;
  let extraClassDeclaration = count;
}

def Top_BitwiseOp : Top_BroadcastOp<"Bitwise", (ins Top_BitwiseMode:$mode)> {
  let summary = "bits of the first operand changed by the second";
  let description = [{
    A shift by less than 0 or more than 31 bits shifts everything out.

    Source: ONNX BitwiseAnd, opset 18; BitShift, opset 11.

  }] # rules # "\n    - (C3) the operands are i32.\n";
  let extraClassDeclaration = count;
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// With a number
//===----------------------------------------------------------------------===//

class Top_ConstOp<string mnemonic, dag attributes, list<Trait> traits = []>
    : Top_SameTypeOp<mnemonic, traits> {
  let arguments =
      !con((ins Top_Tensor:$input, Top_F64:$const_val), attributes);
}
def Top_AddConstOp : Top_ConstOp<"AddConst", !con(Top_Relu, Top_Scalar),
                                 [SupportFuseRelu]> {
  let summary = "input + const_val";
}
def Top_SubConstOp
    : Top_ConstOp<"SubConst", !con(Top_Reverse, Top_Relu, Top_Scalar),
                  [SupportFuseRelu]> {
  let summary = "input - const_val; const_val - input if `is_reverse`";
}
def Top_MulConstOp : Top_ConstOp<"MulConst", !con(Top_Relu, Top_Scalar),
                                 [SupportFuseRelu]> {
  let summary = "input * const_val";
}
def Top_DivConstOp
    : Top_ConstOp<"DivConst", !con(Top_Reverse, Top_Relu, Top_Scalar)> {
  let summary = "input / const_val; const_val / input if `is_reverse`";
}
def Top_MaxConstOp : Top_ConstOp<"MaxConst", Top_Scalar> {
  let summary = "max(input, const_val)";
}
def Top_MinConstOp : Top_ConstOp<"MinConst", Top_Scalar> {
  let summary = "min(input, const_val)";
}
def Top_Pow2Op : Top_ConstOp<"Pow2", (ins)> {
  let summary = "const_val to the power of input";
}
def Top_ReciprocalOp : Top_SameTypeOp<"Reciprocal", [SupportFuseRelu]> {
  let summary = "const_val / input";
  let arguments = !con((ins Top_Tensor:$input,
                        Top_Default<Top_F64, "1.0">:$const_val), Top_Relu);
}
def Top_PowOp : Top_SameTypeOp<"Pow"> {
  let summary = "input to the power of exponent";
  let arguments = (ins Top_Tensor:$input, Top_F64:$exponent);
}

//===----------------------------------------------------------------------===//
// Comparison and choice
//===----------------------------------------------------------------------===//

def Top_CompareOp : Top_Op<"Compare"> {
  let summary = "1 where the relation holds, else 0; operands broadcast";
  let description = [{
    `And` and `Xor` ask whether the operands are not 0.

    Constraints:
    - (C1) the operand shapes broadcast.
    - (C2) `mode` is not `Not`, which has one operand (see CompareConst).
  }];
  let arguments = (ins Top_Tensor:$lhs, Top_Tensor:$rhs, Top_CompareMode:$mode);
  let results = (outs Top_Tensor:$output);
}

def Top_CompareConstOp : Top_SameTypeOp<"CompareConst"> {
  let summary = "1 where input relates to const_val, else 0";
  let description = [{
    `inversed` puts `const_val` on the left. `Not` is 1 where the input is 0.
  }];
  let arguments = !con((ins Top_Tensor:$input, Top_CompareMode:$mode,
                        Top_F64:$const_val, BoolAttr:$inversed), Top_Scalar);
}

def Top_WhereOp : Top_Op<"Where"> {
  let summary = "true branch where cond is not 0, else false branch";
  let description = [{
    A branch is a tensor, or none with `x_is_const` (true branch) or
    `y_is_const` (false branch) and a number.

    Constraints:
    - (C1) the operand shapes broadcast.
    - (C2) a branch is none exactly if its `*_is_const` is set.
  }];
  let arguments = (ins Top_Tensor:$cond, Top_TensorOrNone:$tbrn,
                       Top_TensorOrNone:$fbrn,
                       Top_Default<BoolAttr, "false">:$x_is_const,
                       Top_Default<BoolAttr, "false">:$y_is_const,
                       Top_Default<Top_F64, "0.0">:$x_const_val,
                       Top_Default<Top_F64, "0.0">:$y_const_val);
  let results = (outs Top_Tensor:$output);
}

#endif
