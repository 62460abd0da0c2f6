#pragma once

#include "tpumlir/api/Module.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/SmallPtrSet.h"

#include <shared_mutex>

namespace tpumlir {

/// The MLIR side of Module. A module that is parsed or built has a context of
/// its own, which it shares with its clones and theirs: what one context holds
/// (types, attributes, names) is never freed before the context is, so one for
/// the whole process would grow with every model.
class ModuleImpl {
public:
  /// No operation yet, in a new context with every dialect loaded. Several
  /// threads may use it at once; MLIR starts none.
  ModuleImpl();
  /// The same operations and weights, which are shared until one side changes
  /// them.
  std::shared_ptr<ModuleImpl> clone() const;
  /// A module of that name and attributes with nothing in it; the weights are
  /// those of this one.
  std::shared_ptr<ModuleImpl> cloneWithoutBody() const;
  ~ModuleImpl();
  ModuleImpl(const ModuleImpl &) = delete;

  mlir::MLIRContext &context() const { return *ctx; }
  mlir::ModuleOp module() const { return op; } ///< null before `adopt`
  /// Takes an operation of the context, and knows its weights from here on.
  void adopt(mlir::OwningOpRef<mlir::ModuleOp> module);
  /// Drops data that no `top.Weight` names any more.
  void pruneWeights();

  WeightStore weights;
  bool hasWeights = false; ///< whether the data of every top.Weight are there
  /// Held by whoever reads or changes what the module holds.
  mutable std::shared_mutex mutex;

private:
  ModuleImpl(const ModuleImpl &like, mlir::OwningOpRef<mlir::ModuleOp> copy);

  std::shared_ptr<mlir::MLIRContext> ctx;
  mlir::ModuleOp op; // dies before its context, see ~ModuleImpl
};

/// Collects the errors that this thread makes in a context instead of printing
/// them, with the ONNX node names in their locations; for the time of its life.
/// What other threads say of their modules in the context is theirs.
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

/// What MLIR's parser would abort at or take all memory for, in words; empty if
/// the text holds nothing of the kind.
std::string deadlyText(llvm::StringRef text);

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
