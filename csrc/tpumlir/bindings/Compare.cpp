#include "tpumlir/bindings/Bindings.h"
#include "tpumlir/bindings/Raise.h"
#include "tpumlir/compare/Figures.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

namespace py = pybind11;

namespace tpumlir::bindings {
namespace {

template <class T> using Flat = py::array_t<T, py::array::c_style>;

template <class T> std::span<const T> elements(const Flat<T> &array) {
  return {array.data(), static_cast<size_t>(array.size())};
}

void expectSize(py::ssize_t got, py::ssize_t want) {
  if (got != want)
    raise("InputError", {{"expected " + std::to_string(want) +
                              " elements, got " + std::to_string(got),
                          "",
                          {}}});
}

template <class T>
compare::Similarity similarity(const Flat<T> &a, const Flat<T> &b,
                               double scale) {
  expectSize(a.size(), b.size());
  py::gil_scoped_release release;
  return compare::similarity(elements(a), elements(b), scale);
}

template <class T>
compare::Excess excess(const Flat<T> &a, const Flat<T> &b, double relative,
                       double floor, const Flat<double> &room) {
  expectSize(a.size(), b.size());
  if (room.size() != 0)
    expectSize(room.size(), b.size());
  py::gil_scoped_release release;
  return compare::excess(elements(a), elements(b), relative, floor,
                         elements(room));
}

compare::Spread spread(const Flat<float> &values) {
  py::gil_scoped_release release;
  return compare::spread(elements(values));
}

template <class T> void defineFor(py::module_ &m) {
  m.def("similarity", &similarity<T>, py::arg("a").noconvert(),
        py::arg("b").noconvert(), py::arg("scale") = 1.0,
        "Sums and extremes of a tensor and its reference, both times scale.");
  m.def("excess", &excess<T>, py::arg("a").noconvert(),
        py::arg("b").noconvert(), py::arg("relative"), py::arg("floor"),
        py::arg("room") = Flat<double>(0),
        "Elements that are off by more than relative of the reference plus "
        "floor, or than room.");
}

} // namespace

void registerCompare(py::module_ &core) {
  py::module_ m =
      addSubmodule(core, "compare", "What a verdict on tensors is made of.");
  py::class_<compare::Similarity>(m, "Similarity")
      .def_readonly("aa", &compare::Similarity::aa)
      .def_readonly("bb", &compare::Similarity::bb)
      .def_readonly("ab", &compare::Similarity::ab)
      .def_readonly("dd", &compare::Similarity::dd)
      .def_readonly("max_abs", &compare::Similarity::maxAbs)
      .def_readonly("max_rel", &compare::Similarity::maxRel)
      .def_readonly("worst", &compare::Similarity::worst)
      .def_readonly("finite", &compare::Similarity::finite)
      .def_readonly("strange", &compare::Similarity::strange)
      .def_readonly("first_strange", &compare::Similarity::firstStrange);
  py::class_<compare::Excess>(m, "Excess")
      .def_readonly("largest", &compare::Excess::largest)
      .def_readonly("worst", &compare::Excess::worst)
      .def_readonly("count", &compare::Excess::count);
  py::class_<compare::Spread>(m, "Spread")
      .def_readonly("low", &compare::Spread::low)
      .def_readonly("high", &compare::Spread::high)
      .def_readonly("smallest", &compare::Spread::smallest)
      .def_readonly("nonzero", &compare::Spread::nonzero)
      .def_readonly("subnormal", &compare::Spread::subnormal)
      .def_readonly("lost", &compare::Spread::lost)
      .def_readonly("nonfinite", &compare::Spread::nonfinite)
      .def_readonly("signal", &compare::Spread::signal)
      .def_readonly("noise", &compare::Spread::noise);
  defineFor<float>(m);
  defineFor<double>(m);
  m.def("spread", &spread, py::arg("values").noconvert(),
        "What a tensor holds and what F16 would make of it.");
}

} // namespace tpumlir::bindings
