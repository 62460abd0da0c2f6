#ifndef TPUMLIR_TOP_PASSES
#define TPUMLIR_TOP_PASSES

include "mlir/Pass/PassBase.td"

// No pass has statistics: the layout of llvm::Statistic depends on NDEBUG, in
// which we and the MLIR libraries may differ.

def Init : Pass<"init", "::mlir::ModuleOp"> {
  let summary = "Accepted for the vendor's command lines; does nothing";
  let description = [{
    The vendor's tools load the weights here and write them in `deinit`. Ours
    live with the module.

    Needs: nothing. Keeps: everything.
  }];
}

def Deinit : Pass<"deinit", "::mlir::ModuleOp"> {
  let summary = "Accepted for the vendor's command lines; does nothing";
  let description = [{
    See `init`.

    Needs: nothing. Keeps: everything.
  }];
}

def ShapeInfer : Pass<"shape-infer", "::mlir::ModuleOp"> {
  let summary = "Give every Top result its shape, every attribute its meaning";
  let description = [{
    Infers the result types in order and writes out the attributes that depend
    on shapes: negative axes, `auto_pad`, the kernel of a global pool, slices
    of some axes. Element types that the text states are kept. Every op that
    breaks a rule is reported, not the first one only.

    Needs: ranked inputs and weights. Keeps: names, values.
  }];
}

def Canonicalize : Pass<"canonicalize", "::mlir::ModuleOp"> {
  let summary = "Rewrite Top into fewer and simpler operations";
  let description = [{
    Folds BatchNorm, Scale and constant factors into the weights before them,
    fuses Relu into `do_relu`, joins reshapes and permutes, drops operations
    that change nothing, recognises SiLU, Swish, HardSwish, Mish, GELU,
    LayerNorm, RMSNorm and pixel shuffle in the graphs that exporters write for
    them, lets MatMul read transposed operands, turns constant operands into
    attributes, and gives run-time Deconv filters the layout of constant ones.
    A Conv that is read only in parts of its channels, which do not begin at
    multiples of 64, becomes one for each part if the lanes take at most a
    quarter more.
    An operation whose result is a model output keeps its name; a fused
    one has the name of the last operation in it.

    Needs: `shape-infer`. Keeps: names of model inputs and outputs; values up to
    rounding. Running it twice changes nothing.
  }];
}

def ExtraOptimize : Pass<"extra-optimize", "::mlir::ModuleOp"> {
  let summary = "Second round of rewrites, after canonicalize";
  let description = [{
    Removes operations and weights that no model output needs, and gives equal
    weights one home.

    Needs: nothing. Keeps: names of model inputs and outputs, values.
  }];
}

def FusePreprocess : Pass<"fuse-preprocess", "::mlir::ModuleOp"> {
  let summary = "Let the model read frames of bytes, and preprocess by itself";
  let description = [{
    Every `top.Input` that records how a picture becomes it, and that a picture
    fits, takes a frame of ui8 instead, of the size of `resize_dims` (with a
    `yuv_type` they are those of a YUV file, 3/2 of the rows): cropping,
    the places and the order of the channels and `(x - mean) * scale` become
    operations of the model, in F32 and in that order, so that the numbers are
    those of the host. The input keeps its name; the tensor that it was before
    is its part `preprocessed`, or `planar` where the model turns nhwc into nchw
    at once, which takes no operation then. `customization_format` of the input
    says what the bytes are.

    - (C1) there is such an input, of f32 or i32, and it is no output too.
    - (C2) the format has the channels that the model reads.
    - (C3) a frame of YUV has an even height and width.

    Needs: `shape-infer`. Keeps: names of model inputs and outputs, values.
  }];
  let options = [
    Option<"mode", "mode", "std::string", /*default=*/"\"\"",
           "accepted for the vendor's command lines; nothing depends on it">,
    Option<"customization_format", "customization_format", "std::string",
           /*default=*/"\"\"",
           "what the bytes of a frame are; empty: channels in the order and "
           "place of the model's">,
    Option<"align", "align", "bool", /*default=*/"false",
           "accepted for the vendor's command lines; frames of this chip are "
           "not padded">
  ];
}

#endif
