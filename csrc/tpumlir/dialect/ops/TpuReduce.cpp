#include "tpumlir/dialect/ops/TpuVerify.h"

using namespace mlir;

namespace tpumlir::tpu {

LogicalResult ReduceOp::verify() {
  if (top::ReduceMode mode = getMode();
      mode == top::ReduceMode::ReduceL1 || mode == top::ReduceMode::ReduceL2)
    return emitOpError("expected a minimum, maximum, mean, sum or product, "
                       "got ") // (C3)
           << top::stringifyReduceMode(mode);
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

LogicalResult ArgOp::verify() {
  SmallVector<int64_t> shape(top::shapeOf(getInput()));
  if (failed(checkAxis(*this, getAxis(), int64_t(shape.size())))) // (C1)
    return failure();
  shape[getAxis()] = 1;
  return success(succeeded(checkI32(*this, getOutput())) && // (C2)
                 succeeded(checkShape(*this, shape)));
}

LogicalResult CumSumOp::verify() {
  return checkAxis(*this, getAxis(), top::rankOf(getInput())); // (C1)
}

LogicalResult SoftmaxOp::verify() {
  if (failed(checkAxis(*this, getAxis(), top::rankOf(getInput())))) // (C1)
    return failure();
  return checkShape(*this, top::shapeOf(getInput()));
}

} // namespace tpumlir::tpu
