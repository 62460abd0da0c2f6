#include "tpumlir/api/Interpreter.h"
#include "tpumlir/bindings/Bindings.h"
#include "tpumlir/bindings/Ir.h"
#include "tpumlir/bindings/Raise.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <limits>

namespace py = pybind11;

namespace tpumlir::bindings {

namespace {

std::string shapeText(const std::vector<int64_t> &shape) {
  return py::str(py::tuple(py::cast(shape)));
}

std::string describe(const RuntimeTensor &tensor) {
  return tensor.name + " " + numpyName(tensor.dtype) + " " +
         shapeText(tensor.shape);
}

template <typename List> std::string joined(const List &list) {
  std::string text;
  for (const RuntimeTensor &tensor : list) {
    if (!text.empty())
      text += ", ";
    text += describe(tensor);
  }
  return text.empty() ? "none" : text;
}

/// Checks names, shapes and types of what is given for the inputs; every fault
/// is reported at once.
std::vector<py::array> checkedInputs(const Interpreter &self,
                                     const py::dict &given) {
  const std::vector<RuntimeTensor> &inputs = self.inputs();
  std::vector<Message> faults;
  std::vector<py::array> arrays;
  for (const RuntimeTensor &input : inputs) {
    py::str name(input.name);
    if (!given.contains(name)) {
      faults.push_back({"expected the input " + describe(input) + ", got none",
                        input.name,
                        {}});
      continue;
    }
    auto array = py::array::ensure(given[name]);
    if (!array) {
      PyErr_Clear();
      faults.push_back({"expected an array, got " +
                            std::string(py::str(py::type::of(given[name]))),
                        input.name,
                        {}});
      continue;
    }
    std::vector<int64_t> shape(array.shape(), array.shape() + array.ndim());
    std::string dtype = py::str(array.dtype().attr("name"));
    if (shape != input.shape)
      faults.push_back({"expected the shape " + shapeText(input.shape) +
                            ", got " + shapeText(shape),
                        input.name,
                        {}});
    if (!array.dtype().is(py::dtype(numpyName(input.dtype))) &&
        dtype != numpyName(input.dtype))
      faults.push_back({"expected elements of " +
                            std::string(numpyName(input.dtype)) + ", got " +
                            dtype,
                        input.name,
                        {}});
    arrays.push_back(std::move(array));
  }
  for (auto [key, value] : given) {
    std::string name = py::str(key);
    if (std::none_of(inputs.begin(), inputs.end(),
                     [&](const RuntimeTensor &i) { return i.name == name; }))
      faults.push_back({"expected an input of the model (" + joined(inputs) +
                            "), got '" + name + "'",
                        "",
                        {}});
  }
  if (!faults.empty())
    raise("InputError", faults);
  for (py::array &array : arrays) {
    // Row-major and in the machine's byte order.
    array = py::array::ensure(array, py::array::c_style);
    if (!array)
      throw py::error_already_set();
    if (std::string order = py::str(array.dtype().attr("byteorder"));
        order == ">")
      array = array.attr("astype")(array.dtype().attr("newbyteorder")("="));
  }
  return arrays;
}

/// A new array whose memory starts a cache line: kernels write to it, and rows
/// that cross lines are written at half the speed.
py::array resultArray(const RuntimeTensor &tensor) {
  constexpr size_t kLine = 64;
  const size_t bytes = (tensor.bytes() / kLine + 1) * kLine;
  void *data = std::aligned_alloc(kLine, bytes);
  if (!data)
    throw std::bad_alloc();
  py::capsule owner(data, [](void *memory) { std::free(memory); });
  return py::array(py::dtype(numpyName(tensor.dtype)), tensor.shape, data,
                   owner);
}

/// The tensors that a run computes beside the outputs; names that are no
/// tensors are reported at once.
std::vector<std::string>
computedNames(const Interpreter &self, bool allTensors,
              const std::optional<std::vector<std::string>> &tensors) {
  std::vector<std::string> names;
  if (tensors) {
    std::vector<Message> faults;
    for (const std::string &name : *tensors) {
      auto named = [&](const RuntimeTensor &t) { return t.name == name; };
      if (std::any_of(self.tensors().begin(), self.tensors().end(), named))
        names.push_back(name);
      else if (std::none_of(self.inputs().begin(), self.inputs().end(), named))
        faults.push_back({"expected the name of a tensor that the module "
                          "computes, got '" +
                              name + "'",
                          "",
                          {}});
    }
    if (!faults.empty())
      raise("InputError", faults);
  }
  if (allTensors)
    for (const RuntimeTensor &tensor : self.tensors())
      names.push_back(tensor.name);
  return names;
}

/// Makes the kernels, for as long as it takes.
std::shared_ptr<Interpreter::Session>
prepared(Interpreter &self, const std::vector<std::string> &names) {
  py::gil_scoped_release release;
  return self.prepare(names);
}

py::dict run(Interpreter &self, const py::dict &inputs, bool allTensors,
             const std::optional<std::vector<std::string>> &tensors) {
  std::vector<py::array> arrays = checkedInputs(self, inputs);
  std::vector<std::string> names = computedNames(self, allTensors, tensors);
  py::dict results;
  if (tensors) // an input by its name is what was given
    for (size_t i = 0; i < arrays.size(); ++i)
      if (std::find(tensors->begin(), tensors->end(), self.inputs()[i].name) !=
          tensors->end())
        results[py::str(self.inputs()[i].name)] = arrays[i];

  std::shared_ptr<Interpreter::Session> session = prepared(self, names);
  std::vector<const void *> in;
  for (const py::array &array : arrays)
    in.push_back(array.data());
  std::vector<void *> out;
  for (const RuntimeTensor &tensor : Interpreter::results(*session)) {
    py::array array = resultArray(tensor);
    out.push_back(array.mutable_data());
    results[py::str(tensor.name)] = std::move(array);
  }
  {
    py::gil_scoped_release release;
    self.run(*session, in, out);
  }
  return results;
}

/// (operation, node, name of the code, seconds) per kernel: the shortest time
/// of each, as what else the machine does only adds to it.
py::list timings(Interpreter &self, const py::dict &inputs, int runs) {
  if (runs < 1)
    raise("InputError",
          {{"expected at least one run, got " + std::to_string(runs), "", {}}});
  std::vector<py::array> arrays = checkedInputs(self, inputs);
  std::vector<const void *> in;
  for (const py::array &array : arrays)
    in.push_back(array.data());
  std::vector<Implementation> kernels;
  std::vector<double> least;
  {
    py::gil_scoped_release release;
    std::shared_ptr<Interpreter::Session> session = self.prepare({});
    kernels = self.implementations(*session);
    std::vector<std::vector<std::byte>> results;
    std::vector<void *> out;
    for (const RuntimeTensor &tensor : Interpreter::results(*session))
      out.push_back(results.emplace_back(tensor.bytes()).data());
    least.assign(kernels.size(), std::numeric_limits<double>::infinity());
    for (int run = 0; run < runs; ++run) {
      std::vector<double> seconds = self.runTimed(*session, in, out);
      for (size_t i = 0; i < least.size(); ++i)
        least[i] = std::min(least[i], seconds[i]);
    }
  }
  py::list list;
  for (size_t i = 0; i < kernels.size(); ++i)
    list.append(py::make_tuple(kernels[i].op, kernels[i].node, kernels[i].name,
                               least[i]));
  return list;
}

} // namespace

void registerInterpreter(py::module_ &core) {
  py::module_ m = addSubmodule(core, "interpreter",
                               "Runs modules of Top and Tpu operations.");
  py::class_<Interpreter>(m, "Interpreter")
      .def(py::init<const Module &>(), py::arg("module"),
           py::call_guard<py::gil_scoped_release>())
      .def("run", &run, py::arg("inputs"), py::kw_only(),
           py::arg("all_tensors") = false, py::arg("tensors") = py::none())
      .def(
          "prepare",
          [](Interpreter &self, bool allTensors,
             const std::optional<std::vector<std::string>> &tensors) {
            prepared(self, computedNames(self, allTensors, tensors));
          },
          py::kw_only(), py::arg("all_tensors") = false,
          py::arg("tensors") = py::none())
      .def("timings", &timings, py::arg("inputs"), py::kw_only(),
           py::arg("runs") = 10)
      .def("implementations",
           [](const Interpreter &self) {
             std::vector<Implementation> all;
             {
               py::gil_scoped_release release; // a run may hold it
               all = self.implementations();
             }
             py::list list;
             for (const Implementation &one : all)
               list.append(py::make_tuple(one.op, one.node, one.name));
             return list;
           })
      .def_property_readonly(
          "workspace_bytes",
          py::cpp_function(&Interpreter::workspaceBytes,
                           py::call_guard<py::gil_scoped_release>()))
      .def_property_readonly("tensors", [](const Interpreter &self) {
        std::vector<std::string> names;
        for (const RuntimeTensor &tensor : self.tensors())
          names.push_back(tensor.name);
        return names;
      });
}

} // namespace tpumlir::bindings
