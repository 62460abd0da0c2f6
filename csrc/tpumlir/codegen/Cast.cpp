#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Map.h"
#include "tpumlir/codegen/Quantized.h"

using namespace mlir;

namespace tpumlir::codegen {

template <> MapProblem mapOf(tpu::CastOp op) {
  if (isQuantized(op.getInput()) || isQuantized(op.getOutput()))
    return quantizedCast(op);
  isa::DType from = dtypeOf(op.getInput()), to = dtypeOf(op.getOutput());
  bool halves = isa::isFloat(from) && isa::isFloat(to) &&
                from != isa::DType::F32 && to != isa::DType::F32;
  MapProblem problem;
  problem.inputs = {op.getInput()};
  problem.output = op.getOutput();
  // The chip does not convert between the half types: that goes through F32.
  problem.native = !halves;
  problem.strides = true;
  problem.compute = [=](Emitter &em, Math &, const Local &out,
                        ArrayRef<Local> in, ArrayRef<Local>) mutable {
    if (halves)
      return em.copyLocal(out, in[0]);
    bool drops = isa::isFloat(from) && !isa::isFloat(to);
    em.cast(out, in[0],
            drops ? support::Rounding::TowardZero
                  : support::Rounding::HalfToEven);
  };
  return problem;
}

} // namespace tpumlir::codegen
