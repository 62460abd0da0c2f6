#pragma once

#include "tpumlir/cmodel/Memory.h"

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace tpumlir::cmodel {

/// What memory held before it was changed, so that changes can be taken back.
/// It keeps blocks, each once: the first content it is told of.
class Journal {
public:
  static constexpr uint64_t kBlockBytes = 1024;

  /// Keeps the blocks that a write to `region` can change. To be called before
  /// the write.
  void keep(const Memory &memory, const Region &region);

  /// Writes all that is kept back, and keeps nothing then.
  void undo(const Memory &memory);

  /// Makes one journal of this one and of the one that follows it in time.
  void append(Journal &&later);

  /// Bytes of memory that it takes, without the table.
  uint64_t bytes() const { return content.size(); }

private:
  void keepRange(const Memory &memory, uint64_t begin, uint64_t end);

  std::unordered_map<uint64_t, size_t> blocks; ///< number to its content
  std::vector<std::byte> content;
};

} // namespace tpumlir::cmodel
