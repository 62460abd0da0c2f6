#pragma once

#include "tpumlir/isa/Isa.h"

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

namespace tpumlir::cmodel {

/// What a command did that the chip cannot do: an access outside a memory, a
/// combination of fields without meaning, a dependency that never comes.
class DeviceFault : public std::runtime_error {
public:
  DeviceFault(isa::Engine engine, uint64_t command, const std::string &message,
              std::optional<uint64_t> address = std::nullopt)
      : std::runtime_error(message), engine(engine), command(command),
        address(address) {}

  isa::Engine engine;
  /// cmd_id of the command; 0 when the stream itself is at fault.
  uint64_t command;
  /// First byte concerned, in the address map of GDMA, if the fault has one.
  std::optional<uint64_t> address;
};

} // namespace tpumlir::cmodel
