#pragma once

#include "tpumlir/isa/Cycles.h"

/// Shared by the files of the cycle model; not for others.
namespace tpumlir::isa::detail {

Cost gdmaCost(const DmaTensor &command);
Cost gdmaCost(const DmaMatrix &command);
Cost gdmaCost(const DmaMaskedSelect &command);
Cost gdmaCost(const DmaGeneral &command);
Cost gdmaCost(const DmaCwTranspose &command);
Cost gdmaCost(const DmaNonzero &command);
Cost gdmaCost(const DmaGather &command);
Cost gdmaCost(const DmaScatter &command);

} // namespace tpumlir::isa::detail
