#pragma once

#include <pybind11/pybind11.h>

/// One function per submodule of `tpumlir._core`, each in a file of its own.
/// No MLIR header here or in those files: they see the compiler through
/// tpumlir/api/*.h, which are plain C++ (MLIR is built without RTTI,
/// pybind11 needs it).
namespace tpumlir::bindings {

/// A submodule that `import tpumlir._core.<name>` finds.
pybind11::module_ addSubmodule(pybind11::module_ &parent, const char *name,
                               const char *doc);

void registerIsa(pybind11::module_ &core);
/// Into the submodule of the instruction set: what commands cost.
void registerCycles(pybind11::module_ &isa);
void registerCompare(pybind11::module_ &core);
void registerDevice(pybind11::module_ &core);
void registerPrecision(pybind11::module_ &core);
void registerIr(pybind11::module_ &core);
void registerInterpreter(pybind11::module_ &core);
void registerCodegen(pybind11::module_ &core);

} // namespace tpumlir::bindings
