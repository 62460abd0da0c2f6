#pragma once

#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/TensorType.h"

/// How the interpreter computes with quantised tensors. It holds their integers
/// as F32, in which they are exact: sums of products too, as long as no partial
/// sum can reach 2^24. Where one could, the sum is made of parts.
namespace tpumlir {

/// The greatest magnitude below which F32 holds every integer.
inline constexpr int64_t kExactF32 = int64_t(1) << 24;

/// The integers of a constant; empty for any other tensor.
llvm::ArrayRef<int8_t> constantBytes(mlir::Value value);

/// The largest |q - zero point| of a type.
int64_t largestOf(const Quantization &type);

/// q - zero point.
PlanBuilder::Id centred(PlanBuilder &plan, PlanBuilder::Id id,
                        const Quantization &type);

/// saturate(round(sum * multi[.., 0] + multi[.., 1])), held by a Relu; without
/// a `type` the number itself. `multi` has one pair per index of `axis` of
/// `sum`, or as many again of a second function: then the greater result
/// counts.
PlanBuilder::Id requantized(PlanBuilder &plan, PlanBuilder::Id sum,
                            PlanBuilder::Id multi, int64_t axis,
                            const std::optional<Quantization> &type,
                            bool doRelu, double limit);

/// Sums of parts that F32 holds exactly, and of an offset per index of `axis`,
/// rounded to F32 once as the chip converts an i32.
PlanBuilder::Id wholeSum(PlanBuilder &plan,
                         llvm::ArrayRef<PlanBuilder::Id> parts,
                         llvm::ArrayRef<int64_t> offsets, int64_t axis);

/// What functions of one tensor, each of the result of the one before, make of
/// numbers. Failures are errors at the ops.
mlir::FailureOr<std::vector<float>>
evaluated(llvm::ArrayRef<mlir::Operation *> ops,
          const std::vector<float> &numbers);

} // namespace tpumlir
