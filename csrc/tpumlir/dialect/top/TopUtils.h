#pragma once

#include "tpumlir/support/Weights.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Operation.h"

/// What the families of the Top dialect, its transforms and its users share.
namespace tpumlir::top {

llvm::SmallVector<int64_t> toI64s(mlir::ArrayAttr attr);
llvm::SmallVector<double> toF64s(mlir::ArrayAttr attr);
mlir::ArrayAttr toI32Array(mlir::Builder builder,
                           llvm::ArrayRef<int64_t> numbers);

/// A sliding window over the spatial axes, one entry per axis, attributes
/// resolved.
struct Window {
  llvm::SmallVector<int64_t, 3> input, kernel, stride, dilation;
  llvm::SmallVector<int64_t, 3> padBegin; ///< elements before the input
  llvm::SmallVector<int64_t, 3> padEnd; ///< behind it, as far as windows reach
  llvm::SmallVector<int64_t, 3> padEndGiven;   ///< behind it, as the model says
  llvm::SmallVector<int64_t, 3> outputPadding; ///< Deconv only
  llvm::SmallVector<int64_t, 3> output;
};

/// Elements begin, begin + step, ... of one axis, `size` of them.
struct AxisSlice {
  int64_t begin, step, size;
};

/// Shape of a ranked tensor value.
llvm::ArrayRef<int64_t> shapeOf(mlir::Value value);
inline int64_t rankOf(mlir::Value value) {
  return int64_t(shapeOf(value).size());
}
/// A ranked tensor with the element type of `like`.
mlir::RankedTensorType typeLike(mlir::Value like,
                                llvm::ArrayRef<int64_t> shape);
int64_t elementsOf(llvm::ArrayRef<int64_t> shape);
/// Whether the value is that of a `top.None`.
bool isNone(mlir::Value value);

/// Non-negative axis, or an error at `op` unless it lies in [-rank, rank).
mlir::FailureOr<int64_t> resolveAxis(mlir::Operation *op, int64_t axis,
                                     int64_t rank);
/// Non-negative axes in the given order, each once; all if `axes` is empty.
mlir::FailureOr<llvm::SmallVector<int64_t>>
resolveAxes(mlir::Operation *op, llvm::ArrayRef<int64_t> axes, int64_t rank);

/// numpy's broadcast of two shapes of any rank.
mlir::FailureOr<llvm::SmallVector<int64_t>>
broadcastShapes(mlir::Operation *op, llvm::ArrayRef<int64_t> lhs,
                llvm::ArrayRef<int64_t> rhs);
/// Type of an elementwise op over `operands` (none values are skipped).
mlir::LogicalResult inferBroadcast(mlir::Operation *op,
                                   mlir::ValueRange operands, unsigned minCount,
                                   unsigned maxCount,
                                   llvm::SmallVectorImpl<mlir::Type> &types);

/// Tensor name of a location: of the first name in a fused one; empty if none.
llvm::StringRef tensorName(mlir::Location loc);
/// Name of one result: the i-th of a fused location.
llvm::StringRef tensorName(mlir::Value value);
/// ONNX node name behind the tensor name (`"tensor"("node")`), or the tensor
/// name itself.
llvm::StringRef nodeName(mlir::Location loc);
/// Location of one result, see `tensorName(Value)`.
mlir::Location resultLoc(mlir::Value value);

/// The name of what a tensor is made of or becomes: part `sum` of `y` is
/// `y::sum`. This and `wholeOf` are the only ones to know the form.
std::string partName(llvm::StringRef whole, const llvm::Twine &part);
/// The tensor that a part belongs to: "y" of "y::sum"; empty if the name is not
/// that of a part.
llvm::StringRef wholeOf(llvm::StringRef name);
/// A location with a part of the tensor that `loc` names, and its node; `loc`
/// itself if it names none.
mlir::Location partLoc(mlir::Location loc, const llvm::Twine &part);

/// Gives a tensor elements of another type; what is none stays.
void setElement(mlir::Value value, mlir::Type element);

/// Data of the `top.Weight` that defines `value`; null if it is a run-time
/// tensor or the data are missing.
const Weight *constantOf(mlir::Value value);
/// The elements of a constant as integers; failure if `value` has no data.
mlir::FailureOr<llvm::SmallVector<int64_t>> constantI64s(mlir::Value value);
/// The elements of a float constant; failure if `value` has none.
mlir::FailureOr<llvm::ArrayRef<float>> constantF32s(mlir::Value value);
/// A new `top.Weight` with its data stored under `base` or a free name like it.
mlir::Value createWeight(mlir::OpBuilder &builder, llvm::StringRef base,
                         llvm::ArrayRef<int64_t> shape,
                         std::vector<float> data);
mlir::Value createIndexWeight(mlir::OpBuilder &builder, llvm::StringRef base,
                              llvm::ArrayRef<int64_t> shape,
                              std::vector<int32_t> data);

} // namespace tpumlir::top
