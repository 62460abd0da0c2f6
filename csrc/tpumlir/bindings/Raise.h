#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <utility>
#include <vector>

namespace tpumlir::bindings {

/// A message with the node it speaks about ("" for none).
struct Message {
  std::string text;
  std::string node;
  std::vector<std::string> notes;
};

/// Throws the class of that name of tpumlir.errors, with one diagnostic per
/// message and the keyword arguments that the class takes. The GIL is held.
template <class... KeywordArgs>
[[noreturn]] void raise(const char *errorClass,
                        const std::vector<Message> &messages,
                        KeywordArgs &&...keywords) {
  namespace py = pybind11;
  py::module_ errors = py::module_::import("tpumlir.errors");
  py::list diagnostics;
  for (const Message &message : messages) {
    py::object node = py::none();
    if (!message.node.empty())
      node = py::str(message.node);
    py::tuple notes(message.notes.size());
    for (size_t i = 0; i < message.notes.size(); ++i)
      notes[i] = py::str(message.notes[i]);
    diagnostics.append(errors.attr("Diagnostic")(message.text, node, notes));
  }
  py::object type = errors.attr(errorClass);
  py::object error = type(*diagnostics, std::forward<KeywordArgs>(keywords)...);
  PyErr_SetObject(type.ptr(), error.ptr());
  throw py::error_already_set();
}

} // namespace tpumlir::bindings
