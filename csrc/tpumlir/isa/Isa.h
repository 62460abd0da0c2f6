#pragma once

#include "tpumlir/isa/Chip.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

/// What an instruction *is*: its bits, its names, its text. The facts stand in
/// the .def files of this directory and nowhere else.
namespace tpumlir::isa {

enum class Engine : uint8_t { Tiu, Gdma };

constexpr const char *name(Engine engine) {
  return engine == Engine::Tiu ? "tiu" : "gdma";
}

enum class Kind : uint8_t {
#define TIU(kind, opcode, shortBytes, longName, shortName) kind,
#define GDMA(kind, opcode, shortBytes, longName, shortName) kind,
#define FIXED(kind, engine, opcode, bytes, name) kind,
#include "tpumlir/isa/instructions.def"
};

constexpr Engine engineOf(Kind kind) {
  return kind < Kind::DmaTensor ? Engine::Tiu : Engine::Gdma;
}

constexpr unsigned opcodeOf(Kind kind) {
  switch (kind) {
#define TIU(kind, opcode, shortBytes, longName, shortName)                     \
  case Kind::kind:                                                             \
    return opcode;
#define GDMA(kind, opcode, shortBytes, longName, shortName)                    \
  case Kind::kind:                                                             \
    return opcode;
#define FIXED(kind, engine, opcode, bytes, name)                               \
  case Kind::kind:                                                             \
    return opcode;
#include "tpumlir/isa/instructions.def"
  }
  return 0;
}

/// What a fresh struct of this kind holds: its opcode, the form that we emit
/// (TIU short, GDMA long), and the bit that makes a dependency count. All else
/// is 0.
consteval uint64_t fieldDefault(Kind kind, std::string_view field) {
  if (field == "tsk_typ" || field == "cmd_type")
    return opcodeOf(kind);
  if (field == "cmd_short")
    return engineOf(kind) == Engine::Tiu || kind == Kind::DmaSys;
  return field == "cmd_id_en";
}

#define FIELD(name, width, what) uint64_t name = fieldDefault(kKind, #name);
#define RESERVED(width)

/// A TIU instruction, decoded. Members are the rows of tiu_long.def; the short
/// form carries the part of them that its own .def lists, and encoding one
/// with another member set is an error. 64-bit members, so that a value too
/// wide is an error too and not cut off.
template <Kind K> struct TiuInstruction {
  static constexpr Kind kKind = K;
#include "tpumlir/isa/tiu_long.def"
  bool operator==(const TiuInstruction &) const = default;
};

/// A strided GDMA copy, decoded. Members are the rows of dma_tensor.def.
template <Kind K> struct DmaTensorInstruction {
  static constexpr Kind kKind = K;
#include "tpumlir/isa/dma_tensor.def"
  bool operator==(const DmaTensorInstruction &) const = default;
};

/// A GDMA row gather or scatter, decoded. Members are the rows of
/// dma_gather.def.
template <Kind K> struct DmaGatherInstruction {
  static constexpr Kind kKind = K;
#include "tpumlir/isa/dma_gather.def"
  bool operator==(const DmaGatherInstruction &) const = default;
};

using Conv = TiuInstruction<Kind::Conv>;
using PorD = TiuInstruction<Kind::PorD>;
using Mm = TiuInstruction<Kind::Mm>;
using Mm2 = TiuInstruction<Kind::Mm2>;
using Ar = TiuInstruction<Kind::Ar>;
using RqDq = TiuInstruction<Kind::RqDq>;
using TransBc = TiuInstruction<Kind::TransBc>;
using Sg = TiuInstruction<Kind::Sg>;
using Sgl = TiuInstruction<Kind::Sgl>;
using Seg = TiuInstruction<Kind::Seg>;
using Sfu = TiuInstruction<Kind::Sfu>;
using Lin = TiuInstruction<Kind::Lin>;
using Cmp = TiuInstruction<Kind::Cmp>;
using Vc = TiuInstruction<Kind::Vc>;
using DmaTensor = DmaTensorInstruction<Kind::DmaTensor>;
using DmaCwTranspose = DmaTensorInstruction<Kind::DmaCwTranspose>;
using DmaGather = DmaGatherInstruction<Kind::DmaGather>;
using DmaScatter = DmaGatherInstruction<Kind::DmaScatter>;

struct Lar {
  static constexpr Kind kKind = Kind::Lar;
#include "tpumlir/isa/lar.def"
  bool operator==(const Lar &) const = default;
};

struct Sys {
  static constexpr Kind kKind = Kind::Sys;
#include "tpumlir/isa/sys.def"
  bool operator==(const Sys &) const = default;
};

struct DmaMatrix {
  static constexpr Kind kKind = Kind::DmaMatrix;
#include "tpumlir/isa/dma_matrix.def"
  bool operator==(const DmaMatrix &) const = default;
};

struct DmaMaskedSelect {
  static constexpr Kind kKind = Kind::DmaMaskedSelect;
#include "tpumlir/isa/dma_masked_select.def"
  bool operator==(const DmaMaskedSelect &) const = default;
};

struct DmaGeneral {
  static constexpr Kind kKind = Kind::DmaGeneral;
#include "tpumlir/isa/dma_general.def"
  bool operator==(const DmaGeneral &) const = default;
};

struct DmaNonzero {
  static constexpr Kind kKind = Kind::DmaNonzero;
#include "tpumlir/isa/dma_nonzero.def"
  bool operator==(const DmaNonzero &) const = default;
};

struct DmaSys {
  static constexpr Kind kKind = Kind::DmaSys;
#include "tpumlir/isa/dma_sys.def"
  bool operator==(const DmaSys &) const = default;
};

#undef FIELD
#undef RESERVED

/// Any instruction. The alternatives stand in the order of Kind, so that
/// `index()` is the kind.
using Command =
    std::variant<Conv, PorD, Mm, Mm2, Ar, RqDq, TransBc, Sg, Sgl, Seg, Sfu, Lin,
                 Cmp, Vc, Lar, Sys, DmaTensor, DmaMatrix, DmaMaskedSelect,
                 DmaGeneral, DmaCwTranspose, DmaNonzero, DmaGather, DmaScatter,
                 DmaSys>;

inline constexpr size_t kKinds = std::variant_size_v<Command>;

static_assert(
    []<size_t... I>(std::index_sequence<I...>) {
      return ((std::variant_alternative_t<I, Command>::kKind == Kind(I)) &&
              ...);
    }(std::make_index_sequence<kKinds>()),
    "Command must list the kinds in the order of instructions.def");

inline Kind kindOf(const Command &command) { return Kind(command.index()); }
inline Engine engineOf(const Command &command) {
  return engineOf(kindOf(command));
}

// Sub-operations: ConvOp::Normal, ArOp::Add, ...
#define SUB_OP(name, code, text) name = code,
enum class ConvOp : uint8_t {
#define CONV_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class PorDOp : uint8_t {
#define PORD_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class MmOp : uint8_t {
#define MM_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class Mm2Op : uint8_t {
#define MM2_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class ArOp : uint8_t {
#define AR_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class RqDqOp : uint8_t {
#define RQDQ_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class TransBcOp : uint8_t {
#define TRANSBC_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class SgOp : uint8_t {
#define SG_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class SglOp : uint8_t {
#define SGL_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class SfuOp : uint8_t {
#define SFU_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class LinOp : uint8_t {
#define LIN_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class CmpOp : uint8_t {
#define CMP_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class VcOp : uint8_t {
#define VC_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class SysOp : uint8_t {
#define SYS_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class DmaTensorOp : uint8_t {
#define DMATENSOR_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class DmaMatrixOp : uint8_t {
#define DMAMATRIX_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class DmaGeneralOp : uint8_t {
#define DMAGENERAL_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
enum class DmaSysOp : uint8_t {
#define DMASYS_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
#undef SUB_OP

enum class PadMode : uint8_t {
#define PAD_MODE(name, code, text) name = code,
#include "tpumlir/isa/codes.def"
};

enum class Layout : uint8_t {
#define LAYOUT(name, code, text) name = code,
#include "tpumlir/isa/codes.def"
};

/// One bit field of a form. Reserved bits have an empty name.
struct Field {
  std::string_view name;
  uint16_t lsb;
  uint16_t width;
  std::string_view what;

  constexpr bool reserved() const { return name.empty(); }
};

/// A sub-operation: its code and its printed name ("arith.add").
struct SubOp {
  uint8_t code;
  std::string_view name;
};

/// One encoding: a kind in its long, short or only form.
struct InstructionInfo {
  std::string_view name; ///< "sCONV" short, "CONV" long
  Kind kind;
  bool isShort;
  bool emitted; ///< the form that the compiler writes
  uint8_t opcode;
  uint16_t bytes;
  std::span<const Field> fields; ///< lowest bit first, reserved ones included
  std::span<const SubOp> subOps; ///< empty: the sub-operation is not looked at
};

/// All encodings; long and short forms are separate entries.
std::span<const InstructionInfo> instructions();

/// The encoding with this name, or nullptr.
const InstructionInfo *findInstruction(std::string_view name);

/// The encoding that a command has (its kind and its cmd_short).
const InstructionInfo &infoOf(const Command &command);

/// A value that its field cannot hold, or a field that the form does not have.
class EncodeError : public std::runtime_error {
public:
  EncodeError(const std::string &message, std::string field, uint64_t value,
              unsigned width)
      : std::runtime_error(message), field(std::move(field)), value(value),
        width(width) {}
  std::string field;
  uint64_t value;
  unsigned width; ///< bits of the field; 0 if the form does not have it
};

/// Bytes that are no instruction.
class DecodeError : public std::runtime_error {
public:
  DecodeError(const std::string &message, size_t offset)
      : std::runtime_error(message), offset(offset) {}
  size_t offset; ///< of the command, in bytes from the start of the stream
};

/// Appends the bytes of a command, in the form that its cmd_short names.
/// Throws EncodeError.
void encode(const Command &command, std::vector<uint8_t> &out);

/// A command and where it was found.
struct Decoded {
  Command command;
  size_t offset; ///< bytes from the start of the stream
  size_t bytes;  ///< encoded length
};

/// The command at `offset` of a stream. Throws DecodeError for an unknown
/// opcode or sub-operation, a set reserved bit or a stream that ends early.
Decoded decode(Engine engine, std::span<const uint8_t> stream,
               size_t offset = 0);

/// All commands of a stream. After the end command only zeros may follow.
/// Throws DecodeError.
std::vector<Decoded> decodeStream(Engine engine,
                                  std::span<const uint8_t> stream);

/// Value of a field by its position in infoOf(command).fields; 0 if reserved.
uint64_t getField(const Command &command, size_t index);

/// Sets a field by its position in infoOf(command).fields.
void setField(Command &command, size_t index, uint64_t value);

/// A fresh command of an encoding, with every field at its default.
Command makeCommand(const InstructionInfo &info);

/// Sub-operation code of a command.
unsigned subOpOf(const Command &command);

/// Printed name of the sub-operation ("arith.add"), or the kind's long name if
/// the sub-operations are not known.
std::string_view opName(const Command &command);

inline uint64_t idOf(const Command &command) {
  return std::visit(
      [](const auto &c) -> uint64_t {
        if constexpr (requires { c.cmd_id; })
          return c.cmd_id;
        else
          return 0;
      },
      command);
}

/// The field cmd_id_dep of a command, 0 if it has none.
inline uint64_t dependencyOf(const Command &command) {
  return std::visit(
      [](const auto &c) -> uint64_t {
        if constexpr (requires { c.cmd_id_dep; })
          return c.cmd_id_dep;
        else
          return 0;
      },
      command);
}

/// Id of the other engine's command that this one waits for; 0 for none.
/// Without bit 0 of cmd_id_en the chip does not look at cmd_id_dep (H12).
inline uint64_t waitsFor(const Command &command) {
  bool enabled = std::visit(
      [](const auto &c) {
        if constexpr (requires { c.cmd_id_en; })
          return (c.cmd_id_en & 1) != 0;
        else
          return false;
      },
      command);
  return enabled ? dependencyOf(command) : 0;
}

/// True for sys.end and dma.sys, which close a stream.
bool isEnd(const Command &command);

/// Address of a GDMA operand, out of its low word and its high byte.
constexpr uint64_t dmaAddress(uint64_t low32, uint64_t high8) {
  return high8 << 32 | low32;
}

/// One line: name, id, dependency, then every field that is not 0.
std::string disassemble(const Command &command);

} // namespace tpumlir::isa
