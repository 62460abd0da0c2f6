#pragma once

#include "tpumlir/isa/Chip.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace tpumlir::cmodel {

/// Zeroed pages that exist once they are touched.
class Pages {
public:
  explicit Pages(uint64_t bytes);
  ~Pages();
  Pages(const Pages &) = delete;
  Pages &operator=(const Pages &) = delete;

  std::byte *data() const { return base; }
  uint64_t size() const { return bytes; }

private:
  std::byte *base;
  uint64_t bytes;
};

/// The memories of the chip (H1, H3). Local memory starts filled with
/// 0xDEADBEEF, so that a read of what nobody wrote does not look like data.
struct Memory {
  /// `globalBytes`: size of the DDR that exists, from isa::kGlobalMemory.begin.
  /// Throws std::invalid_argument if it is larger than the address range.
  explicit Memory(uint64_t globalBytes);

  /// The byte at an address of the GDMA map if [addr, addr + bytes) lies in
  /// one memory, else null.
  std::byte *find(uint64_t addr, uint64_t bytes) const;

  std::byte *lane(unsigned index) const {
    return local.data() + index * isa::kLaneBytes;
  }

  Pages local, statics, l2, global;
};

/// One strided access: counts and strides of four nested loops, outermost
/// first, over runs of `bytes` bytes. Addresses are those of the GDMA map.
struct Region {
  uint64_t base;
  uint32_t count[4];
  uint64_t stride[4];
  uint64_t bytes;
};

class Journal;

/// What one command reads and writes. It is noted before anything is written.
struct Footprint {
  std::vector<Region> reads, writes;
  Journal *journal = nullptr; ///< keeps what is overwritten, if there is one
};

} // namespace tpumlir::cmodel
