#include "tpumlir/pipeline/ModuleImpl.h"

#include <mutex>

namespace tpumlir {

void registerPasses() {
  static std::once_flag once;
  std::call_once(once, [] {});
}

} // namespace tpumlir
