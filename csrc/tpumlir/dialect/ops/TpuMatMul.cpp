#include "tpumlir/dialect/ops/TpuVerify.h"

using namespace mlir;

namespace tpumlir::tpu {

LogicalResult MatMulOp::verify() {
  SmallVector<int64_t> left(top::shapeOf(getInput()));
  SmallVector<int64_t> right(top::shapeOf(getRight()));
  if (left.empty() || right.empty())
    return emitOpError("expected operands of rank 1 or more, got a scalar");
  bool row = left.size() == 1, column = right.size() == 1;
  if (row)
    left.insert(left.begin(), 1);
  if (column)
    right.push_back(1);
  if (getLeftTranspose() && !row)
    std::swap(left[left.size() - 1], left[left.size() - 2]);
  if (getRightTranspose() && !column)
    std::swap(right[right.size() - 1], right[right.size() - 2]);
  if (left.back() != right[right.size() - 2]) // (C1)
    return emitOpError("expected equal inner extents, got ")
           << left.back() << " and " << right[right.size() - 2];
  auto batch = top::broadcastShapes( // (C2)
      *this, ArrayRef(left).drop_back(2), ArrayRef(right).drop_back(2));
  if (failed(batch))
    return failure();
  SmallVector<int64_t> shape(*batch);
  if (!row)
    shape.push_back(left[left.size() - 2]);
  if (!column)
    shape.push_back(right.back());
  if (!top::isNone(getBias()) &&
      top::elementsOf(top::shapeOf(getBias())) != right.back()) // (C3)
    return emitOpError("expected a bias of ")
           << right.back() << " elements, got "
           << top::elementsOf(top::shapeOf(getBias()));
  if (failed(checkQuantized(*this, {getInput(), getRight(), getOutput()},
                            getBias(), getMulti(), right.back()))) // (C4)
    return failure();
  return checkShape(*this, shape);
}

} // namespace tpumlir::tpu
