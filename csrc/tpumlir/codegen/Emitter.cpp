#include "tpumlir/codegen/Emitter.h"

#include "tpumlir/isa/Cycles.h"
#include "tpumlir/isa/Validate.h"

#include "mlir/IR/Diagnostics.h"

#include <bit>

using namespace mlir;

namespace tpumlir::codegen {

using isa::DType;
using isa::Engine;

/// Ids have 20 bits; a segment ends well before that.
static constexpr uint64_t kMaxId = (1u << 20) - 64;

uint32_t bitsOf(double number, DType type) {
  switch (type) {
  case DType::F32:
    return std::bit_cast<uint32_t>(float(number));
  case DType::F16:
    return support::f32ToF16(float(number));
  case DType::BF16:
    return support::f32ToBf16(float(number));
  default:
    return uint32_t(int32_t(number));
  }
}

//===----------------------------------------------------------------------===//
// Numbering, dependencies, errors
//===----------------------------------------------------------------------===//

void Emitter::error(const std::string &message) {
  hasFailed = true;
  if (op && mode != Mode::Price)
    op->emitError(message);
}

/// The newest command of the other engine that `accesses` must come after.
uint64_t Emitter::dependency(Engine engine, const Accesses &accesses) {
  EngineState &self = engines[size_t(engine)];
  EngineState &other = engines[1 - size_t(engine)];
  for (const Access &past : llvm::reverse(other.recent)) {
    bool conflict = llvm::any_of(accesses, [&](const Access &now) {
      return (past.write || now.write) && past.begin < now.end &&
             now.begin < past.end;
    });
    if (!conflict)
      continue;
    // A copy: `past` is one of those that are moved.
    const uint64_t id = past.id;
    self.synced = id;
    // Whatever came before that has ended too.
    llvm::erase_if(other.recent, [&](const Access &a) { return a.id <= id; });
    break;
  }
  return self.synced;
}

void Emitter::startSegment() {
  segments.emplace_back();
  engines[0] = engines[1] = {};
}

void Emitter::note(Engine engine, uint64_t id) {
  origins.push_back({engine, segments.size() - 1, id, op});
}

void Emitter::push(isa::Command command, const Accesses &accesses) {
  if (hasFailed || mode == Mode::Nothing)
    return;
  if (segments.empty() || engines[0].nextId >= kMaxId ||
      engines[1].nextId >= kMaxId) {
    if (!segments.empty())
      finish();
    startSegment();
  }
  const Engine engine = isa::engineOf(command);
  EngineState &self = engines[size_t(engine)];
  const uint64_t awaited =
      mode == Mode::Check ? 0 : dependency(engine, accesses);
  const uint64_t id = self.nextId++;
  std::visit(
      [&](auto &t) {
        if constexpr (requires { t.cmd_id_dep; }) {
          t.cmd_id = id;
          t.cmd_id_dep = awaited;
        } else {
          llvm_unreachable("LAR and SEG are not emitted");
        }
      },
      command);
  if (mode != Mode::Check)
    for (Access access : accesses) {
      access.id = id;
      self.recent.push_back(access);
    }

  for (const isa::Violation &violation : isa::validate(command))
    error("illegal command " + std::string(isa::name(engine)) + " " +
          std::to_string(id) + ", " + violation.message());
  if (mode == Mode::Price) {
    const EngineState &other = engines[1 - size_t(engine)];
    self.free =
        std::max(self.free, other.ends[awaited]) + isa::costOf(command).cycles;
    self.ends.push_back(self.free);
    return;
  }
  CommandSegment &segment = segments.back();
  forgotten.clear();
  try {
    isa::encode(command, mode == Mode::Check     ? forgotten
                         : engine == Engine::Tiu ? segment.tiu
                                                 : segment.gdma);
  } catch (const isa::EncodeError &e) {
    error(std::string(isa::opName(command)) + ": " + e.what());
  }
  if (mode == Mode::Check)
    return;
  (engine == Engine::Tiu ? segment.tiuCount : segment.gdmaCount)++;
  note(engine, id);
}

void Emitter::finish() {
  if (segments.empty())
    startSegment();
  CommandSegment &segment = segments.back();
  isa::Sys tiuEnd;
  tiuEnd.tsk_eu_typ = uint64_t(isa::SysOp::End);
  tiuEnd.cmd_id = engines[0].nextId;
  isa::encode(tiuEnd, segment.tiu);
  ++segment.tiuCount;
  isa::DmaSys gdmaEnd;
  gdmaEnd.cmd_id = engines[1].nextId;
  isa::encode(gdmaEnd, segment.gdma);
  ++segment.gdmaCount;
}

} // namespace tpumlir::codegen
