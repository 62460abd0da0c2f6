#include "tpumlir/pipeline/Pipeline.h"

namespace tpumlir {

Module lower(const Module &top, const LowerOptions &options) {
  Module module = top.clone();
  module.runPipeline("processor-assign{chip=" + options.chip +
                     " mode=" + options.mode + "}");
  try {
    module.runPipeline("convert-top-to-tpu");
  } catch (CompileError &error) {
    if (error.kind == CompileError::Kind::Pass)
      error.kind = CompileError::Kind::Unsupported;
    throw;
  }
  return module;
}

Module finalize(const Module &tpu) {
  Module module = tpu.clone();
  module.runPipeline("weight-reorder");
  try {
    module.runPipeline("address-assign");
  } catch (CompileError &error) {
    if (error.kind == CompileError::Kind::Pass)
      error.kind = CompileError::Kind::Allocation;
    throw;
  }
  module.runPipeline("tpu-check-placed");
  return module;
}

} // namespace tpumlir
