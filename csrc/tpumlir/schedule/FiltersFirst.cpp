#include "tpumlir/schedule/SchedulePasses.h"

#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_FILTERSFIRST
#include "tpumlir/schedule/SchedulePasses.h.inc"

namespace {

using Operations = llvm::SetVector<Operation *>;

bool isConvolution(Operation *op) {
  return isa<tpu::Conv2DOp, tpu::DeconvOp>(op);
}

/// What a value is computed from. False if a convolution is among it: then it
/// belongs where the pictures are.
bool sourcesOf(Value value, Operations &sources) {
  SmallVector<Operation *> left;
  auto add = [&](Value some) {
    if (Operation *op = some.getDefiningOp(); op && sources.insert(op))
      left.push_back(op);
  };
  for (add(value); !left.empty();) {
    Operation *op = left.pop_back_val();
    if (isConvolution(op))
      return false;
    llvm::for_each(op->getOperands(), add);
  }
  return true;
}

struct FiltersFirst : impl::FiltersFirstBase<FiltersFirst> {
  void runOnOperation() override {
    for (func::FuncOp function : getOperation().getOps<func::FuncOp>())
      for (Block &block : function.getBody())
        reorder(block);
  }

  static void reorder(Block &block) {
    DenseSet<Operation *> early;
    for (Operation &op : block) {
      if (!isConvolution(&op))
        continue;
      for (Value operand : op.getOperands().drop_front()) {
        Operations sources;
        if (sourcesOf(operand, sources))
          early.insert(sources.begin(), sources.end());
      }
    }
    // Each follows what it reads, as before.
    Operation *point = nullptr;
    for (Operation &op : llvm::make_early_inc_range(block)) {
      const bool isEarly = early.contains(&op);
      if (isEarly && point)
        op.moveBefore(point);
      else if (!isEarly && !point &&
               llvm::isa_and_nonnull<tpu::TpuDialect>(op.getDialect()))
        point = &op;
    }
  }
};

} // namespace
} // namespace tpumlir
