#pragma once

#include "tpumlir/api/Module.h"

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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

/// An op that commands come from.
struct ProgramSource {
  std::string op;     ///< e.g. tpu.Conv2D
  std::string tensor; ///< what it computes
  std::string node;
  unsigned line; ///< in the text of the module, from 1 on
};

/// Commands of one op that follow each other, in the order that they were made
/// in.
struct ProgramCommands {
  unsigned engine; ///< 0 TIU, 1 GDMA
  uint64_t segment, first, last;
  size_t source;
};

/// What the pieces of tensors are pieces of.
struct ProgramTensor {
  TensorInfo info;
  std::optional<uint64_t> address; ///< in global memory
};

/// How a piece lies in memory, and where among the elements of its tensor.
struct ProgramLayout {
  size_t tensor;
  bool isLocal, everyLane;
  std::array<int64_t, 4> size, stride, tensorStride;
  auto operator<=>(const ProgramLayout &) const = default;
};

/// See codegen::PiecePlace.
struct ProgramPlace {
  unsigned engine;
  uint64_t segment, first, last;
  size_t source, layout;
  uint64_t address;
  int64_t begin, slice;
  std::vector<size_t> reads; ///< other places
};

/// All that a bmodel needs.
struct Program {
  std::string name;
  std::vector<PlacedTensor> inputs, outputs;
  std::vector<uint8_t> coeff;
  uint64_t coeffAddr, ctxAddr, ctxSize;
  std::vector<ProgramSegment> segments;
  std::vector<ProgramSource> sources;
  std::vector<ProgramCommands> commands;
  std::vector<ProgramTensor> tensors;
  std::vector<ProgramLayout> layouts;
  std::vector<ProgramPlace> places;
};

/// Generates the commands of a Tpu module that `finalize` made; with `debug`
/// also what each comes from and where tensors are. Throws CompileError.
Program compile(const Module &module, bool debug = true);

/// Throws what `compile` throws for an op that cannot be translated, without
/// making a program. Of ops that are alike one is looked at.
void checkCode(const Module &module);

} // namespace tpumlir
