#pragma once

#include "tpumlir/isa/Cycles.h"

#include <algorithm>

/// Shared by the files of the cycle model; not for others.
namespace tpumlir::isa::cycles {

constexpr uint64_t divUp(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

/// Bytes of an element; a code without meaning counts as i8.
constexpr uint64_t bytesOf(uint64_t code) {
  return std::max(bytes(DType(code)), 1U);
}

Cost gdmaCost(const DmaTensor &command);
Cost gdmaCost(const DmaMatrix &command);
Cost gdmaCost(const DmaMaskedSelect &command);
Cost gdmaCost(const DmaGeneral &command);
Cost gdmaCost(const DmaCwTranspose &command);
Cost gdmaCost(const DmaNonzero &command);
Cost gdmaCost(const DmaGather &command);
Cost gdmaCost(const DmaScatter &command);

} // namespace tpumlir::isa::cycles
