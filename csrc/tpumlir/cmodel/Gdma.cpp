#include "tpumlir/cmodel/Exec.h"

#include <algorithm>
#include <vector>

namespace tpumlir::cmodel {
namespace {

bool inLocal(uint64_t addr) { return isa::kLocalMemory.contains(addr); }

/// A 4-D operand of GDMA: a tensor in local memory, whose channels go round the
/// lanes, or plain strided memory.
struct Side {
  bool local;
  Tensor tensor;     ///< if local
  std::byte *linear; ///< if not
  Shape shape;
  Strides stride; ///< bytes

  std::byte *at(int64_t n, int64_t c, int64_t h) const {
    if (local)
      return tensor.plane(n, c) + h * stride.h;
    return linear + n * stride.n + c * stride.c + h * stride.h;
  }
};

struct Fields {
  uint64_t addr;
  Shape shape;
  Strides elements;
};

template <class Op> Fields source(const Op &op) {
  return {isa::dmaAddress(op.src_start_addr_l32, op.src_start_addr_h8),
          {int64_t(op.src_nsize), int64_t(op.src_csize), int64_t(op.src_hsize),
           int64_t(op.src_wsize)},
          {int64_t(op.src_nstride), int64_t(op.src_cstride),
           int64_t(op.src_hstride), int64_t(op.src_wstride)}};
}

template <class Op> Fields destination(const Op &op) {
  return {isa::dmaAddress(op.dst_start_addr_l32, op.dst_start_addr_h8),
          {int64_t(op.dst_nsize), int64_t(op.dst_csize), int64_t(op.dst_hsize),
           int64_t(op.dst_wsize)},
          {int64_t(op.dst_nstride), int64_t(op.dst_cstride),
           int64_t(op.dst_hstride), int64_t(op.dst_wstride)}};
}

/// Strides of a command without stride_enable: dense in memory, aligned in the
/// lanes.
Strides defaultStrides(const Fields &f, unsigned bytes) {
  if (inLocal(f.addr))
    return alignedStrides(f.shape, laneOf(f.addr - isa::kLocalMemory.begin),
                          bytes);
  int64_t b = bytes, w = f.shape.w, h = f.shape.h;
  return {f.shape.c * h * w * b, h * w * b, w * b, b};
}

Side open(Context &ctx, std::string_view field, const Fields &f,
          bool strideEnable, unsigned bytes, Access access) {
  ctx.checkShape(field, f.shape);
  // No memory is as large, and the strides below would not fit their type.
  if ((unsigned __int128)f.shape.n * f.shape.c * f.shape.h * f.shape.w >> 40)
    ctx.fault(std::string(field) +
              ": expected at most 2^40 elements, got more");
  Strides stride = defaultStrides(f, bytes);
  if (strideEnable)
    stride = {f.elements.n * bytes, f.elements.c * bytes, f.elements.h * bytes,
              f.elements.w * bytes};
  Side side{inLocal(f.addr), {}, nullptr, f.shape, stride};
  if (side.local) {
    side.tensor = ctx.tensor(field, f.addr - isa::kLocalMemory.begin, f.shape,
                             stride, bytes, access);
    return side;
  }
  // In 64 bits a damaged command would come around to a small extent.
  using Wide = unsigned __int128;
  Wide last = Wide(f.shape.n - 1) * Wide(stride.n) +
              Wide(f.shape.c - 1) * Wide(stride.c) +
              Wide(f.shape.h - 1) * Wide(stride.h) +
              Wide(f.shape.w - 1) * Wide(stride.w) + bytes;
  uint64_t extent = uint64_t(std::min(last, Wide(1) << 48));
  side.linear = ctx.bytesAt(field, f.addr, extent, access, false);
  ctx.record(access, {f.addr,
                      {uint32_t(f.shape.n), uint32_t(f.shape.c),
                       uint32_t(f.shape.h), uint32_t(f.shape.w)},
                      {uint64_t(stride.n), uint64_t(stride.c),
                       uint64_t(stride.h), uint64_t(stride.w)},
                      bytes});
  return side;
}

template <class Op> uint64_t laneMask(const Op &op) {
  return op.localmem_mask_h32 << 32 | op.localmem_mask_l32;
}

/// The mask switches off lanes of a destination; what it does to a copy from
/// local memory into it is not known (H13).
void requireWholeSource(Context &ctx, const Side &from, const Side &to,
                        uint64_t mask) {
  if (from.local && to.local && mask != ~uint64_t(0))
    ctx.fault(
        "localmem_mask: expected all lanes with a source in local memory, "
        "got " +
        std::to_string(mask));
}

/// Channel c of a side lives in a lane that the mask switches off.
bool masked(const Side &side, int64_t c, uint64_t mask) {
  return side.local &&
         !(mask >> ((side.tensor.lane + uint64_t(c)) % isa::kLanes) & 1);
}

unsigned elementBytes(Context &ctx, uint64_t format) {
  return isa::bytes(ctx.dtype("src_data_format", format));
}

/// Walks the rows of a shape in order.
struct Cursor {
  const Side &side;
  int64_t n = 0, c = 0, h = 0, w = 0;

  int64_t left() const { return side.shape.w - w; }
  std::byte *pointer() const { return side.at(n, c, h) + w * side.stride.w; }
  bool done() const { return n == side.shape.n; }
  void advance(int64_t count) {
    w += count;
    if (w < side.shape.w)
      return;
    w = 0;
    if (++h < side.shape.h)
      return;
    h = 0;
    if (++c < side.shape.c)
      return;
    c = 0;
    ++n;
  }
};

/// Copies in the order of both shapes, which have the same number of elements.
void copyInOrder(Context &ctx, const Side &to, const Side &from, unsigned bytes,
                 uint64_t mask) {
  auto elements = [](const Shape &s) { return s.n * s.c * s.h * s.w; };
  if (elements(to.shape) != elements(from.shape))
    ctx.fault("dst_wsize: expected as many elements as the source has (" +
              std::to_string(elements(from.shape)) + "), got " +
              std::to_string(elements(to.shape)));
  Cursor d{to}, s{from};
  while (!d.done()) {
    int64_t count = std::min(d.left(), s.left());
    if (!masked(to, d.c, mask))
      copyStrided(d.pointer(), to.stride.w, s.pointer(), from.stride.w, count,
                  bytes);
    d.advance(count);
    s.advance(count);
  }
}

void fill(const Side &to, uint64_t value, unsigned bytes, uint64_t mask) {
  const auto *word = reinterpret_cast<const std::byte *>(&value);
  for (int64_t n = 0; n < to.shape.n; ++n)
    for (int64_t c = 0; c < to.shape.c; ++c) {
      if (masked(to, c, mask))
        continue;
      for (int64_t h = 0; h < to.shape.h; ++h)
        copyStrided(to.at(n, c, h), to.stride.w, word, 0, to.shape.w, bytes);
    }
}

} // namespace

// --- DMA_tensor --------------------------------------------------------------

void exec(Context &ctx, const isa::DmaTensor &op) {
  const unsigned bytes = elementBytes(ctx, op.src_data_format);
  const uint64_t mask = laneMask(op);
  const auto kind = isa::DmaTensorOp(op.cmd_special_function);
  Fields src = source(op), dst = destination(op);
  if (op.nchw_copy)
    dst.shape = src.shape;
  // The other two do not look at the column strides (H13).
  if (kind != isa::DmaTensorOp::Copy)
    src.elements.w = dst.elements.w = 1;
  auto fillOnly = [&] {
    fill(open(ctx, "dst", dst, op.stride_enable, bytes, Access::Write),
         op.constant_value, bytes, mask);
  };
  switch (kind) {
  case isa::DmaTensorOp::Copy: {
    if (op.fill_constant_en)
      return fillOnly();
    Side from = open(ctx, "src", src, op.stride_enable, bytes, Access::Read);
    Side to = open(ctx, "dst", dst, op.stride_enable, bytes, Access::Write);
    requireWholeSource(ctx, from, to, mask);
    return copyInOrder(ctx, to, from, bytes, mask);
  }
  case isa::DmaTensorOp::Transpose: {
    dst.shape = {src.shape.c, src.shape.n, src.shape.h, src.shape.w};
    if (op.fill_constant_en)
      return fillOnly();
    Side from = open(ctx, "src", src, op.stride_enable, bytes, Access::Read);
    Side to = open(ctx, "dst", dst, op.stride_enable, bytes, Access::Write);
    requireWholeSource(ctx, from, to, mask);
    for (int64_t n = 0; n < src.shape.n; ++n)
      for (int64_t c = 0; c < src.shape.c; ++c) {
        if (masked(to, n, mask))
          continue;
        for (int64_t h = 0; h < src.shape.h; ++h)
          copyStrided(to.at(c, n, h), to.stride.w, from.at(n, c, h),
                      from.stride.w, src.shape.w, bytes);
      }
    return;
  }
  case isa::DmaTensorOp::Broadcast: {
    dst.shape = {src.shape.n, int64_t(op.dst_csize), src.shape.h, src.shape.w};
    src.shape.c = 1;
    if (!inLocal(dst.addr))
      ctx.fault("dst: expected an address in local memory for a broadcast",
                dst.addr);
    if (mask != ~uint64_t(0))
      ctx.fault("localmem_mask: expected all lanes for a broadcast, got " +
                std::to_string(mask));
    if (op.fill_constant_en)
      return fillOnly();
    Side from = open(ctx, "src", src, op.stride_enable, bytes, Access::Read);
    Side to = open(ctx, "dst", dst, op.stride_enable, bytes, Access::Write);
    for (int64_t n = 0; n < dst.shape.n; ++n)
      for (int64_t c = 0; c < dst.shape.c; ++c) {
        for (int64_t h = 0; h < dst.shape.h; ++h)
          copyStrided(to.at(n, c, h), to.stride.w, from.at(n, 0, h),
                      from.stride.w, dst.shape.w, bytes);
      }
    return;
  }
  default:
    execUnmodelled(ctx);
  }
}

// --- DMA_matrix --------------------------------------------------------------

void exec(Context &ctx, const isa::DmaMatrix &op) {
  const unsigned bytes = elementBytes(ctx, op.src_data_format);
  const uint64_t mask = laneMask(op);
  Fields src = source(op), dst = destination(op);
  const bool load = inLocal(dst.addr);
  if (op.fill_constant_en)
    ctx.badField("fill_constant_en", "0, this copy does not fill", 1);
  if (load == inLocal(src.addr))
    ctx.fault("dst: expected exactly one of source and destination in local "
              "memory",
              dst.addr);
  const bool transpose =
      isa::DmaMatrixOp(op.cmd_special_function) == isa::DmaMatrixOp::Transpose;

  // The matrix in plain memory, and its pieces in the lanes: row r is n, piece
  // j is c, a piece has w columns (H6).
  Fields &plain = load ? src : dst;
  Fields &pieces = load ? dst : src;
  const int64_t rows = plain.shape.h, cols = plain.shape.w;
  plain.shape = {1, 1, rows, cols};
  plain.elements = {0, 0, op.stride_enable ? plain.elements.h : cols, 1};
  pieces.shape.h = 1;
  pieces.elements.h = 0;
  pieces.elements.w = 1;
  const int64_t localRows = transpose ? cols : rows;
  const int64_t localCols = transpose ? rows : cols;
  const int64_t width = pieces.shape.w;
  if (pieces.shape.n != localRows ||
      ceilDiv(localCols, std::max<int64_t>(width, 1)) != pieces.shape.c)
    ctx.fault("expected pieces that hold a matrix of " +
              std::to_string(localRows) + " x " + std::to_string(localCols) +
              ", got " + std::to_string(pieces.shape.n) + " rows of " +
              std::to_string(pieces.shape.c) + " pieces of " +
              std::to_string(width));
  if (!op.stride_enable) {
    Strides s = defaultStrides(pieces, bytes);
    pieces.elements = {s.n / bytes, s.c / bytes, 0, 1};
  }
  Side flat = open(ctx, load ? "src" : "dst", plain, true, bytes,
                   load ? Access::Read : Access::Write);
  Side lanes = open(ctx, load ? "dst" : "src", pieces, true, bytes,
                    load ? Access::Write : Access::Read);
  for (int64_t r = 0; r < localRows; ++r)
    for (int64_t j = 0; j < pieces.shape.c; ++j) {
      if (load && masked(lanes, j, mask))
        continue;
      int64_t first = j * width;
      int64_t count = std::min(width, localCols - first);
      std::byte *local = lanes.at(r, j, 0);
      std::byte *global =
          transpose ? flat.linear + first * flat.stride.h + r * int64_t(bytes)
                    : flat.linear + r * flat.stride.h + first * int64_t(bytes);
      int64_t step = transpose ? flat.stride.h : int64_t(bytes);
      if (load)
        copyStrided(local, bytes, global, step, count, bytes);
      else
        copyStrided(global, step, local, bytes, count, bytes);
    }
}

// --- DMA_cw_transpose --------------------------------------------------------

void exec(Context &ctx, const isa::DmaCwTranspose &op) {
  const unsigned bytes = elementBytes(ctx, op.src_data_format);
  const uint64_t mask = laneMask(op);
  Fields src = source(op), dst = destination(op);
  dst.shape = {src.shape.n, src.shape.w, src.shape.h, src.shape.c};
  if (op.fill_constant_en)
    ctx.badField("fill_constant_en", "0, this copy does not fill", 1);
  // The column strides are not looked at (H13).
  src.elements.w = dst.elements.w = 1;
  Side to = open(ctx, "dst", dst, op.stride_enable, bytes, Access::Write);
  Side from = open(ctx, "src", src, op.stride_enable, bytes, Access::Read);
  requireWholeSource(ctx, from, to, mask);
  for (int64_t n = 0; n < src.shape.n; ++n)
    for (int64_t c = 0; c < src.shape.c; ++c)
      for (int64_t h = 0; h < src.shape.h; ++h)
        for (int64_t w = 0; w < src.shape.w; ++w)
          if (!masked(to, w, mask))
            std::memmove(to.at(n, w, h) + c * to.stride.w,
                         from.at(n, c, h) + w * from.stride.w, bytes);
}

// --- DMA_general -------------------------------------------------------------

void exec(Context &ctx, const isa::DmaGeneral &op) {
  const unsigned bytes = elementBytes(ctx, op.src_data_format);
  const uint64_t mask = laneMask(op);
  const uint64_t src =
      isa::dmaAddress(op.src_start_addr_l32, op.src_start_addr_h8);
  const uint64_t dst =
      isa::dmaAddress(op.dst_start_addr_l32, op.dst_start_addr_h8);
  const uint64_t length = op.src_cstride_or_length;
  if (length == 0)
    ctx.badField("src_cstride", "a length of at least 1", length);
  const bool broadcast = isa::DmaGeneralOp(op.cmd_special_function) ==
                         isa::DmaGeneralOp::Broadcast;
  const std::byte *from = nullptr;
  if (!op.fill_constant_en)
    from = ctx.bytesAt("src", src, length * bytes, Access::Read);
  auto put = [&](std::byte *to) {
    if (from)
      std::memmove(to, from, length * bytes);
    else
      copyStrided(to, bytes,
                  reinterpret_cast<const std::byte *>(&op.constant_value), 0,
                  int64_t(length), bytes);
  };
  if (!broadcast)
    return put(ctx.bytesAt("dst", dst, length * bytes, Access::Write));
  if (!inLocal(dst))
    ctx.fault("dst: expected an address in local memory for a broadcast", dst);
  Shape shape{1, int64_t(op.dst_csize), 1, int64_t(length)};
  Tensor to = ctx.tensor("dst", dst - isa::kLocalMemory.begin, shape,
                         {0, 0, 0, int64_t(bytes)}, bytes, Access::Write);
  for (int64_t c = 0; c < shape.c; ++c)
    if (mask >> ((to.lane + uint64_t(c)) % isa::kLanes) & 1)
      put(to.plane(0, c));
}

// --- gather and scatter ------------------------------------------------------

namespace {

/// Rows of w elements: dst[c][h] = src[c][index[c][h]] for a gather,
/// dst[c][index[c][h]] = src[c][h] for a scatter.
template <class Op> void moveRows(Context &ctx, const Op &op, bool gather) {
  const unsigned bytes = elementBytes(ctx, op.src_data_format);
  const int64_t w = int64_t(op.src_wsize);
  auto operand = [&](std::string_view field, uint64_t addr, int64_t c,
                     int64_t h, int64_t width, int64_t cStride, int64_t hStride,
                     unsigned size, Access access) {
    Fields f{addr, {1, c, h, width}, {0, cStride, hStride, 1}};
    if (!op.stride_enable)
      f.elements = {0, h * width, width, 1};
    return open(ctx, field, f, true, size, access);
  };
  // Neither the number of indices nor the channels of the destination are read
  // from their own fields (H14).
  const int64_t count = int64_t(gather ? op.dst_hsize : op.src_hsize);
  const int64_t channels =
      std::max(int64_t(op.src_csize), int64_t(op.index_csize));
  Side index = operand(
      "index", isa::dmaAddress(op.index_start_addr_l32, op.index_start_addr_h8),
      int64_t(op.index_csize), count, 1, int64_t(op.index_cstride),
      int64_t(op.index_hstride), 4, Access::Read);
  Side from = operand(
      "src", isa::dmaAddress(op.src_start_addr_l32, op.src_start_addr_h8),
      int64_t(op.src_csize), int64_t(op.src_hsize), w, int64_t(op.src_cstride),
      int64_t(op.src_hstride), bytes, Access::Read);
  Side to = operand(
      "dst", isa::dmaAddress(op.dst_start_addr_l32, op.dst_start_addr_h8),
      channels, int64_t(op.dst_hsize), w, int64_t(op.dst_cstride),
      int64_t(op.dst_hstride), bytes, Access::Write);
  for (int64_t c : {from.shape.c, index.shape.c})
    if (c != 1 && c != channels)
      ctx.badField("src_csize, index_csize", "1 or equal", uint64_t(c));
  const Side &indexed = gather ? from : to;
  const uint64_t fillValue = op.constant_value;
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t h = 0; h < index.shape.h; ++h) {
      uint32_t row;
      std::memcpy(&row, index.at(0, c % index.shape.c, h), sizeof row);
      int64_t srcC = c % from.shape.c;
      if (row >= uint64_t(indexed.shape.h)) {
        // A gather of a row that is not there writes the constant; a scatter
        // to it does nothing.
        if (gather)
          copyStrided(to.at(0, c, h), to.stride.w,
                      reinterpret_cast<const std::byte *>(&fillValue), 0, w,
                      bytes);
        continue;
      }
      copyStrided(to.at(0, c, gather ? h : row), to.stride.w,
                  from.at(0, srcC, gather ? row : h), from.stride.w, w, bytes);
    }
}

} // namespace

void exec(Context &ctx, const isa::DmaGather &op) { moveRows(ctx, op, true); }
void exec(Context &ctx, const isa::DmaScatter &op) { moveRows(ctx, op, false); }

void exec(Context &ctx, const isa::DmaSys &op) {}

} // namespace tpumlir::cmodel
