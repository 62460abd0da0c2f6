#include "tpumlir/api/Opt.h"

#include "tpumlir/api/ModuleImpl.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Support/ToolUtilities.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace tpumlir {

/// Parses the module, runs the passes, prints what came out.
static LogicalResult transform(ModuleImpl &impl, llvm::SourceMgr &sources,
                               const OptOptions &options, raw_ostream &out,
                               raw_ostream &err) {
  StringRef text =
      sources.getMemoryBuffer(sources.getMainFileID())->getBuffer();
  if (std::string reason = deadlyText(text); !reason.empty())
    return emitError(UnknownLoc::get(&impl.context())) << reason;
  // Verified when it is in our spelling.
  OwningOpRef<ModuleOp> parsed = parseSourceFile<ModuleOp>(
      sources, ParserConfig(&impl.context(), /*verifyAfterParse=*/false));
  if (!parsed)
    return failure();
  impl.adopt(std::move(parsed));
  ModuleOp module = impl.module();
  llvm::SmallPtrSet<Operation *, 4> refused;
  if (!adoptText(module, refused) || failed(verify(module)))
    return failure();
  PassManager pm(&impl.context());
  if (failed(parsePassPipeline(options.pipeline, pm, err)) ||
      failed(pm.run(module)))
    return failure();
  OpPrintingFlags flags;
  flags.enableDebugInfo(true, false);
  if (options.localScope)
    flags.useLocalScope();
  module.print(out, flags);
  if (options.localScope) // without the aliases no newline ends the text
    out << "\n";
  return success();
}

static LogicalResult process(std::unique_ptr<llvm::MemoryBuffer> buffer,
                             const OptOptions &options, raw_ostream &out,
                             raw_ostream &err) {
  ModuleImpl impl; // each chunk has a context, and so weights, of its own
  MLIRContext &ctx = impl.context();
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(buffer), llvm::SMLoc());
  ctx.printOpOnDiagnostic(false);
  if (!options.verifyDiagnostics) {
    SourceMgrDiagnosticHandler handler(sources, &ctx, err);
    return transform(impl, sources, options, out, err);
  }
  SourceMgrDiagnosticVerifierHandler handler(sources, &ctx, err);
  // Failing is what such a text is for; what it says is compared.
  (void)transform(impl, sources, options, out, err);
  return handler.verify();
}

OptResult runOpt(std::string_view text, const OptOptions &options) {
  registerPasses();
  OptResult result{0, {}, {}};
  llvm::raw_string_ostream out(result.out), err(result.err);
  auto handle = [&](std::unique_ptr<llvm::MemoryBuffer> chunk,
                    raw_ostream &os) {
    return process(
        llvm::MemoryBuffer::getMemBufferCopy(closedTypes(chunk->getBuffer()),
                                             chunk->getBufferIdentifier()),
        options, os, err);
  };
  LogicalResult done = splitAndProcessBuffer(
      llvm::MemoryBuffer::getMemBufferCopy(text, options.fileName), handle, out,
      options.splitInputFile ? kDefaultSplitMarker : "",
      options.splitInputFile ? kDefaultSplitMarker : "");
  result.exitCode = succeeded(done) ? 0 : 1;
  return result;
}

std::string_view mlirVersion() { return LLVM_VERSION_STRING; }

} // namespace tpumlir
