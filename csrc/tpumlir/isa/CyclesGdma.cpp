#include "tpumlir/isa/CyclesGdma.h"

/// GDMA. A transfer is a number of separate pieces, of which each counts as 256
/// bytes at least, over a bandwidth; DDR has it in full only when a transfer
/// reaches all four of its channels, which take turns every 4 KiB.
namespace tpumlir::isa::cycles {
namespace {

constexpr uint64_t kPiece = 256;
constexpr uint64_t kChannelBytes = 4096;
constexpr unsigned kChannels = 4;

/// GB/s at 1 GHz; of the strided copies a GB is 2^30 bytes and a second 10^9
/// cycles.
constexpr uint64_t kLoadRate = 58;
constexpr uint64_t kStoreRate = 44;
constexpr uint64_t kCopyRate = 28;

struct Sides {
  uint64_t src, dst;

  bool srcLocal() const { return kLocalMemory.contains(src); }
  bool dstLocal() const { return kLocalMemory.contains(dst); }
  Work work() const {
    if (srcLocal() == dstLocal())
      return Work::Copy;
    return srcLocal() ? Work::Store : Work::Load;
  }
};

template <class Command> Sides sidesOf(const Command &c) {
  return {dmaAddress(c.src_start_addr_l32, c.src_start_addr_h8),
          dmaAddress(c.dst_start_addr_l32, c.dst_start_addr_h8)};
}

/// A command that moves `read` bytes of a source and writes `written`.
Cost moved(const Sides &sides, uint64_t cycles, uint64_t read,
           uint64_t written) {
  Cost cost{.work = sides.work(), .cycles = cycles};
  if (kGlobalMemory.contains(sides.src))
    cost.read = read;
  if (kGlobalMemory.contains(sides.dst))
    cost.written = written;
  return cost;
}

Cost filled(uint64_t dst, uint64_t cycles, uint64_t written) {
  bool local = kLocalMemory.contains(dst);
  return {.work = local ? Work::Load : Work::Store,
          .cycles = cycles,
          .written = kGlobalMemory.contains(dst) ? written : 0};
}

/// Sizes or strides, in elements.
struct Axes {
  uint64_t n, c, h, w;

  uint64_t count() const { return n * c * h * w; }
};

template <class Command> Axes srcSizes(const Command &c) {
  return {c.src_nsize, c.src_csize, c.src_hsize, c.src_wsize};
}

template <class Command> Axes dstSizes(const Command &c) {
  return {c.dst_nsize, c.dst_csize, c.dst_hsize, c.dst_wsize};
}

/// Bytes that a transfer counts as.
uint64_t countedBytes(const Axes &size, const Axes &src, const Axes &dst,
                      uint64_t elementBytes) {
  if (src.h == size.w && dst.h == size.w)
    return size.n * size.c * std::max(kPiece, size.h * size.w * elementBytes);
  if (src.w != 1 || dst.w != 1)
    return size.count() * kPiece;
  if (size.h > 1)
    return size.n * size.c * size.h * std::max(kPiece, size.w * elementBytes);
  return size.n * size.c * std::max(kPiece, size.w * elementBytes);
}

/// The channels of DDR, as bits, that the first 16 KiB of a tensor reach.
/// Rows count as one range; n and c by where each of them starts.
unsigned channelsOf(const Axes &size, const Axes &stride,
                    uint64_t elementBytes) {
  constexpr uint64_t turn = kChannels * kChannelBytes;
  uint64_t span = divUp(size.h * stride.h * elementBytes, kChannelBytes);
  if (span == 0)
    return 0;
  uint64_t nStep = stride.n * elementBytes;
  uint64_t cStep = stride.c * elementBytes;
  unsigned all = (1U << kChannels) - 1;
  unsigned mask = 0;
  auto add = [&](uint64_t first, uint64_t last) {
    for (uint64_t block = first; block < std::min<uint64_t>(last, kChannels);
         ++block)
      mask |= 1U << block;
  };
  for (uint64_t i = 0; i < size.n && mask != all; ++i) {
    uint64_t start = i * nStep;
    if (start >= turn)
      break;
    if (cStep <= kChannelBytes) { // no block between two of them is left out
      uint64_t last = start + (size.c ? size.c - 1 : 0) * cStep;
      add(start / kChannelBytes,
          std::min(last, turn - 1) / kChannelBytes + span);
    } else {
      for (uint64_t j = 0; j < size.c && start + j * cStep < turn; ++j) {
        uint64_t block = (start + j * cStep) / kChannelBytes;
        add(block, block + span);
      }
    }
    if (nStep == 0)
      break;
  }
  return mask;
}

/// Cycles of a strided copy. Where rows have no distance at all, the estimator
/// finds no channel and counts nothing; so do we.
uint64_t copyCycles(const Sides &sides, uint64_t counted, unsigned src,
                    unsigned dst) {
  using Wide = unsigned __int128;
  Wide over = Wide(counted) << 30;
  Wide under = 1'000'000'000;
  auto share = [&](unsigned mask) {
    over *= kChannels;
    under *= unsigned(__builtin_popcount(mask));
  };
  if (sides.srcLocal() && sides.dstLocal())
    under *= kCopyRate;
  else if (sides.dstLocal()) {
    under *= kLoadRate;
    share(src);
  } else if (sides.srcLocal()) {
    under *= kStoreRate;
    share(dst);
  } else {
    under *= kCopyRate;
    share(src);
    share(src | dst);
  }
  return under == 0 ? 0 : uint64_t(over / under);
}

/// Dense strides; a channel of DDR starts at a multiple of 16 bytes in the
/// count of channels.
Axes denseStrides(const Axes &size, uint64_t elementBytes) {
  constexpr uint64_t unit = 16;
  uint64_t area = size.h * size.w;
  return {size.c * area, divUp(area * elementBytes, unit) * unit / elementBytes,
          size.w, 1};
}

/// What counts elements one after another does 64 bytes a cycle, 32 within the
/// local memories.
uint64_t linearCycles(const Sides &sides, uint64_t bytes) {
  return bytes / (sides.srcLocal() && sides.dstLocal() ? 32 : 64);
}

} // namespace

Cost gdmaCost(const DmaTensor &c) {
  uint64_t size = bytesOf(c.src_data_format);
  Sides sides = sidesOf(c);
  Axes from = srcSizes(c);
  Axes dst{c.dst_nstride, c.dst_cstride, c.dst_hstride, c.dst_wstride};
  if (c.fill_constant_en) {
    Axes to = c.nchw_copy ? from : dstSizes(c);
    if (!c.stride_enable)
      dst = denseStrides(to, size);
    return filled(sides.dst, countedBytes(to, dst, dst, size) / kLoadRate,
                  to.count() * size);
  }
  Axes src{c.src_nstride, c.src_cstride, c.src_hstride, c.src_wstride};
  if (!c.stride_enable) {
    src = denseStrides(from, size);
    dst = src;
  }
  DmaTensorOp op = DmaTensorOp(c.cmd_special_function);
  if (op == DmaTensorOp::Broadcast) {
    from.c = 1;
    return moved(sides, countedBytes(from, src, dst, size) / kLoadRate,
                 from.count() * size, from.count() * c.dst_csize * size);
  }
  Axes to = from;
  if (op == DmaTensorOp::Transpose)
    std::swap(to.n, to.c);
  return moved(sides,
               copyCycles(sides, countedBytes(from, src, dst, size),
                          channelsOf(from, src, size),
                          channelsOf(to, dst, size)),
               from.count() * size, from.count() * size);
}

Cost gdmaCost(const DmaMatrix &c) {
  Sides sides = sidesOf(c);
  bool load = sides.dstLocal();
  uint64_t size = bytesOf(c.src_data_format);
  uint64_t count = load ? c.src_hsize * c.src_wsize : c.dst_hsize * c.dst_wsize;
  uint64_t piece = std::max<uint64_t>(load ? c.dst_wsize : c.src_wsize, 1);
  // Pieces of a row are separate; turned, three quarters of the rate remain.
  bool turned = DmaMatrixOp(c.cmd_special_function) == DmaMatrixOp::Transpose;
  uint64_t rate = load ? kLoadRate : kStoreRate;
  uint64_t cycles = count * std::max(kPiece, piece * size) * (turned ? 4 : 1) /
                    (piece * rate * (turned ? 3 : 1));
  return moved(sides, cycles, count * size, count * size);
}

Cost gdmaCost(const DmaGeneral &c) {
  Sides sides = sidesOf(c);
  uint64_t length = c.src_cstride_or_length * bytesOf(c.src_data_format);
  uint64_t cycles = length / 64;
  if (c.fill_constant_en)
    return filled(sides.dst, cycles, length);
  return moved(sides, cycles, length, length);
}

Cost gdmaCost(const DmaCwTranspose &c) {
  Sides sides = sidesOf(c);
  uint64_t total = srcSizes(c).count() * bytesOf(c.src_data_format);
  return moved(sides, linearCycles(sides, total), total, total);
}

Cost gdmaCost(const DmaMaskedSelect &c) {
  Sides sides = sidesOf(c);
  uint64_t count = srcSizes(c).count();
  uint64_t total = count * bytesOf(c.src_data_format);
  Cost cost = moved(sides, linearCycles(sides, total), total, total);
  if (kGlobalMemory.contains(
          dmaAddress(c.mask_start_addr_l32, c.mask_start_addr_h8)))
    cost.read += count * bytesOf(c.mask_data_format);
  return cost;
}

Cost gdmaCost(const DmaNonzero &c) {
  Sides sides = sidesOf(c);
  uint64_t count = srcSizes(c).count();
  uint64_t element = bytesOf(c.src_data_format);
  uint64_t index = bytesOf(c.index_data_format);
  return moved(sides, linearCycles(sides, count * std::max(element, index)),
               count * element, count * index);
}

namespace {

/// Rows of gather and scatter: `rows` of them, of either of which there may be
/// one for all channels.
template <class Command> Cost rowsMoved(const Command &c, uint64_t rows) {
  Sides sides = sidesOf(c);
  uint64_t channels = std::max(c.src_csize, c.index_csize);
  uint64_t total = channels * rows * c.src_wsize * bytesOf(c.src_data_format);
  Cost cost = moved(sides, linearCycles(sides, total), total, total);
  if (kGlobalMemory.contains(
          dmaAddress(c.index_start_addr_l32, c.index_start_addr_h8)))
    cost.read += c.index_csize * rows * sizeof(uint32_t);
  return cost;
}

} // namespace

Cost gdmaCost(const DmaGather &c) { return rowsMoved(c, c.dst_hsize); }
Cost gdmaCost(const DmaScatter &c) { return rowsMoved(c, c.src_hsize); }

} // namespace tpumlir::isa::cycles
