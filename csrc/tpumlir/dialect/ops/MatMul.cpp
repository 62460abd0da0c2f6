#include "tpumlir/dialect/top/TopDialect.h"

using namespace mlir;

namespace tpumlir::top {

LogicalResult MatMulOp::inferTypes(SmallVectorImpl<Type> &types) {
  if (getHdimIsBatch() || !getKeepDims()) // (C4)
    return emitOpError("expected hdim_is_batch = false and keep_dims = true, "
                       "got ")
           << getHdimIsBatch() << " and " << getKeepDims();
  SmallVector<int64_t> left(shapeOf(getInput()));
  SmallVector<int64_t> right(shapeOf(getRight()));
  if (left.empty() || right.empty())
    return emitOpError("expected operands of at least rank 1, got ")
           << left.size() << " and " << right.size();
  bool row = left.size() == 1, column = right.size() == 1;
  if (row)
    left.insert(left.begin(), 1);
  else if (getLeftTranspose())
    std::swap(left[left.size() - 1], left[left.size() - 2]);
  if (column)
    right.push_back(1);
  else if (getRightTranspose())
    std::swap(right[right.size() - 1], right[right.size() - 2]);
  int64_t k = left.back(), rightRows = right[right.size() - 2];
  if (k != rightRows) // (C1)
    return emitOpError("expected left columns to equal right rows, got ")
           << k << " and " << rightRows << " (shapes [" << shapeOf(getInput())
           << "] and [" << shapeOf(getRight()) << "])";
  FailureOr<SmallVector<int64_t>> shape =
      broadcastShapes(*this, ArrayRef(left).drop_back(2),
                      ArrayRef(right).drop_back(2)); // (C2)
  if (failed(shape))
    return failure();
  SmallVector<int64_t, 2> last;
  if (!row)
    last.push_back(left[left.size() - 2]);
  if (!column)
    last.push_back(right.back());
  if (getOutputTranspose() && last.size() == 2)
    std::swap(last[0], last[1]);
  shape->append(last.begin(), last.end());
  if (!isNone(getBias())) { // (C3)
    FailureOr<SmallVector<int64_t>> both =
        broadcastShapes(*this, *shape, shapeOf(getBias()));
    if (failed(both))
      return failure();
    if (*both != *shape)
      return emitOpError("expected a bias that broadcasts to [")
             << ArrayRef(*shape) << "], got [" << shapeOf(getBias()) << "]";
  }
  types.push_back(typeLike(getInput(), *shape));
  return success();
}

} // namespace tpumlir::top
