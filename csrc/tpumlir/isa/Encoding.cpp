#include "tpumlir/isa/Forms.h"

#include <algorithm>
#include <cstdio>

namespace tpumlir::isa {
namespace {

using forms::Forms;
using forms::HasLong;
using forms::membersOf;

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

bool knows(std::span<const SubOp> ops, unsigned code) {
  return ops.empty() ||
         std::ranges::any_of(ops, [&](SubOp op) { return op.code == code; });
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
