#pragma once

#include "tpumlir/codegen/Tiles.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

/// One emitter per op. Errors are diagnostics at the op.
namespace tpumlir::codegen {

mlir::LogicalResult emitCast(Emitter &em, tpu::CastOp op);
mlir::LogicalResult emitConv2D(Emitter &em, tpu::Conv2DOp op);
mlir::LogicalResult emitDeconv(Emitter &em, tpu::DeconvOp op);
mlir::LogicalResult emitMatMul(Emitter &em, tpu::MatMulOp op);
mlir::LogicalResult emitPool(Emitter &em, tpu::Pool1DOp op);
mlir::LogicalResult emitPool(Emitter &em, tpu::Pool2DOp op);
mlir::LogicalResult emitElementwise(Emitter &em, mlir::Operation *op);
mlir::LogicalResult emitCompare(Emitter &em, tpu::CompareOp op);
mlir::LogicalResult emitCompareConst(Emitter &em, tpu::CompareConstOp op);
mlir::LogicalResult emitWhere(Emitter &em, tpu::WhereOp op);
mlir::LogicalResult emitBitwise(Emitter &em, tpu::BitwiseOp op);
mlir::LogicalResult emitActive(Emitter &em, tpu::ActiveOp op);
mlir::LogicalResult emitReduce(Emitter &em, tpu::ReduceOp op);
mlir::LogicalResult emitSoftmax(Emitter &em, tpu::SoftmaxOp op);
mlir::LogicalResult emitPermute(Emitter &em, tpu::PermuteOp op);
mlir::LogicalResult emitConcat(Emitter &em, tpu::ConcatOp op);
mlir::LogicalResult emitSlice(Emitter &em, tpu::SliceOp op);
mlir::LogicalResult emitPad(Emitter &em, tpu::PadOp op);
mlir::LogicalResult emitTile(Emitter &em, tpu::TileOp op);
mlir::LogicalResult emitUpsample(Emitter &em, tpu::UpsampleOp op);
mlir::LogicalResult emitFlatIndices(Emitter &em, tpu::FlatIndicesOp op);
mlir::LogicalResult emitGather(Emitter &em, tpu::GatherOp op);
mlir::LogicalResult emitGatherElements(Emitter &em, tpu::GatherElementsOp op);
mlir::LogicalResult emitScatterElements(Emitter &em, tpu::ScatterElementsOp op);
mlir::LogicalResult emitScatterND(Emitter &em, tpu::ScatterNDOp op);
mlir::LogicalResult emitTopK(Emitter &em, tpu::TopKOp op);
mlir::LogicalResult emitTrilu(Emitter &em, tpu::TriluOp op);
mlir::LogicalResult emitArg(Emitter &em, tpu::ArgOp op);
mlir::LogicalResult emitCumSum(Emitter &em, tpu::CumSumOp op);

} // namespace tpumlir::codegen
