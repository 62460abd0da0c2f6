#ifndef TPUMLIR_TPU_ACTIVATION
#define TPUMLIR_TPU_ACTIVATION

include "tpumlir/dialect/tpu/TpuBase.td"

/// A function of one operand: its word, the kernel that says what it is (an
/// EltOp of kernels/Elementwise.h) and the numbers that the kernel takes; or the
/// one number that it always has.
class Tpu_Function<string word_, string kernel_, list<string> coeffs_ = [],
                   string number_ = "0.0"> {
  string word = word_;
  string kernel = kernel_;
  list<string> coeffs = coeffs_;
  string number = number_;
}
defvar Tpu_Functions = [
  Tpu_Function<"TANH", "Tanh">,
  Tpu_Function<"SIGMOID", "Sigmoid">,
  Tpu_Function<"EXP", "Exp">,
  Tpu_Function<"ELU", "Elu", ["alpha"]>,
  Tpu_Function<"SQRT", "Sqrt">,
  Tpu_Function<"SQUARE", "Square">,
  Tpu_Function<"RSQRT", "Rsqrt">,
  Tpu_Function<"ABSVAL", "Abs">,
  Tpu_Function<"LN", "Log">,
  Tpu_Function<"ROUND", "RoundEven">,
  Tpu_Function<"CEIL", "Ceil">,
  Tpu_Function<"FLOOR", "Floor">,
  Tpu_Function<"MISH", "Mish">,
  Tpu_Function<"SWISH", "Swish", ["beta"]>,
  Tpu_Function<"HSWISH", "HardSwish">,
  Tpu_Function<"SILU", "Swish", [], "1.0">,
  Tpu_Function<"SIGN", "Sign">,
  Tpu_Function<"GELU", "GeluErf">,
  Tpu_Function<"ERF", "Erf">,
  Tpu_Function<"HSIGMOID", "HardSigmoid", ["alpha", "beta"]>,
  Tpu_Function<"LOG_SIGMOID", "LogSigmoid">,
  Tpu_Function<"SOFT_PLUS", "Softplus">,
  Tpu_Function<"SOFT_SIGN", "Softsign">,
  Tpu_Function<"SIN", "Sin">,
  Tpu_Function<"COS", "Cos">,
  Tpu_Function<"TAN", "Tan">,
  Tpu_Function<"ARCSIN", "Asin">,
  Tpu_Function<"ARCCOS", "Acos">,
  Tpu_Function<"ARCTAN", "Atan">,
  Tpu_Function<"SINH", "Sinh">,
  Tpu_Function<"COSH", "Cosh">,
  Tpu_Function<"ARCSINH", "Asinh">,
  Tpu_Function<"ARCCOSH", "Acosh">,
  Tpu_Function<"ARCTANH", "Atanh">,
  Tpu_Function<"TGELU", "GeluTanh">,
  Tpu_Function<"QGELU", "Swish", [], "1.702">,
  Tpu_Function<"TO_F16", "RoundF16">,
  Tpu_Function<"TO_BF16", "RoundBF16">
];

def Tpu_ActiveModeEnum : Tpu_Enum<"ActiveMode", "active_mode",
    "elementwise function", !foreach(f, Tpu_Functions, f.word)>;
def Tpu_ActiveMode : Tpu_EnumAttr<Tpu_ActiveModeEnum, "active_mode">;

def Tpu_ActiveOp : Tpu_UnaryOp<"Active"> {
  let summary = "an elementwise function, chosen by `mode`";
  let description = [{
    `coeffs`: }] # !interleave(
        !foreach(f, !filter(f, Tpu_Functions, !not(!empty(f.coeffs))),
                 f.word # " [" # !interleave(f.coeffs, ", ") # "]"), ", ") # [{; otherwise none.

    Constraints:
    - (C1) `coeffs` has as many numbers as the mode takes.
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_ActiveMode:$mode,
                       OptionalAttr<Top_F64s>:$coeffs);
  let extraClassDeclaration = [{
    struct Function {
      ActiveMode mode;
      ::std::string_view kernel;
      unsigned coeffs; ///< how many numbers it takes
      double number;   ///< what the kernel has without them
    };
    /// In the order of ActiveMode.
    static constexpr Function kFunctions[] = {
      }] # !interleave(
        !foreach(f, Tpu_Functions,
                 "{ActiveMode::" # f.word # ", \"" # f.kernel # "\", " #
                 !size(f.coeffs) # ", " # f.number # "}"), ", ") # [{};
    const Function &function() { return kFunctions[size_t(getMode())]; }
  }];
  let hasVerifier = 1;
}

def Tpu_ReluOp : Tpu_UnaryOp<"Relu"> {
  let summary = "max(x, 0), at most relu_limit if that is not negative";
  let arguments = (ins Tpu_Tensor:$input,
                       Top_Default<Top_F64, "-1.0">:$relu_limit);
}

def Tpu_LeakyReluOp : Tpu_UnaryOp<"LeakyRelu"> {
  let summary = "x where x >= 0, alpha * x elsewhere";
  let arguments = (ins Tpu_Tensor:$input, Top_F64:$alpha);
}

def Tpu_PReluOp : Tpu_Op<"PRelu"> {
  let summary = "x where x >= 0, slope * x elsewhere";
  let description = [{
    Constraints:
    - (C1) `slope` broadcasts to the shape of `input`.
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_Tensor:$slope);
  let extraClassDeclaration = Tpu_KeepsF32<1>.decl; // slope
  let hasVerifier = 1;
}

def Tpu_ClipOp : Tpu_UnaryOp<"Clip"> {
  let summary = "min(max(x, min), max)";
  let arguments = (ins Tpu_Tensor:$input, Top_F64:$min, Top_F64:$max);
}

#endif
