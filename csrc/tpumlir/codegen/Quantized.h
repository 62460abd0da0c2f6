#pragma once

#include "tpumlir/codegen/LocalKernel.h"
#include "tpumlir/codegen/Map.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

/// Operations on integers of 8 bits with a scale (docs/int8.md).
namespace tpumlir::codegen {

/// A factor and an offset per output channel as a requantisation reads them,
/// for some of the channels of `multi`.
WholeInput multiRows(mlir::Value multi, Range channels);

/// Holds what an op has stored in the range that its Relu leaves.
void holdStored(Emitter &em, const Local &stored, const Quantization &type,
                const StoredRange &range);
inline void holdStored(Emitter &em, const Local &stored,
                       const Quantization &type, const Relu &relu) {
  holdStored(em, stored, type, heldBy(type, relu.does, relu.limit));
}

/// What products of integers add up to, in 32 bits, in the type of the result:
/// times the factor of each channel, plus its offset, behind the Relu. Integers
/// of `type`; without one F32.
void scaleSums(Emitter &em, const Local &result, const Local &sum,
               const Local &multi, const std::optional<Quantization> &type,
               const Relu &relu);

MapProblem quantizedAdd(tpu::AddOp op);
MapProblem quantizedMul(tpu::MulOp op);
/// To or from integers.
MapProblem quantizedCast(tpu::CastOp op);

} // namespace tpumlir::codegen
