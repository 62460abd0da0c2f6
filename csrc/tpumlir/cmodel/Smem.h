#pragma once

#include <cstddef>
#include <span>

namespace tpumlir::cmodel {

/// Fills static memory (16 KiB) with the constants the chip keeps there: series
/// coefficients and the exponential table (H8).
void fillStaticMemory(std::span<std::byte> smem);

} // namespace tpumlir::cmodel
