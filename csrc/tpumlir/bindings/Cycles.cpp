#include "tpumlir/isa/Timeline.h"

#include "tpumlir/bindings/Bindings.h"
#include "tpumlir/bindings/Raise.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <map>

namespace py = pybind11;

namespace tpumlir::bindings {
namespace {

using namespace isa;

/// Columns of one row per command, groups one after another, TIU first.
struct Profile {
  uint64_t cycles = 0;
  uint64_t tiuBusy = 0;
  uint64_t gdmaBusy = 0;
  uint64_t bothBusy = 0;
  std::vector<uint64_t> group, id, start, duration, wait, read, written,
      products;
  std::vector<uint8_t> engine, work, known;
  std::vector<uint32_t> op;
  std::vector<double> share, peak;
  std::vector<std::string> ops;
};

/// The commands of one engine up to its end command, without their fields: a
/// program may have hundreds of thousands.
struct Stream {
  std::vector<Cost> costs;
  std::vector<Step> steps;
  std::vector<std::string_view> ops;
};

Stream priced(Engine engine, std::span<const uint8_t> bytes) {
  Stream stream;
  for (size_t offset = 0; offset < bytes.size();) {
    Decoded decoded = decode(engine, bytes, offset);
    stream.costs.push_back(costOf(decoded.command));
    stream.steps.push_back(stepOf(decoded.command, stream.costs.back().cycles));
    stream.ops.push_back(opName(decoded.command));
    if (isEnd(decoded.command))
      break;
    offset += decoded.bytes;
  }
  return stream;
}

class Builder {
public:
  void add(size_t group, std::span<const uint8_t> tiu,
           std::span<const uint8_t> gdma) {
    Stream streams[2] = {priced(Engine::Tiu, tiu), priced(Engine::Gdma, gdma)};
    Timeline line;
    try {
      line = timelineOf(streams[0].steps, streams[1].steps);
    } catch (const TimelineError &error) {
      throw TimelineError("command group " + std::to_string(group) + ": " +
                          error.what());
    }
    rows(group, 0, streams[0], line.tiu);
    rows(group, 1, streams[1], line.gdma);
    // A group starts when the one before it has ended.
    out.cycles += line.cycles;
    out.tiuBusy += line.tiuBusy;
    out.gdmaBusy += line.gdmaBusy;
    out.bothBusy += line.bothBusy;
  }

  Profile out;

private:
  void rows(size_t group, size_t engine, const Stream &stream,
            std::span<const Slot> slots) {
    for (size_t i = 0; i < slots.size(); ++i) {
      const Cost &cost = stream.costs[i];
      auto [found, isNew] = opIndex.try_emplace(stream.ops[i], out.ops.size());
      if (isNew)
        out.ops.emplace_back(stream.ops[i]);
      out.op.push_back(found->second);
      out.group.push_back(group);
      out.engine.push_back(engine);
      out.id.push_back(stream.steps[i].id);
      out.start.push_back(out.cycles + slots[i].start);
      out.duration.push_back(cost.cycles);
      out.wait.push_back(slots[i].wait);
      out.share.push_back(slots[i].share);
      out.work.push_back(uint8_t(cost.work));
      out.read.push_back(cost.read);
      out.written.push_back(cost.written);
      out.products.push_back(cost.products);
      out.peak.push_back(cost.peakCycles);
      out.known.push_back(cost.known);
    }
  }

  std::map<std::string_view, uint32_t> opIndex;
};

std::span<const uint8_t> view(const py::buffer_info &info) {
  if (info.itemsize != 1 || info.ndim != 1)
    throw py::value_error("expected bytes, got a buffer of another shape");
  return {static_cast<const uint8_t *>(info.ptr), size_t(info.size)};
}

Profile profile(const std::vector<std::pair<py::buffer, py::buffer>> &groups) {
  std::vector<py::buffer_info> infos;
  for (const auto &[tiu, gdma] : groups) {
    infos.push_back(tiu.request());
    infos.push_back(gdma.request());
  }
  Builder builder;
  try {
    for (size_t i = 0; i < groups.size(); ++i)
      builder.add(i, view(infos[2 * i]), view(infos[2 * i + 1]));
  } catch (const DecodeError &error) {
    raise("DecodeError", {{error.what(), "", {}}},
          py::arg("offset") = error.offset);
  } catch (const TimelineError &error) {
    raise("BModelError", {{error.what(), "", {}}});
  }
  return std::move(builder.out);
}

template <class T> auto column(std::vector<T> Profile::*member) {
  return [member](const Profile &p) {
    const std::vector<T> &values = p.*member;
    return py::array_t<T>(py::ssize_t(values.size()), values.data());
  };
}

} // namespace

void registerCycles(py::module_ &m) {
  py::class_<Cost>(m, "Cost")
      .def_property_readonly("work", [](const Cost &c) { return name(c.work); })
      .def_readonly("cycles", &Cost::cycles)
      .def_readonly("read", &Cost::read)
      .def_readonly("written", &Cost::written)
      .def_readonly("products", &Cost::products)
      .def_readonly("peak_cycles", &Cost::peakCycles)
      .def_readonly("known", &Cost::known);
  m.def(
      "cost", [](const Decoded &d) { return costOf(d.command); },
      py::arg("command"));

  py::class_<Profile>(m, "Profile")
      .def_readonly("cycles", &Profile::cycles)
      .def_readonly("tiu_busy", &Profile::tiuBusy)
      .def_readonly("gdma_busy", &Profile::gdmaBusy)
      .def_readonly("both_busy", &Profile::bothBusy)
      .def_readonly("ops", &Profile::ops)
      .def_property_readonly("group", column(&Profile::group))
      .def_property_readonly("engine", column(&Profile::engine))
      .def_property_readonly("id", column(&Profile::id))
      .def_property_readonly("op", column(&Profile::op))
      .def_property_readonly("work", column(&Profile::work))
      .def_property_readonly("start", column(&Profile::start))
      .def_property_readonly("duration", column(&Profile::duration))
      .def_property_readonly("wait", column(&Profile::wait))
      .def_property_readonly("share", column(&Profile::share))
      .def_property_readonly("read", column(&Profile::read))
      .def_property_readonly("written", column(&Profile::written))
      .def_property_readonly("products", column(&Profile::products))
      .def_property_readonly("peak_cycles", column(&Profile::peak))
      .def_property_readonly("known", column(&Profile::known));
  m.def("profile", &profile, py::arg("groups"));
  m.attr("WORKS") =
      py::make_tuple(name(Work::Compute), name(Work::Load), name(Work::Store),
                     name(Work::Copy), name(Work::Control));
}

} // namespace tpumlir::bindings
