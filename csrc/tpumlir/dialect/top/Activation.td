#ifndef TPUMLIR_TOP_ACTIVATION
#define TPUMLIR_TOP_ACTIVATION

include "tpumlir/dialect/top/TopBase.td"

class Top_UnaryOp<string mnemonic, string what> : Top_SameTypeOp<mnemonic> {
  let summary = what;
}

/// A function that is one kernel: an EltOp of kernels/Elementwise.h, which
/// takes the values of `numbers` (getters of attributes). It becomes the
/// function of tpu.Active that has the same kernel and as many numbers.
class Top_KernelOp<string mnemonic, string what, string kernel = mnemonic,
                   list<string> numbers = []> : Top_UnaryOp<mnemonic, what> {
  let extraClassDeclaration = [{
    static constexpr ::std::string_view kKernel = "}] # kernel # [{";
    static constexpr unsigned kNumbers = }] # !size(numbers) # [{;
    ::llvm::SmallVector<double> kernelNumbers() {
      return {}] # !interleave(!foreach(n, numbers, n # "()"), ", ") # [{};
    }
  }];
  let extraClassDefinition = Top_SameType # [{
    ::llvm::LogicalResult $cppClass::plan(::tpumlir::PlanBuilder &plan) {
      return ::tpumlir::detail::planKernel(plan, *this, kKernel,
                                           kernelNumbers());
    }
  }];
}

def Top_AbsOp : Top_KernelOp<"Abs", "|x|">;
def Top_ArccosOp : Top_KernelOp<"Arccos", "arc cosine", "Acos">;
def Top_ArccoshOp
    : Top_KernelOp<"Arccosh", "inverse hyperbolic cosine", "Acosh">;
def Top_ArcsinOp : Top_KernelOp<"Arcsin", "arc sine", "Asin">;
def Top_ArcsinhOp : Top_KernelOp<"Arcsinh", "inverse hyperbolic sine", "Asinh">;
def Top_ArctanOp : Top_KernelOp<"Arctan", "arc tangent", "Atan">;
def Top_ArctanhOp
    : Top_KernelOp<"Arctanh", "inverse hyperbolic tangent", "Atanh">;
def Top_CeilOp : Top_KernelOp<"Ceil", "least integer not below x">;
def Top_CosOp : Top_KernelOp<"Cos", "cosine">;
def Top_CoshOp : Top_KernelOp<"Cosh", "hyperbolic cosine">;
def Top_ErfOp : Top_KernelOp<"Erf", "error function">;
def Top_ExpOp : Top_KernelOp<"Exp", "e to the power of x">;
def Top_HardSwishOp
    : Top_KernelOp<"HardSwish", "x * min(max(x + 3, 0), 6) / 6">;
def Top_LogOp : Top_KernelOp<"Log", "natural logarithm">;
def Top_MishOp : Top_KernelOp<"Mish", "x * tanh(ln(1 + e^x))">;
def Top_RoundOp
    : Top_KernelOp<"Round", "nearest integer, halves to even", "RoundEven">;
def Top_RsqrtOp : Top_KernelOp<"Rsqrt", "1 / sqrt(x)">;
def Top_SignOp
    : Top_KernelOp<"Sign", "-1, 0 or 1 as x is below, at or above 0">;
def Top_SiLUOp : Top_UnaryOp<"SiLU", "x / (1 + e^-x)">;
def Top_SinOp : Top_KernelOp<"Sin", "sine">;
def Top_SinhOp : Top_KernelOp<"Sinh", "hyperbolic sine">;
def Top_SoftplusOp : Top_KernelOp<"Softplus", "ln(1 + e^x)">;
def Top_SoftsignOp : Top_KernelOp<"Softsign", "x / (1 + |x|)">;
def Top_SqrtOp : Top_KernelOp<"Sqrt", "square root">;
def Top_TanOp : Top_KernelOp<"Tan", "tangent">;

def Top_FloorOp : Top_KernelOp<"Floor", "greatest integer not above x"> {
  let arguments = !con((ins Top_Tensor:$input), Top_Scalar);
}
def Top_TanhOp : Top_KernelOp<"Tanh", "hyperbolic tangent"> {
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
    : Top_KernelOp<"HardSigmoid", "min(max(alpha * x + beta, 0), 1)",
                   "HardSigmoid", ["getAlpha", "getBeta"]> {
  let arguments = (ins Top_Tensor:$input, Top_F64:$alpha, Top_F64:$beta);
}
def Top_EluOp
    : Top_KernelOp<"Elu", "x where x > 0, alpha * (e^x - 1) elsewhere", "Elu",
                   ["getAlpha"]> {
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
def Top_SwishOp
    : Top_KernelOp<"Swish", "x / (1 + e^(-beta * x))", "Swish", ["getBeta"]> {
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
