#pragma once

#include "tpumlir/cmodel/Fault.h"
#include "tpumlir/cmodel/Memory.h"
#include "tpumlir/cmodel/ThreadPool.h"
#include "tpumlir/isa/Isa.h"

#include <functional>
#include <memory>
#include <span>
#include <string>

namespace tpumlir::cmodel {

/// The two streams of one command group, as a bmodel holds them.
struct CommandGroup {
  std::span<const uint8_t> tiu, gdma;
};

/// "op @ node" of a command for messages, or an empty text: called with the
/// group's index, the engine and the cmd_id, and only to report a fault.
using LabelFn =
    std::function<std::string(size_t group, isa::Engine engine, uint64_t id)>;

struct RunOptions {
  /// Fault when two commands touch the same bytes, one of them writing, and no
  /// dependency orders them.
  bool detectRaces = false;
  /// Threads that share the lanes; 0 takes the number of processors. The
  /// result does not depend on it.
  unsigned threads = 0;
  LabelFn label;
};

/// Counts of one run.
struct RunStatistics {
  uint64_t tiuCommands = 0;
  uint64_t gdmaCommands = 0;
};

class Execution;

/// A BM1684X: its memories, and its two engines executing decoded commands.
class Machine {
public:
  /// `globalBytes`: DDR that exists, from isa::kGlobalMemory.begin; its pages
  /// are allocated when touched.
  explicit Machine(uint64_t globalBytes);

  /// Copies bytes at an address of the GDMA map. Throws std::out_of_range.
  void write(uint64_t addr, std::span<const std::byte> bytes);
  void read(uint64_t addr, std::span<std::byte> bytes) const;

  /// The 256 KiB of a lane.
  std::span<std::byte> lane(unsigned index);

  /// Runs one command at once, whatever it depends on. Throws DeviceFault.
  void execute(const isa::Command &command);

  /// Runs command groups one after another, each to its end commands. The
  /// engines take turns in a fixed order that their dependencies allow.
  /// Throws DeviceFault (also for a dependency that never comes and for a
  /// stream without its end command) and isa::DecodeError.
  RunStatistics run(std::span<const CommandGroup> groups,
                    const RunOptions &options);

private:
  friend class Execution;

  void setThreads(unsigned threads);

  Memory memory;
  std::unique_ptr<ThreadPool> pool;
};

} // namespace tpumlir::cmodel
