#include "tpumlir/pipeline/ModuleImpl.h"

#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Quant/IR/Quant.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace tpumlir {

CompileError::CompileError(Kind kind, std::vector<Diagnostic> diagnostics)
    : std::runtime_error(diagnostics.empty() ? "no message"
                                             : diagnostics.front().message),
      kind(kind), diagnostics(std::move(diagnostics)) {}

ModuleImpl::ModuleImpl()
    : ctx(std::make_unique<MLIRContext>(MLIRContext::Threading::DISABLED)) {
  ctx->loadDialect<func::FuncDialect, quant::QuantDialect, top::TopDialect,
                   tpu::TpuDialect>();
}

WeightStore &ModuleImpl::weights() {
  return ctx->getLoadedDialect<top::TopDialect>()->weights();
}

Module Module::parse(std::string_view text, WeightStore weights,
                     std::string_view fileName) {
  auto impl = std::make_shared<ModuleImpl>();
  impl->weights() = std::move(weights);
  impl->module = parseSourceString<ModuleOp>(text, &impl->context(), fileName);
  if (!impl->module)
    throw CompileError(CompileError::Kind::Parse, {{"parse failed", "", {}}});
  return Module(std::move(impl));
}

std::string Module::print() const {
  std::string text;
  llvm::raw_string_ostream os(text);
  OpPrintingFlags flags;
  flags.enableDebugInfo(true, false);
  impl->module->print(os, flags);
  return text;
}

Module Module::clone() const {
  return parse(print(), impl->weights());
}

const WeightStore &Module::weights() const { return impl->weights(); }

void Module::runPipeline(std::string_view pipeline) {
  PassManager pm(&impl->context());
  std::string errors;
  llvm::raw_string_ostream os(errors);
  if (failed(parsePassPipeline(pipeline, pm, os)) ||
      failed(pm.run(*impl->module)))
    throw CompileError(CompileError::Kind::Pass, {{errors, "", {}}});
}

} // namespace tpumlir
