#include "tpumlir/transforms/tpu/TpuPasses.h"

using namespace mlir;

namespace tpumlir {

void copyUnwrittenResults(func::FuncOp function) {
  Operation *ret = function.getBody().front().getTerminator();
  for (OpOperand &operand : ret->getOpOperands()) {
    Value value = operand.get(), root = value;
    while (auto reshape = root.getDefiningOp<tpu::ReshapeOp>())
      root = reshape.getInput();
    if (!isa_and_nonnull<top::WeightOp, top::InputOp>(root.getDefiningOp()))
      continue;
    OpBuilder builder(ret);
    ArrayRef<int64_t> shape = top::shapeOf(value);
    SmallVector<int64_t> zeros(shape.size(), 0), ones(shape.size(), 1);
    Value none = top::NoneOp::create(builder, builder.getUnknownLoc(),
                                     builder.getNoneType());
    operand.set(tpu::SliceOp::create(
        builder, value.getLoc(), value.getType(), value, none, none, none, none,
        builder.getI64ArrayAttr(zeros), builder.getI64ArrayAttr(ones),
        builder.getI64ArrayAttr(shape)));
  }
}

} // namespace tpumlir
