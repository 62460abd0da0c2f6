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

void atLeast(Emitter &em, const Local &y, const Operand &x, float number) {
  em.ar(isa::ArOp::Max, y, number, x);
}

void atMost(Emitter &em, const Local &y, const Operand &x, float number) {
  em.ar(isa::ArOp::Min, y, x, number);
}

void emitRelu(Emitter &em, const Local &local, bool doRelu, double limit) {
  if (!doRelu)
    return;
  atLeast(em, local, local, 0);
  if (limit >= 0)
    atMost(em, local, local, float(limit));
}

SmallVector<Range> cut(int64_t extent, int64_t part) {
  SmallVector<Range> parts;
  for (int64_t begin = 0; begin < extent; begin += part)
    parts.push_back({begin, std::min(part, extent - begin)});
  return parts;
}

} // namespace tpumlir::codegen
