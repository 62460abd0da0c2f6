#pragma once

#include "tpumlir/isa/Cycles.h"

#include <span>
#include <stdexcept>
#include <vector>

/// When each command of a program runs. Both engines take their commands in
/// order; a command starts when its engine is free and the command of the other
/// engine that it waits for has ended.
namespace tpumlir::isa {

/// What the timeline wants to know of a command.
struct Step {
  uint64_t id = 0;
  uint64_t dependency = 0; ///< of the other engine; 0 for none
  uint64_t cycles = 0;
};

Step stepOf(const Command &command, uint64_t cycles);

struct Slot {
  uint64_t start = 0;
  uint64_t end = 0;
  /// How long its engine stood still before it.
  uint64_t wait = 0;
  /// Its part of the program's time: all of the time in which only its engine
  /// worked, half of the time in which both did. The parts of all commands add
  /// up to the whole.
  double share = 0;
};

struct Timeline {
  std::vector<Slot> tiu;
  std::vector<Slot> gdma;
  uint64_t cycles = 0;
  uint64_t tiuBusy = 0;
  uint64_t gdmaBusy = 0;
  uint64_t bothBusy = 0;
};

/// A command waits for one that never comes: hardware would hang.
class TimelineError : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// One command group from cycle 0 on, in n log n of its commands. Throws
/// TimelineError.
Timeline timelineOf(std::span<const Step> tiu, std::span<const Step> gdma);

} // namespace tpumlir::isa
