#ifndef TPUMLIR_TOP_OPS
#define TPUMLIR_TOP_OPS

include "tpumlir/dialect/top/TopBase.td"

def Top_NoneOp : Top_BaseOp<"None", [Pure]> {
  let summary = "stands for an operand that is not there";
  let results = (outs NoneType:$output);
}

def Top_WeightOp : Top_BaseOp<"Weight", [Pure]> {
  let summary = "constant; its data are found under the location's name";
  let results = (outs AnyRankedTensor:$output);
}

def Top_InputOp : Top_BaseOp<"Input", [Pure]> {
  let summary = "a model input; its location is the input's name";
  let arguments = (ins Top_Tensor:$input);
  let results = (outs Top_Tensor:$output);
}

#endif
