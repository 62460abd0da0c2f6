#include "tpumlir/bindings/Ir.h"
#include "tpumlir/api/Cut.h"
#include "tpumlir/api/GraphBuilder.h"
#include "tpumlir/api/Module.h"
#include "tpumlir/api/Opt.h"
#include "tpumlir/bindings/Bindings.h"
#include "tpumlir/bindings/Raise.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

namespace py = pybind11;

namespace tpumlir::bindings {

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

void raiseCompileError(const CompileError &error) {
  std::vector<Message> messages;
  for (const Diagnostic &one : error.diagnostics)
    messages.push_back({one.message, one.node, one.notes});
  switch (error.kind) {
  case CompileError::Kind::Parse:
    raise("ParseError", messages);
  case CompileError::Kind::Verify:
    raise("VerifyError", messages);
  case CompileError::Kind::Pass:
    raise("PassError", messages,
          py::arg("pass_name") = error.passName.empty()
                                     ? py::object(py::none())
                                     : py::object(py::str(error.passName)));
  case CompileError::Kind::Unsupported:
    raise("UnsupportedError", messages);
  case CompileError::Kind::Allocation:
    raise("AllocationError", messages);
  case CompileError::Kind::Encode:
    raise("EncodeError", messages);
  }
  raise("TpumlirError", messages);
}

//===----------------------------------------------------------------------===//
// numpy
//===----------------------------------------------------------------------===//

static DType dtypeOf(const py::array &array, const std::string &name) {
  std::string kind = py::str(array.dtype().attr("name"));
  for (auto [numpy, dtype] :
       std::initializer_list<std::pair<const char *, DType>>{
           {"float32", DType::F32},
           {"float16", DType::F16},
           {"int32", DType::I32},
           {"uint32", DType::U32},
           {"int16", DType::I16},
           {"uint16", DType::U16},
           {"int8", DType::I8},
           {"uint8", DType::U8}})
    if (kind == numpy)
      return dtype;
  raise("VerifyError", {{"expected an array of float32, float16 or integers of "
                         "at most 32 bits, got " +
                             kind,
                         name,
                         {}}});
}

const char *numpyName(DType dtype) {
  switch (dtype) {
  case DType::F32:
    return "float32";
  case DType::F16:
    return "float16";
  case DType::I32:
    return "int32";
  case DType::U32:
    return "uint32";
  case DType::I16:
    return "int16";
  case DType::BF16: // numpy has no bfloat16: its bits
  case DType::U16:
    return "uint16";
  case DType::I8:
    return "int8";
  case DType::U8:
    return "uint8";
  }
  return "uint8";
}

/// The array's own memory if it is contiguous, else that of a copy.
static Weight toWeight(const std::string &name, const py::array &given) {
  auto array = py::array::ensure(given, py::array::c_style);
  if (!array)
    throw py::error_already_set();
  Weight weight;
  weight.dtype = dtypeOf(array, name);
  // ensure() gives a scalar array one axis on some numpy versions.
  weight.shape.assign(given.shape(), given.shape() + given.ndim());
  const void *data = array.data();
  PyObject *owner = array.release().ptr();
  weight.data = std::shared_ptr<const void>(data, [owner](const void *) {
    if (!Py_IsInitialized())
      return;
    py::gil_scoped_acquire gil;
    Py_DECREF(owner);
  });
  return weight;
}

/// A read-only array over the weight's memory, which it keeps alive.
static py::array toArray(const Weight &weight) {
  auto *owner = new std::shared_ptr<const void>(weight.data);
  py::capsule base(owner, [](void *p) {
    delete static_cast<std::shared_ptr<const void> *>(p);
  });
  py::array array(py::dtype(numpyName(weight.dtype)), weight.shape,
                  weight.data.get(), base);
  array.attr("flags").attr("writeable") = false;
  return array;
}

static WeightStore toStore(const py::object &arrays) {
  WeightStore store;
  for (auto [name, array] : py::dict(arrays)) {
    std::string key = py::cast<std::string>(name);
    store.set(key, toWeight(key, py::cast<py::array>(array)));
  }
  return store;
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

static bool isFloat(py::handle value) {
  return PyFloat_Check(value.ptr()) ||
         (PyObject_HasAttrString(value.ptr(), "__float__") &&
          !PyIndex_Check(value.ptr()));
}

static AttrValue toAttrValue(py::handle value, const std::string &name) {
  if (PyBool_Check(value.ptr()))
    return py::cast<bool>(value);
  if (PyUnicode_Check(value.ptr()))
    return py::cast<std::string>(value);
  if (PyIndex_Check(value.ptr()) && !PySequence_Check(value.ptr()))
    return py::cast<int64_t>(
        py::int_(py::reinterpret_borrow<py::object>(value)));
  if (PySequence_Check(value.ptr())) {
    auto list = py::reinterpret_borrow<py::sequence>(value);
    bool floats = false;
    for (py::handle item : list)
      floats |= isFloat(item);
    if (floats) {
      std::vector<double> items;
      for (py::handle item : list)
        items.push_back(py::cast<double>(
            py::float_(py::reinterpret_borrow<py::object>(item))));
      return items;
    }
    std::vector<int64_t> items;
    for (py::handle item : list) {
      if (!PyIndex_Check(item.ptr()))
        throw py::type_error("attribute '" + name +
                             "': expected a list of numbers, got one with " +
                             std::string(py::str(py::type::of(item))));
      items.push_back(py::cast<int64_t>(
          py::int_(py::reinterpret_borrow<py::object>(item))));
    }
    return items;
  }
  if (isFloat(value))
    return py::cast<double>(
        py::float_(py::reinterpret_borrow<py::object>(value)));
  throw py::type_error("attribute '" + name +
                       "': expected bool, int, float, str or a list of "
                       "numbers, got " +
                       std::string(py::str(py::type::of(value))));
}

static AttrList toAttrList(const py::object &attrs) {
  AttrList list;
  for (auto [name, value] : py::dict(attrs)) {
    std::string key = py::cast<std::string>(name);
    if (!value.is_none())
      list.emplace_back(key, toAttrValue(value, key));
  }
  return list;
}

static py::dict toDict(const AttrList &attrs) {
  py::dict dict;
  for (const auto &[name, value] : attrs)
    dict[py::str(name)] = py::cast(value);
  return dict;
}

static py::object shapeOf(const TensorInfo &info) {
  return info.shape ? py::object(py::tuple(py::cast(*info.shape)))
                    : py::object(py::none());
}

//===----------------------------------------------------------------------===//
// The module
//===----------------------------------------------------------------------===//

// Whoever waits for a module must not hold the GIL: the thread that has the
// module may need it, to let go of an array.
using WithoutGil = py::call_guard<py::gil_scoped_release>;

/// Attributes with the GIL given back before they are read.
static py::dict attributesOf(const Module &module) {
  AttrList list;
  {
    py::gil_scoped_release release;
    list = module.attributes();
  }
  return toDict(list);
}

static void registerModule(py::module_ &m) {
  py::class_<TensorInfo>(m, "TensorInfo")
      .def_readonly("name", &TensorInfo::name)
      .def_readonly("dtype", &TensorInfo::dtype)
      .def_property_readonly("shape", &shapeOf)
      .def_readonly("scales", &TensorInfo::scales)
      .def_readonly("zero_points", &TensorInfo::zeroPoints)
      .def_readonly("axis", &TensorInfo::axis)
      .def_readonly("range", &TensorInfo::range)
      .def("__repr__", [](const TensorInfo &self) {
        return "TensorInfo(name=" + std::string(py::repr(py::str(self.name))) +
               ", shape=" + std::string(py::str(shapeOf(self))) + ", dtype='" +
               self.dtype + "')";
      });
  py::class_<OpInfo>(m, "OpInfo")
      .def_readonly("name", &OpInfo::name)
      .def_readonly("kind", &OpInfo::kind)
      .def_readonly("node", &OpInfo::node)
      .def_readonly("operands", &OpInfo::operands)
      .def_readonly("results", &OpInfo::results)
      .def_readonly("moves_data", &OpInfo::movesData)
      .def_readonly("why", &OpInfo::why)
      .def_property_readonly(
          "attrs", [](const OpInfo &self) { return toDict(self.attributes); })
      .def("__repr__", [](const OpInfo &self) {
        return "OpInfo(name=" + std::string(py::repr(py::str(self.name))) +
               ", kind='" + self.kind + "')";
      });
  py::class_<Module>(m, "Module")
      .def_static(
          "parse",
          [](const std::string &text, const py::object &weights,
             const std::string &file) {
            std::optional<WeightStore> store;
            if (!weights.is_none())
              store = toStore(weights);
            py::gil_scoped_release release;
            return Module::parse(text, std::move(store), file);
          },
          py::arg("text"), py::arg("weights") = py::none(), py::kw_only(),
          py::arg("file") = "<string>")
      .def("print", &Module::print, WithoutGil())
      .def("__str__", &Module::print, WithoutGil())
      .def("clone", &Module::clone, WithoutGil())
      .def(
          "cut",
          [](const Module &self, const std::vector<std::string> &inputs,
             const std::vector<std::string> &outputs) {
            return cut(self, inputs, outputs);
          },
          py::arg("inputs"), py::arg("outputs"), WithoutGil())
      .def("run_pipeline", &Module::runPipeline, py::arg("pipeline"),
           WithoutGil())
      .def("weights",
           [](const Module &self) {
             WeightStore store;
             {
               py::gil_scoped_release release;
               store = self.weights();
             }
             py::dict arrays;
             for (const auto &[name, weight] : store)
               arrays[py::str(name)] = toArray(weight);
             return arrays;
           })
      .def("ops", &Module::ops, WithoutGil())
      .def(
          "set_attribute",
          [](Module &self, const std::string &name, py::handle value) {
            AttrValue plain = toAttrValue(value, name);
            py::gil_scoped_release release;
            self.setAttribute(name, plain);
          },
          py::arg("name"), py::arg("value"))
      .def_property_readonly("name",
                             py::cpp_function(&Module::name, WithoutGil()))
      .def_property_readonly("inputs",
                             py::cpp_function(&Module::inputs, WithoutGil()))
      .def_property_readonly("outputs",
                             py::cpp_function(&Module::outputs, WithoutGil()))
      .def_property_readonly("attributes", &attributesOf);
}

static void registerBuilder(py::module_ &m) {
  py::class_<GraphValue>(m, "Value")
      .def_property_readonly("name",
                             [](const GraphValue &v) { return v.info.name; })
      .def_property_readonly("dtype",
                             [](const GraphValue &v) { return v.info.dtype; })
      .def_property_readonly("shape",
                             [](const GraphValue &v) {
                               return v.info.shape ? shapeOf(v.info)
                                                   : py::object(py::tuple());
                             })
      .def("__repr__", [](const GraphValue &v) {
        return "Value(name=" + std::string(py::repr(py::str(v.info.name))) +
               ", shape=" + std::string(py::str(shapeOf(v.info))) +
               ", dtype='" + v.info.dtype + "')";
      });
  py::class_<GraphBuilder>(m, "GraphBuilder")
      .def(py::init<const std::string &, const std::string &>(),
           py::arg("name"), py::arg("platform") = "ONNX")
      .def(
          "input",
          [](GraphBuilder &self, const std::string &name,
             const std::vector<int64_t> &shape, const std::string &dtype,
             const py::dict &attrs) {
            return self.input(name, shape, dtype, toAttrList(attrs));
          },
          py::arg("name"), py::arg("shape"), py::arg("dtype") = "f32",
          py::arg("attrs") = py::dict())
      .def(
          "weight",
          [](GraphBuilder &self, const std::string &name,
             const py::array &array, const std::string &quantized) {
            return self.weight(name, toWeight(name, array), quantized);
          },
          py::arg("name"), py::arg("array"), py::arg("quantized") = "")
      .def("none", &GraphBuilder::none)
      .def(
          "op",
          [](GraphBuilder &self, const std::string &op,
             const std::vector<GraphValue> &operands, const py::object &attrs,
             const std::vector<std::string> &names, const std::string &node) {
            return self.op(op, operands, toAttrList(attrs), names, node);
          },
          py::arg("op"), py::arg("operands"), py::arg("attrs") = py::dict(),
          py::kw_only(), py::arg("names"), py::arg("node") = "")
      .def("finish", &GraphBuilder::finish, py::arg("outputs"));
}

void registerIr(py::module_ &core) {
  py::module_ m =
      addSubmodule(core, "ir", "Modules of Top and Tpu operations.");
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p)
        std::rethrow_exception(p);
    } catch (const CompileError &error) {
      try {
        raiseCompileError(error);
      } catch (py::error_already_set &raised) {
        raised.restore();
      }
    }
  });
  registerModule(m);
  registerBuilder(m);
  m.attr("MLIR_VERSION") = mlirVersion();
  m.def("registered_operations", &registeredOperations);
  m.def("lowered_operations",
        static_cast<std::vector<std::string> (*)()>(&loweredOperations));
  m.def(
      "opt",
      [](const std::string &text, const std::string &pipeline, bool split,
         bool verify, bool localScope, const std::string &file) {
        OptResult result;
        {
          py::gil_scoped_release release;
          result = runOpt(text, {pipeline, split, verify, localScope, file});
        }
        return py::make_tuple(result.exitCode, result.out, result.err);
      },
      py::arg("text"), py::arg("pipeline") = "", py::kw_only(),
      py::arg("split_input_file") = false,
      py::arg("verify_diagnostics") = false, py::arg("local_scope") = false,
      py::arg("file") = "<stdin>");
}

} // namespace tpumlir::bindings
