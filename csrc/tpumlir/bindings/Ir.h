#pragma once

namespace tpumlir {
class CompileError;
} // namespace tpumlir

namespace tpumlir::bindings {

/// Raises the class of tpumlir.errors that belongs to the error's kind.
/// Bindings need not call it: registerIr translates every CompileError that
/// escapes.
[[noreturn]] void raiseCompileError(const CompileError &error);

} // namespace tpumlir::bindings
