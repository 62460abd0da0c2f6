#pragma once

#include "tpumlir/support/Weights.h"

#include "mlir/IR/Operation.h"
#include "llvm/ADT/DenseMap.h"

#include <shared_mutex>

namespace tpumlir::top {

/// Which store belongs to which module of a context. Modules that are clones of
/// each other share a context, and threads may work on several of them.
class ModuleWeights {
public:
  /// From here on `store` has the weights of the ops below `root`, an op that
  /// stands in no other. Both outlive `detach`.
  void attach(mlir::Operation *root, WeightStore &store);
  void detach(mlir::Operation *root);
  /// Null if none was attached.
  WeightStore *find(mlir::Operation *root) const;

private:
  llvm::DenseMap<mlir::Operation *, WeightStore *> stores;
  mutable std::shared_mutex mutex;
};

/// The weights of the module that `op` stands in; null if it stands in none
/// that has a store.
WeightStore *weightsOf(mlir::Operation *op);

} // namespace tpumlir::top
