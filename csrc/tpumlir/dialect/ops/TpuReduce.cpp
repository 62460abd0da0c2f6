#include "tpumlir/dialect/ops/TpuVerify.h"

using namespace mlir;

namespace tpumlir::tpu {

LogicalResult ReduceOp::verify() {
  ArrayRef<int64_t> input = top::shapeOf(getInput());
  auto axes = getAxes();
  int64_t last = -1;
  for (int64_t axis : axes) { // (C1)
    if (axis <= last || axis >= int64_t(input.size()))
      return emitOpError("expected sorted axes below ")
             << input.size() << ", got axis " << axis;
    if (last >= 0 &&
        top::elementsOf(input.slice(last + 1, axis - last - 1)) != 1)
      return emitOpError("expected adjacent axes, got ")
             << last << " and " << axis;
    last = axis;
  }
  SmallVector<int64_t> shape; // (C2)
  for (int64_t i = 0; i < int64_t(input.size()); ++i)
    if (!llvm::is_contained(axes, i))
      shape.push_back(input[i]);
    else if (getKeepdims())
      shape.push_back(1);
  return checkShape(*this, shape);
}

LogicalResult SoftmaxOp::verify() {
  int64_t rank = top::rankOf(getInput());
  if (getAxis() < 0 || getAxis() >= rank) // (C1)
    return emitOpError("expected axis in [0, ")
           << rank << "), got " << getAxis();
  return checkShape(*this, top::shapeOf(getInput()));
}

} // namespace tpumlir::tpu
