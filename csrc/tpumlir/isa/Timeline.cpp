#include "tpumlir/isa/Timeline.h"

#include <algorithm>
#include <string>

namespace tpumlir::isa {
namespace {

/// One engine while its commands are placed.
struct Queue {
  Engine engine;
  std::span<const Step> steps;
  std::vector<Slot> &slots;
  std::vector<size_t> upTo; ///< how many commands have an id up to the index
  uint64_t free = 0;

  Queue(Engine engine, std::span<const Step> steps, std::vector<Slot> &slots)
      : engine(engine), steps(steps), slots(slots) {
    slots.reserve(steps.size());
    uint64_t most = 0;
    for (const Step &step : steps)
      most = std::max(most, step.id);
    upTo.assign(most + 1, 0);
    for (const Step &step : steps)
      ++upTo[step.id];
    for (size_t id = 1; id < upTo.size(); ++id)
      upTo[id] += upTo[id - 1];
  }

  bool done() const { return slots.size() == steps.size(); }
  const Step &next() const { return steps[slots.size()]; }

  /// True once the newest command with this id or a smaller one has a place.
  /// An id beyond the last one never comes.
  bool has(uint64_t id) const {
    return id == 0 || (id < upTo.size() && upTo[id] <= slots.size());
  }
  uint64_t endOf(uint64_t id) const {
    size_t count = id < upTo.size() ? upTo[id] : 0;
    return count == 0 ? 0 : slots[count - 1].end;
  }

  /// Places commands until one waits for what the other engine has not done.
  bool advance(const Queue &other) {
    size_t before = slots.size();
    while (!done() && other.has(next().dependency)) {
      const Step &step = next();
      uint64_t start = std::max(free, other.endOf(step.dependency));
      slots.push_back({start, start + step.cycles, start - free, 0});
      free = start + step.cycles;
    }
    return slots.size() != before;
  }
};

[[noreturn]] void stuck(const Queue &queue) {
  const Step &step = queue.next();
  Engine other = queue.engine == Engine::Tiu ? Engine::Gdma : Engine::Tiu;
  throw TimelineError(std::string(name(queue.engine)) + " command " +
                      std::to_string(step.id) + ": waits for " + name(other) +
                      " command " + std::to_string(step.dependency) +
                      ", which never ends");
}

/// Fills in `share` by one walk along the ends of both engines.
uint64_t shareOut(std::vector<Slot> &tiu, std::vector<Slot> &gdma) {
  size_t t = 0;
  size_t g = 0;
  uint64_t now = 0;
  uint64_t both = 0;
  while (t < tiu.size() || g < gdma.size()) {
    Slot *a = t < tiu.size() ? &tiu[t] : nullptr;
    Slot *b = g < gdma.size() ? &gdma[g] : nullptr;
    bool aRuns = a && a->start <= now;
    bool bRuns = b && b->start <= now;
    uint64_t next = ~uint64_t(0);
    for (Slot *slot : {a, b})
      if (slot)
        next = std::min(next, slot->start <= now ? slot->end : slot->start);
    double passed = double(next - now) / (aRuns && bRuns ? 2 : 1);
    if (aRuns)
      a->share += passed;
    if (bRuns)
      b->share += passed;
    if (aRuns && bRuns)
      both += next - now;
    now = next;
    t += aRuns && a->end == now;
    g += bRuns && b->end == now;
  }
  return both;
}

} // namespace

Step stepOf(const Command &command, uint64_t cycles) {
  return {idOf(command), waitsFor(command), cycles};
}

Timeline timelineOf(std::span<const Step> tiu, std::span<const Step> gdma) {
  Timeline result;
  Queue compute(Engine::Tiu, tiu, result.tiu);
  Queue copy(Engine::Gdma, gdma, result.gdma);
  while (!compute.done() || !copy.done()) {
    bool moved = compute.advance(copy);
    moved |= copy.advance(compute);
    if (!moved)
      stuck(compute.done() ? copy : compute);
  }
  result.cycles = std::max(compute.free, copy.free);
  for (const Step &step : tiu)
    result.tiuBusy += step.cycles;
  for (const Step &step : gdma)
    result.gdmaBusy += step.cycles;
  result.bothBusy = shareOut(result.tiu, result.gdma);
  return result;
}

} // namespace tpumlir::isa
