#pragma once

#include "tpumlir/isa/Operands.h"

#include <optional>

/// Legality: what the chip demands of a command and of a program, and what
/// the vendor's simulator does not check. Rules carry the numbers (L1..) of
/// docs/legality.md.
namespace tpumlir::isa {

/// A rule that a command breaks. Whoever knows the operation and the ONNX node
/// behind the command adds them.
struct Violation {
  Engine engine = Engine::Tiu;
  size_t index = 0; ///< position of the command in its stream
  uint64_t id = 0;  ///< its cmd_id
  std::string instruction;
  std::string op;
  std::string field;
  uint64_t value = 0;
  std::string expected;

  /// "tiu command 3 (id 4, sCONV conv.normal): res0_addr: expected a multiple
  /// of 64, got 0x1234".
  std::string message() const;
};

/// The parts of global memory that a program owns. GDMA may read both and
/// write only `ctx`; the runtime moves them to other addresses separately.
struct ProgramMemory {
  AddressRange coeff{}; ///< weights, may be empty
  AddressRange ctx{};   ///< activations, inputs and outputs
};

/// How many commands the streams of a group claim to have, ends included.
struct CommandCounts {
  std::optional<uint64_t> tiu{};
  std::optional<uint64_t> gdma{};
};

/// Who made a command, hence how strictly it is judged. Of foreign commands
/// only what the chip reads counts: what an instruction does not use may hold
/// anything, and the forms of docs/legality.md that only foreign files have are
/// taken. Our own commands keep the narrower form in which every field means
/// something.
enum class Maker { Own, Foreign };

/// Rules of one command by itself. `memory` adds those of the program's parts
/// of global memory. Never throws for a decoded command.
std::vector<Violation>
validate(const Command &command,
         const std::optional<ProgramMemory> &memory = std::nullopt,
         Maker maker = Maker::Own);

/// Bytes of global memory that an operand of a GDMA command reads or writes,
/// from the lowest to the highest; some between them may be left out.
struct GlobalAccess {
  std::string operand; ///< prefix of the fields that hold the address
  Role role;
  uint64_t addr;
  std::optional<uint64_t> bytes; ///< none: only the start is known
};

/// All of them of one command, none of a TIU command. Only of a command that
/// `validate` finds no fault with they are complete.
std::vector<GlobalAccess> globalAccesses(const Command &command);

/// Rules of a command group: every command by itself, ids that grow, an end
/// command in both streams, dependencies that come, the counts given.
std::vector<Violation>
validateGroup(std::span<const Decoded> tiu, std::span<const Decoded> gdma,
              const std::optional<ProgramMemory> &memory = std::nullopt,
              const CommandCounts &counts = {}, Maker maker = Maker::Own);

} // namespace tpumlir::isa
