#include "tpumlir/cmodel/Machine.h"

#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Races.h"

#include <algorithm>
#include <stdexcept>

namespace tpumlir::cmodel {
namespace {

template <class T>
concept Modelled = requires(Context &ctx, const T &op) { exec(ctx, op); };

/// Whether all sub-operations of a kind are listed in unmodelled.def.
constexpr bool isUnmodelled(isa::Kind kind) {
  switch (kind) {
#define UNMODELLED(kind) case isa::Kind::kind:
#include "tpumlir/cmodel/unmodelled.def"
    return true;
  default:
    return false;
  }
}

/// Whether one of them is.
constexpr bool isUnmodelled(isa::Kind kind, unsigned subOp) {
#define UNMODELLED_OP(listed, op)                                              \
  if (kind == isa::Kind::listed && subOp == unsigned(isa::listed##Op::op))     \
    return true;
#include "tpumlir/cmodel/unmodelled.def"
  return isUnmodelled(kind);
}

void dispatch(Context &ctx, const isa::Command &command) {
  if (isUnmodelled(isa::kindOf(command), isa::subOpOf(command)))
    execUnmodelled(ctx);
  std::visit(
      [&](const auto &op) {
        using Instruction = std::decay_t<decltype(op)>;
        static_assert(Modelled<Instruction> != isUnmodelled(Instruction::kKind),
                      "an instruction has an exec() or stands in "
                      "unmodelled.def, not both");
        if constexpr (Modelled<Instruction>)
          exec(ctx, op);
      },
      command);
}

/// One engine's stream in execution.
struct Stream {
  isa::Engine engine;
  std::vector<isa::Decoded> commands;
  size_t next = 0;
  uint64_t finished = 0; ///< cmd_id of the newest finished command

  bool ended() const { return next == commands.size(); }
  const isa::Command &head() const { return commands[next].command; }
};

/// LAR has no id of its own; it runs in order like the rest.
bool hasId(const isa::Command &command) {
  return isa::kindOf(command) != isa::Kind::Lar &&
         isa::kindOf(command) != isa::Kind::Seg;
}

std::string describe(isa::Engine engine, const isa::Command &command) {
  return std::string(isa::name(engine)) + " command " +
         std::to_string(isa::idOf(command)) + " (" +
         std::string(isa::opName(command)) + ")";
}

Stream openStream(isa::Engine engine, std::span<const uint8_t> bytes) {
  Stream stream{engine, isa::decodeStream(engine, bytes)};
  const std::string name = isa::name(engine);
  uint64_t last = 0;
  for (size_t i = 0; i < stream.commands.size(); ++i) {
    const isa::Command &command = stream.commands[i].command;
    if (!hasId(command))
      continue;
    uint64_t id = isa::idOf(command);
    if (id <= last)
      throw DeviceFault(
          engine, id,
          describe(engine, command) + ": expected a cmd_id above " +
              std::to_string(last) + ", got " + std::to_string(id));
    last = id;
  }
  if (stream.commands.empty() || !isa::isEnd(stream.commands.back().command))
    throw DeviceFault(
        engine, last,
        name + " stream: expected " +
            (engine == isa::Engine::Tiu ? "sys.end" : "dma.sys") +
            " as its last command, got " +
            (stream.commands.empty()
                 ? std::string("nothing")
                 : std::string(isa::opName(stream.commands.back().command))));
  return stream;
}

} // namespace

Machine::Machine(uint64_t globalBytes) : memory(globalBytes) {}

void Machine::write(uint64_t addr, std::span<const std::byte> bytes) {
  if (bytes.empty())
    return;
  std::byte *at = memory.find(addr, bytes.size());
  if (!at)
    throw std::out_of_range("write: expected bytes within one memory, got [" +
                            std::to_string(addr) + ", " +
                            std::to_string(addr + bytes.size()) + ")");
  std::memcpy(at, bytes.data(), bytes.size());
}

void Machine::read(uint64_t addr, std::span<std::byte> bytes) const {
  if (bytes.empty())
    return;
  const std::byte *at = memory.find(addr, bytes.size());
  if (!at)
    throw std::out_of_range("read: expected bytes within one memory, got [" +
                            std::to_string(addr) + ", " +
                            std::to_string(addr + bytes.size()) + ")");
  std::memcpy(bytes.data(), at, bytes.size());
}

std::span<std::byte> Machine::lane(unsigned index) {
  if (index >= isa::kLanes)
    throw std::out_of_range("lane: expected 0..63, got " +
                            std::to_string(index));
  return {memory.lane(index), isa::kLaneBytes};
}

void Machine::setThreads(unsigned threads) {
  if (threads == 0)
    threads = std::max(1u, std::thread::hardware_concurrency());
  if (!pool || pool->threads() != threads)
    pool = std::make_unique<ThreadPool>(threads);
}

void Machine::execute(const isa::Command &command) {
  FlushDenormals mode;
  if (!pool)
    setThreads(0);
  Context ctx(memory, *pool, command, nullptr);
  dispatch(ctx, command);
}

RunStatistics Machine::run(std::span<const CommandGroup> groups,
                           const RunOptions &options) {
  FlushDenormals mode;
  setThreads(options.threads);
  RunStatistics statistics;
  for (size_t g = 0; g < groups.size(); ++g) {
    auto labelled = [&](const DeviceFault &fault) {
      std::string label =
          options.label ? options.label(g, fault.engine, fault.command) : "";
      std::string where =
          groups.size() > 1 ? "group " + std::to_string(g) + ": " : "";
      return DeviceFault(fault.engine, fault.command,
                         (label.empty() ? "" : label + ": ") + where +
                             fault.what(),
                         fault.address);
    };
    try {
      std::array<Stream, 2> streams{
          openStream(isa::Engine::Tiu, groups[g].tiu),
          openStream(isa::Engine::Gdma, groups[g].gdma)};
      statistics.tiuCommands += streams[0].commands.size();
      statistics.gdmaCommands += streams[1].commands.size();
      // A fresh group starts after the last one has ended: no race crosses it.
      RaceDetector races;
      while (!streams[0].ended() || !streams[1].ended()) {
        size_t e = 0;
        for (; e < 2; ++e)
          if (!streams[e].ended() &&
              isa::waitsFor(streams[e].head()) <= streams[1 - e].finished)
            break;
        if (e == 2) {
          const Stream &stuck = streams[streams[0].ended() ? 1 : 0];
          const Stream &other = streams[1 - size_t(stuck.engine)];
          throw DeviceFault(
              stuck.engine, isa::idOf(stuck.head()),
              describe(stuck.engine, stuck.head()) + ": expected the " +
                  isa::name(other.engine) + " engine to finish command " +
                  std::to_string(isa::waitsFor(stuck.head())) + ", got " +
                  (other.ended()
                       ? "the end of its stream after command " +
                             std::to_string(other.finished)
                       : describe(other.engine, other.head()) +
                             ", which waits for " + isa::name(stuck.engine) +
                             " command " +
                             std::to_string(isa::waitsFor(other.head()))));
        }
        Stream &stream = streams[e];
        const isa::Command &command = stream.head();
        Footprint footprint;
        Context ctx(memory, *pool, command,
                    options.detectRaces ? &footprint : nullptr);
        dispatch(ctx, command);
        if (options.detectRaces) {
          auto race = races.add(stream.engine, isa::idOf(command),
                                isa::waitsFor(command), isa::opName(command),
                                footprint);
          if (race) {
            isa::Engine other = streams[1 - e].engine;
            std::string label =
                options.label ? options.label(g, other, race->otherId) : "";
            ctx.fault(std::string("race: ") +
                          (race->currentWrites ? "writes" : "reads") +
                          " bytes [" + std::to_string(race->bytes.begin) +
                          ", " + std::to_string(race->bytes.end) + ") that " +
                          isa::name(other) + " command " +
                          std::to_string(race->otherId) + " (" +
                          std::string(race->otherOp) +
                          (label.empty() ? "" : ", " + label) + ") " +
                          (race->otherWrites ? "writes" : "reads") +
                          ", expected a cmd_id_dep that orders them",
                      race->bytes.begin);
          }
        }
        if (hasId(command))
          stream.finished = isa::idOf(command);
        ++stream.next;
      }
    } catch (const DeviceFault &fault) {
      throw labelled(fault);
    }
  }
  return statistics;
}

} // namespace tpumlir::cmodel
