#include "tpumlir/bindings/Bindings.h"
#include "tpumlir/pipeline/Module.h"

namespace py = pybind11;

namespace tpumlir::bindings {

void registerIr(py::module_ &core) {
  py::module_ m = addSubmodule(core, "ir", "Modules of Top and Tpu operations.");
  py::class_<Module>(m, "Module")
      .def_static("parse",
                  [](const std::string &text) {
                    return Module::parse(text, {});
                  })
      .def("print", &Module::print);
}

} // namespace tpumlir::bindings
