#pragma once

#include "tpumlir/isa/Validate.h"

#include <initializer_list>

/// Shared by the files of the validator; not for others.
namespace tpumlir::isa::detail {

/// The largest extent that a field of 16 bits holds.
inline constexpr uint64_t kMaxSize = 65535;

/// a * b + c, held at the largest value instead of wrapping.
constexpr uint64_t mulAdd(uint64_t a, uint64_t b, uint64_t c) {
  uint64_t product = 0;
  uint64_t sum = 0;
  if (__builtin_mul_overflow(a, b, &product) ||
      __builtin_add_overflow(product, c, &sum))
    return ~uint64_t(0);
  return sum;
}

constexpr uint64_t divUp(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

std::string hex(uint64_t value);

/// Collects the violations of one command.
class Checker {
public:
  Checker(const Command &command, const std::optional<ProgramMemory> &memory,
          Maker maker = Maker::Own)
      : command(command), memory(memory), maker(maker) {}

  /// A rule of the narrower form that only our own commands keep stands behind
  /// this.
  bool own() const { return maker == Maker::Own; }

  void add(std::string field, uint64_t value, std::string expected);

  /// Adds a violation unless `ok`; true if `ok`.
  bool require(bool ok, const char *field, uint64_t value,
               const char *expected) {
    if (!ok)
      add(field, value, expected);
    return ok;
  }

  bool between(const char *field, uint64_t value, uint64_t low, uint64_t high);

  /// A dtype code out of a list; the violation prints its names.
  bool oneOf(const char *field, uint64_t code,
             std::initializer_list<DType> allowed);

  /// A known dtype of whole bytes; sets `type`.
  bool dtype(const char *field, uint64_t code, DType &type);

  /// A tensor in local memory. `strides` are those of one lane (c: to the next
  /// row of channels). Checks alignment, end of lane, end of memory; an
  /// address inside memory comes back as its start lane.
  std::optional<unsigned> local(const LocalOperand &operand,
                                uint64_t elementBytes, Extents sizes,
                                Extents strides, uint64_t align);

  /// The same for the aligned (64-byte rows) and the compact layout.
  std::optional<unsigned> localAligned(const LocalOperand &operand, DType type,
                                       Extents sizes);
  std::optional<unsigned> localCompact(const LocalOperand &operand, DType type,
                                       Extents sizes);

  /// Only that the address lies in local memory, with an alignment.
  std::optional<unsigned> localStart(const LocalOperand &operand,
                                     uint64_t align);

  /// `lane` of the operand equals `want`, where both are known.
  void sameLane(const LocalOperand &operand, std::optional<unsigned> lane,
                std::optional<unsigned> want);

  std::vector<Violation> take() { return std::move(found); }

  const Command &command;
  const std::optional<ProgramMemory> &memory;
  const Maker maker;
  std::vector<GlobalAccess> accesses; ///< in the order of the operands' checks

private:
  std::vector<Violation> found;
};

void checkTiu(Checker &checker);
void checkGdma(Checker &checker);

} // namespace tpumlir::isa::detail
