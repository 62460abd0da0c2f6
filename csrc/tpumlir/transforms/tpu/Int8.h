#pragma once

#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringMap.h"

#include <functional>
#include <optional>

namespace tpumlir {

/// On a `top.Weight` that the model itself has quantised: the type of its
/// integers, with a scale for all of it or for each index of an axis.
inline constexpr llvm::StringLiteral kStatedAttr = "quantized";

/// i8 from -128 on with a scale for each index of `axis` and no zero points.
mlir::Type statedPerAxis(mlir::MLIRContext *context,
                         llvm::ArrayRef<double> scales, int64_t axis);

/// What a model that comes quantised says of a tensor: it is made of such
/// integers, or all who read it make them of it, perhaps behind what moves,
/// bounds or chooses elements. None if it says nothing.
std::optional<Quantization> statedOf(mlir::Value value);

/// The scales of a constant that the model itself has quantised to integers
/// without zero points, one for each of `count` indices of `axis`; none if it
/// has no such ones.
std::optional<llvm::SmallVector<double>>
statedScales(mlir::Value value, int64_t axis, int64_t count);

/// What a calibration saw of the tensors of a module: in the text
/// `module.calibration_table = {y = [threshold, min, max], ...}`, and for some
/// behind that an array with the least and one with the greatest number of each
/// index of axis 1.
class CalibrationTable {
public:
  static constexpr llvm::StringLiteral kAttr = "module.calibration_table";

  /// From the attribute of a module, empty if there is none; its faults are
  /// errors there.
  static mlir::FailureOr<CalibrationTable> read(mlir::ModuleOp module);

  bool empty() const { return rows.empty(); }
  /// The scale and the zero point for a tensor: what the model says, else what
  /// follows from its row; else those of what it is moved from or to, without
  /// change; none if there is neither. Numbers that are never negative have no
  /// sign; a range that lies to one side of 0 gets a zero point, unless it must
  /// be symmetric.
  std::optional<Quantization> of(mlir::Value value,
                                 bool isSymmetric = false) const;

  /// One scale for each index of axis 1, and a zero point for all; none if the
  /// row does not say what the channels hold. For who reads and who makes the
  /// channels by themselves. Where zero points cost something there is none
  /// unless it gains much.
  std::optional<Quantization> ofChannels(mlir::Value value,
                                         bool doZerosCost) const;

  /// Whether the model or a row of its own says something of a tensor.
  bool knows(mlir::Value value) const {
    return ownOf(value, /*isSymmetric=*/false).has_value();
  }

  /// The greatest magnitude that was seen; 0 of a tensor without a row.
  double largest(mlir::Value value) const;

private:
  struct Row {
    double threshold, min, max;
    llvm::SmallVector<float, 0> least, greatest; ///< of each channel
  };
  /// What the model or its own row says of a tensor.
  std::optional<Quantization> ownOf(mlir::Value value, bool isSymmetric) const;
  /// The same, or that of all that it is put together from.
  std::optional<Quantization> ofPartsOf(mlir::Value value,
                                        bool isSymmetric) const;

  llvm::StringMap<Row> rows;
};

/// Which operations have a form in integers of 8 bits, and which of them are
/// worth it: where the products are, and what stands between them.
class Int8Forms {
public:
  /// `wanted` says which ops become integers if they have a form in them; who
  /// has chosen them gives none, and is not told again what is worth it.
  explicit Int8Forms(const CalibrationTable &table,
                     std::function<bool(mlir::Operation *)> wanted = {})
      : table(table), wanted(std::move(wanted)) {}

  using TypeOf = llvm::function_ref<std::optional<Quantization>(mlir::Value)>;

  /// What the result of an op is quantised to if it is computed in integers;
  /// none if it is not to be. `typeOf` says the same of its operands. `why`
  /// says what speaks against it.
  std::optional<Quantization> resultOf(mlir::Operation *op, TypeOf typeOf,
                                       std::string &why) const;

  /// Whether an op takes integers even if its operands are floats: a product is
  /// worth a cast. Others are where their operands are.
  static bool startsFromFloats(mlir::Operation *op) {
    return llvm::isa<tpu::Conv2DOp, tpu::DeconvOp, tpu::MatMulOp>(op);
  }

  /// What an operand of such an op is quantised to.
  std::optional<Quantization> operandOf(mlir::OpOperand &operand,
                                        TypeOf typeOf) const;

private:
  /// What a constant is quantised to: as the model says, else by its numbers if
  /// there is a calibration table; what a quantised model leaves in floats
  /// stays so.
  std::optional<Quantization> ofConstant(mlir::Value value,
                                         bool isSymmetric = false) const;
  /// What a side of a product of which the other is computed is quantised to:
  /// without a zero point, unless it comes with one.
  std::optional<Quantization> typeOfFactor(mlir::Value value,
                                           TypeOf typeOf) const;
  /// Whether a tensor of floats would be read as integers of this type, no
  /// coarser, by products alone: it may as well be made of them.
  bool isReadInIntegers(mlir::Value value, const Quantization &type,
                        TypeOf typeOf) const;
  /// What stands against a convolution of either direction; nothing if it has
  /// a form, given ranges.
  template <typename OpTy>
  llvm::StringRef against(OpTy conv, TypeOf typeOf) const;
  /// Whether a constant that products are made with has integers.
  bool hasIntegers(mlir::Value filter, int64_t axis) const;

  const CalibrationTable &table;
  std::function<bool(mlir::Operation *)> wanted;
};

/// The linear function of its operand that an op is, x * factor + term, and the
/// bounds of its result; none for any other.
struct LinearForm {
  double factor = 1, term = 0;
  std::optional<double> least, greatest;

  static std::optional<LinearForm> of(mlir::Operation *op);
  bool hasBounds() const { return least || greatest; }
  /// This, then another; none if bounds stand between.
  std::optional<LinearForm> then(const LinearForm &other) const;
};

/// Whether an op is a function of one operand, element by element.
bool isUnaryFunction(mlir::Operation *op);

bool isHardSwish(mlir::Operation *op);

/// max(x, 0) and the like of cheap arithmetic, which a table is dearer than.
bool isCheapFunction(mlir::Operation *op);

/// Of the numbers of a constant operand that a range can be taken from.
std::optional<Quantization> quantizationOfConstant(mlir::Value value,
                                                   bool isSymmetric = false);

} // namespace tpumlir
