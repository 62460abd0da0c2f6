#pragma once

#include "tpumlir/pipeline/Module.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/SmallPtrSet.h"

namespace tpumlir {

/// The MLIR side of Module. Each module has a context of its own: its weights
/// live in the context's Top dialect.
class ModuleImpl {
public:
  /// A context with every dialect loaded and threading off.
  ModuleImpl();
  mlir::MLIRContext &context() { return *ctx; }
  WeightStore &weights();

private:
  std::unique_ptr<mlir::MLIRContext> ctx;

public:
  mlir::OwningOpRef<mlir::ModuleOp> module; // dies before its context
  bool hasWeights = false; ///< whether the data of every top.Weight are there
};

/// Collects the errors of a context instead of printing them, with the ONNX
/// node names in their locations; for the time of its life.
class DiagnosticCapture {
public:
  explicit DiagnosticCapture(mlir::MLIRContext &ctx);
  bool empty() const { return found.empty(); }
  /// The errors so far, which are then forgotten; one with `fallback` as its
  /// message if there were none.
  std::vector<Diagnostic> take(std::string_view fallback = "failed");
  [[noreturn]] void raise(CompileError::Kind kind, std::string_view fallback,
                          std::string passName = {});

private:
  std::vector<Diagnostic> found;
  mlir::ScopedDiagnosticHandler handler;
};

/// An attribute as a plain value, and back (integers i64, floats f64).
AttrValue toValue(mlir::Attribute attr);
mlir::Attribute toAttribute(mlir::MLIRContext &ctx, const AttrValue &value);
TensorInfo toTensorInfo(mlir::Value value);

/// A text in which extents that the vendor prints as -1 are `?`.
std::string closedTypes(llvm::StringRef text);
/// Brings a parsed text into our spelling (transforms/top/Reading.h); whether
/// this compiler has all of its operations. What cannot be read is an error,
/// also where an op in `refused` says it.
bool adoptText(mlir::ModuleOp module,
               llvm::SmallPtrSetImpl<mlir::Operation *> &refused);

/// Registers every pass of the compiler, once.
void registerPasses();

} // namespace tpumlir
