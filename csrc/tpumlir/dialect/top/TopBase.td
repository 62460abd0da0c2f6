#ifndef TPUMLIR_TOP_BASE
#define TPUMLIR_TOP_BASE

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "tpumlir/dialect/Interfaces.td"

def Top_Dialect : Dialect {
  let name = "top";
  let cppNamespace = "::tpumlir::top";
  let summary = "What the model says: chip-free, F32";
  let description = [{
    Names, operands, attributes and spellings are those of TPU-MLIR's Top
    dialect, so that its text is read and written both ways. Attributes that we
    do not know are kept.
  }];
  // The generic form then prints every attribute in one dictionary, as the
  // vendor's LLVM 18 does.
  let usePropertiesForAttributes = 0;
  let extraClassDeclaration = [{
    /// Data of the `top.Weight` ops of the one module in this context.
    ::tpumlir::WeightStore &weights() { return weightStore; }
    const ::tpumlir::WeightStore &weights() const { return weightStore; }

  private:
    ::tpumlir::WeightStore weightStore;
  }];
}

class Top_BaseOp<string mnemonic, list<Trait> traits = []>
    : Op<Top_Dialect, mnemonic, traits>;

/// A float tensor, or any other tensor that a vendor file may carry.
def Top_Tensor : AnyTypeOf<[AnyRankedTensor, AnyUnrankedTensor]>;
def Top_TensorOrNone : AnyTypeOf<[AnyRankedTensor, AnyUnrankedTensor, NoneType]>;

#endif
