#pragma once

#include "tpumlir/support/Weights.h"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
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
  CompileError(Kind kind, std::vector<Diagnostic> diagnostics,
               std::string passName = {});
  Kind kind;
  std::vector<Diagnostic> diagnostics;
  std::string passName; ///< of the pass that failed, for Kind::Pass
};

/// An attribute as a plain value; what is none of these is its MLIR text.
using AttrValue = std::variant<bool, int64_t, double, std::string,
                               std::vector<int64_t>, std::vector<double>>;
using AttrList = std::vector<std::pair<std::string, AttrValue>>;

/// Name and type of a tensor; `shape` is absent for an unranked one.
struct TensorInfo {
  std::string name;
  std::string dtype;
  std::optional<std::vector<int64_t>> shape;
  /// Of a quantised tensor, one of each or one per index of `axis`: a stored q
  /// stands for (q - zero point) * scale.
  std::vector<double> scales = {};
  std::vector<int64_t> zeroPoints = {};
  std::optional<int64_t> axis = {};
  /// The numbers that a calibration saw.
  std::optional<std::pair<double, double>> range = {};
};

/// An operation, read only.
struct OpInfo {
  std::string name;                  ///< of its (first) result
  std::string kind;                  ///< e.g. top.Conv
  std::string node;                  ///< the ONNX node, or `name`
  std::vector<std::string> operands; ///< tensor names, "" for top.None
  std::vector<TensorInfo> results;
  AttrList attributes;
  bool movesData = false; ///< a Tpu op that copies elements, no arithmetic
  std::string why; ///< the rule that chose its precision; empty: the deploy's
};

class ModuleImpl; // ModuleImpl.h: context, module op; for api/*.cpp only

/// An MLIR module with its weights. Threads may read one at once, and work on
/// clones of each other at once; one that changes a module waits for those that
/// read it, and they for it.
class Module {
public:
  /// Parses and verifies Top or Tpu text. `weights` are the data of its
  /// `top.Weight` ops, complete; without them the module can be printed and
  /// rewritten, not run.
  static Module parse(std::string_view text, std::optional<WeightStore> weights,
                      std::string_view fileName = "<string>");
  explicit Module(std::shared_ptr<ModuleImpl> impl) : impl(std::move(impl)) {}

  /// Vendor-style text: generic op form with locations.
  std::string print() const;
  /// Copies operations, no text and no weights: these are shared until one of
  /// the two changes them.
  Module clone() const;
  WeightStore weights() const;
  /// Runs passes by name and options, e.g. "shape-infer,canonicalize".
  void runPipeline(std::string_view pipeline);

  std::string name() const;
  std::vector<OpInfo> ops() const;
  std::vector<TensorInfo> inputs() const;
  std::vector<TensorInfo> outputs() const;
  /// Attributes of the module op (`module.*`).
  AttrList attributes() const;
  void setAttribute(const std::string &name, const AttrValue &value);

  ModuleImpl &get() const { return *impl; }

private:
  std::shared_ptr<ModuleImpl> impl;
};

/// Names of all operations of the Top and Tpu dialects, sorted.
std::vector<std::string> registeredOperations();

/// The Top operations among them that the conversion to Tpu has a pattern for.
std::vector<std::string> loweredOperations();

} // namespace tpumlir
