#pragma once

#include <cstdint>

/// The numbers of the BM1684X: lanes, local memory, address map. Source and
/// evidence of each: docs/hardware.md.
namespace tpumlir::isa {

enum class DType : uint8_t {
#define DTYPE(name, code, text, bits) name = code,
#include "tpumlir/isa/codes.def"
};

inline constexpr unsigned kLanes = 64;
inline constexpr uint64_t kLaneBytes = 0x40000;
inline constexpr unsigned kBanks = 16;
inline constexpr uint64_t kBankBytes = kLaneBytes / kBanks;
inline constexpr uint64_t kLocalBytes = kLaneBytes * kLanes;
/// Width of the execution units of a lane; also the alignment of a tensor in
/// local memory.
inline constexpr uint64_t kEuBytes = 64;

/// Half-open byte range of an address map.
struct AddressRange {
  uint64_t begin;
  uint64_t end;

  constexpr bool contains(uint64_t addr, uint64_t bytes = 1) const {
    return addr >= begin && addr < end && bytes <= end - addr;
  }
  constexpr uint64_t size() const { return end - begin; }
};

/// The gather of four elements at a time reads them from four copies of its
/// table, each so far behind the one before. Indices, result and the first copy
/// have parts of a lane of their own, which they do not fill to the end (L15).
inline constexpr unsigned kGatherCopies = 4;
inline constexpr uint64_t kGatherCopyBytes = 2 * kBankBytes;
inline constexpr AddressRange kGatherIndices{0, 4 * kBankBytes};
inline constexpr AddressRange kGatherResult{4 * kBankBytes, 8 * kBankBytes};
inline constexpr AddressRange kGatherTable{8 * kBankBytes, 10 * kBankBytes};
static_assert(kGatherTable.begin + kGatherCopies * kGatherCopyBytes ==
              kLaneBytes);

/// The address map as GDMA sees it. TIU addresses local memory from 0.
inline constexpr AddressRange kLocalMemory{0x0800'0000, 0x0900'0000};
inline constexpr AddressRange kStaticMemory{0x0900'0000, 0x0900'4000};
inline constexpr AddressRange kL2Memory{0x1000'0000, 0x1020'0000};
inline constexpr AddressRange kGlobalMemory{0x1'0000'0000, 0x3'0000'0000};

static_assert(kLocalMemory.size() == kLocalBytes);

constexpr unsigned bits(DType type) {
  switch (type) {
#define DTYPE(name, code, text, bits)                                          \
  case DType::name:                                                            \
    return bits;
#include "tpumlir/isa/codes.def"
  }
  return 0;
}

/// Bytes of one element; 0 for i4, which is packed in pairs.
constexpr unsigned bytes(DType type) { return bits(type) / 8; }

/// Elements that one lane works on at once.
constexpr unsigned euWidth(DType type) { return 8 * kEuBytes / bits(type); }

/// Input channels that the convolution takes at once; weights are laid out in
/// groups of this many.
constexpr unsigned convChannelCube(DType type) {
  return bits(type) == 32 ? 1 : euWidth(type);
}

constexpr bool isFloat(DType type) {
  return type == DType::F32 || type == DType::F16 || type == DType::BF16;
}

/// Printed name ("f16"), or "?" for a code without meaning.
constexpr const char *name(DType type) {
  switch (type) {
#define DTYPE(name, code, text, bits)                                          \
  case DType::name:                                                            \
    return text;
#include "tpumlir/isa/codes.def"
  }
  return "?";
}

} // namespace tpumlir::isa
