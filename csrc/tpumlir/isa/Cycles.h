#pragma once

#include "tpumlir/isa/Isa.h"

/// What a command costs: cycles by the model of docs/profiling.md, the bytes of
/// DDR that it moves and the products that it makes. Pure functions of a
/// decoded command.
namespace tpumlir::isa {

/// What a command spends its time with. A copy stays on one side: DDR to DDR,
/// or within the local memories.
enum class Work : uint8_t { Compute, Load, Store, Copy, Control };

constexpr const char *name(Work work) {
  constexpr const char *names[] = {"compute", "load", "store", "copy",
                                   "control"};
  return names[size_t(work)];
}

/// Products that the machine makes in one cycle at best; 0 for other types.
constexpr uint64_t peakProducts(DType type) {
  if (type == DType::F32)
    return uint64_t(kLanes) * euWidth(DType::F32);
  if (type == DType::F16 || type == DType::BF16)
    return 8192;
  return type == DType::I8 ? 16384 : 0;
}

struct Cost {
  Work work = Work::Control;
  uint64_t cycles = 0;
  uint64_t read = 0;     ///< bytes out of DDR
  uint64_t written = 0;  ///< bytes into DDR
  uint64_t products = 0; ///< multiply-adds of convolutions and matrices
  double peakCycles = 0; ///< cycles that the products would take at best
  bool known = true;     ///< false: nothing is known of it, cycles is 0
};

/// Never throws for a decoded command.
Cost costOf(const Command &command);

} // namespace tpumlir::isa
