#ifndef TPUMLIR_TOP_QUANTIZE
#define TPUMLIR_TOP_QUANTIZE

include "tpumlir/dialect/top/TopBase.td"

def Top_StoredType : Top_Words<Top_StoredTypeEnum>;

/// A scale and a zero point, as the vendor's attributes or as operands.
class Top_ScaledOp<string mnemonic> : Top_NormalizedOp<mnemonic> {
  let results = (outs Top_Tensor:$output);
  let hasVerifier = 1;
  string parameters = [{
    Scale and zero point are attributes, the vendor's form, or `parameters`: a
    scale and perhaps a zero point, weights or computed by the network. Each has
    one number for the tensor, one per index of `axis`, or, as an operand of the
    input's rank, one per `block_size` indices of it; the last block may be
    short. No zero point is 0.
  }];
  string rules = [{
    - (C1) there are parameters, one or two, or else a scale attribute.
    - (C2) attributes have one number, or as many as `axis` has indices.
    - (C3) operands have one number, or as many as `axis` has indices, or one
      per block; then `block_size` is at least 1.
    - (C4) `axis` lies in [-rank, rank) if anything depends on it.
  }];
  string accessors = [{
    /// The scale or the zero point as an operand; null if it is not one.
    ::mlir::Value getParameter(unsigned index) {
      return index < getParameters().size() ? getParameters()[index]
                                            : ::mlir::Value();
    }
  }];
}

def Top_QuantizeLinearOp : Top_ScaledOp<"QuantizeLinear"> {
  let summary = "saturate(round(input / scale) + zero point)";
  let description = [{
    The quotient is rounded to f32, then to a whole number, half to even; the
    sum is held in the range of `to`, which the vendor's text does not state.
    An input of i32 is read as f32.

  }] # parameters # [{

    `product` says that the input is a product of integers, less their zero
    points: the scales of its left operand, of the result, and of its right
    operand, one or as many as `axis` has indices. The scale is then the
    quotient that is left. INT8 reads the scales of the model from it.

    Source: ONNX QuantizeLinear, opset 25.

    Constraints:
  }] # rules # "  - (C5) `to` is there.\n" #
      "    - (C6) zero points that are attributes lie in the range of `to`.\n";
  let arguments = (ins Top_Tensor:$input, Variadic<Top_Tensor>:$parameters,
                       OptionalAttr<Top_F64s>:$y_scale,
                       OptionalAttr<Top_I32s>:$y_zero_point,
                       Top_Default<Top_I64, "1">:$axis,
                       OptionalAttr<Top_I64>:$block_size,
                       OptionalAttr<Top_StoredType>:$to,
                       OptionalAttr<Top_F64s>:$product);
  let extraClassDeclaration = accessors # [{
    auto getScales() { return getYScale(); }
    auto getZeroPoints() { return getYZeroPoint(); }
  }];
}

def Top_DequantizeLinearOp : Top_ScaledOp<"DequantizeLinear"> {
  let summary = "(input - zero point) * scale";
  let description = [{
    Everything is f32.

  }] # parameters # [{

    Source: ONNX DequantizeLinear, opset 25.

    Constraints:
  }] # rules;
  let arguments = (ins Top_Tensor:$input, Variadic<Top_Tensor>:$parameters,
                       OptionalAttr<Top_F64s>:$x_scale,
                       OptionalAttr<Top_I32s>:$x_zero_point,
                       Top_Default<Top_I64, "1">:$axis,
                       OptionalAttr<Top_I64>:$block_size);
  let extraClassDeclaration = accessors # [{
    auto getScales() { return getXScale(); }
    auto getZeroPoints() { return getXZeroPoint(); }
  }];
}

#endif
