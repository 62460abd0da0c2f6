#pragma once

#include "tpumlir/cmodel/Memory.h"
#include "tpumlir/isa/Isa.h"

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace tpumlir::cmodel {

/// Bytes [begin, end) of the GDMA address map.
struct Interval {
  uint64_t begin, end;
};

/// A conflict of two commands that nothing orders.
struct Race {
  uint64_t otherId; ///< of the other engine
  std::string_view otherOp;
  bool currentWrites, otherWrites;
  Interval bytes; ///< first overlap
};

/// Finds accesses of the two engines that no dependency orders.
///
/// An engine runs in order, so what a command knows of the other engine is one
/// number: the largest cmd_id_dep seen so far on its own stream. A command of
/// the other engine with a larger id may run at the same time.
class RaceDetector {
public:
  /// Notes an executed command. Returns a race with an earlier one, if any.
  std::optional<Race> add(isa::Engine engine, uint64_t id, uint64_t dependency,
                          std::string_view op, const Footprint &footprint);

private:
  struct Entry {
    uint64_t id;
    std::string_view op;
    std::vector<Interval> reads, writes; ///< sorted, disjoint
  };

  std::array<uint64_t, 2> known{};          ///< by engine: ids of the other one
  std::array<std::deque<Entry>, 2> pending; ///< by engine: not yet ordered
};

/// Sorted disjoint intervals of a list of accesses.
std::vector<Interval> intervalsOf(const std::vector<Region> &regions);

} // namespace tpumlir::cmodel
