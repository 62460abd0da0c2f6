#include "tpumlir/bindings/Bindings.h"
#include "tpumlir/bindings/Raise.h"
#include "tpumlir/cmodel/Execution.h"
#include "tpumlir/cmodel/Machine.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace tpumlir::bindings {
namespace {

using cmodel::Machine;

[[noreturn]] void raiseFault(const cmodel::DeviceFault &fault) {
  py::object address = py::none();
  if (fault.address)
    address = py::int_(*fault.address);
  raise("DeviceFault", {{fault.what(), "", {}}},
        py::arg("engine") = isa::name(fault.engine),
        py::arg("command") = fault.command, py::arg("address") = address);
}

/// Runs `body` without the GIL and turns what the simulator throws into the
/// errors of tpumlir.errors.
template <class Body> auto guarded(Body body) {
  try {
    py::gil_scoped_release release;
    return body();
  } catch (const cmodel::DeviceFault &fault) {
    raiseFault(fault);
  } catch (const isa::DecodeError &error) {
    raise("DecodeError", {{error.what(), "", {}}},
          py::arg("offset") = error.offset);
  } catch (const std::out_of_range &error) {
    raise("InputError", {{error.what(), "", {}}});
  } catch (const std::invalid_argument &error) {
    raise("InputError", {{error.what(), "", {}}});
  }
}

std::span<const uint8_t> view(const py::bytes &bytes) {
  std::string_view text = bytes;
  return {reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

isa::Engine engineNamed(const std::string &name) {
  if (name == "tiu")
    return isa::Engine::Tiu;
  if (name == "gdma")
    return isa::Engine::Gdma;
  raise("InputError",
        {{"engine: expected 'tiu' or 'gdma', got '" + name + "'", "", {}}});
}

void execute(Machine &machine, const std::string &engine,
             const py::bytes &command) {
  isa::Engine which = engineNamed(engine);
  std::span<const uint8_t> bytes = view(command);
  guarded([&] { machine.execute(isa::decode(which, bytes).command); });
}

cmodel::LabelFn labelsOf(const py::object &labels) {
  if (labels.is_none())
    return {};
  // Called without the GIL, from a run that failed, and copied without it.
  std::shared_ptr<py::object> shared(new py::object(labels),
                                     [](py::object *object) {
                                       py::gil_scoped_acquire acquire;
                                       delete object;
                                     });
  return [shared](size_t group, isa::Engine engine, uint64_t id) {
    py::gil_scoped_acquire acquire;
    py::object text = (*shared)(group, isa::name(engine), id);
    return text.is_none() ? std::string() : py::cast<std::string>(text);
  };
}

using Groups = std::vector<std::pair<py::bytes, py::bytes>>;

std::vector<cmodel::CommandGroup> spansOf(const Groups &groups) {
  std::vector<cmodel::CommandGroup> spans;
  for (const auto &[tiu, gdma] : groups)
    spans.push_back({view(tiu), view(gdma)});
  return spans;
}

std::pair<uint64_t, uint64_t> run(Machine &machine, const Groups &groups,
                                  bool detectRaces, unsigned threads,
                                  const py::object &labels) {
  std::vector<cmodel::CommandGroup> spans = spansOf(groups);
  cmodel::RunOptions options{detectRaces, threads, labelsOf(labels)};
  cmodel::RunStatistics statistics =
      guarded([&] { return machine.run(spans, options); });
  return {statistics.tiuCommands, statistics.gdmaCommands};
}

void write(Machine &machine, uint64_t addr, const py::buffer &data) {
  if (PyObject_CheckBuffer(data.ptr()) == 0)
    throw py::type_error("data: expected an object with the buffer protocol");
  Py_buffer buffer;
  if (PyObject_GetBuffer(data.ptr(), &buffer, PyBUF_C_CONTIGUOUS) != 0)
    throw py::error_already_set();
  std::unique_ptr<Py_buffer, void (*)(Py_buffer *)> release(&buffer,
                                                            PyBuffer_Release);
  guarded([&] {
    machine.write(
        addr, {static_cast<const std::byte *>(buffer.buf), size_t(buffer.len)});
  });
}

py::bytes read(const Machine &machine, uint64_t addr, uint64_t count) {
  auto result = py::reinterpret_steal<py::bytes>(
      PyBytes_FromStringAndSize(nullptr, Py_ssize_t(count)));
  if (!result)
    throw py::error_already_set();
  auto *data = reinterpret_cast<std::byte *>(PyBytes_AsString(result.ptr()));
  guarded([&] { machine.read(addr, {data, count}); });
  return result;
}

py::array_t<uint8_t> lmem(const py::object &self, unsigned lane) {
  auto &machine = py::cast<Machine &>(self);
  std::span<std::byte> bytes = guarded([&] { return machine.lane(lane); });
  return py::array_t<uint8_t>(py::ssize_t(bytes.size()),
                              reinterpret_cast<uint8_t *>(bytes.data()), self);
}

/// An execution with the bytes that it runs.
struct Execution {
  Execution(Machine &machine, Groups bytes, bool detectRaces, unsigned threads,
            const py::object &labels, uint64_t history)
      : groups(std::move(bytes)), spans(spansOf(groups)),
        execution(machine, spans, {detectRaces, threads, labelsOf(labels)},
                  history) {}

  Groups groups;
  std::vector<cmodel::CommandGroup> spans;
  cmodel::Execution execution;
};

/// One row for each command: group, engine, cmd_id, index in its stream.
py::array_t<int64_t> order(Execution &self) {
  const std::vector<cmodel::Step> &steps =
      guarded([&]() -> decltype(auto) { return self.execution.order(); });
  py::array_t<int64_t> rows({py::ssize_t(steps.size()), py::ssize_t(4)});
  auto at = rows.mutable_unchecked<2>();
  for (py::ssize_t i = 0; i < at.shape(0); ++i) {
    const cmodel::Step &step = steps[size_t(i)];
    at(i, 0) = step.group;
    at(i, 1) = int64_t(step.engine);
    at(i, 2) = int64_t(step.id);
    at(i, 3) = step.index;
  }
  return rows;
}

py::object next(Execution &self) {
  if (!guarded([&] { return self.execution.next(); }))
    return py::none();
  const cmodel::Step &step = self.execution.order()[self.execution.position()];
  return py::make_tuple(step.group, isa::name(step.engine), step.id,
                        step.index);
}

py::array_t<int64_t> rowsOf(const std::vector<cmodel::Interval> &intervals) {
  py::array_t<int64_t> rows({py::ssize_t(intervals.size()), py::ssize_t(2)});
  auto at = rows.mutable_unchecked<2>();
  for (py::ssize_t i = 0; i < at.shape(0); ++i) {
    at(i, 0) = int64_t(intervals[size_t(i)].begin);
    at(i, 1) = int64_t(intervals[size_t(i)].end);
  }
  return rows;
}

py::tuple footprintOf(const cmodel::Footprint &footprint) {
  return py::make_tuple(rowsOf(cmodel::intervalsOf(footprint.reads)),
                        rowsOf(cmodel::intervalsOf(footprint.writes)));
}

} // namespace

void registerDevice(py::module_ &core) {
  py::module_ m = addSubmodule(core, "device", "The BM1684X simulator.");
  py::class_<Machine>(m, "Machine")
      .def(py::init([](uint64_t ddrBytes) {
             return guarded(
                 [&] { return std::make_unique<Machine>(ddrBytes); });
           }),
           py::arg("ddr_bytes"))
      .def("write", &write, py::arg("addr"), py::arg("data"))
      .def("read", &read, py::arg("addr"), py::arg("nbytes"))
      .def("lmem", &lmem, py::arg("lane"))
      .def("execute", &execute, py::arg("engine"), py::arg("command"))
      .def("run", &run, py::arg("groups"), py::kw_only(),
           py::arg("detect_races") = false, py::arg("threads") = 0,
           py::arg("labels") = py::none());
  py::class_<Execution>(m, "Execution")
      .def(py::init<Machine &, Groups, bool, unsigned, const py::object &,
                    uint64_t>(),
           py::arg("machine"), py::arg("groups"), py::kw_only(),
           py::arg("detect_races") = false, py::arg("threads") = 0,
           py::arg("labels") = py::none(), py::arg("history") = 0,
           py::keep_alive<1, 2>())
      .def_property_readonly(
          "position",
          [](const Execution &self) { return self.execution.position(); })
      .def_property_readonly(
          "total",
          [](Execution &self) {
            return guarded([&] { return self.execution.order().size(); });
          })
      .def_property_readonly("order", &order)
      .def_property_readonly("next", &next)
      .def(
          "step",
          [](Execution &self, uint64_t count) {
            return guarded([&] { return self.execution.step(count); });
          },
          py::arg("count") = 1)
      .def(
          "seek",
          [](Execution &self, uint64_t position) {
            guarded([&] { self.execution.seek(position); });
          },
          py::arg("position"))
      .def("footprint",
           [](Execution &self) {
             return footprintOf(
                 guarded([&] { return self.execution.footprint(); }));
           })
      .def("touched", [](const Execution &self) {
        return footprintOf(self.execution.touched());
      });
}

} // namespace tpumlir::bindings
