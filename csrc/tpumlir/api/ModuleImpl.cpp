#include "tpumlir/api/ModuleImpl.h"

#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Quant/IR/Quant.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/ThreadPool.h"

using namespace mlir;

namespace tpumlir {

//===----------------------------------------------------------------------===//
// The context
//===----------------------------------------------------------------------===//

namespace {

/// MLIR locks its tables only in a context with a thread pool. In this one
/// whoever brings work does it, at once: errors stay with the thread that works
/// on the module, and there are as many threads as the caller wants.
class CallerPool : public llvm::ThreadPoolInterface {
public:
  void wait() override {}
  void wait(llvm::ThreadPoolTaskGroup &) override {}
  unsigned getMaxConcurrency() const override { return 1; }

private:
  void asyncEnqueue(llvm::unique_function<void()> task,
                    llvm::ThreadPoolTaskGroup *) override {
    task();
  }
};

struct Context {
  CallerPool pool; // outlives the context
  MLIRContext ctx;

  explicit Context(const DialectRegistry &registry)
      : ctx(registry, MLIRContext::Threading::DISABLED) {
    ctx.setThreadPool(pool);
    // Passes then find what they need there: loading is not for several
    // threads.
    ctx.loadAllAvailableDialects();
  }
};

std::shared_ptr<MLIRContext> makeContext() {
  DialectRegistry registry;
  registry.insert<func::FuncDialect, quant::QuantDialect, top::TopDialect,
                  tpu::TpuDialect>();
  auto context = std::make_shared<Context>(registry);
  return {context, &context->ctx};
}

top::ModuleWeights &storesOf(MLIRContext &ctx) {
  return ctx.getLoadedDialect<top::TopDialect>()->moduleWeights();
}

} // namespace

//===----------------------------------------------------------------------===//
// The module
//===----------------------------------------------------------------------===//

ModuleImpl::ModuleImpl() : ctx(makeContext()) {}

ModuleImpl::ModuleImpl(const ModuleImpl &like, OwningOpRef<ModuleOp> copy)
    : weights(like.weights), hasWeights(like.hasWeights), ctx(like.ctx) {
  adopt(std::move(copy));
}

std::shared_ptr<ModuleImpl> ModuleImpl::clone() const {
  ModuleOp source = op;
  return std::shared_ptr<ModuleImpl>(new ModuleImpl(*this, source.clone()));
}

std::shared_ptr<ModuleImpl> ModuleImpl::cloneWithoutBody() const {
  ModuleOp source = op;
  OwningOpRef<ModuleOp> empty =
      llvm::cast<ModuleOp>(source->cloneWithoutRegions());
  empty->getBodyRegion().emplaceBlock();
  return std::shared_ptr<ModuleImpl>(new ModuleImpl(*this, std::move(empty)));
}

ModuleImpl::~ModuleImpl() {
  if (!op)
    return;
  storesOf(*ctx).detach(op);
  op->erase();
}

void ModuleImpl::adopt(OwningOpRef<ModuleOp> module) {
  assert(!op && "a module adopts one operation");
  op = module.release();
  storesOf(*ctx).attach(op, weights);
}

void ModuleImpl::pruneWeights() {
  llvm::StringSet<> used;
  op.walk([&](top::WeightOp op) { used.insert(top::tensorName(op.getLoc())); });
  std::vector<std::string> unused;
  for (const auto &[name, weight] : weights)
    if (!used.contains(name))
      unused.push_back(name);
  for (const std::string &name : unused)
    weights.erase(name);
}

} // namespace tpumlir
