#include "tpumlir/codegen/Tiles.h"

using namespace mlir;

namespace tpumlir::codegen {

TileBuffers::TileBuffers(LaneMemory &memory, isa::DType type, const Nchw &size,
                         int64_t count, bool widens)
    : type(type), widens(widens && type != computeType(type)) {
  slots[0] = slots[1] = memory.tensor(size, type).addr;
  if (count > 1)
    slots[1] = memory.tensor(size, type).addr;
  if (this->widens)
    wide = memory.tensor(size, computeType(type)).addr;
}

int64_t TileBuffers::bytes(isa::DType type, const Nchw &size, int64_t count,
                           bool widens) {
  LaneMemory memory;
  TileBuffers(memory, type, size, count, widens);
  return memory.end();
}

Local LaneMemory::wide(const Local &local) {
  if (!isHalf(local.dtype))
    return local;
  Nchw size = local.size;
  if (local.layout == isa::Layout::Compact)
    return compact(take(compactBytes(size)), size);
  if (!local.everyLane)
    return tensor(size);
  size[1] = 1;
  return inEveryLane(take(alignedBytes(size)), size, local.size[1]);
}

Local widened(Emitter &em, LaneMemory &memory, const Local &local) {
  Local wide = memory.wide(local);
  castTile(em, wide, local);
  return wide;
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

void moveTile(Emitter &em, const Local &to, const Local &from) {
  if (to.dtype == from.dtype)
    em.copyLocal(to, from);
  else
    castTile(em, to, from);
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

void emitRelu(Emitter &em, const Local &local, const Relu &relu) {
  if (!relu.does)
    return;
  atLeast(em, local, local, 0);
  if (relu.limit >= 0)
    atMost(em, local, local, float(relu.limit));
}

SmallVector<Range> cut(int64_t extent, int64_t part) {
  SmallVector<Range> parts;
  for (int64_t begin = 0; begin < extent; begin += part)
    parts.push_back({begin, std::min(part, extent - begin)});
  return parts;
}

} // namespace tpumlir::codegen
