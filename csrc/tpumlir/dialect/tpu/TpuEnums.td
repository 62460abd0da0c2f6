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

def Tpu_ActiveModeEnum : Tpu_Enum<"ActiveMode", "elementwise function", [
  "TANH", "SIGMOID", "EXP", "ELU", "SQRT", "SQUARE", "RSQRT", "ABSVAL", "LN",
  "ROUND", "CEIL", "FLOOR", "MISH", "SWISH", "HSWISH", "SILU", "SIGN", "GELU",
  "ERF", "HSIGMOID", "LOG_SIGMOID", "SOFT_PLUS", "SOFT_SIGN", "SIN", "COS",
  "TAN", "ARCSIN", "ARCCOS", "ARCTAN", "SINH", "COSH", "ARCSINH", "ARCCOSH",
  "ARCTANH", "TGELU", "QGELU", "TO_F16", "TO_BF16"]>;

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
