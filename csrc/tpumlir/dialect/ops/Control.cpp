#include "tpumlir/dialect/top/TopDialect.h"

using namespace mlir;

namespace tpumlir::top {

LogicalResult InputOp::inferTypes(SmallVectorImpl<Type> &types) {
  types.push_back(getInput().getType());
  return success();
}

LogicalResult WeightOp::verify() {
  auto type = getOutput().getType();
  if (!type.hasStaticShape()) // (C1)
    return emitOpError("expected a static shape, got ") << type;
  if (tensorName(getLoc()).empty()) // (C2)
    return emitOpError("expected a name as location, got none");
  return success();
}

const Weight *WeightOp::getWeight() {
  WeightStore *store = weightsOf(*this);
  return store ? store->find(tensorName(getLoc())) : nullptr;
}

} // namespace tpumlir::top
