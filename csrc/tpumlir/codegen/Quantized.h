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

/// The zero points of the two sides of a product of bytes. The sums of a filter
/// that is a constant are in the offsets of its requantisation, so that only
/// padding asks for the zero point of what it meets.
struct ProductZeros {
  int64_t input = 0, filter = 0, unknown = 0;

  ProductZeros() = default;
  ProductZeros(mlir::Value input, mlir::Value filter);

  /// That of the filter for each output channel, as the command reads it where
  /// a bias of floats stands; none if it is 0.
  std::optional<Local> ofFilter(Emitter &em, LaneMemory &scratch,
                                int64_t channels, const Local &like) const;

  /// An input of zero points at all places of a window, and room for what a
  /// filter makes of it.
  struct Sums {
    Local zeros, sums;
  };
  Sums prepare(Emitter &em, LaneMemory &scratch, const Local &sum,
               const Local &in, int64_t kernelH, int64_t kernelW) const;

  /// Takes them from `sum`, which `convolve(sum, in, window)` has made.
  void subtract(Emitter &em, const Local &sum, const Sums &part,
                llvm::function_ref<void(const Local &, const Local &,
                                        const WindowFields &)>
                    convolve) const;
};

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
