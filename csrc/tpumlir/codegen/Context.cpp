#include "tpumlir/codegen/Context.h"

#include "tpumlir/dialect/tpu/TpuDialect.h"

using namespace mlir;

namespace tpumlir::codegen {

uint64_t addressOf(Value value) {
  tpu::GmemAttr place = tpu::placeOf(value);
  assert(place && "tpu-check-placed has to run before code generation");
  return isa::kGlobalMemory.begin + uint64_t(place.getOffset());
}

void runSteps(ArrayRef<Step> steps) {
  auto call = [](const std::function<void()> &part) {
    if (part)
      part();
  };
  if (!steps.empty())
    call(steps.front().load);
  for (size_t i = 0; i < steps.size(); ++i) {
    if (i + 1 < steps.size())
      call(steps[i + 1].load);
    call(steps[i].compute);
    call(steps[i].store);
  }
}

void emitRelu(Emitter &em, const Local &local, bool doRelu, double limit) {
  if (!doRelu)
    return;
  em.ar(isa::ArOp::Max, local, 0.0f, local);
  if (limit >= 0)
    em.ar(isa::ArOp::Min, local, float(limit), local);
}

SmallVector<Range> cut(int64_t extent, int64_t part) {
  SmallVector<Range> parts;
  for (int64_t begin = 0; begin < extent; begin += part)
    parts.push_back({begin, std::min(part, extent - begin)});
  return parts;
}

} // namespace tpumlir::codegen
