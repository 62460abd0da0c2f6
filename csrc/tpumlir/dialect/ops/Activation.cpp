#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/support/Precisions.h"

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
  const PrecisionInfo *precision = findPrecision(to);
  bool half = precision && precision->isHalf();
  if (!half && !llvm::is_contained(
                   {"", "F32", "INT32", "INT8", "UINT8", "INT16", "UINT16"},
                   to)) // (C1)
    return emitOpError("expected `to` empty, F32, F16, BF16, INT32, INT16, "
                       "UINT16, INT8 or UINT8, got ")
           << getToAttr();
  if (half && dtypeOf(getInput()) != DType::F32) // (C2)
    return emitOpError("expected f32 to round to ")
           << to << ", got " << getInput().getType();
  return success();
}

LogicalResult CastOp::inferTypes(SmallVectorImpl<Type> &types) {
  Builder builder(getContext());
  RankedTensorType type = typeLike(getInput(), shapeOf(getInput()));
  StringRef to = getTo();
  if (to == "F32")
    type = type.clone(builder.getF32Type());
  else if (to.starts_with("INT") || to.starts_with("UINT"))
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
