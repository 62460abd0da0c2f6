#include "tpumlir/dialect/ops/TpuVerify.h"

using namespace mlir;

namespace tpumlir::tpu {

LogicalResult ActiveOp::verify() {
  size_t want = function().coeffs;
  size_t got = getCoeffs() ? getCoeffs()->size() : 0;
  if (got != want) // (C1)
    return emitOpError("expected ")
           << want << " coeffs for " << stringifyActiveMode(getMode())
           << ", got " << got;
  return success();
}

LogicalResult PReluOp::verify() {
  return checkBroadcast(*this, {getInput(), getSlope()}); // (C1)
}

} // namespace tpumlir::tpu
