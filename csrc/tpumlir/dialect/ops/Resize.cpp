#include "tpumlir/dialect/top/TopDialect.h"

#include <cmath>

using namespace mlir;

namespace tpumlir::top {

LogicalResult InterpOp::inferTypes(SmallVectorImpl<Type> &types) {
  SmallVector<int64_t> shape(shapeOf(getInput()));
  if (shape.size() != 4) // (C1)
    return emitOpError("expected an input of rank 4, got ") << shape.size();
  if (!isNone(getTargetShape())) { // (C2)
    FailureOr<SmallVector<int64_t>> target = constantI64s(getTargetShape());
    if (failed(target))
      return emitOpError("expected target_shape to be none or a weight, got a "
                         "run-time tensor (a static shape is needed)");
    bool all = target->size() == 4;
    if ((!all && target->size() != 2) ||
        (all && ((*target)[0] != shape[0] || (*target)[1] != shape[1])) ||
        llvm::any_of(*target, [](int64_t extent) { return extent < 1; }))
      return emitOpError("expected a positive target_shape of rows and "
                         "columns for input [")
             << ArrayRef(shape) << "], got [" << ArrayRef(*target) << "]";
    shape[2] = target->end()[-2];
    shape[3] = target->end()[-1];
    types.push_back(typeLike(getInput(), shape));
    return success();
  }
  double scaleH = getScaleH(), scaleW = getScaleW();
  constexpr double kMaxScale = 1 << 20;
  if (!(scaleH > 0) || !(scaleW > 0) || scaleH > kMaxScale ||
      scaleW > kMaxScale) // (C2)
    return emitOpError("expected positive scales or a target_shape, got ")
           << scaleH << " and " << scaleW;
  shape[2] = int64_t(std::floor(double(shape[2]) * scaleH));
  shape[3] = int64_t(std::floor(double(shape[3]) * scaleW));
  if (shape[2] < 1 || shape[3] < 1)
    return emitOpError("expected at least one row and column, got ")
           << shape[2] << " and " << shape[3];
  types.push_back(typeLike(getInput(), shape));
  return success();
}

LogicalResult UpsampleOp::inferTypes(SmallVectorImpl<Type> &types) {
  SmallVector<int64_t> shape(shapeOf(getInput()));
  if (shape.size() != 4 || getScaleH() < 1 || getScaleW() < 1) // (C1)
    return emitOpError("expected an input of rank 4 and positive scales, got ")
           << shape.size() << ", " << getScaleH() << " and " << getScaleW();
  shape[2] *= getScaleH();
  shape[3] *= getScaleW();
  types.push_back(typeLike(getInput(), shape));
  return success();
}

} // namespace tpumlir::top
