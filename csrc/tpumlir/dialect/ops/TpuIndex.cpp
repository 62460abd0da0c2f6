#include "tpumlir/dialect/ops/TpuVerify.h"

using namespace mlir;

namespace tpumlir::tpu {

LogicalResult FlatIndicesOp::verify() {
  ArrayRef<int64_t> indices = top::shapeOf(getIndices());
  auto extents = getExtents();
  if (failed(checkI32(*this, getIndices())))
    return failure();
  if (indices.empty() || extents.empty() ||
      indices.back() != int64_t(extents.size())) // (C1)
    return emitOpError("expected tuples of ")
           << extents.size() << " indices, got a tensor of " << text(indices);
  return success(succeeded(checkI32(*this, getOutput())) && // (C2)
                 succeeded(checkShape(*this, indices.drop_back())));
}

LogicalResult GatherOp::verify() {
  ArrayRef<int64_t> input = top::shapeOf(getInput());
  ArrayRef<int64_t> indices = top::shapeOf(getIndices());
  int64_t axis = getAxis(), batch = getBatchDims();
  if (failed(checkAxis(*this, axis, int64_t(input.size()))) ||
      failed(checkI32(*this, getIndices())))
    return failure();
  if ((batch != 0 && batch != axis) || batch > int64_t(indices.size()) ||
      input.take_front(batch) != indices.take_front(batch)) // (C1)
    return emitOpError("expected 0 or axis as batch_dims and equal batch "
                       "axes, got ")
           << batch << " with " << text(input) << " and " << text(indices);
  SmallVector<int64_t> shape(input.take_front(axis)); // (C2)
  llvm::append_range(shape, indices.drop_front(batch));
  llvm::append_range(shape, input.drop_front(axis + 1));
  return checkShape(*this, shape);
}

/// `indices` are i32 of the input's rank and exceed it in no axis but `axis`.
static LogicalResult checkIndices(Operation *op, Value input, Value indices,
                                  int64_t axis) {
  ArrayRef<int64_t> whole = top::shapeOf(input), part = top::shapeOf(indices);
  if (failed(checkAxis(op, axis, int64_t(whole.size()))) ||
      failed(checkI32(op, indices)))
    return failure();
  bool fits = whole.size() == part.size();
  for (size_t i = 0; fits && i < whole.size(); ++i)
    fits = int64_t(i) == axis || part[i] <= whole[i];
  if (fits)
    return success();
  return op->emitOpError("expected indices within ")
         << text(whole) << " but for axis " << axis << ", got " << text(part);
}

LogicalResult GatherElementsOp::verify() {
  if (failed(checkIndices(*this, getInput(), getIndices(), getAxis()))) // (C1)
    return failure();
  return checkShape(*this, top::shapeOf(getIndices())); // (C2)
}

LogicalResult ScatterElementsOp::verify() {
  if (failed(checkIndices(*this, getInput(), getIndices(), getAxis()))) // (C1)
    return failure();
  if (top::shapeOf(getUpdates()) != top::shapeOf(getIndices())) // (C2)
    return emitOpError("expected updates of shape ")
           << text(top::shapeOf(getIndices())) << ", got "
           << text(top::shapeOf(getUpdates()));
  return checkShape(*this, top::shapeOf(getInput()));
}

LogicalResult ScatterNDOp::verify() {
  ArrayRef<int64_t> input = top::shapeOf(getInputData());
  ArrayRef<int64_t> indices = top::shapeOf(getIndices());
  ArrayRef<int64_t> updates = top::shapeOf(getUpdates());
  if (failed(checkI32(*this, getIndices())))
    return failure();
  if (input.size() != 2 || updates.size() != 2 || input[1] != updates[1] ||
      indices.size() != 1 || indices[0] != updates[0]) // (C1)
    return emitOpError("expected rows, their indices and rows of that width, "
                       "got ")
           << text(input) << ", " << text(indices) << " and " << text(updates);
  return checkShape(*this, input); // (C2)
}

LogicalResult TopKOp::verify() {
  SmallVector<int64_t> shape(top::shapeOf(getInput()));
  int64_t k = getK();
  if (shape.empty() || k < 1 || k > shape.back()) // (C1)
    return emitOpError("expected K in [1, extent of the last axis of ")
           << text(shape) << "], got " << k;
  if (shape.back() > kMostElements) // (C3)
    return emitOpError("expected a last axis of at most ")
           << kMostElements << ", got " << shape.back();
  shape.back() = k;
  if (failed(checkI32(*this, getIndices())))
    return failure();
  if (top::shapeOf(getIndices()) != ArrayRef<int64_t>(shape)) // (C2)
    return emitOpError("expected indices of shape ")
           << text(shape) << ", got " << text(top::shapeOf(getIndices()));
  return checkShape(*this, shape);
}

LogicalResult TriluOp::verify() {
  if (top::rankOf(getInput()) < 2) // (C1)
    return emitOpError("expected an input of at least rank 2, got ")
           << top::rankOf(getInput());
  return success();
}

} // namespace tpumlir::tpu
