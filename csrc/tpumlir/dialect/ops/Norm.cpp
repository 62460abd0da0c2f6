#include "tpumlir/dialect/top/TopDialect.h"

using namespace mlir;

namespace tpumlir::top {

/// `parameter` is none or has `want` elements.
static LogicalResult checkElements(Operation *op, Value parameter,
                                   StringRef name, int64_t want) {
  if (isNone(parameter))
    return success();
  int64_t got = elementsOf(shapeOf(parameter));
  if (got != want)
    return op->emitOpError("expected ")
           << name << " of " << want << " elements, got " << got << " (shape ["
           << shapeOf(parameter) << "])";
  return success();
}

static LogicalResult checkRank(Operation *op, Value input, int64_t least) {
  if (rankOf(input) < least)
    return op->emitOpError("expected an input of at least rank ")
           << least << ", got " << rankOf(input);
  return success();
}

/// Result type of the input, and one parameter element per channel.
static LogicalResult
inferPerChannel(Operation *op, Value input, int64_t leastRank,
                ArrayRef<std::pair<StringRef, Value>> parameters,
                SmallVectorImpl<Type> &types) {
  if (failed(checkRank(op, input, leastRank))) // (C1)
    return failure();
  for (auto [name, parameter] : parameters) // (C2)
    if (failed(checkElements(op, parameter, name, shapeOf(input)[1])))
      return failure();
  types.push_back(input.getType());
  return success();
}

LogicalResult BatchNormOp::inferTypes(SmallVectorImpl<Type> &types) {
  if (!(getEpsilon() >= 0)) // (C3)
    return emitOpError("expected an epsilon of at least 0, got ")
           << getEpsilonAttr();
  return inferPerChannel(*this, getInput(), 2,
                         {{"mean", getMean()},
                          {"variance", getVariance()},
                          {"gamma", getGamma()},
                          {"beta", getBeta()}},
                         types);
}

LogicalResult ScaleOp::inferTypes(SmallVectorImpl<Type> &types) {
  return inferPerChannel(*this, getInput(), 2,
                         {{"scale", getScale()}, {"bias", getBias()}}, types);
}

LogicalResult InstanceNormOp::inferTypes(SmallVectorImpl<Type> &types) {
  return inferPerChannel(*this, getInput(), 3,
                         {{"weight", getWeight()}, {"bias", getBias()}}, types);
}

LogicalResult GroupNormOp::inferTypes(SmallVectorImpl<Type> &types) {
  if (failed(inferPerChannel(*this, getInput(), 2,
                             {{"weight", getWeight()}, {"bias", getBias()}},
                             types)))
    return failure();
  int64_t channels = shapeOf(getInput())[1];
  if (getNumGroups() < 1 || channels % getNumGroups() != 0) // (C3)
    return emitOpError("expected num_groups that divides ")
           << channels << " channels, got " << getNumGroups();
  return success();
}

LogicalResult PixelNormOp::inferTypes(SmallVectorImpl<Type> &types) {
  return inferPerChannel(*this, getInput(), 2,
                         {{"weight", getWeight()}, {"bias", getBias()}}, types);
}

LogicalResult LRNOp::inferTypes(SmallVectorImpl<Type> &types) {
  if (getSize() < 1) // (C2)
    return emitOpError("expected a positive size, got ") << getSize();
  return inferPerChannel(*this, getInput(), 2, {}, types);
}

LogicalResult RMSNormOp::inferTypes(SmallVectorImpl<Type> &types) {
  if (failed(checkRank(*this, getInput(), 1)) || // (C1), (C2)
      failed(checkElements(*this, getGamma(), "gamma",
                           shapeOf(getInput()).back())))
    return failure();
  types.push_back(getInput().getType());
  return success();
}

LogicalResult LayerNormOp::inferTypes(SmallVectorImpl<Type> &types) {
  FailureOr<int64_t> axis =
      resolveAxis(*this, getAxis(), rankOf(getInput())); // (C1)
  if (failed(axis))
    return failure();
  ArrayRef<int64_t> normalized = shapeOf(getInput()).drop_front(*axis);
  SmallVector<int64_t> given = getNormalizedShape();
  if (!given.empty() && ArrayRef<int64_t>(given) != normalized) // (C3)
    return emitOpError("expected normalized_shape [")
           << normalized << "], got [" << ArrayRef(given) << "]";
  int64_t want = elementsOf(normalized); // (C2)
  if (failed(checkElements(*this, getWeight(), "weight", want)) ||
      failed(checkElements(*this, getBias(), "bias", want)))
    return failure();
  types.push_back(getInput().getType());
  return success();
}

void LayerNormOp::normalizeAttributes() {
  Builder builder(getContext());
  int64_t axis = *resolveAxis(*this, getAxis(), rankOf(getInput()));
  setAxisAttr(builder.getSI32IntegerAttr(int32_t(axis)));
  setNormalizedShapeAttr(
      builder.getI64ArrayAttr(shapeOf(getInput()).drop_front(axis)));
}

//===----------------------------------------------------------------------===//
// SoftmaxOp
//===----------------------------------------------------------------------===//

LogicalResult SoftmaxOp::inferTypes(SmallVectorImpl<Type> &types) {
  if (failed(resolveAxis(*this, getAxis(), rankOf(getInput())))) // (C1)
    return failure();
  types.push_back(getInput().getType());
  return success();
}

void SoftmaxOp::normalizeAttributes() {
  setAxisAttr(Builder(getContext())
                  .getSI32IntegerAttr(int32_t(
                      *resolveAxis(*this, getAxis(), rankOf(getInput())))));
}

} // namespace tpumlir::top
