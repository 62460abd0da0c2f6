#include "tpumlir/api/Opt.h"

#include <fstream>
#include <iostream>
#include <sstream>

/// The passes over a text whose weights have no data, for work on the compiler
/// without Python. It links every library of the compiler, so an interface
/// method that is declared and not written is a link error here; the extension
/// module would only fail when it is imported.
///
///   tpumlir-opt in.mlir --shape-infer --canonicalize -split-input-file
int main(int argc, char **argv) {
  tpumlir::OptOptions options;
  options.fileName.clear();
  for (int i = 1; i < argc; ++i) {
    std::string arg = argv[i];
    if (!arg.starts_with("-")) {
      options.fileName = arg;
      continue;
    }
    arg.erase(0, arg.starts_with("--") ? 2 : 1);
    if (arg == "split-input-file") {
      options.splitInputFile = true;
    } else if (arg == "verify-diagnostics") {
      options.verifyDiagnostics = true;
    } else if (arg == "mlir-print-local-scope") {
      options.localScope = true;
    } else {
      // --pass="key=value" is pass{key=value} in a pipeline.
      size_t equals = arg.find('=');
      std::string pass = arg.substr(0, equals);
      if (equals != std::string::npos)
        pass.append("{").append(arg, equals + 1).append("}");
      if (!options.pipeline.empty())
        options.pipeline += ',';
      options.pipeline += pass;
    }
  }
  std::ifstream file(options.fileName);
  if (!file) {
    std::cerr << "tpumlir-opt: expected a readable file, got '"
              << options.fileName << "'\n";
    return 2;
  }
  std::ostringstream text;
  text << file.rdbuf();
  tpumlir::OptResult result = tpumlir::runOpt(text.str(), options);
  std::cout << result.out;
  std::cerr << result.err;
  return result.exitCode;
}
