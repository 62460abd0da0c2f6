#pragma once

#include "tpumlir/api/Module.h"

#include <array>
#include <optional>

/// The named pipelines: the only place that orders passes.
namespace tpumlir {

/// Which inputs or outputs of the model have the type that the chip computes
/// with: by position, or every one of which it is possible.
struct StripCasts {
  bool all = false;
  std::vector<int64_t> positions;
};

struct LowerOptions {
  std::string chip = "bm1684x";
  std::string mode = "F32"; ///< precision of the deploy: F32, F16 or BF16
  /// Precisions of single tensors, by their names in the Top module.
  std::vector<std::pair<std::string, std::string>> quantizeTable;
  /// No rules: the mode and the table alone decide.
  bool plainHalf = false;
  /// Threshold, least and greatest number of tensors, by their names.
  std::optional<std::vector<std::pair<std::string, std::array<double, 3>>>>
      calibrationTable;
  /// Of some of them the least and the greatest number of each channel.
  std::vector<
      std::pair<std::string, std::pair<std::vector<float>, std::vector<float>>>>
      channelRanges;
  StripCasts inputs, outputs;
};

/// A Tpu module for a Top module, which stays as it is. Throws CompileError of
/// kind Unsupported that lists every op without a lowering.
Module lower(const Module &top, const LowerOptions &options);

struct FinalizeOptions {
  /// Effort of the search for groups of operations that share local memory, 1
  /// to 3; 0 looks for none.
  int opt = 2;
};

/// Brings a Tpu module into its final form, ready for `compile`: weights in the
/// hardware's layouts, groups, every tensor with its address. The argument
/// stays as it is. Throws CompileError.
Module finalize(const Module &tpu, const FinalizeOptions &options = {});

} // namespace tpumlir
