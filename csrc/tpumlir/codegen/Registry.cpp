#include "tpumlir/codegen/Registry.h"

#include "tpumlir/codegen/Families.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace tpumlir::codegen {

/// Element types that code generation knows, all operands included.
static LogicalResult checkTypes(Operation *op) {
  auto check = [&](Type type) -> LogicalResult {
    auto tensor = llvm::dyn_cast<RankedTensorType>(type);
    if (!tensor)
      return success();
    std::optional<tpumlir::DType> element = tpumlir::dtypeOf(type);
    if (element && (isFloat(*element) || element == tpumlir::DType::I32))
      return success();
    return op->emitError("expected elements of f32, f16, bf16 or i32, got ")
           << tensor.getElementType();
  };
  for (Type type :
       llvm::concat<const Type>(op->getOperandTypes(), op->getResultTypes()))
    if (failed(check(type)))
      return failure();
  return success();
}

LogicalResult emitOp(Emitter &em, Operation *op) {
  em.setOp(op);
  if (failed(checkTypes(op)))
    return failure();
  LogicalResult result =
      TypeSwitch<Operation *, LogicalResult>(op)
          .Case<top::NoneOp, top::WeightOp, top::InputOp, tpu::ReshapeOp>(
              [](Operation *) { return success(); })
          .Case([&](tpu::CastOp op) { return emitCast(em, op); })
          .Case([&](tpu::Conv2DOp op) { return emitConv2D(em, op); })
          .Case([&](tpu::DeconvOp op) { return emitDeconv(em, op); })
          .Case([&](tpu::MatMulOp op) { return emitMatMul(em, op); })
          .Case<tpu::Pool1DOp, tpu::Pool2DOp>(
              [&](auto op) { return emitPool(em, op); })
          .Case([&](tpu::ActiveOp op) { return emitActive(em, op); })
          .Case([&](tpu::CompareOp op) { return emitCompare(em, op); })
          .Case(
              [&](tpu::CompareConstOp op) { return emitCompareConst(em, op); })
          .Case([&](tpu::WhereOp op) { return emitWhere(em, op); })
          .Case([&](tpu::BitwiseOp op) { return emitBitwise(em, op); })
          .Case([&](tpu::ReduceOp op) { return emitReduce(em, op); })
          .Case([&](tpu::SoftmaxOp op) { return emitSoftmax(em, op); })
          .Case([&](tpu::PermuteOp op) { return emitPermute(em, op); })
          .Case([&](tpu::ConcatOp op) { return emitConcat(em, op); })
          .Case([&](tpu::SliceOp op) { return emitSlice(em, op); })
          .Case([&](tpu::PadOp op) { return emitPad(em, op); })
          .Case([&](tpu::TileOp op) { return emitTile(em, op); })
          .Case([&](tpu::UpsampleOp op) { return emitUpsample(em, op); })
          .Case([&](tpu::FlatIndicesOp op) { return emitFlatIndices(em, op); })
          .Case([&](tpu::GatherOp op) { return emitGather(em, op); })
          .Case([&](tpu::GatherElementsOp op) {
            return emitGatherElements(em, op);
          })
          .Case([&](tpu::ScatterElementsOp op) {
            return emitScatterElements(em, op);
          })
          .Case([&](tpu::ScatterNDOp op) { return emitScatterND(em, op); })
          .Case([&](tpu::TopKOp op) { return emitTopK(em, op); })
          .Case([&](tpu::TriluOp op) { return emitTrilu(em, op); })
          .Case([&](tpu::ArgOp op) { return emitArg(em, op); })
          .Case([&](tpu::CumSumOp op) { return emitCumSum(em, op); })
          .Default([&](Operation *op) { return emitElementwise(em, op); });
  return success(succeeded(result) && !em.failed());
}

} // namespace tpumlir::codegen
