#include "tpumlir/cmodel/Machine.h"

#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Execution.h"

#include <algorithm>
#include <limits>
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

} // namespace

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
  Execution execution(*this, groups, options);
  execution.step(std::numeric_limits<uint64_t>::max());
  return execution.statistics();
}

} // namespace tpumlir::cmodel
