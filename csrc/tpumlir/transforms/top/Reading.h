#pragma once

#include "tpumlir/dialect/top/Recurrent.h"

#include "mlir/IR/BuiltinOps.h"

#include "llvm/ADT/SmallPtrSet.h"

/// What the vendor's front end writes in its own way, brought into the spelling
/// of this dialect when a text is read.
namespace tpumlir::top {

/// Rewrites the Top ops of a module that was parsed and not verified yet:
/// recurrent layers are unrolled, windows and samplings over one axis get one
/// axis, shapes that only the result type states become attributes, and
/// integers that are carried as f32 become i32. A text of our own stays as it
/// is. Each op that cannot be read is an error there and joins `refused`.
void adoptSpelling(mlir::ModuleOp module,
                   llvm::SmallPtrSetImpl<mlir::Operation *> &refused);

/// The part of it that is about integers, in one function body.
void adoptIntegers(mlir::Block &body);

/// Errors at the Top ops of the vendor that this dialect does not have, each
/// with what to do about it. Whether there were none.
bool refuseUnknownOps(mlir::ModuleOp module);

/// The steps of an LSTM or a GRU that its shape rule accepts, one after the
/// other, in place of the op.
void unroll(LSTMOp op);
void unroll(GRUOp op);

/// Creates Top ops before `op` whose results have names derived from the op's.
class HelperBuilder {
public:
  explicit HelperBuilder(mlir::Operation *op) : op(op), builder(op) {}
  mlir::OpBuilder &ops() { return builder; }
  mlir::Value none();
  /// An op of one result, its type inferred; `loc` or a derived name.
  mlir::Value create(llvm::StringRef kind, mlir::ValueRange operands,
                     llvm::ArrayRef<mlir::NamedAttribute> attributes,
                     std::optional<mlir::Location> loc = std::nullopt);
  mlir::Value reshape(mlir::Value value, llvm::ArrayRef<int64_t> shape,
                      std::optional<mlir::Location> loc = std::nullopt);
  /// Elements begin to begin + count of `axis`.
  mlir::Value slice(mlir::Value value, int64_t axis, int64_t begin,
                    int64_t count);
  /// Rows of the first axis of a matrix, as a tensor of `shape`: a constant of
  /// its own if `value` is one.
  mlir::Value rows(mlir::Value value, int64_t begin, int64_t count,
                   llvm::ArrayRef<int64_t> shape);
  mlir::NamedAttribute attr(llvm::StringRef name, int64_t value) {
    return builder.getNamedAttr(name, builder.getI64IntegerAttr(value));
  }
  mlir::NamedAttribute attr(llvm::StringRef name,
                            llvm::ArrayRef<int64_t> value) {
    return builder.getNamedAttr(name, builder.getI64ArrayAttr(value));
  }

private:
  mlir::Location derived(llvm::StringRef kind);

  mlir::Operation *op;
  mlir::OpBuilder builder;
  mlir::Value noValue;
  int made = 0;
};

} // namespace tpumlir::top
