#include "tpumlir/isa/Forms.h"
#include "tpumlir/isa/Operands.h"

namespace tpumlir::isa {
namespace {

using forms::Forms;
using forms::HasShort;
using forms::membersOf;

/// No field wider than a member, no name twice.
template <class Table> consteval bool wellFormed(const Table &table) {
  for (size_t i = 0; i < Table::kRows; ++i) {
    if (table.fields[i].width == 0 ||
        (table.members[i] && table.fields[i].width > 64))
      return false;
    for (size_t j = 0; j < i; ++j)
      if (table.members[i] && table.members[i] == table.members[j])
        return false;
  }
  return true;
}

// The rows of every form fill its length.
#define TIU(kind, opcode, shortBytes, longName, shortName)                     \
  static_assert(wellFormed(Forms<kind>::kLong) &&                              \
                Forms<kind>::kLong.bits() == 8 * forms::kTiuLongBytes);        \
  static_assert(wellFormed(Forms<kind>::kShort) &&                             \
                Forms<kind>::kShort.bits() == 8 * shortBytes);
#define GDMA(kind, opcode, shortBytes, longName, shortName)                    \
  static_assert(wellFormed(Forms<kind>::kLong) &&                              \
                Forms<kind>::kLong.bits() == 8 * forms::kGdmaLongBytes);       \
  static_assert([]<class T>(T *) {                                             \
    if constexpr (HasShort<T>)                                                 \
      return wellFormed(Forms<T>::kShort) &&                                   \
             Forms<T>::kShort.bits() == 8 * shortBytes;                        \
    else                                                                       \
      return shortBytes == 0;                                                  \
  }(static_cast<kind *>(nullptr)));
#define FIXED(kind, engine, opcode, bytes, name)                               \
  static_assert(wellFormed(Forms<kind>::kShort) &&                             \
                Forms<kind>::kShort.bits() == 8 * bytes);
#include "tpumlir/isa/instructions.def"

/// The operand that an address field belongs to; empty for other fields.
constexpr std::string_view operandOfField(std::string_view field) {
  for (std::string_view end : {"_start_addr_l32", "_addr"})
    if (field.ends_with(end))
      return field.substr(0, field.size() - end.size());
  return {};
}

/// Each address field of the form has a row in operands.def, and each row of
/// the kind an address field. Long TIU forms list the fields of all kinds.
template <class T> consteval bool operandsCovered() {
  constexpr const auto &form = []() -> const auto & {
    if constexpr (HasShort<T>)
      return Forms<T>::kShort;
    else
      return Forms<T>::kLong;
  }();
  size_t fields = 0, rows = 0;
  for (const Field &field : form.fields) {
    std::string_view operand = operandOfField(field.name);
    if (operand.empty())
      continue;
    ++fields;
    if (findOperand(T::kKind, operand) < 0)
      return false;
  }
  for (const OperandRow &row : kOperands)
    rows += row.kind == T::kKind;
  return fields == rows; // findOperand finds a row once
}
#define TIU(kind, opcode, shortBytes, longName, shortName)                     \
  static_assert(operandsCovered<kind>(), #kind);
#define GDMA(kind, opcode, shortBytes, longName, shortName)                    \
  static_assert(operandsCovered<kind>(), #kind);
#define FIXED(kind, engine, opcode, bytes, name)                               \
  static_assert(operandsCovered<kind>(), #kind);
#include "tpumlir/isa/instructions.def"

#define SUB_OP(name, code, text) SubOp{code, text},
constexpr SubOp kConvOps[] = {
#define CONV_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kPorDOps[] = {
#define PORD_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kMmOps[] = {
#define MM_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kMm2Ops[] = {
#define MM2_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kArOps[] = {
#define AR_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kRqDqOps[] = {
#define RQDQ_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kTransBcOps[] = {
#define TRANSBC_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kSgOps[] = {
#define SG_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kSglOps[] = {
#define SGL_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kSfuOps[] = {
#define SFU_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kLinOps[] = {
#define LIN_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kCmpOps[] = {
#define CMP_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kVcOps[] = {
#define VC_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kSysOps[] = {
#define SYS_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kDmaTensorOps[] = {
#define DMATENSOR_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kDmaMatrixOps[] = {
#define DMAMATRIX_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kDmaMaskedSelectOps[] = {
#define DMAMASKEDSELECT_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kDmaGeneralOps[] = {
#define DMAGENERAL_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kDmaCwTransposeOps[] = {
#define DMACWTRANSPOSE_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kDmaNonzeroOps[] = {
#define DMANONZERO_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kDmaGatherOps[] = {
#define DMAGATHER_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kDmaScatterOps[] = {
#define DMASCATTER_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
constexpr SubOp kDmaSysOps[] = {
#define DMASYS_OP SUB_OP
#include "tpumlir/isa/ops.def"
};
#undef SUB_OP
// Their sub-operations are not documented.
constexpr std::span<const SubOp> kLarOps{};
constexpr std::span<const SubOp> kSegOps{};

template <class T> std::span<const Field> shortFields() {
  if constexpr (HasShort<T>)
    return Forms<T>::kShort.fields;
  else
    return {};
}

std::vector<InstructionInfo> buildInstructions() {
  std::vector<InstructionInfo> list;
#define TIU(kind, opcode, shortBytes, longName, shortName)                     \
  list.push_back({shortName, Kind::kind, true, true, opcode, shortBytes,       \
                  Forms<kind>::kShort.fields, k##kind##Ops});                  \
  list.push_back({longName, Kind::kind, false, false, opcode,                  \
                  forms::kTiuLongBytes, Forms<kind>::kLong.fields,             \
                  k##kind##Ops});
#define GDMA(kind, opcode, shortBytes, longName, shortName)                    \
  list.push_back({longName, Kind::kind, false, true, opcode,                   \
                  forms::kGdmaLongBytes, Forms<kind>::kLong.fields,            \
                  k##kind##Ops});                                              \
  if (shortBytes != 0)                                                         \
    list.push_back({shortName, Kind::kind, true, false, opcode, shortBytes,    \
                    shortFields<kind>(), k##kind##Ops});
#define FIXED(kind, engine, opcode, bytes, name)                               \
  list.push_back({name, Kind::kind, true, true, opcode, bytes,                 \
                  Forms<kind>::kShort.fields, k##kind##Ops});
#include "tpumlir/isa/instructions.def"
  // The runtime cannot load these two (L13).
  for (InstructionInfo &info : list)
    if (info.kind == Kind::Lar || info.kind == Kind::Seg)
      info.emitted = false;
  return list;
}

} // namespace

std::span<const InstructionInfo> instructions() {
  static const std::vector<InstructionInfo> list = buildInstructions();
  return list;
}

const InstructionInfo *findInstruction(std::string_view name) {
  for (const InstructionInfo &info : instructions())
    if (info.name == name)
      return &info;
  return nullptr;
}

const InstructionInfo &infoOf(const Command &command) {
  // [kind][is short]; a kind with one form has it in both places.
  static const auto table = [] {
    std::array<std::array<const InstructionInfo *, 2>, kKinds> t{};
    for (const InstructionInfo &info : instructions())
      t[size_t(info.kind)][info.isShort] = &info;
    for (auto &forms : t) {
      if (!forms[0])
        forms[0] = forms[1];
      if (!forms[1])
        forms[1] = forms[0];
    }
    return t;
  }();
  bool isShort = std::visit(
      [](const auto &c) {
        if constexpr (requires { c.cmd_short; })
          return c.cmd_short != 0;
        else
          return true;
      },
      command);
  return *table[command.index()][isShort];
}

uint64_t getField(const Command &command, size_t index) {
  return std::visit(
      [&](const auto &c) -> uint64_t {
        auto member = membersOf(c)[index];
        return member ? c.*member : 0;
      },
      command);
}

void setField(Command &command, size_t index, uint64_t value) {
  std::visit(
      [&](auto &c) {
        if (auto member = membersOf(c)[index])
          c.*member = value;
      },
      command);
}

Command makeCommand(const InstructionInfo &info) {
  Command command;
  [&]<size_t... I>(std::index_sequence<I...>) {
    ((size_t(info.kind) == I ? void(command.emplace<I>()) : void()), ...);
  }(std::make_index_sequence<kKinds>());
  std::visit(
      [&](auto &c) {
        if constexpr (requires { c.cmd_short; })
          c.cmd_short = info.isShort;
      },
      command);
  return command;
}

unsigned subOpOf(const Command &command) {
  return std::visit(
      [](const auto &c) -> unsigned {
        if constexpr (requires { c.tsk_eu_typ; })
          return unsigned(c.tsk_eu_typ);
        else
          return unsigned(c.cmd_special_function);
      },
      command);
}

std::string_view opName(const Command &command) {
  const InstructionInfo &info = infoOf(command);
  unsigned code = subOpOf(command);
  for (SubOp op : info.subOps)
    if (op.code == code)
      return op.name;
  return info.name;
}

bool isEnd(const Command &command) {
  if (const auto *sys = std::get_if<Sys>(&command))
    return sys->tsk_eu_typ == unsigned(SysOp::End);
  if (const auto *sys = std::get_if<DmaSys>(&command))
    return sys->cmd_special_function == unsigned(DmaSysOp::End);
  return false;
}

} // namespace tpumlir::isa
