#ifndef TPUMLIR_TPU_ENUMS
#define TPUMLIR_TPU_ENUMS

// Includes nothing of ours: the C++ enumerations are generated from this file
// alone, and those of Top have their own.
include "mlir/IR/EnumAttr.td"

// Printed as `#tpu<active_mode SILU>`.

class Tpu_Enum<string name, string what, list<string> words>
    : I32EnumAttr<name, what,
                  !foreach(i, !range(!size(words)),
                           I32EnumAttrCase<words[i], i>)> {
  let cppNamespace = "::tpumlir::tpu";
  let genSpecializedAttr = 0;
}

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

def Tpu_ActiveModeEnum : Tpu_Enum<"ActiveMode", "elementwise function",
    !foreach(f, Tpu_Functions, f.word)>;

def Tpu_PoolModeEnum : Tpu_Enum<"PoolMode", "window function", ["Avg", "Max"]>;

/// How the elements of a filter lie, from the outermost axis to the innermost:
/// G groups, O output and I input channels of a group, K taps. `Cubes` is what
/// the chip reads: GO, then blocks of as many input channels as it takes at
/// once (isa::convChannelCube), [K][channels of the block], zeros behind the
/// last channel of a group. Source: docs/hardware.md (H7).
def Tpu_FilterOrderEnum : Tpu_Enum<"FilterOrder", "order of a filter's elements",
                                   ["GOIK", "OGIK", "Cubes"]>;

def Tpu_RegionEnum : Tpu_Enum<"Region", "part of global memory",
                              ["weight", "neuron", "io"]>;

#endif
