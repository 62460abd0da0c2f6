#include "tpumlir/isa/Validate.h"

#include "tpumlir/isa/Checker.h"

#include <cstdio>

namespace tpumlir::isa {
namespace detail {

std::string hex(uint64_t value) {
  char text[20];
  std::snprintf(text, sizeof text, "0x%llx", (unsigned long long)value);
  return text;
}

void Checker::add(std::string field, uint64_t value, std::string expected) {
  Violation violation;
  violation.engine = engineOf(command);
  violation.id = idOf(command);
  violation.instruction = infoOf(command).name;
  violation.op = opName(command);
  violation.field = std::move(field);
  violation.value = value;
  violation.expected = std::move(expected);
  found.push_back(std::move(violation));
}

bool Checker::between(const char *field, uint64_t value, uint64_t low,
                      uint64_t high) {
  if (value >= low && value <= high)
    return true;
  add(field, value, std::to_string(low) + ".." + std::to_string(high));
  return false;
}

bool Checker::oneOf(const char *field, uint64_t code,
                    std::initializer_list<DType> allowed) {
  std::string names;
  for (DType type : allowed) {
    if (code == uint64_t(type))
      return true;
    names += names.empty() ? "" : ", ";
    names += name(type);
    names += " (" + std::to_string(int(type)) + ")";
  }
  add(field, code, "one of " + names);
  return false;
}

bool Checker::dtype(const char *field, uint64_t code, DType &type) {
  type = DType(code);
  return oneOf(
      field, code,
      {DType::I8, DType::F16, DType::F32, DType::I16, DType::I32, DType::BF16});
}

std::optional<unsigned> Checker::localStart(const LocalOperand &operand,
                                            uint64_t align) {
  const auto [field, addr] = std::pair(operand.addrField, operand.addr);
  if (addr >= kLocalBytes) { // (L3)
    add(field, addr, "an address below " + hex(kLocalBytes));
    return std::nullopt;
  }
  if (addr % align != 0) // (L1)
    add(field, addr, "a multiple of " + std::to_string(align));
  return unsigned(addr / kLaneBytes);
}

std::optional<unsigned> Checker::local(const LocalOperand &operand,
                                       uint64_t elementBytes, Extents sizes,
                                       Extents strides, uint64_t align) {
  std::optional<unsigned> lane = localStart(operand, align);
  if (!lane || sizes.n == 0 || sizes.c == 0 || sizes.h == 0 || sizes.w == 0)
    return lane;
  uint64_t rows = (*lane + sizes.c - 1) / kLanes;
  uint64_t last = mulAdd(sizes.n - 1, strides.n, 0);
  last = mulAdd(rows, strides.c, last);
  last = mulAdd(sizes.h - 1, strides.h, last);
  last = mulAdd(sizes.w - 1, strides.w, last);
  uint64_t end =
      mulAdd(last, elementBytes, operand.addr % kLaneBytes + elementBytes);
  if (end > kLaneBytes) // (L3)
    add(operand.addrField, operand.addr,
        "a tensor that ends inside its lanes (" + std::to_string(kLaneBytes) +
            " bytes); this one ends at lane byte " + std::to_string(end));
  return lane;
}

std::optional<unsigned> Checker::localAligned(const LocalOperand &operand,
                                              DType type, Extents sizes) {
  uint64_t eu = euWidth(type);
  uint64_t row = divUp(sizes.h * sizes.w, eu) * eu;
  uint64_t rows =
      (operand.addr / kLaneBytes % kLanes + sizes.c - 1) / kLanes + 1;
  return local(operand, bytes(type), sizes, {row * rows, row, sizes.w, 1},
               kEuBytes);
}

std::optional<unsigned> Checker::localCompact(const LocalOperand &operand,
                                              DType type, Extents sizes) {
  uint64_t row = sizes.h * sizes.w;
  uint64_t rows =
      (operand.addr / kLaneBytes % kLanes + sizes.c - 1) / kLanes + 1;
  return local(operand, bytes(type), sizes, {row * rows, row, sizes.w, 1},
               bytes(type));
}

void Checker::sameLane(const LocalOperand &operand,
                       std::optional<unsigned> lane,
                       std::optional<unsigned> want) {
  if (lane && want && *lane != *want) // (L2)
    add(operand.addrField, operand.addr,
        "the start lane of the result (" + std::to_string(*want) +
            "); this is in lane " + std::to_string(*lane));
}

} // namespace detail

namespace {

bool printsAsHex(std::string_view field) {
  return field.find("addr") != std::string_view::npos ||
         field.find("mask") != std::string_view::npos;
}

/// A command of one engine as the program-wide rules see it.
class Stream {
public:
  explicit Stream(std::span<const Decoded> commands) : commands(commands) {}

  bool done() const { return next == commands.size(); }
  const Command &head() const { return commands[next].command; }
  /// Lets commands end while their dependency has; true if any did.
  bool advance(uint64_t otherFinished) {
    size_t before = next;
    while (!done() && waitsFor(head()) <= otherFinished) {
      finished = std::max(finished, idOf(head()));
      ++next;
    }
    return next != before;
  }

  std::span<const Decoded> commands;
  size_t next = 0;
  uint64_t finished = 0; ///< largest id that has ended
};

void addTo(std::vector<Violation> &all, const Command &command, size_t index,
           std::string field, uint64_t value, std::string expected) {
  detail::Checker checker(command, std::nullopt);
  checker.add(std::move(field), value, std::move(expected));
  for (Violation &violation : checker.take()) {
    violation.index = index;
    all.push_back(std::move(violation));
  }
}

void checkCount(Engine engine, size_t have, std::optional<uint64_t> want,
                std::vector<Violation> &all) {
  if (!want || *want == have)
    return;
  Violation violation;
  violation.engine = engine;
  violation.field = "commands";
  violation.value = have;
  violation.expected = std::to_string(*want) + " commands";
  all.push_back(std::move(violation));
}

void checkStream(Engine engine, std::span<const Decoded> commands,
                 const std::optional<ProgramMemory> &memory, Maker maker,
                 std::vector<Violation> &all) {
  const char *idField = "cmd_id";
  uint64_t previous = 0;
  for (size_t i = 0; i < commands.size(); ++i) {
    const Command &command = commands[i].command;
    for (Violation &violation : validate(command, memory, maker)) {
      violation.index = i;
      all.push_back(std::move(violation));
    }
    if (engineOf(command) != engine)
      addTo(all, command, i, "engine", uint64_t(engineOf(command)),
            std::string("a command of ") + name(engine));
    uint64_t id = idOf(command);
    if (id <= previous) // (L8)
      addTo(all, command, i, idField, id,
            "an id above that of the command before (" +
                std::to_string(previous) + ")");
    previous = std::max(previous, id);
    bool last = i + 1 == commands.size();
    if (isEnd(command) && !last) // (L9)
      addTo(all, command, i, "opcode", opcodeOf(kindOf(command)),
            "no end command before the last place");
    if (last && !isEnd(command)) // (L9)
      addTo(all, command, i, "opcode", opcodeOf(kindOf(command)),
            engine == Engine::Tiu ? "sys.end as the last command"
                                  : "dma.sys as the last command");
  }
  if (!commands.empty())
    return;
  Violation violation;
  violation.engine = engine;
  violation.expected = engine == Engine::Tiu ? "sys.end as the last command"
                                             : "dma.sys as the last command";
  all.push_back(std::move(violation));
}

} // namespace

std::string Violation::message() const {
  std::string text = name(engine);
  if (instruction.empty()) {
    // About the stream as a whole: its field, if any, is a count.
    text += " stream: expected ";
    text += expected;
    text += ", got ";
    return text + (field.empty() ? "none" : std::to_string(value));
  }
  text += " command " + std::to_string(index) + " (id " + std::to_string(id);
  text += ", ";
  text += instruction;
  if (op != instruction) {
    text += ' ';
    text += op;
  }
  text += "): ";
  text += field;
  text += ": expected ";
  text += expected;
  text += ", got ";
  text += printsAsHex(field) ? detail::hex(value) : std::to_string(value);
  return text;
}

std::vector<Violation> validate(const Command &command,
                                const std::optional<ProgramMemory> &memory,
                                Maker maker) {
  detail::Checker checker(command, memory, maker);
  if (engineOf(command) == Engine::Tiu)
    detail::checkTiu(checker);
  else
    detail::checkGdma(checker);
  return checker.take();
}

std::vector<GlobalAccess> globalAccesses(const Command &command) {
  const std::optional<ProgramMemory> anywhere;
  detail::Checker checker(command, anywhere, Maker::Foreign);
  if (engineOf(command) == Engine::Gdma)
    detail::checkGdma(checker);
  return std::move(checker.accesses);
}

std::vector<Violation> validateGroup(std::span<const Decoded> tiu,
                                     std::span<const Decoded> gdma,
                                     const std::optional<ProgramMemory> &memory,
                                     const CommandCounts &counts, Maker maker) {
  std::vector<Violation> all;
  checkCount(Engine::Tiu, tiu.size(), counts.tiu, all);
  checkCount(Engine::Gdma, gdma.size(), counts.gdma, all);
  checkStream(Engine::Tiu, tiu, memory, maker, all);
  checkStream(Engine::Gdma, gdma, memory, maker, all);

  // (L10) Run both engines by their dependencies alone: where neither can go
  // on, the head of each waits for ever.
  Stream first(tiu);
  Stream second(gdma);
  bool moved = true;
  while (moved) {
    moved = first.advance(second.finished);
    moved |= second.advance(first.finished);
  }
  for (const Stream *stream : {&first, &second})
    if (!stream->done())
      addTo(
          all, stream->head(), stream->next, "cmd_id_dep",
          waitsFor(stream->head()),
          std::string("an id that the other engine reaches (it stops after ") +
              std::to_string(stream == &first ? second.finished
                                              : first.finished) +
              ")");
  return all;
}

} // namespace tpumlir::isa
