#ifndef TPUMLIR_TPU_OPS
#define TPUMLIR_TPU_OPS

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "tpumlir/dialect/Interfaces.td"

def Tpu_Dialect : Dialect {
  let name = "tpu";
  let cppNamespace = "::tpumlir::tpu";
  let summary = "What the chip does: BM1684X, in the precision of the deploy";
  let usePropertiesForAttributes = 0;
}

class Tpu_BaseOp<string mnemonic, list<Trait> traits = []>
    : Op<Tpu_Dialect, mnemonic, traits>;

def Tpu_Tensor : AnyTypeOf<[AnyRankedTensor]>;

def Tpu_ReshapeOp : Tpu_BaseOp<"Reshape", [Pure]> {
  let arguments = (ins Tpu_Tensor:$input);
  let results = (outs Tpu_Tensor:$output);
}

#endif
