#include "tpumlir/cmodel/Execution.h"

#include "tpumlir/cmodel/Exec.h"

#include <algorithm>
#include <stdexcept>

namespace tpumlir::cmodel {

/// One engine's commands, and how far the order has come in them.
struct CommandStream {
  isa::Engine engine;
  std::vector<isa::Decoded> commands;
  size_t next = 0;
  uint64_t finished = 0; ///< cmd_id of the newest finished command

  bool ended() const { return next == commands.size(); }
  const isa::Command &head() const { return commands[next].command; }
};

namespace {

/// Commands between two checkpoints as long as the memory for it suffices.
constexpr uint64_t kInterval = 32;

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

CommandStream openStream(isa::Engine engine, std::span<const uint8_t> bytes) {
  CommandStream stream{engine, isa::decodeStream(engine, bytes)};
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

/// Neither stream has a command that can run.
DeviceFault deadlock(const std::array<CommandStream, 2> &streams) {
  const CommandStream &stuck = streams[streams[0].ended() ? 1 : 0];
  const CommandStream &other = streams[1 - size_t(stuck.engine)];
  return DeviceFault(
      stuck.engine, isa::idOf(stuck.head()),
      describe(stuck.engine, stuck.head()) + ": expected the " +
          isa::name(other.engine) + " engine to finish command " +
          std::to_string(isa::waitsFor(stuck.head())) + ", got " +
          (other.ended()
               ? "the end of its stream after command " +
                     std::to_string(other.finished)
               : describe(other.engine, other.head()) + ", which waits for " +
                     isa::name(stuck.engine) + " command " +
                     std::to_string(isa::waitsFor(other.head()))));
}

} // namespace

struct Execution::Group {
  std::array<CommandStream, 2> streams;
  size_t first; ///< its first command in the order

  bool ended() const { return streams[0].ended() && streams[1].ended(); }
};

struct Execution::Checkpoint {
  uint64_t position;
  RaceDetector races; ///< as it was there
  Journal journal;    ///< of the changes from there to the next checkpoint
};

Execution::Execution(Machine &machine, std::span<const CommandGroup> groups,
                     RunOptions options, uint64_t history)
    : machine(machine), commands(groups), options(std::move(options)),
      history(history), interval(kInterval) {
  machine.setThreads(this->options.threads);
  if (history)
    beginCheckpoint();
}

Execution::~Execution() = default;

void Execution::report(size_t group, const DeviceFault &fault) const {
  std::string label =
      options.label ? options.label(group, fault.engine, fault.command) : "";
  std::string where =
      commands.size() > 1 ? "group " + std::to_string(group) + ": " : "";
  throw DeviceFault(fault.engine, fault.command,
                    (label.empty() ? "" : label + ": ") + where + fault.what(),
                    fault.address);
}

/// Opens the next group.
void Execution::open() {
  const size_t g = groups.size();
  auto group = std::make_unique<Group>(
      Group{{openStream(isa::Engine::Tiu, commands[g].tiu),
             openStream(isa::Engine::Gdma, commands[g].gdma)},
            steps.size()});
  std::array<CommandStream, 2> &streams = group->streams;
  counts.tiuCommands += streams[0].commands.size();
  counts.gdmaCommands += streams[1].commands.size();
  steps.reserve(steps.size() + streams[0].commands.size() +
                streams[1].commands.size());
  groups.push_back(std::move(group));
}

/// Puts one more command into the order. False when there is none, or when
/// none can run. One at a time, so that a run looks at each command once.
bool Execution::extend() {
  if (end)
    return false;
  const bool opens = groups.empty() || groups.back()->ended();
  if (opens && groups.size() == commands.size())
    return false;
  const size_t g = opens ? groups.size() : groups.size() - 1;
  try {
    if (opens)
      open();
    std::array<CommandStream, 2> &streams = groups[g]->streams;
    for (size_t e = 0; e < 2; ++e) {
      CommandStream &stream = streams[e];
      if (stream.ended() ||
          isa::waitsFor(stream.head()) > streams[1 - e].finished)
        continue;
      const uint64_t id = isa::idOf(stream.head());
      steps.push_back({uint32_t(g), stream.engine, uint32_t(stream.next), id});
      if (hasId(stream.head()))
        stream.finished = id;
      ++stream.next;
      return true;
    }
    throw deadlock(streams);
  } catch (const DeviceFault &fault) {
    // It is thrown when the commands before it have run.
    try {
      report(g, fault);
    } catch (...) {
      end = std::current_exception();
    }
  } catch (...) {
    end = std::current_exception();
  }
  return false;
}

const std::vector<Step> &Execution::order() {
  while (extend())
    ;
  return steps;
}

const isa::Command *Execution::next() {
  if (done == steps.size() && !extend())
    return nullptr;
  const Step &step = steps[done];
  return &groups[step.group]
              ->streams[size_t(step.engine)]
              .commands[step.index]
              .command;
}

void Execution::run(const isa::Command &command) {
  const Step step = steps[done];
  // A fresh group starts after the last one has ended: no race crosses it.
  if (done == groups[step.group]->first)
    races = {};
  if (history && done >= checkpoints.back().position + interval)
    beginCheckpoint();
  last.reads.clear();
  last.writes.clear();
  if (history)
    last.journal = &checkpoints.back().journal;
  try {
    Context ctx(machine.memory, *machine.pool, command,
                options.detectRaces || history ? &last : nullptr);
    dispatch(ctx, command);
    ++done; // what races has run
    if (options.detectRaces)
      if (auto race = races.add(step.engine, step.id, isa::waitsFor(command),
                                isa::opName(command), last);
          race && !seeking) {
        isa::Engine other = isa::Engine(1 - size_t(step.engine));
        std::string label =
            options.label ? options.label(step.group, other, race->otherId)
                          : "";
        ctx.fault(
            std::string("race: ") + (race->currentWrites ? "writes" : "reads") +
                " bytes [" + std::to_string(race->bytes.begin) + ", " +
                std::to_string(race->bytes.end) + ") that " + isa::name(other) +
                " command " + std::to_string(race->otherId) + " (" +
                std::string(race->otherOp) +
                (label.empty() ? "" : ", " + label) + ") " +
                (race->otherWrites ? "writes" : "reads") +
                ", expected a cmd_id_dep that orders them",
            race->bytes.begin);
      }
  } catch (const DeviceFault &fault) {
    report(step.group, fault);
  }
  last.journal = nullptr;
}

uint64_t Execution::step(uint64_t count) {
  FlushDenormals mode;
  for (uint64_t i = 0; i < count; ++i) {
    const isa::Command *command = next();
    if (!command) {
      if (end)
        std::rethrow_exception(end);
      return i;
    }
    run(*command);
  }
  return count;
}

void Execution::seek(uint64_t position) {
  while (position > steps.size())
    if (!extend())
      throw std::out_of_range("seek: expected a position of at most " +
                              std::to_string(steps.size()) + ", got " +
                              std::to_string(position));
  if (position < done) {
    if (!history)
      throw std::out_of_range(
          "seek: expected a position of at least " + std::to_string(done) +
          " without a history, got " + std::to_string(position));
    while (true) {
      Checkpoint &newest = checkpoints.back();
      newest.journal.undo(machine.memory);
      done = newest.position;
      races = newest.races;
      if (done <= position)
        break;
      checkpoints.pop_back();
    }
    last = {};
  }
  seeking = true;
  try {
    step(position - done);
  } catch (...) {
    seeking = false;
    throw;
  }
  seeking = false;
}

Footprint Execution::footprint() {
  if (!next())
    throw std::out_of_range("footprint: expected a command that can run, got "
                            "the end of the commands");
  FlushDenormals mode;
  Journal journal;
  Footprint result;
  result.journal = &journal;
  const Step &step = steps[done];
  try {
    Context ctx(machine.memory, *machine.pool, *next(), &result);
    dispatch(ctx, *next());
  } catch (const DeviceFault &fault) {
    journal.undo(machine.memory);
    report(step.group, fault);
  }
  journal.undo(machine.memory);
  result.journal = nullptr;
  return result;
}

void Execution::beginCheckpoint() {
  checkpoints.push_back({done, races, {}});
  thin();
}

/// Forgets every second checkpoint as long as they take too much memory. The
/// first one stays, and what changed since then is kept once.
void Execution::thin() {
  auto bytes = [&] {
    uint64_t sum = 0;
    for (const Checkpoint &checkpoint : checkpoints)
      sum += checkpoint.journal.bytes();
    return sum;
  };
  while (checkpoints.size() > 2 && bytes() > history) {
    size_t kept = 0;
    for (size_t i = 0; i < checkpoints.size(); ++i) {
      if (i % 2 == 1 && i + 1 < checkpoints.size())
        checkpoints[kept - 1].journal.append(std::move(checkpoints[i].journal));
      else if (kept++ != i)
        checkpoints[kept - 1] = std::move(checkpoints[i]);
    }
    checkpoints.resize(kept);
    interval *= 2;
  }
}

} // namespace tpumlir::cmodel
