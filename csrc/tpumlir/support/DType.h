#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tpumlir {

/// Element types that a tensor of the compiler, the interpreter or the chip can
/// have.
enum class DType : uint8_t { F32, F16, BF16, I32, U32, I16, U16, I8, U8 };

/// Bytes of one element.
constexpr size_t dtypeBytes(DType type) {
  switch (type) {
  case DType::F32:
  case DType::I32:
  case DType::U32:
    return 4;
  case DType::F16:
  case DType::BF16:
  case DType::I16:
  case DType::U16:
    return 2;
  case DType::I8:
  case DType::U8:
    return 1;
  }
  return 0;
}

/// Short name as MLIR and the Python API spell it: f32, f16, bf16, i32, ui32...
constexpr std::string_view dtypeName(DType type) {
  switch (type) {
  case DType::F32:
    return "f32";
  case DType::F16:
    return "f16";
  case DType::BF16:
    return "bf16";
  case DType::I32:
    return "i32";
  case DType::U32:
    return "ui32";
  case DType::I16:
    return "i16";
  case DType::U16:
    return "ui16";
  case DType::I8:
    return "i8";
  case DType::U8:
    return "ui8";
  }
  return "?";
}

constexpr bool isFloat(DType type) {
  return type == DType::F32 || type == DType::F16 || type == DType::BF16;
}

constexpr bool isSigned(DType type) {
  return type != DType::U32 && type != DType::U16 && type != DType::U8;
}

} // namespace tpumlir
