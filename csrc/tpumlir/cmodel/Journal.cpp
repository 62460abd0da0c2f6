#include "tpumlir/cmodel/Journal.h"

#include <cstring>

namespace tpumlir::cmodel {

void Journal::keepRange(const Memory &memory, uint64_t begin, uint64_t end) {
  for (uint64_t block = begin / kBlockBytes; block * kBlockBytes < end;
       ++block) {
    auto [at, isNew] = blocks.try_emplace(block, content.size());
    if (!isNew)
      continue;
    // Each memory begins at a multiple of a block, and its pages end at one.
    const std::byte *from = memory.find(block * kBlockBytes, 1);
    content.insert(content.end(), from, from + kBlockBytes);
  }
}

void Journal::keep(const Memory &memory, const Region &region) {
  // The inner loops whose steps are within a block change all blocks of their
  // extent, as far as this matters; the others are enumerated.
  uint64_t extent = region.bytes;
  int dims = 4;
  while (dims > 0 && (region.count[dims - 1] == 1 ||
                      region.stride[dims - 1] <= extent + kBlockBytes)) {
    extent += (region.count[dims - 1] - 1) * region.stride[dims - 1];
    --dims;
  }
  uint32_t index[4] = {};
  while (true) {
    uint64_t at = region.base;
    for (int d = 0; d < dims; ++d)
      at += index[d] * region.stride[d];
    keepRange(memory, at, at + extent);
    int d = dims - 1;
    while (d >= 0 && ++index[d] == region.count[d])
      index[d--] = 0;
    if (d < 0)
      return;
  }
}

void Journal::undo(const Memory &memory) {
  for (auto [block, at] : blocks)
    std::memcpy(memory.find(block * kBlockBytes, 1), content.data() + at,
                kBlockBytes);
  blocks.clear();
  content.clear();
}

void Journal::append(Journal &&later) {
  for (auto [block, at] : later.blocks)
    if (blocks.try_emplace(block, content.size()).second)
      content.insert(content.end(), later.content.begin() + at,
                     later.content.begin() + at + kBlockBytes);
}

} // namespace tpumlir::cmodel
