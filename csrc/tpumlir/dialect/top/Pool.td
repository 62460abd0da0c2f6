#ifndef TPUMLIR_TOP_POOL
#define TPUMLIR_TOP_POOL

include "tpumlir/dialect/top/TopBase.td"

class Top_PoolOp<string mnemonic> : Top_NormalizedOp<mnemonic> {
  let arguments = !con((ins
      Top_Tensor:$input, Top_I64s:$kernel_shape, Top_I64s:$strides,
      Top_I64s:$pads, OptionalAttr<Top_I64s>:$dilations,
      OptionalAttr<BoolAttr>:$ceil_mode,
      OptionalAttr<Top_AutoPad>:$auto_pad,
      Top_Default<BoolAttr, "false">:$is_adaptive,
      Top_Default<BoolAttr, "true">:$keepdims,
      Top_Default<Top_I64, "0">:$pad_value,
      Top_Default<BoolAttr, "false">:$count_include_pad), Top_Relu, (ins
      Top_DefaultWord<Top_RoundMode, "HalfAwayFromZero">:$round_mode,
      Top_DefaultWord<Top_RoundMode, "HalfAwayFromZero">:$first_round_mode));
  let results = (outs Top_Tensor:$output);
  let extraClassDeclaration = [{
    /// The window; empty `kernel_shape`, `auto_pad` and `ceil_mode` resolved:
    /// `padEnd` reaches as far as the last window does, `padEndGiven` is what
    /// the attribute says. Errors are emitted at the op.
    ::mlir::FailureOr<::tpumlir::top::Window> getWindow();
  }];
  string rules = [{
    An empty `kernel_shape` takes the whole spatial extent. With `ceil_mode` the
    last window may reach past the padded input, but must start inside of the
    input or its begin padding. `keepdims` false drops the spatial axes, which
    must have become 1.

    Constraints:
    - (C1) `input` is of rank 3 to 5.
    - (C2) `kernel_shape`, `strides` and, if given, `dilations` have one entry
      per spatial axis, `pads` two; all but pads are positive, pads not negative.
    - (C3) the dilated window fits into the padded input.
    - (C4) pads are smaller than the dilated window.
  }];
}

def Top_MaxPoolOp : Top_PoolOp<"MaxPool"> {
  let summary = "maximum over a sliding window; padding never wins";
  let description = rules # "\n    Source: ONNX MaxPool, opset 22.\n";
}

def Top_AvgPoolOp : Top_PoolOp<"AvgPool"> {
  let summary = "mean over a sliding window";
  let description = rules # [{
    The divisor is the number of input elements under the window, or, with
    `count_include_pad`, that of padded elements too (not those that only
    `ceil_mode` adds).

    Source: ONNX AveragePool, opset 22.
  }];
}

def Top_AdaptiveAvgPoolOp : Top_Op<"AdaptiveAvgPool"> {
  let summary = "mean over windows chosen for a given result extent";
  let description = [{
    Result element i of an axis is the mean over
    [floor(i * in / out), ceil((i + 1) * in / out)).

    Constraints:
    - (C1) `output_size` has one positive entry per spatial axis.
  }];
  let arguments = (ins Top_Tensor:$input, Top_I64s:$output_size);
  let results = (outs Top_Tensor:$output);
}

#endif
