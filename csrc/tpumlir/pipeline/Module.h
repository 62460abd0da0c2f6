#pragma once

#include "tpumlir/support/Weights.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

/// The compiler as plain C++: no MLIR type crosses this header, so the
/// bindings (with RTTI and exceptions) and MLIR (without) stay apart.
namespace tpumlir {

/// One message of the compiler with the tensor and ONNX node it speaks about.
struct Diagnostic {
  std::string message;
  std::string node; ///< empty for a global message
  std::vector<std::string> notes;
};

/// What the facade throws; `kind` selects the Python class.
class CompileError : public std::runtime_error {
public:
  enum class Kind { Parse, Verify, Pass, Unsupported, Allocation, Encode };
  CompileError(Kind kind, std::vector<Diagnostic> diagnostics);
  Kind kind;
  std::vector<Diagnostic> diagnostics;
};

class ModuleImpl; // ModuleImpl.h: context, module op; for pipeline/*.cpp only

/// An MLIR module with its own context and weights.
class Module {
public:
  /// Parses Top or Tpu text. `weights` are the data of its `top.Weight` ops.
  static Module parse(std::string_view text, WeightStore weights,
                      std::string_view fileName = "<string>");
  explicit Module(std::shared_ptr<ModuleImpl> impl) : impl(std::move(impl)) {}

  /// Vendor-style text: generic op form with locations.
  std::string print() const;
  Module clone() const;
  const WeightStore &weights() const;
  void runPipeline(std::string_view pipeline);

  ModuleImpl &get() const { return *impl; }

private:
  std::shared_ptr<ModuleImpl> impl;
};

} // namespace tpumlir
