#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

/// Between floats all that happens is the rounding of the result, which the
/// plan adds by itself.
LogicalResult tpu::CastOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput());
  if (auto type = Quantization::of(getOutput()))
    return plan.set(getOutput(), plan.quantized(in, *type));
  if (auto type = Quantization::of(getInput()))
    return plan.set(getOutput(), plan.dequantized(in, *type));
  FailureOr<TensorDesc> want = describe(getOutput());
  if (failed(want))
    return failure();
  return plan.set(getOutput(), plan.cast(in, want->dtype));
}

} // namespace tpumlir
