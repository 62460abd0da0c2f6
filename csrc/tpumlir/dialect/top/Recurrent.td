#ifndef TPUMLIR_TOP_RECURRENT
#define TPUMLIR_TOP_RECURRENT

include "tpumlir/dialect/top/TopBase.td"

/// A recurrent layer as the vendor's front end writes it. No later stage knows
/// these ops: reading a text unrolls them (transforms/top/Recurrent.cpp).
class Top_RecurrentOp<string mnemonic>
    : Top_BaseOp<mnemonic, [Pure,
                            DeclareOpInterfaceMethods<ShapeOpInterface>]> {
  string rules = [{
    `input` is [steps, batch, features], `batch_first` exchanges the first two;
    `filter` is W [directions, gates * hidden_size, features], `recurrence` R
    [directions, gates * hidden_size, hidden_size], `bias` Wb and Rb
    [directions, 2 * gates * hidden_size] or none, an initial state [directions,
    batch, hidden_size] or none for zeros. `Y` is [steps, directions, batch,
    hidden_size], with `batch_first` [batch, steps, directions, hidden_size]; the
    last states are [directions, batch, hidden_size]. What nobody reads is none.
  }];
}

def Top_LSTMOp : Top_RecurrentOp<"LSTM"> {
  let summary = "long short-term memory; gates i, o, f, c";
  let description = rules # [{
    Source: ONNX LSTM, opset 22, with the default activations.

    Constraints:
    - (C1) `input` is of rank 3 and `hidden_size` positive.
    - (C2) `filter`, `recurrence`, `bias` and the initial states have the sizes
      above.
    - (C3) `cont` (Caffe's mark of where sequences go on) is none.
  }];
  let arguments = (ins Top_Tensor:$input, Top_Tensor:$filter,
                       Top_Tensor:$recurrence, Top_TensorOrNone:$bias,
                       Top_TensorOrNone:$initial_h, Top_TensorOrNone:$initial_c,
                       Top_TensorOrNone:$cont, Top_I64:$hidden_size,
                       BoolAttr:$bidirectional,
                       Top_Default<BoolAttr, "false">:$batch_first);
  let results = (outs Top_TensorOrNone:$Y, Top_TensorOrNone:$Y_h,
                      Top_TensorOrNone:$Y_c);
}

def Top_GRUOp : Top_RecurrentOp<"GRU"> {
  let summary = "gated recurrent unit; gates z, r, h";
  let description = rules # [{
    `linear_before_reset` multiplies with the reset gate behind R, else before
    it.

    Source: ONNX GRU, opset 22, with the default activations.

    Constraints: (C1) and (C2) of LSTM.
  }];
  let arguments = (ins Top_Tensor:$input, Top_Tensor:$filter,
                       Top_Tensor:$recurrence, Top_TensorOrNone:$bias,
                       Top_TensorOrNone:$initial_h, Top_I64:$hidden_size,
                       BoolAttr:$bidirectional,
                       Top_Default<BoolAttr, "true">:$linear_before_reset,
                       Top_Default<BoolAttr, "false">:$batch_first);
  let results = (outs Top_TensorOrNone:$Y, Top_TensorOrNone:$Y_h);
}

#endif
