#pragma once

#include <string>
#include <string_view>

namespace tpumlir {

/// How `runOpt` treats its text.
struct OptOptions {
  std::string pipeline;           ///< passes, see Module::runPipeline
  bool splitInputFile = false;    ///< `// -----` separates modules
  bool verifyDiagnostics = false; ///< compare errors with `expected-error`
  bool localScope = false;        ///< locations beside the op, not as aliases
  std::string fileName = "<stdin>";
};

/// What a tool would write and return.
struct OptResult {
  int exitCode;
  std::string out, err;
};

/// mlir-opt over our dialects and passes, for texts whose weights have no data:
/// the driver of the tests. Errors go to `err` with their place in the text.
OptResult runOpt(std::string_view text, const OptOptions &options);

/// The version of MLIR that this was built with, for bug reports.
std::string_view mlirVersion();

} // namespace tpumlir
