#include "tpumlir/bindings/Bindings.h"
#include "tpumlir/bindings/Raise.h"
#include "tpumlir/compare/Figures.h"
#include "tpumlir/compare/Histogram.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <tuple>
#include <vector>

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
                       double floor) {
  expectSize(a.size(), b.size());
  py::gil_scoped_release release;
  return compare::excess(elements(a), elements(b), relative, floor);
}

/// Of an operand the reference, what is judged or None, and what it is allowed
/// then: relative and floor.
template <class T>
using Given = std::tuple<Flat<T>, std::optional<Flat<T>>, double, double>;

template <class T>
compare::Excess unexplained(const Flat<T> &a, const Flat<T> &b,
                            const Flat<T> &result,
                            const std::vector<Given<T>> &given, bool product,
                            double relative, double smallest, double gain) {
  expectSize(a.size(), b.size());
  expectSize(result.size(), b.size());
  std::vector<compare::Operand<T>> operands;
  for (const auto &[want, got, share, floor] : given) {
    if (want.size() != 1)
      expectSize(want.size(), b.size());
    if (got)
      expectSize(got->size(), want.size());
    operands.push_back({elements(want),
                        got ? elements(*got) : std::span<const T>(), share,
                        floor});
  }
  py::gil_scoped_release release;
  return compare::unexplained<T>(
      elements(a), elements(b),
      {elements(result), operands, product, relative, smallest, gain});
}

compare::Spread spread(const Flat<float> &values) {
  py::gil_scoped_release release;
  return compare::spread(elements(values));
}

py::array_t<int64_t> countsOf(const compare::Histogram &self, bool negative) {
  std::span<const int64_t> counts = self.counts(negative);
  return py::array_t<int64_t>(static_cast<py::ssize_t>(counts.size()),
                              counts.data());
}

void defineHistogram(py::module_ &m) {
  using compare::Histogram;
  py::class_<Histogram>(m, "Histogram")
      .def(py::init([](int64_t bins) {
             if (bins < 2 || bins % 2 || bins > (int64_t(1) << 24))
               raise("InputError",
                     {{"expected an even number of bins from 2 to 2^24, got " +
                           std::to_string(bins),
                       "",
                       {}}});
             return Histogram(bins);
           }),
           py::arg("bins"))
      .def(
          "add",
          [](Histogram &self, const Flat<float> &values) {
            py::gil_scoped_release release;
            self.add(elements(values));
          },
          py::arg("values").noconvert(), "Count the elements of a tensor.")
      .def(
          "merge",
          [](Histogram &self, const Histogram &other) {
            if (self.bins != other.bins)
              expectSize(other.bins, self.bins);
            self.add(other);
          },
          py::arg("other"), "Add what another one has seen.")
      .def("counts", &countsOf, py::arg("negative"),
           "How many magnitudes are in each bin, of one sign.")
      .def_property_readonly("width", &Histogram::width)
      .def_readonly("bins", &Histogram::bins)
      .def_readonly("low", &Histogram::low)
      .def_readonly("high", &Histogram::high)
      .def_readonly("sum", &Histogram::sum)
      .def_readonly("squares", &Histogram::squares)
      .def_readonly("count", &Histogram::count)
      .def_readonly("zeros", &Histogram::zeros)
      .def_readonly("nan", &Histogram::nan)
      .def_readonly("infinite", &Histogram::infinite);
}

template <class T> void defineFor(py::module_ &m) {
  m.def("similarity", &similarity<T>, py::arg("a").noconvert(),
        py::arg("b").noconvert(), py::arg("scale") = 1.0,
        "Sums and extremes of a tensor and its reference, both times scale.");
  m.def("excess", &excess<T>, py::arg("a").noconvert(),
        py::arg("b").noconvert(), py::arg("relative"), py::arg("floor"),
        "Elements that are off by more than relative of the reference plus "
        "floor.");
  m.def("unexplained", &unexplained<T>, py::arg("a").noconvert(),
        py::arg("b").noconvert(), py::arg("result").noconvert(),
        py::arg("operands").noconvert(), py::arg("product"),
        py::arg("relative"), py::arg("smallest"), py::arg("gain"),
        "Elements that are off by more than an operation explains.");
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
  defineHistogram(m);
  defineFor<float>(m);
  defineFor<double>(m);
  m.def("spread", &spread, py::arg("values").noconvert(),
        "What a tensor holds and what F16 would make of it.");
}

} // namespace tpumlir::bindings
