#pragma once

#include "tpumlir/support/DType.h"

namespace tpumlir {
class CompileError;
} // namespace tpumlir

namespace tpumlir::bindings {

/// Raises the class of tpumlir.errors that belongs to the error's kind.
/// Bindings need not call it: registerIr translates every CompileError that
/// escapes.
[[noreturn]] void raiseCompileError(const CompileError &error);

/// numpy's type of an element; bf16, which numpy has not, as its bits.
const char *numpyName(DType dtype);

} // namespace tpumlir::bindings
