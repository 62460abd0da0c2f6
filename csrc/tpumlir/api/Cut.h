#pragma once

#include "tpumlir/api/Module.h"

#include <span>

namespace tpumlir {

/// The operations between the tensors `inputs` and the tensors `outputs` as a
/// module of its own, with the weights they read. Its inputs and outputs come
/// in the given order under the tensors' names. A module with addresses is
/// addressed anew.
///
/// Throws CompileError (Verify): a name that no operation computes, an output
/// that depends on a model input beyond `inputs`, an input that no output
/// depends on.
Module cut(const Module &module, std::span<const std::string> inputs,
           std::span<const std::string> outputs);

} // namespace tpumlir
