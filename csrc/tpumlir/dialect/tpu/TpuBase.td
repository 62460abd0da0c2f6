#ifndef TPUMLIR_TPU_BASE
#define TPUMLIR_TPU_BASE

include "tpumlir/dialect/top/TopBase.td"
include "tpumlir/dialect/tpu/TpuEnums.td"

def Tpu_Dialect : Dialect {
  let name = "tpu";
  let cppNamespace = "::tpumlir::tpu";
  let summary = "What the chip does: BM1684X, in the precision of the deploy";
  let description = [{
    Op names, operand order, attribute names and enumerations are those of
    TPU-MLIR's Tpu dialect where the meaning is the same. An operand that is not
    there is a `top.None`; constants are `top.Weight`. Every operand that holds
    numbers is a weight or a run-time tensor.

    Where a tensor lies in the chip's memory stands in one discardable
    attribute, written last and read by code generation only:
    `tpu.place = [#tpu.gmem<...>, ...]`, one entry per result.

    Operations with the same `tpu.group` are a group: what only they use of each
    other stays in local memory and has no place. The first of them has the
    place of the group's constants, `tpu.image`; a weight that is read from
    there alone is `tpu.packed` and has no place of its own.
  }];
  let usePropertiesForAttributes = 0;
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let extraClassDeclaration = [{
    static constexpr ::llvm::StringLiteral kPlaceAttr = "tpu.place";
    static constexpr ::llvm::StringLiteral kGroupAttr = "tpu.group";
    static constexpr ::llvm::StringLiteral kImageAttr = "tpu.image";
    static constexpr ::llvm::StringLiteral kPackedAttr = "tpu.packed";
  }];
}

//===----------------------------------------------------------------------===//
// Enumerations
//===----------------------------------------------------------------------===//

class Tpu_EnumAttr<EnumInfo info, string mnemonic_>
    : EnumAttr<Tpu_Dialect, info, mnemonic_> {
  let cppNamespace = "::tpumlir::tpu"; // also where Top has the enumeration
}

def Tpu_ActiveMode : Tpu_EnumAttr<Tpu_ActiveModeEnum, "active_mode">;
def Tpu_PoolMode : Tpu_EnumAttr<Tpu_PoolModeEnum, "pool_mode">;
def Tpu_PaddingMode : Tpu_EnumAttr<Top_PaddingModeEnum, "padding_mode">;
def Tpu_FilterOrder : Tpu_EnumAttr<Tpu_FilterOrderEnum, "filter_layout">;
class Tpu_FilterLayout<string order>
    : DefaultValuedAttr<Tpu_FilterOrder,
                        "::tpumlir::tpu::FilterOrder::" # order>;

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

def Tpu_GmemAttr : AttrDef<Tpu_Dialect, "Gmem"> {
  let mnemonic = "gmem";
  let summary = "place of a tensor in global memory";
  let description = [{
    `region`: constants; intermediate tensors; model inputs and outputs.
    `offset` in bytes from the base of global memory (isa/Chip.h), so the
    address is the same for all three.

    Constraints:
    - (C1) `offset` lies inside of global memory; it is a multiple of the size of
      the tensor's elements, which is all that GDMA asks for.
  }];
  let parameters = (ins EnumParameter<Tpu_RegionEnum>:$region,
                        "int64_t":$offset);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def Tpu_GroupAttr : AttrDef<Tpu_Dialect, "Group"> {
  let mnemonic = "group";
  let summary = "a group of operations that share local memory";
  let description = [{
    `id` tells groups apart, in the order of the function. The results of the
    group are cut into `n` times `h` slices. `image` is the number of bytes that
    its constants take as its loads want them.

    Constraints:
    - (C1) `id` and `image` are not negative, `n` and `h` positive.
  }];
  let parameters = (ins "int64_t":$id, "int64_t":$n, "int64_t":$h,
                        "int64_t":$image);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

def Tpu_Tensor : AnyTypeOf<[AnyRankedTensor], "ranked tensor">;
def Tpu_TensorOrNone : AnyTypeOf<[AnyRankedTensor, NoneType],
                                 "ranked tensor or none">;

/// An op that computes. Its precision is as PrecisionOpInterface says; an op
/// that deviates from the defaults there states it with Tpu_KeepsF32 or
/// Tpu_MovesData as `extraClassDeclaration`.
class Tpu_Op<string mnemonic, list<Trait> traits = []>
    : Op<Tpu_Dialect, mnemonic, !listconcat(traits, [
        Pure,
        DeclareOpInterfaceMethods<PlanOpInterface>,
        DeclareOpInterfaceMethods<PrecisionOpInterface>,
      ])> {
  let results = (outs Tpu_Tensor:$output);
}

/// Operands from `first` to `last` are f32 in every precision.
class Tpu_KeepsF32<int first, int last = first> {
  code decl = [{
    ::tpumlir::OperandPrecision operandPrecision(unsigned operand) {
      return operand >= }] # first # [{ && operand <= }] # last # [{
                 ? ::tpumlir::OperandPrecision::F32
                 : ::tpumlir::OperandPrecision::Same;
    }
  }];
}
/// The op copies elements, see PrecisionOpInterface::movesData.
defvar Tpu_MovesData = [{
  bool movesData() { return true; }
}];

/// An op with operand `input` and the result type of it.
class Tpu_UnaryOp<string mnemonic, list<Trait> traits = []>
    : Tpu_Op<mnemonic, !listconcat(traits, [AllTypesMatch<["input", "output"]>])>;

#endif
