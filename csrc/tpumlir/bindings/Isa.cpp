#include "tpumlir/isa/Operands.h"
#include "tpumlir/isa/Validate.h"

#include "tpumlir/bindings/Bindings.h"
#include "tpumlir/bindings/Raise.h"
#include "tpumlir/support/Float.h"

#include <pybind11/stl.h>

#include <map>

namespace py = pybind11;

namespace tpumlir::bindings {
namespace {

using namespace isa;

Engine parseEngine(const std::string &text) {
  if (text == "tiu")
    return Engine::Tiu;
  if (text == "gdma")
    return Engine::Gdma;
  throw py::value_error("expected engine 'tiu' or 'gdma', got '" + text + "'");
}

const InstructionInfo &lookUp(const std::string &name) {
  if (const InstructionInfo *info = findInstruction(name))
    return *info;
  raise("EncodeError", {{"expected the name of an instruction, got '" + name +
                             "' (see tpumlir._core.isa.instructions())",
                         "",
                         {}}});
}

std::span<const uint8_t> view(const py::buffer_info &info) {
  if (info.itemsize != 1 || info.ndim != 1)
    throw py::value_error("expected bytes, got a buffer of another shape");
  return {static_cast<const uint8_t *>(info.ptr), size_t(info.size)};
}

/// Runs `body`, turning the exceptions of the device half into tpumlir.errors.
template <class Body> auto translated(Body body) {
  try {
    return body();
  } catch (const EncodeError &error) {
    raise("EncodeError", {{error.what(), "", {}}},
          py::arg("field") = error.field, py::arg("value") = error.value,
          py::arg("width") = error.width);
  } catch (const DecodeError &error) {
    raise("DecodeError", {{error.what(), "", {}}},
          py::arg("offset") = error.offset);
  }
}

std::map<unsigned, std::string> subOps(const InstructionInfo &info) {
  std::map<unsigned, std::string> ops;
  for (SubOp op : info.subOps)
    ops[op.code] = op.name;
  return ops;
}

py::dict fieldValues(const Decoded &decoded) {
  py::dict values;
  const InstructionInfo &info = infoOf(decoded.command);
  for (size_t i = 0; i < info.fields.size(); ++i)
    if (!info.fields[i].reserved())
      values[py::str(std::string(info.fields[i].name))] =
          getField(decoded.command, i);
  return values;
}

Command commandFrom(const std::string &name,
                    const std::map<std::string, uint64_t> &values) {
  const InstructionInfo &info = lookUp(name);
  Command command = makeCommand(info);
  for (const auto &[field, value] : values) {
    size_t index = 0;
    while (index < info.fields.size() && info.fields[index].name != field)
      ++index;
    if (field.empty() || index == info.fields.size())
      raise("EncodeError",
            {{"expected a field of " + name + ", got '" + field + "'", "", {}}},
            py::arg("field") = field, py::arg("value") = value,
            py::arg("width") = 0);
    // The form is the instruction's, not a choice of the caller.
    if (field == "cmd_short" && value != uint64_t(info.isShort))
      raise(
          "EncodeError",
          {{name + ".cmd_short: expected " + std::to_string(int(info.isShort)) +
                ", got " + std::to_string(value),
            "",
            {}}},
          py::arg("field") = field, py::arg("value") = value,
          py::arg("width") = 1);
    setField(command, index, value);
  }
  return command;
}

py::bytes encodeFields(const std::string &name,
                       const std::map<std::string, uint64_t> &values) {
  Command command = commandFrom(name, values);
  std::vector<uint8_t> bytes;
  translated([&] { encode(command, bytes); });
  return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

std::vector<Decoded> decodeBuffer(const std::string &engine,
                                  const py::buffer &stream) {
  Engine which = parseEngine(engine);
  py::buffer_info info = stream.request();
  auto bytes = view(info);
  return translated([&] { return decodeStream(which, bytes); });
}

using RangePair = std::optional<std::pair<uint64_t, uint64_t>>;

std::optional<ProgramMemory> programMemory(const RangePair &coeff,
                                           const RangePair &ctx) {
  if (!coeff && !ctx)
    return std::nullopt;
  auto range = [](const RangePair &pair) {
    return pair ? AddressRange{pair->first, pair->second} : AddressRange{};
  };
  return ProgramMemory{range(coeff), range(ctx)};
}

Maker makerOf(bool foreign) { return foreign ? Maker::Foreign : Maker::Own; }

std::vector<Violation>
validateStreams(const py::buffer &tiu, const py::buffer &gdma,
                const RangePair &coeff, const RangePair &ctx,
                std::optional<uint64_t> tiuCount,
                std::optional<uint64_t> gdmaCount, bool foreign) {
  py::buffer_info tiuInfo = tiu.request();
  py::buffer_info gdmaInfo = gdma.request();
  auto tiuBytes = view(tiuInfo);
  auto gdmaBytes = view(gdmaInfo);
  return translated([&] {
    py::gil_scoped_release release;
    return validateGroup(decodeStream(Engine::Tiu, tiuBytes),
                         decodeStream(Engine::Gdma, gdmaBytes),
                         programMemory(coeff, ctx), {tiuCount, gdmaCount},
                         makerOf(foreign));
  });
}

py::dict dtypeCodes() {
  py::dict codes;
#define DTYPE(name, code, text, bits) codes[text] = code;
#include "tpumlir/isa/codes.def"
  return codes;
}

py::dict padModes() {
  py::dict codes;
#define PAD_MODE(name, code, text) codes[text] = code;
#include "tpumlir/isa/codes.def"
  return codes;
}

py::dict layouts() {
  py::dict codes;
#define LAYOUT(name, code, text) codes[text] = code;
#include "tpumlir/isa/codes.def"
  return codes;
}

py::dict roundingModes() {
  py::dict codes;
  for (unsigned i = 0; i < support::kRoundings; ++i)
    codes[support::name(support::Rounding(i))] = i;
  return codes;
}

} // namespace

void registerIsa(py::module_ &core) {
  py::module_ m = addSubmodule(core, "isa", "The instruction set, as data.");

  py::class_<Field>(m, "Field")
      .def_property_readonly("name",
                             [](const Field &f) { return std::string(f.name); })
      .def_readonly("lsb", &Field::lsb)
      .def_readonly("width", &Field::width)
      .def_property_readonly("what",
                             [](const Field &f) { return std::string(f.what); })
      .def_property_readonly("reserved", &Field::reserved);

  py::class_<InstructionInfo>(m, "InstructionInfo")
      .def_property_readonly(
          "name", [](const InstructionInfo &i) { return std::string(i.name); })
      .def_property_readonly(
          "engine",
          [](const InstructionInfo &i) { return name(engineOf(i.kind)); })
      .def_readonly("is_short", &InstructionInfo::isShort)
      .def_readonly("emitted", &InstructionInfo::emitted)
      .def_readonly("opcode", &InstructionInfo::opcode)
      .def_readonly("size", &InstructionInfo::bytes)
      .def_property_readonly("sub_ops", &subOps);

  py::class_<Decoded>(m, "Command")
      .def_readonly("offset", &Decoded::offset)
      .def_readonly("size", &Decoded::bytes)
      .def_property_readonly(
          "engine", [](const Decoded &d) { return name(engineOf(d.command)); })
      .def_property_readonly(
          "instruction",
          [](const Decoded &d) { return std::string(infoOf(d.command).name); })
      .def_property_readonly(
          "op", [](const Decoded &d) { return std::string(opName(d.command)); })
      .def_property_readonly("id",
                             [](const Decoded &d) { return idOf(d.command); })
      .def_property_readonly(
          "dependency",
          [](const Decoded &d) { return dependencyOf(d.command); })
      .def_property_readonly("is_end",
                             [](const Decoded &d) { return isEnd(d.command); })
      .def_property_readonly("fields", &fieldValues)
      .def("__repr__", [](const Decoded &d) {
        return "<Command " + disassemble(d.command) + ">";
      });

  m.def("instructions", [] {
    auto list = instructions();
    return std::vector<InstructionInfo>(list.begin(), list.end());
  });
  m.def(
      "fields",
      [](const std::string &name) {
        auto list = lookUp(name).fields;
        return std::vector<Field>(list.begin(), list.end());
      },
      py::arg("instruction"));
  m.def(
      "operands",
      [](const std::string &instruction) {
        std::vector<std::pair<std::string, std::string>> rows;
        Kind kind = lookUp(instruction).kind;
        for (const OperandRow &row : kOperands)
          if (row.kind == kind)
            rows.emplace_back(row.operand, name(row.role));
        return rows;
      },
      py::arg("instruction"));
  m.def("encode", &encodeFields, py::arg("instruction"), py::arg("fields"));
  m.def("decode", &decodeBuffer, py::arg("engine"), py::arg("stream"));
  m.def(
      "disassemble", [](const Decoded &d) { return disassemble(d.command); },
      py::arg("command"));
  py::class_<Violation>(m, "Violation")
      .def_property_readonly("engine",
                             [](const Violation &v) { return name(v.engine); })
      .def_readonly("index", &Violation::index)
      .def_readonly("id", &Violation::id)
      .def_readonly("instruction", &Violation::instruction)
      .def_readonly("op", &Violation::op)
      .def_readonly("field", &Violation::field)
      .def_readonly("value", &Violation::value)
      .def_readonly("expected", &Violation::expected)
      .def("__str__", &Violation::message);
  m.def(
      "validate_command",
      [](const Decoded &d, const RangePair &coeff, const RangePair &ctx,
         bool foreign) {
        return validate(d.command, programMemory(coeff, ctx), makerOf(foreign));
      },
      py::arg("command"), py::kw_only(), py::arg("coeff") = py::none(),
      py::arg("ctx") = py::none(), py::arg("foreign") = false);
  m.def(
      "global_accesses",
      [](const Decoded &d) {
        using Row = std::tuple<std::string, std::string, uint64_t,
                               std::optional<uint64_t>>;
        std::vector<Row> rows;
        for (GlobalAccess &access : globalAccesses(d.command))
          rows.emplace_back(std::move(access.operand), name(access.role),
                            access.addr, access.bytes);
        return rows;
      },
      py::arg("command"));
  m.def("validate", &validateStreams, py::arg("tiu"), py::arg("gdma"),
        py::kw_only(), py::arg("coeff") = py::none(),
        py::arg("ctx") = py::none(), py::arg("tiu_count") = py::none(),
        py::arg("gdma_count") = py::none(), py::arg("foreign") = false);
  m.def("dtype_codes", &dtypeCodes);
  m.def("pad_modes", &padModes);
  m.def("layouts", &layouts);
  m.def("rounding_modes", &roundingModes);

  registerCycles(m);

  m.attr("LANES") = kLanes;
  m.attr("LANE_BYTES") = kLaneBytes;
  m.attr("BANK_BYTES") = kBankBytes;
  m.attr("EU_BYTES") = kEuBytes;
  auto range = [](AddressRange r) { return py::make_tuple(r.begin, r.end); };
  m.attr("LOCAL_MEMORY") = range(kLocalMemory);
  m.attr("STATIC_MEMORY") = range(kStaticMemory);
  m.attr("L2_MEMORY") = range(kL2Memory);
  m.attr("GLOBAL_MEMORY") = range(kGlobalMemory);
}

} // namespace tpumlir::bindings
