#include "tpumlir/bindings/Bindings.h"
#include "tpumlir/support/Precisions.h"

#include <cmath>
#include <pybind11/stl.h>

namespace py = pybind11;

namespace tpumlir::bindings {

void registerPrecision(py::module_ &core) {
  py::module_ m =
      addSubmodule(core, "precision", "What a deploy can compute in.");
  py::class_<StageBounds>(m, "StageBounds")
      .def_readonly("cosine", &StageBounds::cosine)
      .def_readonly("euclid", &StageBounds::euclid)
      .def_readonly("operation_units", &StageBounds::operationUnits)
      .def_readonly("model_units", &StageBounds::modelUnits);
  py::class_<PrecisionInfo>(m, "PrecisionInfo")
      .def_readonly("name", &PrecisionInfo::name)
      .def_property_readonly(
          "storage",
          [](const PrecisionInfo &p) { return dtypeName(p.storage); })
      .def_property_readonly(
          "compute",
          [](const PrecisionInfo &p) { return dtypeName(p.compute); })
      .def_readonly("needs_calibration", &PrecisionInfo::needsCalibration)
      .def_property_readonly("is_half", &PrecisionInfo::isHalf)
      .def_property_readonly("unit",
                             [](const PrecisionInfo &p) {
                               return std::ldexp(1.0, -p.significantBits);
                             })
      .def_readonly("largest", &PrecisionInfo::largest)
      .def_readonly("own_units", &PrecisionInfo::ownUnits)
      .def_readonly("smallest", &PrecisionInfo::smallest)
      .def_readonly("lowering", &PrecisionInfo::lowering)
      .def_readonly("device", &PrecisionInfo::device);
  py::list floats;
  for (const PrecisionInfo &each : kPrecisions)
    if (isFloat(each.storage))
      floats.append(dtypeName(each.storage));
  m.attr("FLOAT_TYPES") = py::frozenset(floats);
  m.def("precisions", [] {
    return std::vector(std::begin(kPrecisions), std::end(kPrecisions));
  });
}

} // namespace tpumlir::bindings
