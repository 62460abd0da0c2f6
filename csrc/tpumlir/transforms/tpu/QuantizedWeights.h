#pragma once

#include "tpumlir/dialect/TensorType.h"

#include "mlir/IR/Builders.h"

#include <optional>
#include <vector>

/// Constants in integers of 8 bits.
namespace tpumlir {

/// The numbers of a tensor in its integers.
std::vector<int8_t> storedNumbers(llvm::ArrayRef<float> numbers,
                                  const Quantization &type);

/// A new weight of bytes; `element` is what they mean.
mlir::Value createBytes(mlir::OpBuilder &builder, mlir::Operation *op,
                        llvm::StringRef base, llvm::ArrayRef<int64_t> shape,
                        std::vector<int8_t> data, mlir::Type element);

/// A matrix of weights, rows of elements that one output channel multiplies
/// with, in integers: a scale for each of them.
struct QuantizedRows {
  std::vector<int8_t> bytes; ///< in the order of the source
  llvm::SmallVector<double> scales;
  llvm::SmallVector<int64_t> sums;

  /// Element k of row r stands at r * rowStride + k * stride.
  /// The scales are those of `stated`, else each row has that of its greatest
  /// element.
  QuantizedRows(llvm::ArrayRef<float> numbers, int64_t rows, int64_t rowStride,
                int64_t count, int64_t stride,
                const std::optional<llvm::SmallVector<double>> &stated);
};

/// A constant that was quantised.
struct QuantizedWeight {
  mlir::Value value;
  llvm::SmallVector<double> scales;
  llvm::SmallVector<int64_t> sums;
};

} // namespace tpumlir
