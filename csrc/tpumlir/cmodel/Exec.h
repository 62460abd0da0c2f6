#pragma once

#include "tpumlir/cmodel/Fault.h"
#include "tpumlir/cmodel/Memory.h"
#include "tpumlir/cmodel/ThreadPool.h"
#include "tpumlir/isa/Chip.h"
#include "tpumlir/isa/Isa.h"
#include "tpumlir/support/Float.h"

#include <array>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>

/// What an instruction *does*: shared by the files of the families.
namespace tpumlir::cmodel {

using isa::DType;
using support::Rounding;

struct Shape {
  int64_t n, c, h, w;
  int64_t plane() const { return h * w; }
};

/// Bytes from one element to the next in each dimension; `c` is the step from
/// one row of channels to the next in the same lane.
struct Strides {
  int64_t n, c, h, w;
};

enum class Access { Read, Write, Update };

/// A tensor in local memory: channel c lives in lane (lane + c) mod 64 (H5).
/// A constant operand is one with `lanes` null: the same word everywhere.
struct Tensor {
  std::byte *lanes;
  unsigned lane;
  uint64_t offset;
  Shape shape;
  Strides stride;
  std::array<std::byte, 8> word{};

  /// First element of channel c of batch n.
  std::byte *plane(int64_t n, int64_t c) const {
    if (!lanes)
      return const_cast<std::byte *>(word.data());
    uint64_t at = lane + uint64_t(c);
    return lanes + at % isa::kLanes * isa::kLaneBytes + offset +
           at / isa::kLanes * uint64_t(stride.c) + uint64_t(n * stride.n);
  }
};

constexpr int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t roundUp(int64_t a, int64_t b) { return ceilDiv(a, b) * b; }

/// Rows of channels that a lane holds when channel 0 lives in `lane`.
constexpr int64_t channelRows(unsigned lane, int64_t c) {
  return ceilDiv(lane + c, isa::kLanes);
}

constexpr unsigned laneOf(uint64_t addr) {
  return unsigned(addr / isa::kLaneBytes % isa::kLanes);
}

/// Strides of the layouts of (H5), in bytes. `lane`: where channel 0 lives.
Strides alignedStrides(const Shape &shape, unsigned lane, unsigned bytes);
Strides compactStrides(const Shape &shape, unsigned lane, unsigned bytes);

/// One command in execution: its memories, its name in messages, and a note of
/// what it touches.
class Context {
public:
  Context(Memory &memory, ThreadPool &pool, const isa::Command &command,
          Footprint *footprint)
      : memory(memory), pool(pool), command(command), footprint(footprint) {}

  /// Throws a DeviceFault that names the command. `message` follows
  /// "expected <rule>, got <value>".
  [[noreturn]] void fault(const std::string &message,
                          std::optional<uint64_t> address = {}) const;
  /// The same for a number in a field.
  [[noreturn]] void badField(std::string_view field, const std::string &rule,
                             uint64_t value) const;

  /// Element type of a field; faults on a code without meaning and on i4,
  /// which is not modelled.
  DType dtype(std::string_view field, uint64_t code) const;
  Rounding rounding(std::string_view field, uint64_t code) const;

  /// Throws unless all dimensions are at least 1.
  void checkShape(std::string_view field, const Shape &shape) const;

  /// A tensor in local memory at a TIU address. Faults when an element lies
  /// outside a lane.
  Tensor tensor(std::string_view field, uint64_t addr, const Shape &shape,
                const Strides &stride, unsigned bytes, Access access);
  /// Aligned and compact tensors.
  Tensor aligned(std::string_view field, uint64_t addr, const Shape &shape,
                 DType type, Access access);
  Tensor compact(std::string_view field, uint64_t addr, const Shape &shape,
                 DType type, Access access);
  /// A constant: the low bytes of a field.
  static Tensor constant(uint64_t bits, const Shape &shape);

  /// Plain memory of the GDMA map: faults unless [addr, addr + bytes) exists.
  /// With `record` it is noted in the footprint.
  std::byte *bytesAt(std::string_view field, uint64_t addr, uint64_t bytes,
                     Access access, bool record = true);

  void record(Access access, const Region &region);

  /// Faults when what a command writes overlaps what it reads; for commands
  /// whose lanes depend on each other, where the order would show.
  void requireDisjoint(std::string_view field, const Tensor &written,
                       std::string_view other, const Tensor &read) const;

  /// body(i) for i in [0, count), on the threads when `work` (elements or
  /// multiplications) is worth it.
  void parallel(size_t count, int64_t work,
                const std::function<void(size_t)> &body);

  Memory &memory;
  ThreadPool &pool;
  const isa::Command &command;
  Footprint *footprint;
};

/// A strided run of elements, all in one lane; the stride is in bytes.
struct Run {
  std::byte *data;
  int64_t stride;
};

// --- float formats -----------------------------------------------------------

/// What a NaN becomes in half precision (N3): 0x7FFF, with or without its sign.
enum class NanSign { Clear, Keep };

/// f32 to the half formats as the arithmetic units narrow results (N3): every
/// NaN becomes 0x7FFF.
inline uint16_t narrowF16(float value, Rounding mode = Rounding::HalfToEven) {
  return value != value ? 0x7FFF : support::f32ToF16(value, mode);
}
inline uint16_t narrowBf16(float value, Rounding mode = Rounding::HalfToEven) {
  return value != value ? 0x7FFF : support::f32ToBf16(value, mode);
}

/// count elements from strided memory to floats (f32, f16, bf16) or integers,
/// and back. Strides in bytes.
void loadFloats(DType type, const std::byte *from, int64_t stride,
                int64_t count, float *to);
void storeFloats(DType type, const float *from, int64_t count, std::byte *to,
                 int64_t stride, NanSign nan = NanSign::Clear);
void loadIntegers(DType type, bool isSigned, const std::byte *from,
                  int64_t stride, int64_t count, int64_t *to);
/// Keeps the low bits.
void storeIntegers(DType type, const int64_t *from, int64_t count,
                   std::byte *to, int64_t stride);
/// Clamps to the range of the type.
void saturateIntegers(DType type, bool isSigned, int64_t count,
                      int64_t *values);

float floatOfWord(uint64_t word, DType type);
int64_t integerOfWord(uint64_t word, DType type, bool isSigned);

/// Copies `count` elements of `bytes` bytes between strided runs.
void copyStrided(std::byte *to, int64_t toStride, const std::byte *from,
                 int64_t fromStride, int64_t count, unsigned bytes);

// --- element-wise loops ------------------------------------------------------

/// Elements that an element-wise loop handles at once.
constexpr int64_t kBlock = 512;

/// max or min of floats (N7). Half precision passes the bits of the chosen
/// operand on; denormals of f32, and so of bf16, become zeros.
void storeExtremes(DType type, bool isMax, const Run &a, const Run &b,
                   int64_t count, const Run &to);

/// take[i] = a[i] <relation> b[i] (N7).
void compareRuns(isa::CmpOp relation, DType type, bool isSigned, const Run &a,
                 const Run &b, int64_t count, bool *take);

/// Calls body(runs, count) over all elements of `shape`, in runs of at most
/// kBlock elements; runs[i] belongs to tensors[i]. Lanes run on the threads.
void forEachRun(Context &ctx, const Shape &shape,
                std::span<const Tensor *const> tensors,
                const std::function<void(const Run *runs, int64_t count,
                                         int64_t channel)> &body);

/// Runs what the command of the context is.
void dispatch(Context &ctx, const isa::Command &command);

// --- families ----------------------------------------------------------------

void exec(Context &ctx, const isa::Conv &op);
void exec(Context &ctx, const isa::PorD &op);
void exec(Context &ctx, const isa::Mm &op);
void exec(Context &ctx, const isa::Mm2 &op);
void exec(Context &ctx, const isa::Ar &op);
void exec(Context &ctx, const isa::RqDq &op);
void exec(Context &ctx, const isa::TransBc &op);
void exec(Context &ctx, const isa::Sg &op);
void exec(Context &ctx, const isa::Sfu &op);
void exec(Context &ctx, const isa::Lin &op);
void exec(Context &ctx, const isa::Cmp &op);
void exec(Context &ctx, const isa::Vc &op);
void exec(Context &ctx, const isa::Sys &op);
void exec(Context &ctx, const isa::DmaTensor &op);
void exec(Context &ctx, const isa::DmaMatrix &op);
void exec(Context &ctx, const isa::DmaGeneral &op);
void exec(Context &ctx, const isa::DmaCwTranspose &op);
void exec(Context &ctx, const isa::DmaGather &op);
void exec(Context &ctx, const isa::DmaScatter &op);
void exec(Context &ctx, const isa::DmaSys &op);
/// What is decoded but not modelled: what stands in unmodelled.def, and an
/// operation on element types for which it is not known. Faults.
[[noreturn]] void execUnmodelled(Context &ctx);

} // namespace tpumlir::cmodel
