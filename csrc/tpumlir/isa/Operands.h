#pragma once

#include "tpumlir/isa/Isa.h"

/// Which fields of an instruction are which operand: the rows of operands.def.
namespace tpumlir::isa {

/// What a command does with an operand, see operands.def.
enum class Role : uint8_t { Read, Write, Number, Unknown };

constexpr const char *name(Role role) {
  switch (role) {
  case Role::Read:
    return "read";
  case Role::Write:
    return "write";
  case Role::Number:
    return "number";
  case Role::Unknown:
    return "unknown";
  }
  return "?";
}

struct OperandRow {
  Kind kind;
  std::string_view operand; ///< prefix of its fields
  Role role;
};

inline constexpr OperandRow kOperands[] = {
#define OPERAND(kind, operand, role) {Kind::kind, #operand, Role::role},
#include "tpumlir/isa/operands.def"
};

/// The place of an operand in kOperands, or -1. (Not its address: under the
/// sanitizers GCC 12 does not take that for a constant.)
constexpr int findOperand(Kind kind, std::string_view operand) {
  int place = 0;
  for (const OperandRow &row : kOperands) {
    if (row.kind == kind && row.operand == operand)
      return place;
    ++place;
  }
  return -1;
}

/// Sizes or strides of a 4-D tensor, in elements.
struct Extents {
  uint64_t n, c, h, w;
};

/// A tensor in local memory, as a TIU command states it.
struct LocalOperand {
  const char *addrField;
  const char *layoutField;
  uint64_t addr;
  uint64_t layout;
  bool isConst; ///< `addr` is the constant itself
  Extents strides;
};

// res0(t), opd1(t) ...: the operand of a TIU instruction that has it.
#define TIU_OPERAND(prefix, layoutOf, constOf, stridesOf)                      \
  template <Kind K>                                                            \
  constexpr LocalOperand prefix(const TiuInstruction<K> &t) {                  \
    static_assert(findOperand(K, #prefix) >= 0,                                \
                  "operands.def has no such operand of this instruction");     \
    return {#prefix "_addr", #prefix "_str", t.prefix##_addr,                  \
            layoutOf,        constOf,        stridesOf};                       \
  }
#define STRIDES(prefix)                                                        \
  (Extents{t.prefix##_n_str, t.prefix##_c_str, t.prefix##_h_str,               \
           t.prefix##_w_str})
TIU_OPERAND(res0, t.res0_str, false, STRIDES(res0))
TIU_OPERAND(res1, 0, false, (Extents{}))
TIU_OPERAND(opd0, t.opd0_str, t.opd0_const != 0, STRIDES(opd0))
TIU_OPERAND(opd1, t.opd1_str, t.opd1_const != 0, STRIDES(opd1))
TIU_OPERAND(opd2, t.opd2_str, t.opd2_const != 0, STRIDES(opd2))
TIU_OPERAND(opd3, 0, t.opd3_const != 0, (Extents{}))
#undef STRIDES
#undef TIU_OPERAND

/// An operand as a GDMA command states it.
struct DmaOperand {
  const char *prefix;
  const char *addrField;
  uint64_t addr;
  Role role;
};

// source(t), destination(t), index(t), mask(t): likewise for GDMA.
#define DMA_OPERAND(function, prefix)                                          \
  template <class T> constexpr DmaOperand function(const T &t) {               \
    constexpr int row = findOperand(T::kKind, #prefix);                        \
    static_assert(row >= 0,                                                    \
                  "operands.def has no such operand of this instruction");     \
    return {#prefix, #prefix "_start_addr_l32",                                \
            dmaAddress(t.prefix##_start_addr_l32, t.prefix##_start_addr_h8),   \
            kOperands[row].role};                                              \
  }
DMA_OPERAND(source, src)
DMA_OPERAND(destination, dst)
DMA_OPERAND(index, index)
DMA_OPERAND(mask, mask)
#undef DMA_OPERAND

} // namespace tpumlir::isa
