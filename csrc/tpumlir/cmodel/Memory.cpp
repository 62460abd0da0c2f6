#include "tpumlir/cmodel/Memory.h"

#include "tpumlir/cmodel/Smem.h"

#include <cstring>
#include <new>
#include <span>
#include <stdexcept>
#include <string>

#include <sys/mman.h>

namespace tpumlir::cmodel {

Pages::Pages(uint64_t bytes) : base(nullptr), bytes(bytes) {
  if (bytes == 0)
    return;
  void *pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED)
    throw std::bad_alloc();
  base = static_cast<std::byte *>(pages);
}

Pages::~Pages() {
  if (base)
    munmap(base, bytes);
}

namespace {
uint64_t checkedGlobalBytes(uint64_t bytes) {
  if (bytes > isa::kGlobalMemory.size())
    throw std::invalid_argument(
        "expected at most " + std::to_string(isa::kGlobalMemory.size()) +
        " bytes of global memory, got " + std::to_string(bytes));
  return bytes;
}
} // namespace

Memory::Memory(uint64_t globalBytes)
    : local(isa::kLocalBytes), statics(isa::kStaticMemory.size()),
      l2(isa::kL2Memory.size()), global(checkedGlobalBytes(globalBytes)) {
  constexpr uint32_t kPoison = 0xDEADBEEF;
  for (uint64_t i = 0; i < local.size(); i += sizeof kPoison)
    std::memcpy(local.data() + i, &kPoison, sizeof kPoison);
  fillStaticMemory(std::span(statics.data(), size_t(statics.size())));
}

std::byte *Memory::find(uint64_t addr, uint64_t bytes) const {
  auto in = [&](const isa::AddressRange &range, const Pages &pages) {
    return range.contains(addr, bytes) &&
           addr - range.begin + bytes <= pages.size();
  };
  if (in(isa::kGlobalMemory, global))
    return global.data() + (addr - isa::kGlobalMemory.begin);
  if (in(isa::kLocalMemory, local))
    return local.data() + (addr - isa::kLocalMemory.begin);
  if (in(isa::kL2Memory, l2))
    return l2.data() + (addr - isa::kL2Memory.begin);
  if (in(isa::kStaticMemory, statics))
    return statics.data() + (addr - isa::kStaticMemory.begin);
  return nullptr;
}

} // namespace tpumlir::cmodel
