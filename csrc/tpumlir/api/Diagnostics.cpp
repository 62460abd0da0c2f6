#include "tpumlir/api/ModuleImpl.h"

#include "tpumlir/dialect/top/TopUtils.h"

#include "llvm/Support/Threading.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace tpumlir {

CompileError::CompileError(Kind kind, std::vector<Diagnostic> diagnostics,
                           std::string passName)
    : std::runtime_error(diagnostics.empty() ? "no message"
                                             : diagnostics.front().message),
      kind(kind), diagnostics(std::move(diagnostics)),
      passName(std::move(passName)) {}

/// The message; a place in a text goes in front, a name has a field of its own.
static std::string messageOf(mlir::Diagnostic &diagnostic) {
  std::string text;
  llvm::raw_string_ostream os(text);
  if (auto file = llvm::dyn_cast<FileLineColLoc>(diagnostic.getLocation()))
    os << file.getFilename().getValue() << ":" << file.getLine() << ":"
       << file.getColumn() << ": ";
  os << diagnostic;
  return text;
}

DiagnosticCapture::DiagnosticCapture(MLIRContext &ctx)
    : handler(&ctx, [this, thread = llvm::get_threadid()](
                        mlir::Diagnostic &diagnostic) {
        if (llvm::get_threadid() != thread)
          return failure();
        if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
          return success();
        tpumlir::Diagnostic one;
        one.message = messageOf(diagnostic);
        one.node = top::nodeName(diagnostic.getLocation()).str();
        for (mlir::Diagnostic &note : diagnostic.getNotes())
          // "see current operation" repeats what the node's name says.
          if (std::string text = note.str();
              !StringRef(text).starts_with("see current operation"))
            one.notes.push_back(std::move(text));
        // What is checked twice is said once.
        if (llvm::none_of(found, [&](const tpumlir::Diagnostic &other) {
              return other.message == one.message && other.node == one.node;
            }))
          found.push_back(std::move(one));
        return success();
      }) {}

std::vector<tpumlir::Diagnostic>
DiagnosticCapture::take(std::string_view fallback) {
  std::vector<tpumlir::Diagnostic> all = std::exchange(found, {});
  if (all.empty())
    all.push_back({std::string(fallback), "", {}});
  return all;
}

void DiagnosticCapture::raise(CompileError::Kind kind,
                              std::string_view fallback, std::string passName) {
  throw CompileError(kind, take(fallback), std::move(passName));
}

} // namespace tpumlir
