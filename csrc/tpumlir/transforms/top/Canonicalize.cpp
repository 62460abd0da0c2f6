#include "tpumlir/transforms/top/Passes.h"
#include "tpumlir/transforms/top/Patterns.h"

#include "mlir/IR/Dominance.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include <map>

namespace tpumlir {

#define GEN_PASS_DEF_CANONICALIZE
#define GEN_PASS_DEF_EXTRAOPTIMIZE
#include "tpumlir/transforms/top/TopPasses.h.inc"

using namespace mlir;

namespace {

struct Canonicalize : impl::CanonicalizeBase<Canonicalize> {
  LogicalResult initialize(MLIRContext *ctx) override {
    RewritePatternSet set(ctx);
    top::populateAffinePatterns(set);
    top::populateActivationPatterns(set);
    top::populateConstantPatterns(set);
    top::populateLayoutPatterns(set);
    top::populateFilterPatterns(set);
    top::populateAttentionPatterns(set);
    top::populateNormPatterns(set);
    top::populateMatMulPatterns(set);
    // What the ops of any dialect bring themselves.
    for (Dialect *dialect : ctx->getLoadedDialects())
      dialect->getCanonicalizationPatterns(set);
    for (RegisteredOperationName op : ctx->getRegisteredOperations())
      op.getCanonicalizationPatterns(set, ctx);
    patterns = FrozenRewritePatternSet(std::move(set));
    return success();
  }

  void runOnOperation() override {
    GreedyRewriteConfig config;
    config.setUseTopDownTraversal(true)
        .setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled)
        .enableConstantCSE(false);
    for (auto func : getOperation().getOps<func::FuncOp>()) {
      if (succeeded(applyPatternsGreedily(func, patterns, config))) {
        // A tensor that took the place of another one has its own range.
        adoptBodyTypes(func);
        continue;
      }
      func.emitError("expected the rewrites to come to an end, got none after ")
          << config.getMaxIterations() << " rounds";
      signalPassFailure();
    }
  }

  FrozenRewritePatternSet patterns;
};

/// What makes two weights the same: type and bytes.
struct SameWeight {
  Type type;
  StringRef bytes;
  DictionaryAttr attributes;
  bool operator<(const SameWeight &other) const {
    auto key = [](const SameWeight &w) {
      return std::tuple(w.type.getAsOpaquePointer(),
                        w.attributes.getAsOpaquePointer(), w.bytes);
    };
    return key(*this) < key(other);
  }
};

struct ExtraOptimize : impl::ExtraOptimizeBase<ExtraOptimize> {
  void runOnOperation() override {
    for (auto func : getOperation().getOps<func::FuncOp>()) {
      removeUnused(func);
      mergeWeights(func);
    }
  }

  void removeUnused(func::FuncOp func) {
    for (Block &block : func.getBody())
      for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
        if (isOpTriviallyDead(&op))
          op.erase();
  }

  void mergeWeights(func::FuncOp func) {
    std::map<SameWeight, top::WeightOp> seen;
    DominanceInfo dominance(func);
    func.walk([&](top::WeightOp op) {
      const Weight *weight = op.getWeight();
      if (!weight || top::isOutput(op.getOutput()))
        return;
      SameWeight key{op.getOutput().getType(),
                     StringRef(weight->as<char>(), weight->bytes()),
                     op->getAttrDictionary()};
      auto [home, fresh] = seen.try_emplace(key, op);
      if (fresh || !dominance.dominates(home->second.getOperation(), op))
        return;
      op.getOutput().replaceAllUsesWith(home->second.getOutput());
      op.erase();
    });
  }
};

} // namespace
} // namespace tpumlir
