#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Journal.h"
#include "tpumlir/cmodel/Scalar.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <limits>

namespace tpumlir::cmodel {

Strides compactStrides(const Shape &shape, unsigned lane, unsigned bytes) {
  int64_t c = shape.plane() * bytes;
  return {c * channelRows(lane, shape.c), c, shape.w * bytes, bytes};
}

Strides alignedStrides(const Shape &shape, unsigned lane, unsigned bytes) {
  int64_t c = roundUp(shape.plane() * bytes, isa::kEuBytes);
  return {c * channelRows(lane, shape.c), c, shape.w * bytes, bytes};
}

// --- Context -----------------------------------------------------------------

void Context::fault(const std::string &message,
                    std::optional<uint64_t> address) const {
  isa::Engine engine = isa::engineOf(command);
  uint64_t id = isa::idOf(command);
  throw DeviceFault(engine, id,
                    std::string(isa::name(engine)) + " command " +
                        std::to_string(id) + " (" +
                        std::string(isa::opName(command)) + "): " + message,
                    address);
}

void Context::badField(std::string_view field, const std::string &rule,
                       uint64_t value) const {
  fault(std::string(field) + ": expected " + rule + ", got " +
        std::to_string(value));
}

DType Context::dtype(std::string_view field, uint64_t code) const {
  if (code > 5)
    badField(field, "an element type of 0..5", code);
  return DType(code);
}

Rounding Context::rounding(std::string_view field, uint64_t code) const {
  if (code >= support::kRoundings)
    badField(field, "a rounding mode of 0..6", code);
  return Rounding(code);
}

void Context::checkShape(std::string_view field, const Shape &shape) const {
  if (shape.n < 1 || shape.c < 1 || shape.h < 1 || shape.w < 1)
    fault(std::string(field) + ": expected sizes of at least 1, got [" +
          std::to_string(shape.n) + ", " + std::to_string(shape.c) + ", " +
          std::to_string(shape.h) + ", " + std::to_string(shape.w) + "]");
}

Tensor Context::tensor(std::string_view field, uint64_t addr,
                       const Shape &shape, const Strides &stride,
                       unsigned bytes, Access access) {
  checkShape(field, shape);
  if (addr >= isa::kLocalBytes)
    fault(std::string(field) + ": expected an address below " +
              std::to_string(isa::kLocalBytes) + ", got " +
              std::to_string(addr),
          addr + isa::kLocalMemory.begin);
  unsigned lane = laneOf(addr);
  uint64_t offset = addr % isa::kLaneBytes;
  int64_t rows = channelRows(lane, shape.c);
  uint64_t end =
      offset +
      uint64_t((shape.n - 1) * stride.n + (rows - 1) * stride.c +
               (shape.h - 1) * stride.h + (shape.w - 1) * stride.w + bytes);
  if (end > isa::kLaneBytes)
    fault(std::string(field) +
              ": expected a tensor that ends within a lane of " +
              std::to_string(isa::kLaneBytes) + " bytes, got bytes [" +
              std::to_string(offset) + ", " + std::to_string(end) +
              ") of lane " + std::to_string(lane),
          isa::kLocalMemory.begin + lane * isa::kLaneBytes + isa::kLaneBytes);
  if (footprint)
    for (unsigned l = 0; l < isa::kLanes; ++l) {
      int64_t first = (int64_t(l) - lane + isa::kLanes) % isa::kLanes;
      if (first >= shape.c)
        continue;
      uint64_t row = (lane + uint64_t(first)) / isa::kLanes;
      record(access, {isa::kLocalMemory.begin + l * isa::kLaneBytes + offset +
                          row * uint64_t(stride.c),
                      {uint32_t(shape.n),
                       uint32_t(ceilDiv(shape.c - first, isa::kLanes)),
                       uint32_t(shape.h), uint32_t(shape.w)},
                      {uint64_t(stride.n), uint64_t(stride.c),
                       uint64_t(stride.h), uint64_t(stride.w)},
                      bytes});
    }
  return {memory.local.data(), lane, offset, shape, stride};
}

Tensor Context::aligned(std::string_view field, uint64_t addr,
                        const Shape &shape, DType type, Access access) {
  return tensor(field, addr, shape,
                alignedStrides(shape, laneOf(addr), isa::bytes(type)),
                isa::bytes(type), access);
}

Tensor Context::compact(std::string_view field, uint64_t addr,
                        const Shape &shape, DType type, Access access) {
  return tensor(field, addr, shape,
                compactStrides(shape, laneOf(addr), isa::bytes(type)),
                isa::bytes(type), access);
}

Tensor Context::constant(uint64_t bits, const Shape &shape) {
  Tensor t{nullptr, 0, 0, shape, {0, 0, 0, 0}};
  std::memcpy(t.word.data(), &bits, sizeof bits);
  return t;
}

std::byte *Context::bytesAt(std::string_view field, uint64_t addr,
                            uint64_t bytes, Access access, bool record_) {
  std::byte *found = memory.find(addr, bytes);
  if (!found)
    fault(std::string(field) + ": expected bytes within one memory, got [" +
              std::to_string(addr) + ", " + std::to_string(addr + bytes) +
              ") (global memory ends at " +
              std::to_string(isa::kGlobalMemory.begin + memory.global.size()) +
              ")",
          addr);
  if (record_)
    record(access, {addr, {1, 1, 1, 1}, {0, 0, 0, 0}, bytes});
  return found;
}

void Context::record(Access access, const Region &region) {
  if (!footprint)
    return;
  if (access != Access::Write)
    footprint->reads.push_back(region);
  if (access == Access::Read)
    return;
  footprint->writes.push_back(region);
  if (footprint->journal)
    footprint->journal->keep(memory, region);
}

namespace {
/// First byte in a lane and the one past the last.
std::pair<uint64_t, uint64_t> extent(const Tensor &t) {
  int64_t last = (t.shape.n - 1) * t.stride.n +
                 (channelRows(t.lane, t.shape.c) - 1) * t.stride.c +
                 (t.shape.h - 1) * t.stride.h + (t.shape.w - 1) * t.stride.w;
  return {t.offset, t.offset + uint64_t(last) + 1};
}

bool shareLane(const Tensor &a, const Tensor &b) {
  auto covers = [](const Tensor &t, unsigned lane) {
    return (lane - t.lane + isa::kLanes) % isa::kLanes < uint64_t(t.shape.c);
  };
  return covers(a, b.lane) || covers(b, a.lane);
}
} // namespace

void Context::requireDisjoint(std::string_view field, const Tensor &written,
                              std::string_view other,
                              const Tensor &read) const {
  if (!read.lanes || !written.lanes || !shareLane(written, read))
    return;
  auto [a0, a1] = extent(written);
  auto [b0, b1] = extent(read);
  if (a0 < b1 && b0 < a1)
    fault(std::string(field) + ": expected no overlap with " +
              std::string(other) + " at lane bytes [" + std::to_string(b0) +
              ", " + std::to_string(b1) + "), got [" + std::to_string(a0) +
              ", " + std::to_string(a1) + ")",
          isa::kLocalMemory.begin + written.lane * isa::kLaneBytes +
              std::max(a0, b0));
}

void Context::parallel(size_t count, int64_t work,
                       const std::function<void(size_t)> &body) {
  // Waking the threads costs about as much as this many simple operations.
  constexpr int64_t kWorthSharing = 1 << 15;
  if (work >= kWorthSharing) {
    pool.parallelFor(count, body);
    return;
  }
  for (size_t i = 0; i < count; ++i)
    body(i);
}

void execUnmodelled(Context &ctx) {
  ctx.fault("expected an instruction that the simulator models, got " +
            std::string(isa::opName(ctx.command)));
}

// --- formats -----------------------------------------------------------------

namespace {

template <class T> T loadAs(const std::byte *from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// to[i] = convert(element i), with the contiguous and the constant case as
/// loops of their own.
template <class T, class To, class Convert>
void convertRun(const std::byte *from, int64_t stride, int64_t count, To *to,
                Convert convert) {
  if (stride == int64_t(sizeof(T))) {
    for (int64_t i = 0; i < count; ++i)
      to[i] = convert(loadAs<T>(from + i * int64_t(sizeof(T))));
    return;
  }
  if (stride == 0) {
    std::fill_n(to, count, To(convert(loadAs<T>(from))));
    return;
  }
  for (int64_t i = 0; i < count; ++i)
    to[i] = convert(loadAs<T>(from + i * stride));
}

template <class T, class From, class Convert>
void storeRun(const From *from, int64_t count, std::byte *to, int64_t stride,
              Convert convert) {
  if (stride == int64_t(sizeof(T))) {
    for (int64_t i = 0; i < count; ++i) {
      T value = convert(from[i]);
      std::memcpy(to + i * int64_t(sizeof(T)), &value, sizeof value);
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    T value = convert(from[i]);
    std::memcpy(to + i * stride, &value, sizeof value);
  }
}

/// f16 to f32 by table: exact, and faster than the arithmetic.
const float *f16Table() {
  static const std::vector<float> table = [] {
    std::vector<float> t(1 << 16);
    for (uint32_t i = 0; i < t.size(); ++i)
      t[i] = support::f16ToF32(uint16_t(i));
    return t;
  }();
  return table.data();
}

/// narrowF16 half to even without branches, so that loops of it vectorise.
template <NanSign kNan> inline uint16_t narrowF16Fast(float value) {
  uint32_t word = std::bit_cast<uint32_t>(value);
  uint32_t sign = word >> 16 & 0x8000, magnitude = word & 0x7FFFFFFF;
  // Adding 0.5 leaves the rounded multiple of 2^-24 in the low bits.
  uint32_t small =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) -
      0x3F000000;
  uint32_t normal =
      (magnitude - (112u << 23) + 0xFFF + (magnitude >> 13 & 1)) >> 13;
  uint32_t bits = magnitude < (113u << 23) ? small : normal;
  bits = magnitude >= 0x47800000 ? 0x7C00 : bits;
  uint16_t nan = 0x7FFF | (kNan == NanSign::Keep ? sign : 0);
  return magnitude > 0x7F800000 ? nan : uint16_t(sign | bits);
}

template <NanSign kNan> inline uint16_t narrowBf16Fast(float value) {
  uint32_t word = std::bit_cast<uint32_t>(value);
  uint32_t bits = (word + 0x7FFF + (word >> 16 & 1)) >> 16;
  uint16_t nan = 0x7FFF | (kNan == NanSign::Keep ? word >> 16 & 0x8000 : 0);
  return (word & 0x7FFFFFFF) > 0x7F800000 ? nan : uint16_t(bits);
}

} // namespace

void loadFloats(DType type, const std::byte *from, int64_t stride,
                int64_t count, float *to) {
  switch (type) {
  case DType::F32:
    return convertRun<float>(from, stride, count, to,
                             [](float v) { return v; });
  case DType::F16:
    return convertRun<uint16_t>(from, stride, count, to,
                                [t = f16Table()](uint16_t v) { return t[v]; });
  case DType::BF16:
    return convertRun<uint16_t>(from, stride, count, to, [](uint16_t v) {
      return std::bit_cast<float>(uint32_t(v) << 16);
    });
  default:
    assert(false && "not a float type");
  }
}

void storeFloats(DType type, const float *from, int64_t count, std::byte *to,
                 int64_t stride, NanSign nan) {
  const bool keep = nan == NanSign::Keep;
  switch (type) {
  case DType::F32:
    return storeRun<float>(from, count, to, stride, [](float v) { return v; });
  case DType::F16:
    return keep ? storeRun<uint16_t>(from, count, to, stride,
                                     narrowF16Fast<NanSign::Keep>)
                : storeRun<uint16_t>(from, count, to, stride,
                                     narrowF16Fast<NanSign::Clear>);
  case DType::BF16:
    return keep ? storeRun<uint16_t>(from, count, to, stride,
                                     narrowBf16Fast<NanSign::Keep>)
                : storeRun<uint16_t>(from, count, to, stride,
                                     narrowBf16Fast<NanSign::Clear>);
  default:
    assert(false && "not a float type");
  }
}

void loadIntegers(DType type, bool isSigned, const std::byte *from,
                  int64_t stride, int64_t count, int64_t *to) {
  auto run = [&]<class T>(T) {
    convertRun<T>(from, stride, count, to, [](T v) { return int64_t(v); });
  };
  switch (isa::bytes(type)) {
  case 1:
    return isSigned ? run(int8_t()) : run(uint8_t());
  case 2:
    return isSigned ? run(int16_t()) : run(uint16_t());
  default:
    return isSigned ? run(int32_t()) : run(uint32_t());
  }
}

void storeIntegers(DType type, const int64_t *from, int64_t count,
                   std::byte *to, int64_t stride) {
  auto run = [&]<class T>(T) {
    storeRun<T>(from, count, to, stride, [](int64_t v) { return T(v); });
  };
  switch (isa::bytes(type)) {
  case 1:
    return run(uint8_t());
  case 2:
    return run(uint16_t());
  default:
    return run(uint32_t());
  }
}

void saturateIntegers(DType type, bool isSigned, int64_t count,
                      int64_t *values) {
  unsigned width = isa::bits(type);
  int64_t low = isSigned ? -(int64_t(1) << (width - 1)) : 0;
  int64_t high = (int64_t(1) << (isSigned ? width - 1 : width)) - 1;
  for (int64_t i = 0; i < count; ++i)
    values[i] = std::min(std::max(values[i], low), high);
}

float floatOfWord(uint64_t word, DType type) {
  float value = 0;
  loadFloats(type, reinterpret_cast<const std::byte *>(&word), 0, 1, &value);
  return value;
}

int64_t integerOfWord(uint64_t word, DType type, bool isSigned) {
  int64_t value = 0;
  loadIntegers(type, isSigned, reinterpret_cast<const std::byte *>(&word), 0, 1,
               &value);
  return value;
}

void copyStrided(std::byte *to, int64_t toStride, const std::byte *from,
                 int64_t fromStride, int64_t count, unsigned bytes) {
  if (toStride == bytes && fromStride == bytes) {
    std::memmove(to, from, size_t(count * bytes));
    return;
  }
  auto loop = [&]<class T>(T) {
    for (int64_t i = 0; i < count; ++i) {
      T value = loadAs<T>(from + i * fromStride);
      std::memcpy(to + i * toStride, &value, sizeof value);
    }
  };
  switch (bytes) {
  case 1:
    return loop(uint8_t());
  case 2:
    return loop(uint16_t());
  default:
    return loop(uint32_t());
  }
}

void storeExtremes(DType type, bool isMax, const Run &a, const Run &b,
                   int64_t count, const Run &to) {
  float x[kBlock], y[kBlock];
  loadFloats(type, a.data, a.stride, count, x);
  loadFloats(type, b.data, b.stride, count, y);
  if (type == DType::F32) {
    for (int64_t i = 0; i < count; ++i)
      x[i] = isMax ? maxFloat(x[i], y[i]) : minFloat(x[i], y[i]);
    return storeFloats(type, x, count, to.data, to.stride);
  }
  int64_t first[kBlock], second[kBlock];
  loadIntegers(DType::I16, false, a.data, a.stride, count, first);
  loadIntegers(DType::I16, false, b.data, b.stride, count, second);
  for (int64_t i = 0; i < count; ++i)
    first[i] = (isMax ? x[i] > y[i] : !(y[i] <= x[i])) ? first[i] : second[i];
  if (type == DType::BF16)
    for (int64_t i = 0; i < count; ++i)
      first[i] = first[i] & 0x7F80 ? first[i] : first[i] & 0x8000;
  storeIntegers(DType::I16, first, count, to.data, to.stride);
}

// --- loops -------------------------------------------------------------------

void forEachRun(
    Context &ctx, const Shape &shape, std::span<const Tensor *const> tensors,
    const std::function<void(const Run *, int64_t, int64_t)> &body) {
  assert(tensors.size() <= 6);
  // The lane of a command is that of its first operand in local memory.
  unsigned lane = 0;
  bool merge = true; // h and w together are one run in every operand
  for (size_t i = tensors.size(); i-- > 0;) {
    if (tensors[i]->lanes)
      lane = tensors[i]->lane;
    merge = merge && tensors[i]->stride.h == shape.w * tensors[i]->stride.w;
  }
  const int64_t rows = merge ? 1 : shape.h;
  const int64_t width = merge ? shape.plane() : shape.w;
  ctx.parallel(isa::kLanes, shape.n * shape.c * shape.plane(), [&](size_t l) {
    int64_t first = (int64_t(l) - lane + isa::kLanes) % int64_t(isa::kLanes);
    for (int64_t n = 0; n < shape.n; ++n)
      for (int64_t c = first; c < shape.c; c += isa::kLanes) {
        std::array<std::byte *, 6> plane{};
        for (size_t i = 0; i < tensors.size(); ++i)
          plane[i] = tensors[i]->plane(n, c);
        for (int64_t h = 0; h < rows; ++h)
          for (int64_t w = 0; w < width; w += kBlock) {
            std::array<Run, 6> runs{};
            for (size_t i = 0; i < tensors.size(); ++i)
              runs[i] = {plane[i] + h * tensors[i]->stride.h +
                             w * tensors[i]->stride.w,
                         tensors[i]->stride.w};
            body(runs.data(), std::min(kBlock, width - w), c);
          }
      }
  });
}

} // namespace tpumlir::cmodel
