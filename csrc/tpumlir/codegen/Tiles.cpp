#include "tpumlir/codegen/Tiles.h"

using namespace mlir;

namespace tpumlir::codegen {

static int64_t tileBytes(const Nchw &size, isa::DType type,
                         isa::Layout layout) {
  return layout == isa::Layout::Compact
             ? roundUp(compactBytes(size, type), isa::kEuBytes)
             : alignedBytes(size, type);
}

TileBuffers::TileBuffers(LaneMemory &memory, isa::DType type, const Nchw &size,
                         isa::Layout layout, int64_t count, bool widens)
    : type(type), layout(layout), widens(widens && type != computeType(type)) {
  slots[0] = slots[1] = memory.take(tileBytes(size, type, layout));
  if (count > 1)
    slots[1] = memory.take(tileBytes(size, type, layout));
  if (this->widens)
    wide = memory.take(tileBytes(size, computeType(type), layout));
}

int64_t TileBuffers::bytes(isa::DType type, const Nchw &size,
                           isa::Layout layout, int64_t count, bool widens) {
  int64_t sum = count * tileBytes(size, type, layout);
  if (widens && type != computeType(type))
    sum += tileBytes(size, computeType(type), layout);
  return sum;
}

void castTile(Emitter &em, const Local &to, const Local &from) {
  if (to.dtype == from.dtype)
    return;
  if (!from.everyLane)
    return em.cast(to, from, support::Rounding::HalfToEven);
  // One channel, but each lane has its own to cast.
  auto everyChannel = [](const Local &local) {
    Nchw size = local.size;
    size[1] = isa::kLanes;
    return aligned(local.addr, size, local.dtype);
  };
  em.cast(everyChannel(to), everyChannel(from), support::Rounding::HalfToEven);
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

Operand numberOf(double number, isa::DType type) {
  return type == isa::DType::I32 ? Operand::integer(int32_t(number))
                                 : Operand(float(number));
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
