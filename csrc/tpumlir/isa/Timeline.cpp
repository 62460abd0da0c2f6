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
  std::vector<uint64_t> newest; ///< the largest id up to each command
  uint64_t free = 0;

  Queue(Engine engine, std::span<const Step> steps, std::vector<Slot> &slots)
      : engine(engine), steps(steps), slots(slots) {
    slots.reserve(steps.size());
    newest.reserve(steps.size());
    for (const Step &step : steps)
      newest.push_back(std::max(step.id, newest.empty() ? 0 : newest.back()));
  }

  bool done() const { return slots.size() == steps.size(); }
  const Step &next() const { return steps[slots.size()]; }

  /// Place of the first command with this id or a larger one: when it has
  /// ended, the wait for the id has (H12). An id beyond the last never comes.
  size_t placeOf(uint64_t id) const {
    return size_t(std::ranges::lower_bound(newest, id) - newest.begin());
  }
  bool has(uint64_t id) const { return id == 0 || placeOf(id) < slots.size(); }
  uint64_t endOf(uint64_t id) const {
    return id == 0 ? 0 : slots[placeOf(id)].end;
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
