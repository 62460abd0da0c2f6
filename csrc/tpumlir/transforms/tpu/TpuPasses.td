#ifndef TPUMLIR_TPU_PASSES
#define TPUMLIR_TPU_PASSES

include "mlir/Pass/PassBase.td"

// No pass has statistics: the layout of llvm::Statistic depends on NDEBUG, and
// the MLIR that we link to is built with assertions.

def ProcessorAssign : Pass<"processor-assign", "::mlir::ModuleOp"> {
  let summary = "Record chip and precision in the module's attributes";
  let description = [{
    Needs: nothing. Keeps: everything but `module.chip`, `module.mode` and the
    attributes of the same group that the vendor's files carry.
  }];
  let options = [
    Option<"chip", "chip", "std::string", /*default=*/"\"bm1684x\"",
           "name of the chip; bm1684x is the only one">,
    Option<"mode", "mode", "std::string", /*default=*/"\"F32\"",
           "precision of the deploy: F32, F16, BF16 or INT8">
  ];
}

def QdqToCasts : Pass<"qdq-to-casts", "::mlir::ModuleOp"> {
  let summary = "Make casts to the model's own integers of QuantizeLinear and "
                "DequantizeLinear";
  let description = [{
    With INT8, in `module.mode` or `module.quantize_table`: a `top.QuantizeLinear` to INT8 or UINT8
    with one constant scale and zero point, read by nobody but
    `top.DequantizeLinear` of the same ones, becomes a `tpu.Cast` to the type
    that says so, `!quant.uniform<u8:f32, s:z>`, and each of those who read it
    one back. Both of a constant become a constant of f32, with `quantized`, the
    type of its integers, if they have 8 bits; so does a `top.Permute` of it.

    `choose-precision` and `quantize-tensors` take such types before any row of
    a calibration. Every other one stays and is computed in floats.

    Needs: static shapes, `module.mode`. Keeps: names; values but for ties.
  }];
  let dependentDialects = ["::tpumlir::tpu::TpuDialect",
                           "::mlir::quant::QuantDialect"];
}

def ConvertTopToTpu : Pass<"convert-top-to-tpu", "::mlir::ModuleOp"> {
  let summary = "Replace every Top op by Tpu ops, all of them in F32";
  let description = [{
    Every op that cannot be lowered is reported, each with its reason. No
    pattern knows of precisions: `choose-precision` comes after.

    Needs: static shapes, normalised attributes (`shape-infer`), `module.mode`
    (`processor-assign`). Keeps: names, and the values of every named tensor.
  }];
  let dependentDialects = ["::tpumlir::tpu::TpuDialect"];
}

def ExplicitPads : Pass<"explicit-pads", "::mlir::ModuleOp"> {
  let summary = "Pad before a convolution what its command cannot";
  let description = [{
    A convolution of which one side has more than 15 elements of padding, the
    most that a command states, reads a `tpu.Pad` instead: then it can be cut and
    grouped like any other.

    Needs: Tpu operations in f32. Keeps: names, values.
  }];
}

def CollapseAxes : Pass<"collapse-axes", "::mlir::ModuleOp"> {
  let summary = "Compute on tensors of more than four axes as on four";
  let description = [{
    A tensor lies in local memory by four axes, the second over the lanes. One of
    more than four whose last two are short, such as a filter that the network
    computes with the window apart, has them as one: what computes element by
    element, reduces or permutes it reads it through a `tpu.Reshape` and is
    `y::collapsed`, of which `y` is a reshape. Reshapes of reshapes, and permutes
    that undo each other, disappear.

    A border that is mirrored along what would lie over the lanes gets columns
    there. The greatest of a long row in few lanes is that of its parts in more
    of them, `y::parts`, first.

    A reshape that only adds or drops axes of extent 1 moves behind what computes
    element by element, permutes or multiplies, so that the lanes stay as they
    are between them.

    Needs: Tpu operations in f32. Keeps: names of outputs, and of what is read
    in its own shape; values.
  }];
  let dependentDialects = ["::tpumlir::tpu::TpuDialect"];
}

def ChoosePrecision : Pass<"choose-precision", "::mlir::ModuleOp"> {
  let summary = "Choose the float type of every op, and say why";
  let description = [{
    The only place that decides: `tpu.precision` of every op, which can be read
    and edited in the text before `materialise-casts` acts on it. The rules are
    found in the graph and its constants, never in the values of a run;
    docs/precision.md explains each.

    - (P1) What `module.quantize_table` (a dictionary from tensor names to F32,
      F16, BF16 or INT8) states for a result, or for the tensor `y` if the op computes
      a `y::suffix`, goes before every rule.
    - (P2) Integers that became floats, and what moves, selects, compares or
      adds them, are F32 unless they provably fit the half; so is what reads
      them.
    - (P3) The arithmetic that rounding and casts to integers read is F32.
    - (P4) What becomes an angle of more than a turn is F32, up to Sin, Cos, Tan.
    - (P5) Squares and exponentials that are summed, sums of long rows, and what
      uses them are F32.
    - (P6) What adds a number below the half's normal range under a division, a
      logarithm or a root is F32, and what a logarithm reads.
    - (P7) Numbers beyond the half's range are F32 up to what bounds them.
    - (P8) The arithmetic that makes keys of TopK, ArgMax and ArgMin is F32.
    - (P9) Products with factors below the half's normal range are F32 until
      something of ordinary size is added.
    - (P11) With INT8, what has no form in integers, no range in the calibration
      table, or no integers beside it, is F16 by the rules above. Products start
      from floats too; everything else takes integers where its operands are.
    - (P10) What only moves data follows its input, unless that is a model input
      or a constant; what has no float result its operands, or F32 if they
      differ; every other op has the precision `module.mode`.
    - (P12) What `fuse-preprocess` made of a picture's preprocessing is F32.

    Needs: Tpu operations in f32, `module.mode`. Keeps: everything; writes
    `tpu.precision`.
  }];
  let dependentDialects = ["::tpumlir::tpu::TpuDialect"];
  let options = [
    Option<"plain", "plain", "bool", /*default=*/"false",
           "the precision of the deploy and the table only: no (P2) to (P9), "
           "no (P12)">
  ];
}

def QuantizeTensors : Pass<"quantize-tensors", "::mlir::ModuleOp"> {
  let summary = "Give the ops that were chosen for it their integers";
  let description = [{
    An op with `tpu.precision` i8 computes on stored integers of 8 bits. The
    scale and the zero point of a tensor follow from its row in
    `module.calibration_table`, those of a constant from its numbers, those of a
    filter per output channel. Biases go into the offsets of the
    requantisation; functions become tables. Other ops read what they read
    before, through one `tpu.Cast` per tensor.

    Needs: Tpu operations in f32, `tpu.precision`. Keeps: names; every tensor
    that no such op computes.
  }];
  let dependentDialects = ["::tpumlir::tpu::TpuDialect",
                           "::mlir::quant::QuantDialect"];
}

def MaterialiseCasts : Pass<"materialise-casts", "::mlir::ModuleOp"> {
  let summary = "Give every float tensor the type chosen for its op, with casts";
  let description = [{
    An op has the type that its `tpu.precision` states; which operands stay f32
    it says itself (`PrecisionOpInterface`). An op without the attribute stays
    as it is. The attribute stays where it gives a reason.

    Constants are converted here, each once per type; other operands get one
    `tpu.Cast` per value and type. Model inputs and outputs stay f32: an output
    `y` is a cast of `y::f16`. Casts that undo each other disappear, also
    across ops that move data only. A product in f32 of what is turned in
    front of it takes that as it was, as a transposed left operand.

    Needs: Tpu operations in f32. Keeps: names of outputs, and of all other
    tensors; integer tensors.
  }];
  let dependentDialects = ["::tpumlir::tpu::TpuDialect"];
}

def StripIoCasts : Pass<"strip-io-casts", "::mlir::ModuleOp"> {
  let summary = "Give inputs and outputs the type that the chip computes with";
  let description = [{
    An input of f32 whose readers all cast it to one half type, or to one scale
    and zero point, has that type itself; operations that move the whole of it
    may stand between. An output `y` that is a cast of `y::f16` or `y::int8` is
    that tensor. Any other one of `inputs` or `outputs` is an error; of all of
    them it stays as it is.

    Needs: `materialise-casts`. Keeps: names of inputs, outputs and all tensors
    but casts.
  }];
  let options = [
    ListOption<"inputs", "inputs", "int64_t", "inputs by position, from 0 on">,
    ListOption<"outputs", "outputs", "int64_t",
               "outputs by position, from 0 on">,
    Option<"allInputs", "all-inputs", "bool", /*default=*/"false",
           "every input of which it is possible">,
    Option<"allOutputs", "all-outputs", "bool", /*default=*/"false",
           "every output of which it is possible">
  ];
}

def WindowColumns : Pass<"window-columns", "::mlir::ModuleOp"> {
  let summary = "Make channels of the columns of a window over few channels";
  let description = [{
    A convolution of bytes or halves takes a cube of 64 or 32 input channels as
    one. One over few of them, the first of most networks, wastes nearly all of
    that: with columns of its window beside its channels it takes as many steps
    less. The columns are slices of the input, each in its place of a Concat;
    the filter, a constant, is rearranged. Of a wide window so many columns
    become channels as fill a cube; the others stay taps, that far apart. Of
    bytes all rows and columns do if they fit into one cube and the copies in
    the lanes take less time than the taps.

    On the other side a command computes 64 output channels in the time of one.
    A convolution of bytes with few of them computes a block of results at once:
    as many neighbouring rows or columns of its result as channels fit, each by
    the same filter, moved. Together their windows are little larger than one of
    them. Behind it the results are put side by side; in front, for columns, the
    columns of the input that a block steps over become channels. Of integers
    only: a zero in a filter times an infinity would be NaN.

    Done where the estimated cycles of computing and of a detour through global
    memory are less than before; in a group the columns stay in the lanes.

    Needs: Tpu operations in their types. Keeps: names, values.
  }];
}

def UnusedWeights : Pass<"unused-weights", "::mlir::ModuleOp"> {
  let summary = "Remove constants that nothing reads";
  let description = [{
    Passes that make constants of others leave these behind, if nobody else reads them.
    They would have places in memory, and bytes in every file.

    Needs: nothing. Keeps: everything else.
  }];
}

def WeightReorder : Pass<"weight-reorder", "::mlir::ModuleOp"> {
  let summary = "Bring constant weights into the layouts of the hardware";
  let description = [{
    A constant filter of F32, or of few input channels per group, lies as the
    chip reads it, one output channel per lane: only its shape is changed to say
    so, as is that of vectors. Halves of other filters are brought into `Cubes`,
    and `filter_layout` of the operation says it. Run-time filters keep their
    layout; the load brings them into the lanes.

    Needs: Tpu operations. Keeps: names, values.
  }];
}

def AddressAssign : Pass<"address-assign", "::mlir::ModuleOp"> {
  let summary = "Give every tensor its place in global memory";
  let description = [{
    Weights come first, then inputs and outputs, which nothing else uses, then
    the other tensors, which share memory when they do not live at the same
    time: each at the lowest place that is free, in the order of the program, or
    the greatest first if that takes less. A Reshape lies where its input lies; so does a Permute that moves
    nothing past another element, and a Slice of elements that follow each
    other. Operands of a Concat along the first axis of more than one element
    lie in its result, or it in what they are parts of, as far as they can: not
    a model input, a constant, a model output, what lies in another Concat
    already, or the same operand again. Model outputs have pages of their own.
    The same module always gets the same places. Start and size of the parts stand in `module.coeff_addr`,
    `module.coeff_size`, `module.neuron_addr`, `module.neuron_size`.

    Needs: a function of Tpu operations. Keeps: everything; writes `tpu.place`.
  }];
  let dependentDialects = ["::tpumlir::tpu::TpuDialect"];
}

def CheckPlaced : Pass<"tpu-check-placed", "::mlir::ModuleOp"> {
  let summary = "Fail if a tensor has no place yet";
  let description = [{
    Run after `address-assign` and before code generation, which may then take
    every place for granted.

    Needs: Tpu operations. Keeps: everything.
  }];
}

#endif
