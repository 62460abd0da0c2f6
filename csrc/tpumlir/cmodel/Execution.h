#pragma once

#include "tpumlir/cmodel/Journal.h"
#include "tpumlir/cmodel/Machine.h"
#include "tpumlir/cmodel/Races.h"

#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace tpumlir::cmodel {

/// A command in the order of execution.
struct Step {
  uint32_t group;
  isa::Engine engine;
  uint32_t index; ///< in its stream
  uint64_t id;    ///< cmd_id
};

/// Command groups in execution on a machine, command by command.
///
/// The engines take turns in a fixed order that their dependencies allow, so
/// the whole order is known before the first command runs. With a history it
/// goes back, too: it keeps what memory held at some positions, goes to one of
/// them and runs from there. What others write into the machine in the
/// meantime is not part of the history.
class Execution {
public:
  /// The bytes of the groups must live as long. `history`: about how many bytes
  /// may be kept for going back; 0 for an execution that only goes forward.
  Execution(Machine &machine, std::span<const CommandGroup> groups,
            RunOptions options, uint64_t history = 0);
  ~Execution();

  /// Commands executed so far.
  uint64_t position() const { return done; }

  /// All commands that can run, in their order. It ends where no command can
  /// run any more: at the end, or where step() will fault.
  const std::vector<Step> &order();

  /// The command at the position; null at the end of the order.
  const isa::Command *next();

  /// Runs `count` commands, or all that are left; returns how many those were.
  /// Throws as Machine::run; the position is then that of the command at fault,
  /// but behind one that races: it has run.
  uint64_t step(uint64_t count);

  /// Goes to a position, forward or (with a history) back. Throws
  /// std::out_of_range for one that is not in the order, and as step(), but not
  /// for races.
  void seek(uint64_t position);

  /// What the command at the position reads and writes. Runs it and takes it
  /// back. Throws std::out_of_range at the end of the order, and as step().
  Footprint footprint();

  /// What the last command that step() ran has read and written; it is noted
  /// with a history only.
  const Footprint &touched() const { return last; }

  RunStatistics statistics() const { return counts; }

private:
  struct Group;
  struct Checkpoint;

  void open();
  bool extend();
  void run(const isa::Command &command);
  void beginCheckpoint();
  void thin();
  [[noreturn]] void report(size_t group, const DeviceFault &fault) const;

  Machine &machine;
  std::span<const CommandGroup> commands;
  RunOptions options;
  uint64_t history;

  std::vector<std::unique_ptr<Group>> groups; ///< opened so far
  std::vector<Step> steps;                    ///< of those
  std::exception_ptr end; ///< what step() throws behind the last of them
  uint64_t done = 0;
  bool seeking = false;
  RunStatistics counts;
  RaceDetector races;
  Footprint last;

  std::vector<Checkpoint> checkpoints;
  uint64_t interval; ///< commands from one checkpoint to the next
};

} // namespace tpumlir::cmodel
