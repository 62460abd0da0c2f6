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
           "precision of the deploy: F32, F16 or BF16">
  ];
}

def ConvertTopToTpu : Pass<"convert-top-to-tpu", "::mlir::ModuleOp"> {
  let summary = "Replace every Top op by Tpu ops, all of them in F32";
  let description = [{
    Every op that cannot be lowered is reported, each with its reason. No
    pattern knows of precisions: `assign-precision` comes after.

    Needs: static shapes, normalised attributes (`shape-infer`), `module.mode`
    (`processor-assign`). Keeps: names, and the values of every named tensor.
  }];
  let dependentDialects = ["::tpumlir::tpu::TpuDialect"];
}

def AssignPrecision : Pass<"assign-precision", "::mlir::ModuleOp"> {
  let summary = "Give every float tensor its type, with casts in between";
  let description = [{
    An op has the precision that `module.quantize_table` (a dictionary from
    tensor names to F32, F16 or BF16) states for its result, or for the tensor
    `y` if it computes a `y::suffix`; otherwise `module.mode`. An op that only
    moves data takes the type of its input, unless that is a model input or a
    constant; one without a float result that of its operands, or F32 if they
    differ. Which operands stay f32 the op says itself
    (`PrecisionOpInterface`). The arithmetic of a model node that makes
    integers on the way, such as rows to gather, stays F32.

    Constants are converted here, each once per type; other operands get one
    `tpu.Cast` per value and type. Model inputs and outputs stay f32: an output
    `y` is a cast of `y::f16`. Casts that undo each other disappear, also
    across ops that move data only.

    Needs: Tpu operations in f32, `module.mode`. Keeps: names of outputs, and
    of all other tensors; integer tensors.
  }];
  let dependentDialects = ["::tpumlir::tpu::TpuDialect"];
}

def WeightReorder : Pass<"weight-reorder", "::mlir::ModuleOp"> {
  let summary = "Bring constant weights into the layouts of the hardware";
  let description = [{
    In F32 the convolution takes a filter as [oc, ic, kh * kw], one output
    channel per lane, and vectors as one element per lane: the bytes of the
    model already lie so, and only the shapes are changed to say it. Run-time
    filters stay as they are; the load brings them into the lanes.

    Needs: Tpu operations. Keeps: names, values.
  }];
}

def AddressAssign : Pass<"address-assign", "::mlir::ModuleOp"> {
  let summary = "Give every tensor its place in global memory";
  let description = [{
    Weights come first, then inputs and outputs, which nothing else uses, then
    the other tensors, which share memory when they do not live at the same
    time. A Reshape lies where its input lies. The same module always gets the
    same places. Start and size of the parts stand in `module.coeff_addr`,
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
