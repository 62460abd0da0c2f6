#pragma once

#include "tpumlir/support/DType.h"

#include <string>
#include <string_view>

namespace tpumlir {

/// How far the tensors of one stage may be off the stage before: least norms
/// (tpumlir.compare), and units in the last place of elements, once from the
/// same operands and once behind a whole model.
struct StageBounds {
  double cosine;
  double euclid;
  double operationUnits;
  double modelUnits;
};

/// What a deploy can compute in.
struct PrecisionInfo {
  std::string_view name; ///< as commands and tables spell it
  DType storage;         ///< what a tensor is in memory
  /// What an operation computes and sums in; its result is rounded to `storage`
  /// once.
  DType compute;
  bool needsCalibration; ///< whether tensors need ranges before the lowering
  int significantBits;
  double largest; ///< the largest number that `storage` holds
  /// Units in the last place that an elementwise operation itself may be off:
  /// the chip's approximations in F32, some roundings in the halves.
  double ownUnits;
  double smallest;      ///< below, numbers are zeros or have few digits
  StageBounds lowering; ///< Tpu against Top
  StageBounds device;   ///< the bmodel against Tpu

  bool isHalf() const { return isFloat(storage) && dtypeBytes(storage) == 2; }
  /// Whether tensors are integers with a scale.
  bool isQuantized() const { return !isFloat(storage); }
};

/// The one list of precisions, from the most to the least precise. Everything
/// that names, maps, offers or judges them reads it, in C++ and (as
/// tpumlir.precision.formats) in Python. What the bounds rest on:
/// docs/precision.md.
inline constexpr PrecisionInfo kPrecisions[] = {
    {.name = "F32",
     .storage = DType::F32,
     .compute = DType::F32,
     .needsCalibration = false,
     .significantBits = 24,
     .largest = 0x1.fffffep127,
     .ownUnits = 4096,
     .smallest = 0x1p-120,
     .lowering = {0.9999, 0.999, 8192, 65536},
     .device = {0.9999, 0.999, 4096, 16384}},
    // Every tensor is rounded, and the errors of one layer go through the next.
    // The device rounds at the same places: sums in another order make single
    // elements differ by one unit, and so do the layers behind them.
    {.name = "F16",
     .storage = DType::F16,
     .compute = DType::F32,
     .needsCalibration = false,
     .significantBits = 11,
     .largest = 65504,
     .ownUnits = 16,
     .smallest = 0x1p-22,
     .lowering = {0.999, 0.96, 64, 512},
     .device = {0.9999, 0.995, 16, 256}},
    {.name = "BF16",
     .storage = DType::BF16,
     .compute = DType::F32,
     .needsCalibration = false,
     .significantBits = 8,
     .largest = 0x1.fep127,
     .ownUnits = 16,
     .smallest = 0x1p-120,
     .lowering = {0.99, 0.85, 32, 256},
     .device = {0.999, 0.97, 16, 80}},
    // A tensor is judged as a whole: its step, which the calibration chose, is
    // the same for great and for small numbers. The device computes the same
    // integers, but what is float before them may make one of them another.
    {.name = "INT8",
     .storage = DType::I8,
     .compute = DType::I32,
     .needsCalibration = true,
     .significantBits = 7,
     .largest = 127,
     .ownUnits = 16,
     .smallest = 0,
     .lowering = {0.9, 0.5, 512, 4096},
     .device = {0.99, 0.85, 256, 1024}},
};

/// The precision of this name; null for other words.
constexpr const PrecisionInfo *findPrecision(std::string_view name) {
  for (const PrecisionInfo &each : kPrecisions)
    if (each.name == name)
      return &each;
  return nullptr;
}

/// The precision that stores this type; null if none does.
constexpr const PrecisionInfo *precisionOf(DType storage) {
  for (const PrecisionInfo &each : kPrecisions)
    if (each.storage == storage)
      return &each;
  return nullptr;
}

/// "F32, F16 or BF16", or with `ofTypes` "f32, f16 or bf16", for messages.
inline std::string listPrecisions(bool ofTypes = false) {
  std::string text;
  const PrecisionInfo *last = std::end(kPrecisions) - 1;
  for (const PrecisionInfo &each : kPrecisions) {
    if (&each != kPrecisions)
      text += &each == last ? " or " : ", ";
    text += ofTypes ? dtypeName(each.storage) : each.name;
  }
  return text;
}

} // namespace tpumlir
