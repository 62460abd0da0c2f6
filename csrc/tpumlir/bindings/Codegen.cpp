#include "tpumlir/api/Codegen.h"
#include "tpumlir/api/Pipeline.h"
#include "tpumlir/bindings/Bindings.h"

#include <pybind11/stl.h>

namespace py = pybind11;

namespace tpumlir::bindings {

namespace {

py::bytes toBytes(const std::vector<uint8_t> &data) {
  return py::bytes(reinterpret_cast<const char *>(data.data()), data.size());
}

/// Calls without the GIL. A CompileError that escapes becomes its Python class
/// (registerIr).
template <typename F> auto withoutGil(F call) {
  py::gil_scoped_release release;
  return call();
}

constexpr const char *kEngines[] = {"tiu", "gdma"};

py::list originsOf(const Program &program) {
  py::list list;
  for (const ProgramCommands &run : program.commands) {
    const ProgramSource &source = program.sources[run.source];
    for (uint64_t id = run.first; id <= run.last; ++id)
      list.append(py::make_tuple(kEngines[run.engine], id, source.op,
                                 source.node, run.segment));
  }
  return list;
}

py::list sourcesOf(const Program &program) {
  py::list list;
  for (const ProgramSource &source : program.sources)
    list.append(
        py::make_tuple(source.op, source.node, source.tensor, source.line));
  return list;
}

py::list commandsOf(const Program &program) {
  py::list list;
  for (const ProgramCommands &run : program.commands)
    list.append(py::make_tuple(run.segment, kEngines[run.engine], run.first,
                               run.last, run.source));
  return list;
}

/// The scale of a tensor, or those along axis 1, and the zero point; none of
/// what has others.
py::tuple quantisationOf(const TensorInfo &info) {
  if (info.axis == 1 && !info.scales.empty())
    return py::make_tuple(py::tuple(py::cast(info.scales)),
                          info.zeroPoints.front());
  if (info.scales.size() != 1)
    return py::make_tuple(py::none(), 0);
  return py::make_tuple(info.scales[0],
                        info.zeroPoints.empty() ? 0 : info.zeroPoints.front());
}

py::list tensorsOf(const Program &program) {
  py::list list;
  for (const ProgramTensor &tensor : program.tensors) {
    py::tuple numbers = quantisationOf(tensor.info);
    list.append(py::make_tuple(
        tensor.info.name, tensor.info.dtype,
        py::cast(tensor.info.shape.value_or(std::vector<int64_t>())),
        numbers[0], numbers[1], tensor.address));
  }
  return list;
}

py::list layoutsOf(const Program &program) {
  py::list list;
  for (const ProgramLayout &layout : program.layouts)
    list.append(py::make_tuple(
        layout.tensor, int(layout.isLocal) + int(layout.everyLane), layout.size,
        layout.stride, layout.tensorStride));
  return list;
}

py::list placesOf(const Program &program) {
  py::list list;
  for (const ProgramPlace &place : program.places)
    list.append(py::make_tuple(
        place.segment, place.engine, place.first, place.last, place.source,
        place.layout, place.address, place.begin, place.slice, place.reads));
  return list;
}

} // namespace

void registerCodegen(py::module_ &core) {
  py::module_ m =
      addSubmodule(core, "codegen", "From Top modules to chip programs.");
  py::class_<PlacedTensor>(m, "PlacedTensor")
      .def_readonly("name", &PlacedTensor::name)
      .def_readonly("dtype", &PlacedTensor::dtype)
      .def_property_readonly(
          "shape",
          [](const PlacedTensor &t) { return py::tuple(py::cast(t.shape)); })
      .def_readonly("address", &PlacedTensor::address)
      .def_readonly("size", &PlacedTensor::bytes)
      .def_readonly("scale", &PlacedTensor::scale)
      .def_readonly("zero_point", &PlacedTensor::zeroPoint);
  py::class_<ProgramSegment>(m, "ProgramSegment")
      .def_property_readonly(
          "tiu", [](const ProgramSegment &g) { return toBytes(g.tiu); })
      .def_property_readonly(
          "gdma", [](const ProgramSegment &g) { return toBytes(g.gdma); })
      .def_readonly("tiu_count", &ProgramSegment::tiuCount)
      .def_readonly("gdma_count", &ProgramSegment::gdmaCount);
  py::class_<Program>(m, "Program")
      .def_readonly("name", &Program::name)
      .def_readonly("inputs", &Program::inputs)
      .def_readonly("outputs", &Program::outputs)
      .def_property_readonly("coeff",
                             [](const Program &p) { return toBytes(p.coeff); })
      .def_readonly("coeff_addr", &Program::coeffAddr)
      .def_readonly("ctx_addr", &Program::ctxAddr)
      .def_readonly("ctx_size", &Program::ctxSize)
      .def_readonly("segments", &Program::segments)
      .def_property_readonly("debug", &originsOf)
      .def_property_readonly("sources", &sourcesOf)
      .def_property_readonly("commands", &commandsOf)
      .def_property_readonly("tensors", &tensorsOf)
      .def_property_readonly("layouts", &layoutsOf)
      .def_property_readonly("places", &placesOf);

  m.def(
      "lower",
      [](const Module &top, const std::string &mode, const std::string &chip,
         const std::map<std::string, std::string> &table, bool plain,
         const std::optional<std::map<std::string, std::array<double, 3>>>
             &ranges,
         const std::map<std::string, std::pair<std::vector<float>,
                                               std::vector<float>>> &channels,
         const std::optional<std::vector<int64_t>> &inputs,
         const std::optional<std::vector<int64_t>> &outputs) {
        return withoutGil([&] {
          LowerOptions options{
              chip, mode, {table.begin(), table.end()}, plain, {}, {}, {}, {}};
          // An empty list stands for all.
          if (inputs)
            options.inputs = {inputs->empty(), *inputs};
          if (outputs)
            options.outputs = {outputs->empty(), *outputs};
          if (ranges)
            options.calibrationTable.emplace(ranges->begin(), ranges->end());
          options.channelRanges.assign(channels.begin(), channels.end());
          return lower(top, options);
        });
      },
      py::arg("module"), py::kw_only(), py::arg("mode") = "F32",
      py::arg("chip") = "bm1684x",
      py::arg("quantize_table") = std::map<std::string, std::string>(),
      py::arg("plain_half") = false, py::arg("calibration_table") = py::none(),
      py::arg("channel_ranges") =
          std::map<std::string,
                   std::pair<std::vector<float>, std::vector<float>>>(),
      py::arg("quant_input") = py::none(),
      py::arg("quant_output") = py::none());
  m.def(
      "finalize",
      [](const Module &tpu, int opt) {
        return withoutGil([&] { return finalize(tpu, {opt}); });
      },
      py::arg("module"), py::kw_only(), py::arg("opt") = 2);
  m.def(
      "compile",
      [](const Module &module, bool debug) {
        return withoutGil([&] { return compile(module, debug); });
      },
      py::arg("module"), py::kw_only(), py::arg("debug") = true);
  m.def(
      "check_code",
      [](const Module &module) { withoutGil([&] { checkCode(module); }); },
      py::arg("module"));
}

} // namespace tpumlir::bindings
