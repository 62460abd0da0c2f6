#ifndef TPUMLIR_TOP_SOFTMAX
#define TPUMLIR_TOP_SOFTMAX

include "tpumlir/dialect/top/TopBase.td"

def Top_SoftmaxOp : Top_NormalizedOp<"Softmax"> {
  let summary = "e^(beta * x) / sum over `axis`; its logarithm if `log`";
  let description = [{
    Source: ONNX Softmax and LogSoftmax, opset 13.

    Constraints:
    - (C1) `axis` lies in [-rank, rank).
  }];
  let arguments = !con((ins Top_Tensor:$input, Top_SI32:$axis,
                        Top_Default<BoolAttr, "false">:$log,
                        Top_Default<Top_F64, "1.0">:$beta), Top_Round);
  let results = (outs Top_Tensor:$output);
}

#endif
