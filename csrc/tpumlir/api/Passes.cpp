#include "tpumlir/api/ModuleImpl.h"
#include "tpumlir/schedule/SchedulePasses.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "tpumlir/transforms/top/Passes.h"

#include <mutex>

namespace tpumlir {

void registerPasses() {
  static std::once_flag once;
  std::call_once(once, [] {
    registerTpumlirTopPasses();
    registerTpumlirTpuPasses();
    registerTpumlirSchedulePasses();
  });
}

} // namespace tpumlir
