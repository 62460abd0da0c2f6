#ifndef TPUMLIR_TOP_ENUMS
#define TPUMLIR_TOP_ENUMS

include "mlir/IR/EnumAttr.td"

// What the vendor's text has as words. C++ sees enumerations, Tpu shares them;
// the attributes stay strings (Top_Words, TopBase.td).

class Top_Enum<string name, string what, list<string> words>
    : I32EnumAttr<name, what,
                  !foreach(i, !range(!size(words)),
                           I32EnumAttrCase<words[i], i>)> {
  let cppNamespace = "::tpumlir::top";
  let genSpecializedAttr = 0;
}

def Top_AutoPadEnum : Top_Enum<"AutoPad", "automatic padding",
    ["SAME_UPPER", "SAME_LOWER", "NOTSET", "VALID"]>;
def Top_CompareModeEnum : Top_Enum<"CompareMode", "relation",
    ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "NotEqual",
     "And", "Not", "Xor"]>;
/// ShiftRight brings zeros in, ShiftRightSigned the sign.
def Top_BitwiseModeEnum : Top_Enum<"BitwiseMode", "function of bits",
    ["And", "Or", "Xor", "ShiftLeft", "ShiftRight", "ShiftRightSigned"]>;
def Top_ReduceModeEnum : Top_Enum<"ReduceMode", "reduction",
    ["ReduceMin", "ReduceMax", "ReduceMean", "ReduceL2", "ReduceL1",
     "ReduceSum", "ReduceProd"]>;
def Top_ArgModeEnum : Top_Enum<"ArgMode", "extremum", ["ArgMin", "ArgMax"]>;
def Top_PaddingModeEnum : Top_Enum<"PaddingMode",
    "what stands outside of a tensor",
    ["constant", "reflect", "symmetric", "edge"]>;
def Top_InterpModeEnum : Top_Enum<"InterpMode", "interpolation",
                                  ["nearest", "linear"]>;
def Top_CoordModeEnum : Top_Enum<"CoordMode", "place of a result in the input",
    ["align_corners", "half_pixel", "pytorch_half_pixel", "asymmetric"]>;
def Top_GELUModeEnum : Top_Enum<"GELUMode", "approximation",
                                ["normal", "tanh", "sigm"]>;
def Top_StoredTypeEnum : Top_Enum<"StoredType", "integers of few bits",
                                  ["INT8", "UINT8", "INT16", "UINT16"]>;
/// In the order of Top's `reduction` numbers.
def Top_ScatterModeEnum : Top_Enum<"ScatterMode", "what becomes of the old element",
                                   ["none", "add", "mul", "max", "min"]>;

#endif
