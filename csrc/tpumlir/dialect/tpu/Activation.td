#ifndef TPUMLIR_TPU_ACTIVATION
#define TPUMLIR_TPU_ACTIVATION

include "tpumlir/dialect/tpu/TpuBase.td"

def Tpu_ActiveOp : Tpu_UnaryOp<"Active"> {
  let summary = "an elementwise function, chosen by `mode`";
  let description = [{
    `coeffs`: }] # !interleave(
        !foreach(f, !filter(f, Tpu_Functions, !not(!empty(f.coeffs))),
                 f.word # " [" # !interleave(f.coeffs, ", ") # "]"), ", ") # [{; otherwise none.

    Constraints:
    - (C1) `coeffs` has as many numbers as the mode takes.
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_ActiveMode:$mode,
                       OptionalAttr<Top_F64s>:$coeffs);
  let extraClassDeclaration = [{
    struct Function {
      ActiveMode mode;
      ::std::string_view kernel;
      unsigned coeffs; ///< how many numbers it takes
      double number;   ///< what the kernel has without them
    };
    /// In the order of ActiveMode.
    static constexpr Function kFunctions[] = {
      }] # !interleave(
        !foreach(f, Tpu_Functions,
                 "{ActiveMode::" # f.word # ", \"" # f.kernel # "\", " #
                 !size(f.coeffs) # ", " # f.number # "}"), ", ") # [{};
    const Function &function() { return kFunctions[size_t(getMode())]; }
  }];
  let hasVerifier = 1;
}

def Tpu_ReluOp : Tpu_UnaryOp<"Relu"> {
  let summary = "max(x, 0), at most relu_limit if that is not negative";
  let arguments = (ins Tpu_Tensor:$input,
                       Top_Default<Top_F64, "-1.0">:$relu_limit);
}

def Tpu_LeakyReluOp : Tpu_UnaryOp<"LeakyRelu"> {
  let summary = "x where x >= 0, alpha * x elsewhere";
  let arguments = (ins Tpu_Tensor:$input, Top_F64:$alpha);
}

def Tpu_PReluOp : Tpu_Op<"PRelu"> {
  let summary = "x where x >= 0, slope * x elsewhere";
  let description = [{
    Constraints:
    - (C1) `slope` broadcasts to the shape of `input`.
  }];
  let arguments = (ins Tpu_Tensor:$input, Tpu_Tensor:$slope);
  let extraClassDeclaration = Tpu_KeepsF32<1>.decl; // slope
  let hasVerifier = 1;
}

def Tpu_ClipOp : Tpu_UnaryOp<"Clip"> {
  let summary = "min(max(x, min), max)";
  let arguments = (ins Tpu_Tensor:$input, Top_F64:$min, Top_F64:$max);
}

#endif
