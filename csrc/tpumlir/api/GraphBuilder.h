#pragma once

#include "tpumlir/api/Module.h"

namespace tpumlir {

/// A tensor of a graph under construction.
struct GraphValue {
  TensorInfo info;
  const void *graph;  ///< the builder's state it belongs to
  const void *handle; ///< mlir::Value
};

/// Builds a Top module op by op. Types are inferred at once, so an error names
/// the node that made it. Every error is a CompileError.
class GraphBuilder {
public:
  GraphBuilder(const std::string &name, const std::string &platform);
  ~GraphBuilder();

  /// A model input: `top.Input`. `dtype` as MLIR spells it; `attributes` say
  /// how an image becomes this input.
  GraphValue input(const std::string &name, const std::vector<int64_t> &shape,
                   const std::string &dtype, const AttrList &attributes = {});
  /// A constant: `top.Weight`. Each name once. `quantized`, as MLIR spells it,
  /// is what its numbers were quantised to, or "".
  GraphValue weight(const std::string &name, Weight data,
                    const std::string &quantized = "");
  /// The operand that is not there: `top.None`.
  GraphValue none();
  /// An operation, e.g. "top.Conv". `names` are the tensors it computes, one
  /// per result; "" or a missing name makes that result none. `node` is the
  /// ONNX node, or "".
  std::vector<GraphValue> op(const std::string &kind,
                             const std::vector<GraphValue> &operands,
                             const AttrList &attributes,
                             const std::vector<std::string> &names,
                             const std::string &node);
  /// Ends the graph; the builder is empty afterwards.
  Module finish(const std::vector<GraphValue> &outputs);

private:
  struct State;
  State &open(); ///< the state, unless finished
  std::unique_ptr<State> state;
};

} // namespace tpumlir
