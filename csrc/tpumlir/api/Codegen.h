#pragma once

#include "tpumlir/api/Module.h"

#include <cstdint>

namespace tpumlir {

/// A model input or output in global memory.
struct PlacedTensor {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  uint64_t address; ///< as GDMA sees it
  uint64_t bytes;
  /// A stored q stands for (q - zero point) * scale.
  double scale = 1;
  int64_t zeroPoint = 0;
};

/// Streams of the two engines, each with its end command.
struct ProgramSegment {
  std::vector<uint8_t> tiu, gdma;
  uint64_t tiuCount, gdmaCount;
};

/// The op and ONNX node behind a command.
struct ProgramOrigin {
  std::string engine; ///< "tiu" or "gdma"
  uint64_t segment, id;
  std::string op;     ///< e.g. tpu.Conv2D
  std::string tensor; ///< what the op computes
  std::string node;
};

/// All that a bmodel needs.
struct Program {
  std::string name;
  std::vector<PlacedTensor> inputs, outputs;
  std::vector<uint8_t> coeff;
  uint64_t coeffAddr, ctxAddr, ctxSize;
  std::vector<ProgramSegment> segments;
  std::vector<ProgramOrigin> origins;
};

/// Generates the commands of a Tpu module that `finalize` made. Throws
/// CompileError.
Program compile(const Module &module);

/// Throws what `compile` throws for an op that cannot be translated, without
/// making a program. Of ops that are alike one is looked at.
void checkCode(const Module &module);

} // namespace tpumlir
