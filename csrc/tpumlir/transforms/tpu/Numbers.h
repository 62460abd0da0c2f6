#pragma once

#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseMap.h"

#include <limits>

namespace tpumlir {

/// What is known of every element of a tensor, whatever the inputs are.
struct Numbers {
  bool whole = false;        ///< no fractions
  bool fromIntegers = false; ///< some elements are integers of the model
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();

  double magnitude() const { return std::max(std::abs(low), std::abs(high)); }
};

/// What a constant holds, in one pass over it.
struct ConstantNumbers {
  bool whole = true;
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  double largest = 0; ///< the greatest absolute value that is finite
  int64_t nonzero = 0;
  int64_t small = 0; ///< of these, below the normal range of f16
};

/// Ranges of numbers through a function, from constants, counts and integers.
class NumberAnalysis {
public:
  explicit NumberAnalysis(mlir::func::FuncOp function);

  Numbers of(mlir::Value value) const { return known.lookup(value); }
  /// Of a float `top.Weight` with data; null for everything else.
  const ConstantNumbers *constant(mlir::Value value) const;

private:
  void visit(mlir::Operation &op);

  llvm::DenseMap<mlir::Value, Numbers> known;
  llvm::DenseMap<mlir::Value, ConstantNumbers> constants;
};

} // namespace tpumlir
