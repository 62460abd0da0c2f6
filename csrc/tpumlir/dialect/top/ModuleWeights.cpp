#include "tpumlir/dialect/top/ModuleWeights.h"

#include "tpumlir/dialect/top/TopDialect.h"

#include <mutex>

using namespace mlir;

namespace tpumlir::top {

void ModuleWeights::attach(Operation *root, WeightStore &store) {
  std::unique_lock lock(mutex);
  stores[root] = &store;
}

void ModuleWeights::detach(Operation *root) {
  std::unique_lock lock(mutex);
  stores.erase(root);
}

WeightStore *ModuleWeights::find(Operation *root) const {
  std::shared_lock lock(mutex);
  return stores.lookup(root);
}

WeightStore *weightsOf(Operation *op) {
  auto *dialect = op->getContext()->getLoadedDialect<TopDialect>();
  while (Operation *parent = op->getParentOp())
    op = parent;
  return dialect->moduleWeights().find(op);
}

} // namespace tpumlir::top
