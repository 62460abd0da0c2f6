#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/transforms/top/Passes.h"

namespace tpumlir {

#define GEN_PASS_DEF_INIT
#define GEN_PASS_DEF_DEINIT
#define GEN_PASS_DEF_SHAPEINFER
#include "tpumlir/transforms/top/TopPasses.h.inc"

using namespace mlir;

namespace {

struct Init : impl::InitBase<Init> {
  void runOnOperation() override {}
};

struct Deinit : impl::DeinitBase<Deinit> {
  void runOnOperation() override {}
};

struct ShapeInfer : impl::ShapeInferBase<ShapeInfer> {
  void runOnOperation() override {
    getOperation().walk([&](ShapeOpInterface op) { infer(op); });
    getOperation().walk(adoptBodyTypes);
  }

  void infer(ShapeOpInterface op) {
    SmallVector<Type> types;
    if (failed(inferResultTypes(op, types)))
      return signalPassFailure();
    // What an op that failed computes is not known; that is no error here.
    if (llvm::any_of(types, llvm::IsaPred<UnrankedTensorType>))
      return;
    for (auto [result, type] : llvm::zip(op->getResults(), types)) {
      auto shaped = llvm::dyn_cast<RankedTensorType>(type);
      auto stated = llvm::dyn_cast<TensorType>(result.getType());
      if (shaped && stated)
        result.setType(shaped.clone(stated.getElementType()));
    }
    op.normalizeAttributes();
  }
};

} // namespace

void adoptBodyTypes(func::FuncOp func) {
  if (func.empty())
    return;
  TypeRange results = func.getBody().back().getTerminator()->getOperandTypes();
  func.setType(FunctionType::get(func.getContext(),
                                 func.getBody().getArgumentTypes(), results));
}

} // namespace tpumlir
