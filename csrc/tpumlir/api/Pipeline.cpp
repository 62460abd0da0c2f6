#include "tpumlir/api/Pipeline.h"

#include "tpumlir/api/ModuleImpl.h"
#include "tpumlir/transforms/tpu/Int8.h"

#include "mlir/IR/Builders.h"

namespace tpumlir {

/// The tables where `choose-precision` looks for them: in the module, which
/// keeps that of precisions in its text.
static void record(Module &module, const LowerOptions &options) {
  mlir::Builder builder(&module.get().context());
  if (options.calibrationTable) {
    mlir::NamedAttrList rows;
    for (const auto &[name, row] : *options.calibrationTable)
      rows.set(name, builder.getF64ArrayAttr(row));
    for (const auto &[name, channels] : options.channelRanges) {
      auto row = llvm::dyn_cast_if_present<mlir::ArrayAttr>(rows.get(name));
      if (!row)
        continue;
      llvm::SmallVector<mlir::Attribute> entries(row.begin(), row.end());
      entries.push_back(builder.getDenseF32ArrayAttr(channels.first));
      entries.push_back(builder.getDenseF32ArrayAttr(channels.second));
      rows.set(name, builder.getArrayAttr(entries));
    }
    module.get().module()->setAttr(CalibrationTable::kAttr,
                                   rows.getDictionary(builder.getContext()));
  }
  if (options.quantizeTable.empty())
    return;
  mlir::NamedAttrList entries;
  for (const auto &[name, mode] : options.quantizeTable)
    entries.set(name, builder.getStringAttr(mode));
  module.get().module()->setAttr("module.quantize_table",
                                 entries.getDictionary(builder.getContext()));
}

/// The pass that changes inputs and outputs; nothing if none is to be changed.
static std::string stripCasts(const LowerOptions &options) {
  std::string text;
  auto add = [&](const StripCasts &strip, const char *all, const char *some) {
    if (strip.all)
      text += std::string(" ") + all + "=true";
    for (size_t i = 0; i < strip.positions.size(); ++i)
      text += (i == 0 ? std::string(" ") + some + "=" : std::string(",")) +
              std::to_string(strip.positions[i]);
  };
  add(options.inputs, "all-inputs", "inputs");
  add(options.outputs, "all-outputs", "outputs");
  return text.empty() ? "" : "strip-io-casts{" + text.substr(1) + "},";
}

Module lower(const Module &top, const LowerOptions &options) {
  Module module = top.clone();
  module.runPipeline("processor-assign{chip=" + options.chip +
                     " mode=" + options.mode + "}");
  record(module, options);
  try {
    module.runPipeline(
        "qdq-to-casts,convert-top-to-tpu,explicit-pads,collapse-axes,"
        "choose-precision{plain=" +
        std::string(options.plainHalf ? "true" : "false") +
        "},quantize-tensors,materialise-casts," + stripCasts(options) +
        "window-columns,unused-weights");
  } catch (CompileError &error) {
    if (error.kind == CompileError::Kind::Pass)
      error.kind = CompileError::Kind::Unsupported;
    throw;
  }
  // The types say it now; with ranges per channel it is longer than the rest.
  module.get().module()->removeAttr(CalibrationTable::kAttr);
  return module;
}

Module finalize(const Module &tpu, const FinalizeOptions &options) {
  Module module = tpu.clone();
  module.runPipeline("unused-weights,weight-reorder,filters-first");
  module.runPipeline("tpu-group{level=" + std::to_string(options.opt) + "}");
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
