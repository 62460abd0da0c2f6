#include "tpumlir/cmodel/Races.h"

#include <algorithm>

namespace tpumlir::cmodel {
namespace {

/// The loops of a region from the innermost, as far as they are contiguous,
/// become one run; the rest is enumerated.
void expand(const Region &region, std::vector<Interval> &out) {
  uint64_t run = region.bytes;
  int dims = 4;
  while (dims > 0 &&
         (region.count[dims - 1] == 1 || region.stride[dims - 1] == run)) {
    run *= region.count[dims - 1];
    --dims;
  }
  std::array<uint32_t, 4> index{};
  while (true) {
    uint64_t at = region.base;
    for (int d = 0; d < dims; ++d)
      at += index[d] * region.stride[d];
    if (!out.empty() && out.back().end == at)
      out.back().end = at + run;
    else
      out.push_back({at, at + run});
    int d = dims - 1;
    while (d >= 0 && ++index[d] == region.count[d])
      index[d--] = 0;
    if (d < 0)
      return;
  }
}

std::optional<Interval> overlap(const std::vector<Interval> &a,
                                const std::vector<Interval> &b) {
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    uint64_t begin = std::max(a[i].begin, b[j].begin);
    uint64_t end = std::min(a[i].end, b[j].end);
    if (begin < end)
      return Interval{begin, end};
    a[i].end < b[j].end ? ++i : ++j;
  }
  return std::nullopt;
}

} // namespace

std::vector<Interval> intervalsOf(const std::vector<Region> &regions) {
  std::vector<Interval> all;
  for (const Region &region : regions)
    expand(region, all);
  std::ranges::sort(all, {}, &Interval::begin);
  size_t kept = 0;
  for (const Interval &interval : all) {
    if (kept && interval.begin <= all[kept - 1].end)
      all[kept - 1].end = std::max(all[kept - 1].end, interval.end);
    else
      all[kept++] = interval;
  }
  all.resize(kept);
  return all;
}

std::optional<Race> RaceDetector::add(isa::Engine engine, uint64_t id,
                                      uint64_t dependency, std::string_view op,
                                      const Footprint &footprint) {
  const size_t self = size_t(engine), other = 1 - self;
  known[self] = std::max(known[self], dependency);
  std::deque<Entry> &concurrent = pending[other];
  while (!concurrent.empty() && concurrent.front().id <= known[self])
    concurrent.pop_front();

  Entry entry{id, op, intervalsOf(footprint.reads),
              intervalsOf(footprint.writes)};
  std::optional<Race> race;
  for (const Entry &e : concurrent) {
    auto check = [&](const std::vector<Interval> &mine, bool mineWrites,
                     const std::vector<Interval> &theirs, bool theirsWrites) {
      if (race)
        return;
      if (auto bytes = overlap(mine, theirs))
        race = Race{e.id, e.op, mineWrites, theirsWrites, *bytes};
    };
    check(entry.writes, true, e.writes, true);
    check(entry.writes, true, e.reads, false);
    check(entry.reads, false, e.writes, true);
  }
  pending[self].push_back(std::move(entry));
  return race;
}

} // namespace tpumlir::cmodel
