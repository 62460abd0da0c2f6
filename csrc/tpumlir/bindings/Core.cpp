#include "tpumlir/bindings/Bindings.h"

namespace py = pybind11;

namespace tpumlir::bindings {

py::module_ addSubmodule(py::module_ &parent, const char *name,
                         const char *doc) {
  py::module_ child = parent.def_submodule(name, doc);
  // Without this entry `import tpumlir._core.<name>` and stubtest do not see
  // it.
  py::module_::import("sys").attr("modules")[child.attr("__name__")] = child;
  return child;
}

} // namespace tpumlir::bindings

PYBIND11_MODULE(_core, m) {
  using namespace tpumlir::bindings;
  m.doc() = "The C++ core of tpumlir.";
#ifdef TPUMLIR_HAVE_Isa
  registerIsa(m);
#endif
#ifdef TPUMLIR_HAVE_Compare
  registerCompare(m);
#endif
#ifdef TPUMLIR_HAVE_Device
  registerDevice(m);
#endif
#ifdef TPUMLIR_HAVE_Precision
  registerPrecision(m);
#endif
#ifdef TPUMLIR_HAVE_Ir
  registerIr(m);
#endif
#ifdef TPUMLIR_HAVE_Interpreter
  registerInterpreter(m);
#endif
#ifdef TPUMLIR_HAVE_Codegen
  registerCodegen(m);
#endif
}
