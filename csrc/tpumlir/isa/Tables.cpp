#include "tpumlir/isa/Operands.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace tpumlir::isa {
namespace {

//===----------------------------------------------------------------------===//
// Field tables
//===----------------------------------------------------------------------===//

/// A row of a .def file: the field and the struct member that holds it.
template <class T> struct Row {
  Field field;
  uint64_t T::*member;
};

/// The rows of one form, split into what is exported and what stays here.
template <class T, size_t N> struct FormTable {
  std::array<Field, N> fields;
  std::array<uint64_t T::*, N> members;

  static constexpr size_t kRows = N;

  constexpr unsigned bits() const {
    return fields.back().lsb + fields.back().width;
  }
};

template <class T, size_t N>
consteval FormTable<T, N> layOut(std::array<Row<T>, N> rows) {
  FormTable<T, N> table{};
  uint16_t lsb = 0;
  for (size_t i = 0; i < N; ++i) {
    table.fields[i] = rows[i].field;
    table.fields[i].lsb = lsb;
    table.members[i] = rows[i].member;
    lsb = uint16_t(lsb + rows[i].field.width);
  }
  return table;
}

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

/// The forms of one kind; specialised below.
template <class T> struct Forms;

#define FIELD(name, width, what) Row<T>{{#name, 0, width, what}, &T::name},
#define RESERVED(width) Row<T>{{"", 0, width, ""}, nullptr},

template <class T>
constexpr auto kTiuLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/tiu_long.def"
}));
template <class T>
constexpr auto kDmaTensorLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_tensor.def"
}));
template <class T>
constexpr auto kDmaGatherLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_gather.def"
}));

template <> struct Forms<Conv> {
  using T = Conv;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/conv.def"
  }));
};
template <> struct Forms<PorD> {
  using T = PorD;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/pord.def"
  }));
};
template <> struct Forms<Mm> {
  using T = Mm;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/mm.def"
  }));
};
template <> struct Forms<Mm2> {
  using T = Mm2;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/mm2.def"
  }));
};
template <> struct Forms<Ar> {
  using T = Ar;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/ar.def"
  }));
};
template <> struct Forms<RqDq> {
  using T = RqDq;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/rqdq.def"
  }));
};
template <> struct Forms<TransBc> {
  using T = TransBc;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/transbc.def"
  }));
};
template <> struct Forms<Sg> {
  using T = Sg;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/sg.def"
  }));
};
template <> struct Forms<Sgl> {
  using T = Sgl;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/sgl.def"
  }));
};
template <> struct Forms<Seg> {
  using T = Seg;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/seg.def"
  }));
};
template <> struct Forms<Sfu> {
  using T = Sfu;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/sfu.def"
  }));
};
template <> struct Forms<Lin> {
  using T = Lin;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/lin.def"
  }));
};
template <> struct Forms<Cmp> {
  using T = Cmp;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/cmp.def"
  }));
};
template <> struct Forms<Vc> {
  using T = Vc;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/vc.def"
  }));
};
template <> struct Forms<Lar> {
  using T = Lar;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/lar.def"
  }));
};
template <> struct Forms<Sys> {
  using T = Sys;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/sys.def"
  }));
};
template <> struct Forms<DmaTensor> {
  static constexpr auto kLong = kDmaTensorLong<DmaTensor>;
};
template <> struct Forms<DmaMatrix> {
  using T = DmaMatrix;
  static constexpr auto kLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_matrix.def"
  }));
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_matrix_short.def"
  }));
};
template <> struct Forms<DmaMaskedSelect> {
  using T = DmaMaskedSelect;
  static constexpr auto kLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_masked_select.def"
  }));
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_masked_select_short.def"
  }));
};
template <> struct Forms<DmaGeneral> {
  using T = DmaGeneral;
  static constexpr auto kLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_general.def"
  }));
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_general_short.def"
  }));
};
template <> struct Forms<DmaCwTranspose> {
  static constexpr auto kLong = kDmaTensorLong<DmaCwTranspose>;
};
template <> struct Forms<DmaNonzero> {
  using T = DmaNonzero;
  static constexpr auto kLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_nonzero.def"
  }));
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_nonzero_short.def"
  }));
};
template <> struct Forms<DmaGather> {
  static constexpr auto kLong = kDmaGatherLong<DmaGather>;
};
template <> struct Forms<DmaScatter> {
  static constexpr auto kLong = kDmaGatherLong<DmaScatter>;
};
template <> struct Forms<DmaSys> {
  using T = DmaSys;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_sys.def"
  }));
};
#undef FIELD
#undef RESERVED

template <class T>
concept HasLong = requires { Forms<T>::kLong; };
template <class T>
concept HasShort = requires { Forms<T>::kShort; };

constexpr unsigned kTiuLongBytes = 128;
constexpr unsigned kGdmaLongBytes = 96;

// The rows of every form fill its length.
#define TIU(kind, opcode, shortBytes, longName, shortName)                     \
  static_assert(wellFormed(Forms<kind>::kLong) &&                              \
                Forms<kind>::kLong.bits() == 8 * kTiuLongBytes);               \
  static_assert(wellFormed(Forms<kind>::kShort) &&                             \
                Forms<kind>::kShort.bits() == 8 * shortBytes);
#define GDMA(kind, opcode, shortBytes, longName, shortName)                    \
  static_assert(wellFormed(Forms<kind>::kLong) &&                              \
                Forms<kind>::kLong.bits() == 8 * kGdmaLongBytes);              \
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

//===----------------------------------------------------------------------===//
// Sub-operations
//===----------------------------------------------------------------------===//

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
  list.push_back({longName, Kind::kind, false, false, opcode, kTiuLongBytes,   \
                  Forms<kind>::kLong.fields, k##kind##Ops});
#define GDMA(kind, opcode, shortBytes, longName, shortName)                    \
  list.push_back({longName, Kind::kind, false, true, opcode, kGdmaLongBytes,   \
                  Forms<kind>::kLong.fields, k##kind##Ops});                   \
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

bool knows(std::span<const SubOp> ops, unsigned code) {
  return ops.empty() ||
         std::ranges::any_of(ops, [&](SubOp op) { return op.code == code; });
}

/// The members of the form that `command` names.
template <class T> std::span<uint64_t T::*const> membersOf(const T &command) {
  if constexpr (HasShort<T> && HasLong<T>) {
    if (command.cmd_short == 0)
      return Forms<T>::kLong.members;
    return Forms<T>::kShort.members;
  } else if constexpr (HasLong<T>) {
    return Forms<T>::kLong.members;
  } else {
    return Forms<T>::kShort.members;
  }
}

//===----------------------------------------------------------------------===//
// Bits
//===----------------------------------------------------------------------===//

uint64_t readBits(std::span<const uint8_t> bytes, unsigned lsb,
                  unsigned width) {
  uint64_t value = 0;
  for (unsigned done = 0; done < width;) {
    unsigned bit = (lsb + done) % 8;
    unsigned count = std::min(8 - bit, width - done);
    uint64_t part = (bytes[(lsb + done) / 8] >> bit) & ((1u << count) - 1);
    value |= part << done;
    done += count;
  }
  return value;
}

void writeBits(std::span<uint8_t> bytes, unsigned lsb, unsigned width,
               uint64_t value) {
  for (unsigned done = 0; done < width;) {
    unsigned bit = (lsb + done) % 8;
    unsigned count = std::min(8 - bit, width - done);
    uint64_t part = (value >> done) & ((1u << count) - 1);
    bytes[(lsb + done) / 8] |= uint8_t(part << bit);
    done += count;
  }
}

bool anyBit(std::span<const uint8_t> bytes, unsigned lsb, unsigned width) {
  for (unsigned i = lsb; i < lsb + width; ++i)
    if (bytes[i / 8] >> (i % 8) & 1)
      return true;
  return false;
}

std::string hex(uint64_t value) {
  char text[20];
  std::snprintf(text, sizeof text, "0x%llx", (unsigned long long)value);
  return text;
}

/// Which encoding stands at the start of `bytes` (at least 8 of them).
const InstructionInfo &identify(Engine engine, std::span<const uint8_t> bytes,
                                size_t offset) {
  bool tiu = engine == Engine::Tiu;
  unsigned opcode =
      unsigned(tiu ? readBits(bytes, 41, 4) : readBits(bytes, 32, 4));
  unsigned sub =
      unsigned(tiu ? readBits(bytes, 45, 5) : readBits(bytes, 36, 3));
  bool isShort = readBits(bytes, tiu ? 0 : 3, 1) != 0;
  bool opcodeKnown = false;
  bool subKnown = false;
  for (const InstructionInfo &info : instructions()) {
    if (engineOf(info.kind) != engine || info.opcode != opcode)
      continue;
    opcodeKnown = true;
    if (!knows(info.subOps, sub))
      continue;
    subKnown = true;
    bool oneForm = info.kind == Kind::Lar || info.kind == Kind::Sys;
    if (!oneForm && info.isShort != isShort)
      continue;
    // The index generators are 16 bytes in their short form, of which only
    // the length is known.
    if (info.kind == Kind::Ar && isShort &&
        (sub == unsigned(ArOp::EuIdxGen) || sub == unsigned(ArOp::NpuIdxGen)))
      throw DecodeError("expected an arithmetic command of known layout, got "
                        "the short form of sub-operation " +
                            std::to_string(sub),
                        offset);
    return info;
  }
  std::string where = std::string(name(engine)) + " command at byte " +
                      std::to_string(offset) + ": expected ";
  if (!opcodeKnown)
    throw DecodeError(where + "a known opcode, got " + std::to_string(opcode),
                      offset);
  if (!subKnown)
    throw DecodeError(where + "a known sub-operation of opcode " +
                          std::to_string(opcode) + ", got " +
                          std::to_string(sub),
                      offset);
  throw DecodeError(where + (isShort ? "the long form" : "the short form") +
                        " of opcode " + std::to_string(opcode) +
                        ", got the other",
                    offset);
}

template <class T>
void encodeInto(const T &command, const InstructionInfo &info,
                std::vector<uint8_t> &out) {
  auto members = membersOf(command);
  std::string prefix(info.name);
  auto fail = [&](const Field &field, uint64_t value, const std::string &rule) {
    std::string text = prefix + "." + std::string(field.name) + ": " + rule;
    throw EncodeError(text, std::string(field.name), value, field.width);
  };
  size_t start = out.size();
  out.resize(start + info.bytes);
  try {
    std::span<uint8_t> bytes(out.data() + start, info.bytes);
    // What the form cannot carry must be untouched.
    T carried{};
    for (size_t i = 0; i < members.size(); ++i) {
      const Field &field = info.fields[i];
      if (field.reserved())
        continue;
      uint64_t value = command.*members[i];
      carried.*members[i] = value;
      if (field.width < 64 && value >> field.width != 0)
        fail(field, value,
             "value " + std::to_string(value) + " needs more than " +
                 std::to_string(field.width) + " bits");
      if ((field.name == "tsk_typ" || field.name == "cmd_type") &&
          value != info.opcode)
        fail(field, value,
             "expected opcode " + std::to_string(info.opcode) + ", got " +
                 std::to_string(value));
      if ((field.name == "tsk_eu_typ" ||
           field.name == "cmd_special_function") &&
          !knows(info.subOps, unsigned(value)))
        fail(field, value,
             "expected a known sub-operation, got " + std::to_string(value));
      writeBits(bytes, field.lsb, field.width, value);
    }
    if constexpr (HasLong<T>) {
      const auto &all = Forms<T>::kLong;
      for (size_t i = 0; i < all.kRows; ++i)
        if (all.members[i] &&
            command.*all.members[i] != carried.*all.members[i]) {
          Field missing = all.fields[i];
          missing.width = 0;
          fail(missing, command.*all.members[i],
               "expected 0, since this form has no such field, got " +
                   std::to_string(command.*all.members[i]));
        }
    }
  } catch (...) {
    out.resize(start);
    throw;
  }
}

} // namespace

//===----------------------------------------------------------------------===//
// Queries
//===----------------------------------------------------------------------===//

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

//===----------------------------------------------------------------------===//
// Encoding and decoding
//===----------------------------------------------------------------------===//

void encode(const Command &command, std::vector<uint8_t> &out) {
  const InstructionInfo &info = infoOf(command);
  std::visit([&](const auto &c) { encodeInto(c, info, out); }, command);
}

Decoded decode(Engine engine, std::span<const uint8_t> stream, size_t offset) {
  std::string where = std::string(name(engine)) + " command at byte " +
                      std::to_string(offset) + ": ";
  // Opcode and sub-operation lie in the first 8 bytes of every form.
  size_t left = offset <= stream.size() ? stream.size() - offset : 0;
  if (left < 8)
    throw DecodeError(where + "expected at least 8 bytes, got " +
                          std::to_string(left),
                      offset);
  auto head = stream.subspan(offset);
  const InstructionInfo &info = identify(engine, head, offset);
  if (left < info.bytes)
    throw DecodeError(where + "expected " + std::to_string(info.bytes) +
                          " bytes for " + std::string(info.name) + ", got " +
                          std::to_string(left),
                      offset);
  Decoded result{makeCommand(info), offset, info.bytes};
  auto bytes = head.first(info.bytes);
  std::visit(
      [&](auto &c) {
        auto members = membersOf(c);
        for (size_t i = 0; i < members.size(); ++i) {
          const Field &field = info.fields[i];
          if (!field.reserved()) {
            c.*members[i] = readBits(bytes, field.lsb, field.width);
            continue;
          }
          if (anyBit(bytes, field.lsb, field.width))
            throw DecodeError(
                where + "expected reserved bits " + std::to_string(field.lsb) +
                    ".." + std::to_string(field.lsb + field.width - 1) +
                    " of " + std::string(info.name) + " to be 0, got a 1",
                offset);
        }
      },
      result.command);
  return result;
}

std::vector<Decoded> decodeStream(Engine engine,
                                  std::span<const uint8_t> stream) {
  std::vector<Decoded> commands;
  size_t offset = 0;
  while (offset < stream.size()) {
    commands.push_back(decode(engine, stream, offset));
    offset += commands.back().bytes;
    if (!isEnd(commands.back().command))
      continue;
    for (; offset < stream.size(); ++offset)
      if (stream[offset] != 0)
        throw DecodeError(std::string(name(engine)) +
                              " stream: expected zeros after the end command, "
                              "got " +
                              hex(stream[offset]) + " at byte " +
                              std::to_string(offset),
                          offset);
  }
  return commands;
}

std::string disassemble(const Command &command) {
  const InstructionInfo &info = infoOf(command);
  std::string text(info.name);
  text += ' ';
  text += opName(command);
  for (size_t i = 0; i < info.fields.size(); ++i) {
    const Field &field = info.fields[i];
    uint64_t value = getField(command, i);
    if (field.reserved() || value == 0 || field.name == "cmd_short" ||
        field.name == "tsk_typ" || field.name == "tsk_eu_typ" ||
        field.name == "cmd_type" || field.name == "cmd_special_function")
      continue;
    bool address = field.name.find("addr") != std::string_view::npos ||
                   field.name.find("mask") != std::string_view::npos ||
                   field.name == "constant_value";
    text += ' ';
    text += field.name;
    text += '=';
    text += address ? hex(value) : std::to_string(value);
  }
  return text;
}

} // namespace tpumlir::isa
