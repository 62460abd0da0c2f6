#include "tpumlir/dialect/top/TopDialect.h"

#include <cmath>

using namespace mlir;

namespace tpumlir::top {

LogicalResult LeakyReluOp::verify() {
  if (!std::isfinite(getAlpha())) // (C1)
    return emitOpError("expected a finite alpha, got ") << getAlphaAttr();
  return success();
}

LogicalResult ClipOp::verify() {
  if (!(getMin() <= getMax())) // (C1), NaN included
    return emitOpError("expected min not above max, got ")
           << getMin() << " and " << getMax();
  return success();
}

LogicalResult CastOp::verify() {
  StringRef to = getTo();
  if (!to.empty() && to != "F32" && to != "INT32") // (C1)
    return emitOpError("expected `to` empty, F32 or INT32, got ")
           << getToAttr();
  return success();
}

LogicalResult CastOp::inferTypes(SmallVectorImpl<Type> &types) {
  Builder builder(getContext());
  RankedTensorType type = typeLike(getInput(), shapeOf(getInput()));
  if (getTo() == "F32")
    type = type.clone(builder.getF32Type());
  if (getTo() == "INT32")
    type = type.clone(builder.getI32Type());
  types.push_back(type);
  return success();
}

LogicalResult PReluOp::inferTypes(SmallVectorImpl<Type> &types) {
  FailureOr<SmallVector<int64_t>> both =
      broadcastShapes(*this, shapeOf(getInput()), shapeOf(getSlope()));
  if (failed(both))
    return failure();
  if (ArrayRef<int64_t>(*both) != shapeOf(getInput())) // (C1)
    return emitOpError("expected a slope that broadcasts to [")
           << shapeOf(getInput()) << "], got [" << shapeOf(getSlope()) << "]";
  types.push_back(typeLike(getInput(), shapeOf(getInput())));
  return success();
}

} // namespace tpumlir::top
