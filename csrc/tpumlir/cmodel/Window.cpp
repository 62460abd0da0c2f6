#include "tpumlir/cmodel/Window.h"

#include <algorithm>

namespace tpumlir::cmodel {

std::vector<int64_t> padMap(int64_t size, int64_t insert, int64_t before,
                            int64_t after, isa::PadMode mode) {
  const int64_t extended = (size - 1) * (insert + 1) + 1;
  std::vector<int64_t> map;
  map.reserve(size_t(before + extended + after));
  for (int64_t at = -before; at < extended + after; ++at) {
    int64_t from = at;
    if (at < 0 || at >= extended)
      switch (mode) {
      case isa::PadMode::Constant:
        map.push_back(kFromPad);
        continue;
      case isa::PadMode::Reflect:
        from = at < 0 ? -at : 2 * (extended - 1) - at;
        break;
      case isa::PadMode::Replicate:
        from = std::clamp<int64_t>(at, 0, extended - 1);
        break;
      case isa::PadMode::Circular:
        from = ((at % extended) + extended) % extended;
        break;
      }
    map.push_back(from % (insert + 1) == 0 ? from / (insert + 1) : kFromInsert);
  }
  return map;
}

void windowOffsets(const Window &g, int64_t first, int64_t count,
                   int64_t *offsets) {
  const int64_t width = g.paddedW();
  int64_t y = first / g.ow, x = first % g.ow;
  for (int64_t i = 0; i < count; ++i) {
    offsets[i] = y * g.strideY * width + x * g.strideX;
    if (++x == g.ow) {
      x = 0;
      ++y;
    }
  }
}

} // namespace tpumlir::cmodel
