#ifndef TPUMLIR_TOP_ACTIVATION
#define TPUMLIR_TOP_ACTIVATION

include "tpumlir/dialect/top/TopBase.td"

class Top_UnaryOp<string mnemonic, string what> : Top_SameTypeOp<mnemonic> {
  let summary = what;
}

def Top_AbsOp : Top_UnaryOp<"Abs", "|x|">;
def Top_ArccosOp : Top_UnaryOp<"Arccos", "arc cosine">;
def Top_ArccoshOp : Top_UnaryOp<"Arccosh", "inverse hyperbolic cosine">;
def Top_ArcsinOp : Top_UnaryOp<"Arcsin", "arc sine">;
def Top_ArcsinhOp : Top_UnaryOp<"Arcsinh", "inverse hyperbolic sine">;
def Top_ArctanOp : Top_UnaryOp<"Arctan", "arc tangent">;
def Top_ArctanhOp : Top_UnaryOp<"Arctanh", "inverse hyperbolic tangent">;
def Top_CeilOp : Top_UnaryOp<"Ceil", "least integer not below x">;
def Top_CosOp : Top_UnaryOp<"Cos", "cosine">;
def Top_CoshOp : Top_UnaryOp<"Cosh", "hyperbolic cosine">;
def Top_ErfOp : Top_UnaryOp<"Erf", "error function">;
def Top_ExpOp : Top_UnaryOp<"Exp", "e to the power of x">;
def Top_HardSwishOp
    : Top_UnaryOp<"HardSwish", "x * min(max(x + 3, 0), 6) / 6">;
def Top_LogOp : Top_UnaryOp<"Log", "natural logarithm">;
def Top_MishOp : Top_UnaryOp<"Mish", "x * tanh(ln(1 + e^x))">;
def Top_RoundOp : Top_UnaryOp<"Round", "nearest integer, halves to even">;
def Top_RsqrtOp : Top_UnaryOp<"Rsqrt", "1 / sqrt(x)">;
def Top_SignOp : Top_UnaryOp<"Sign", "-1, 0 or 1 as x is below, at or above 0">;
def Top_SiLUOp : Top_UnaryOp<"SiLU", "x / (1 + e^-x)">;
def Top_SinOp : Top_UnaryOp<"Sin", "sine">;
def Top_SinhOp : Top_UnaryOp<"Sinh", "hyperbolic sine">;
def Top_SoftplusOp : Top_UnaryOp<"Softplus", "ln(1 + e^x)">;
def Top_SoftsignOp : Top_UnaryOp<"Softsign", "x / (1 + |x|)">;
def Top_SqrtOp : Top_UnaryOp<"Sqrt", "square root">;
def Top_TanOp : Top_UnaryOp<"Tan", "tangent">;

def Top_FloorOp : Top_UnaryOp<"Floor", "greatest integer not above x"> {
  let arguments = !con((ins Top_Tensor:$input), Top_Scalar);
}
def Top_TanhOp : Top_UnaryOp<"Tanh", "hyperbolic tangent"> {
  let arguments = !con((ins Top_Tensor:$input), Top_Round);
}
def Top_ReluOp : Top_UnaryOp<"Relu", "max(x, 0), at most relu_limit"> {
  let description = "A negative `relu_limit` is no limit.";
  let arguments = (ins Top_Tensor:$input,
                       Top_Default<Top_F64, "-1.0">:$relu_limit);
}
def Top_LeakyReluOp
    : Top_UnaryOp<"LeakyRelu", "x where x >= 0, alpha * x elsewhere"> {
  let description = [{
    Source: ONNX LeakyRelu, opset 16.

    Constraints:
    - (C1) `alpha` is finite.
  }];
  let arguments = !con((ins Top_Tensor:$input, Top_F64:$alpha), Top_Round);
  let hasVerifier = 1;
}
def Top_PReluOp : Top_Op<"PRelu"> {
  let summary = "x where x >= 0, slope * x elsewhere";
  let description = [{
    Source: ONNX PRelu, opset 16.

    Constraints:
    - (C1) `slope` broadcasts to the shape of `input`.
  }];
  let arguments = (ins Top_Tensor:$input, Top_Tensor:$slope);
  let results = (outs Top_Tensor:$output);
}
def Top_ClipOp : Top_UnaryOp<"Clip", "x held in [min, max]"> {
  let description = [{
    Constraints:
    - (C1) `min` is not above `max`.
  }];
  let arguments = (ins Top_Tensor:$inputs, Top_F64:$min, Top_F64:$max);
  let hasVerifier = 1;
}
def Top_SigmoidOp
    : Top_UnaryOp<"Sigmoid", "scale / (1 + e^-x) + bias, its log if `log`"> {
  let arguments = !con((ins Top_Tensor:$input, Top_Default<Top_F64, "1">:$scale,
                        Top_Default<Top_F64, "0">:$bias,
                        Top_Default<BoolAttr, "false">:$log), Top_Round);
}
def Top_HardSigmoidOp
    : Top_UnaryOp<"HardSigmoid", "min(max(alpha * x + beta, 0), 1)"> {
  let arguments = (ins Top_Tensor:$input, Top_F64:$alpha, Top_F64:$beta);
}
def Top_EluOp : Top_UnaryOp<"Elu", "x where x > 0, alpha * (e^x - 1) elsewhere"> {
  let arguments = (ins Top_Tensor:$input, Top_F64:$alpha);
}
def Top_GELUMode : Top_Words<Top_GELUModeEnum>;
def Top_GELUOp : Top_UnaryOp<"GELU", "x times the normal distribution of x"> {
  let description = [{
    `approx_mode`: `normal` by erf, `tanh` and `sigm` by the usual
    approximations.

    Source: ONNX Gelu, opset 20.
  }];
  let arguments = !con((ins Top_Tensor:$input), Top_Round, (ins
      Top_Default<Top_GELUMode,
                  "::tpumlir::top::GELUMode::normal">:$approx_mode));
}
def Top_SwishOp : Top_UnaryOp<"Swish", "x / (1 + e^(-beta * x))"> {
  let arguments = !con((ins Top_Tensor:$input, Top_F64:$beta), Top_Round);
}
def Top_CastOp : Top_Op<"Cast"> {
  let summary = "value in another element type";
  let description = [{
    `to` INT32 drops the fraction (towards zero) and saturates; NaN becomes 0.
    F32 and the empty word keep the value. INT8, UINT8, INT16 and UINT16 are as
    INT32, then wrap around in their range; the result is i32. F16 and BF16
    round to what these types hold, half to even; the result is f32.

    Source: ONNX Cast, opset 19; what becomes of numbers out of range is open
    there.

    Constraints:
    - (C1) `to` is empty or one of these words.
    - (C2) F16 and BF16 take floats.
  }];
  let arguments = !con((ins Top_Tensor:$input), Top_Round, (ins
      Top_DefaultWord<StrAttr, "">:$to));
  let results = (outs Top_Tensor:$output);
  let hasVerifier = 1;
}

#endif
