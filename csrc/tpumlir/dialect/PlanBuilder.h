#pragma once

#include "tpumlir/dialect/TensorType.h"
#include "tpumlir/kernels/Graph.h"

#include "mlir/IR/Operation.h"
#include "llvm/ADT/DenseMap.h"

namespace tpumlir {

/// Shape, type and row-major order of a value; an error at the value's location
/// if it is not a ranked static tensor of a type that the interpreter knows.
/// Half precision is F32 there: only the values are those of the half type. So
/// are quantised tensors: their values are the integers.
mlir::FailureOr<kernels::TensorDesc> describe(mlir::Value value);

/// The shape of a value, as kernels take it.
kernels::Dims shapeOfResult(mlir::Value value);

/// What `PlanOpInterface::plan` writes to: the kernels of one op after the
/// other. Every operand may be a constant or a computed tensor; an op does not
/// ask which.
class PlanBuilder {
public:
  /// A tensor of the plan.
  using Id = int;

  explicit PlanBuilder(kernels::Graph &graph) : graph(graph) {}

  /// Whether the operand is there (not a `top.None`).
  static bool has(mlir::Value operand);
  /// The tensor of an operand that is there.
  Id of(mlir::Value operand) const { return ids.at(operand); }
  const kernels::TensorDesc &desc(Id id) const { return graph.desc(id); }
  const kernels::Dims &dims(Id id) const { return graph.desc(id).dims; }

  /// Says which tensor a result is. One of half precision is rounded here,
  /// unless the op only moves data.
  mlir::LogicalResult set(mlir::Value result, Id id);

  /// Appends a node with one result of the first input's type, or of `type`.
  Id add(std::unique_ptr<kernels::Node> node, llvm::ArrayRef<Id> inputs,
         kernels::Dims dims);
  Id add(std::unique_ptr<kernels::Node> node, llvm::ArrayRef<Id> inputs,
         kernels::Dims dims, DType type);
  /// Appends a node with several results; answers the first, the others follow.
  Id addMany(std::unique_ptr<kernels::Node> node, llvm::ArrayRef<Id> inputs,
             std::vector<kernels::TensorDesc> results);

  /// Appends an elementwise program; the result has the inputs' broadcast
  /// shape. Inputs are F32 or I32, and the operations those of their type.
  Id elementwise(kernels::EltProgram program, llvm::ArrayRef<Id> inputs);
  Id elementwise(kernels::EltOp op, llvm::ArrayRef<Id> inputs, double p = 0.0,
                 double q = 0.0);
  /// The elements as F32 or I32 (see EltOp::ToInt); itself if that is its type.
  Id cast(Id input, DType type);
  /// saturate(round(x * (1 / scale) + zero point)), held as F32.
  Id quantized(Id input, const Quantization &type);
  /// (q - zero point) * scale.
  Id dequantized(Id input, const Quantization &type);
  /// Each index of axis 1 times its factor.
  Id timesChannels(Id input, llvm::ArrayRef<float> factors);
  /// Clamps to [0, limit] if `doRelu`; a negative limit is none.
  Id relu(Id input, bool doRelu, double limit);
  /// Description changes; no byte moves unless the memory order asks for it.
  Id reshape(Id input, kernels::Dims dims);
  Id permute(Id input, kernels::Dims permutation);
  /// A vector of one element per channel as [1, c, 1, ...] of `rank` dims.
  Id perChannel(Id input, int64_t rank);
  /// A constant F32 or I32 tensor.
  Id constant(kernels::Dims dims, const std::vector<float> &values);
  Id constant(kernels::Dims dims, const std::vector<int32_t> &values);
  /// A constant of rank 0, F32 or I32: the result keeps the rank of the rest.
  Id number(double value, DType type);

  // For the interpreter.

  /// Names the op whose kernels come next.
  void begin(mlir::Operation *op);
  void define(mlir::Value value, Id id) { ids[value] = id; }
  /// `id`, its numbers rounded to the element type of `value` if that is half.
  Id rounded(mlir::Value value, Id id);
  /// What a value's user gives: numbers, whatever they are held as.
  Id given(mlir::Value value, Id id);
  /// What a user of `value` gets: its numbers.
  Id shown(mlir::Value value);

private:
  kernels::Graph &graph;
  llvm::DenseMap<mlir::Value, Id> ids;
  std::string op, name;
};

} // namespace tpumlir
