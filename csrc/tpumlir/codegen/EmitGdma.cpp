#include "tpumlir/codegen/Emitter.h"

/// The commands of GDMA.
namespace tpumlir::codegen {

using isa::DType;

namespace {

uint64_t gdmaAddress(const Local &local) {
  return isa::kLocalMemory.begin + uint64_t(local.addr);
}

// One side of a command: where it begins, its strides, its sizes.
#define SIDE(Side, prefix)                                                     \
  template <typename T> void set##Side(T &t, uint64_t addr) {                  \
    t.prefix##_start_addr_l32 = addr & 0xffffffff;                             \
    t.prefix##_start_addr_h8 = addr >> 32;                                     \
  }                                                                            \
  template <typename T> void set##Side##Stride(T &t, const Nchw &stride) {     \
    t.prefix##_nstride = stride[0];                                            \
    t.prefix##_cstride = stride[1];                                            \
    t.prefix##_hstride = stride[2];                                            \
    t.prefix##_wstride = stride[3];                                            \
  }                                                                            \
  template <typename T> void set##Side##Size(T &t, const Nchw &size) {         \
    t.prefix##_nsize = size[0];                                                \
    t.prefix##_csize = size[1];                                                \
    t.prefix##_hsize = size[2];                                                \
    t.prefix##_wsize = size[3];                                                \
  }
SIDE(Source, src)
SIDE(Destination, dst)
#undef SIDE

/// A fresh GDMA command on elements of a type, all lanes enabled.
template <typename T> T gdma(DType type) {
  T t;
  t.src_data_format = uint64_t(type);
  t.stride_enable = 1;
  t.localmem_mask_l32 = 0xffffffff;
  t.localmem_mask_h32 = 0xffffffff;
  return t;
}

/// An element-wise copy: both sides have the shape `size`.
isa::DmaTensor tensorCopy(const Nchw &size, DType type) {
  auto t = gdma<isa::DmaTensor>(type);
  t.nchw_copy = 1;
  setSourceSize(t, size);
  return t;
}

} // namespace

void Emitter::load(const Global &src, const Nchw &stride, const Local &local) {
  assert(src.dtype == local.dtype);
  isa::DmaTensor t = tensorCopy(local.size, local.dtype);
  setSource(t, src.addr);
  setSourceStride(t, stride);
  setDestination(t, gdmaAddress(local));
  setDestinationStride(t, local.stride);
  push(t, {write(local)});
  noteLoad(src, stride, local);
}

void Emitter::loadEveryLane(const Global &src, const Nchw &stride,
                            const Local &local) {
  assert(local.everyLane && src.dtype == local.dtype);
  auto t = gdma<isa::DmaTensor>(local.dtype);
  t.cmd_special_function = uint64_t(isa::DmaTensorOp::Broadcast);
  Nchw size = local.size;
  size[1] = 1;
  setSourceSize(t, size);
  setSource(t, src.addr);
  setSourceStride(t, stride);
  size[1] = isa::kLanes;
  setDestinationSize(t, size);
  setDestination(t, gdmaAddress(local));
  Nchw dst = local.stride;
  dst[1] = dst[0];
  setDestinationStride(t, dst);
  push(t, {write(local)});
  noteLoad(src, stride, local);
}

void Emitter::store(const Local &local, const Global &dst, const Nchw &stride) {
  assert(dst.dtype == local.dtype);
  isa::DmaTensor t = tensorCopy(local.size, local.dtype);
  setSource(t, gdmaAddress(local));
  setSourceStride(t, local.stride);
  setDestination(t, dst.addr);
  setDestinationStride(t, stride);
  push(t, {read(local)});
  noteStore(local, stride, dst, stride, local.size);
}

void Emitter::copy(const Global &src, const Nchw &srcStride, const Global &dst,
                   const Nchw &dstStride, const Nchw &size) {
  assert(src.dtype == dst.dtype);
  isa::DmaTensor t = tensorCopy(size, src.dtype);
  setSource(t, src.addr);
  setSourceStride(t, srcStride);
  setDestination(t, dst.addr);
  setDestinationStride(t, dstStride);
  push(t, {});
}

void Emitter::transpose(const Global &src, const Nchw &srcStride,
                        const Global &dst, const Nchw &dstStride,
                        const Nchw &size) {
  auto t = gdma<isa::DmaCwTranspose>(src.dtype);
  setSource(t, src.addr);
  setSourceStride(t, srcStride);
  setSourceSize(t, size);
  setDestination(t, dst.addr);
  setDestinationStride(t, dstStride);
  setDestinationSize(t, {size[0], size[3], size[2], size[1]});
  push(t, {});
}

void Emitter::fill(const Global &dst, const Nchw &stride, const Nchw &size,
                   double number) {
  isa::DmaTensor t = tensorCopy(size, dst.dtype);
  t.fill_constant_en = 1;
  t.constant_value = bitsOf(number, dst.dtype);
  // A fill reads nothing, but its source must be an address all the same.
  setSource(t, dst.addr);
  setSourceStride(t, stride);
  setDestination(t, dst.addr);
  setDestinationStride(t, stride);
  push(t, {});
}

void Emitter::loadMatrix(const Global &src, int64_t pitch, int64_t columns,
                         const Local &local, bool transpose) {
  assert(src.dtype == local.dtype);
  auto t = gdma<isa::DmaMatrix>(local.dtype);
  t.cmd_special_function = uint64_t(transpose ? isa::DmaMatrixOp::Transpose
                                              : isa::DmaMatrixOp::Copy);
  setSource(t, src.addr);
  t.src_hstride = pitch;
  t.src_hsize = transpose ? columns : local.size[0];
  t.src_wsize = transpose ? local.size[0] : columns;
  setDestination(t, gdmaAddress(local));
  t.dst_nstride = local.stride[0];
  t.dst_cstride = local.stride[1];
  t.dst_nsize = local.size[0];
  t.dst_csize = local.size[1];
  t.dst_wsize = local.size[3];
  push(t, {write(local)});
  // The last piece of a row may be shorter, and does not begin in lane 0.
  Local whole = local;
  whole.size[1] = std::min(local.size[1], columns / local.size[3]);
  const int64_t width = local.size[3];
  if (whole.size[1] > 0)
    noteLoad(src,
             transpose ? Nchw{1, width * pitch, 0, pitch}
                       : Nchw{pitch, width, 0, 1},
             whole);
}

void Emitter::loadTransposed(const Global &src, int64_t pitch,
                             const Local &local) {
  assert(src.dtype == local.dtype);
  auto t = gdma<isa::DmaCwTranspose>(local.dtype);
  setSource(t, src.addr);
  setSourceSize(t, {1, local.size[3], 1, local.size[1]});
  setSourceStride(t, {0, pitch, pitch, 1});
  setDestination(t, gdmaAddress(local));
  setDestinationStride(t, local.stride);
  push(t, {write(local)});
  noteLoad(src, {0, 1, 0, pitch}, local);
}

void Emitter::storeMatrix(const Local &local, const Global &dst, int64_t pitch,
                          int64_t columns) {
  assert(dst.dtype == local.dtype);
  auto t = gdma<isa::DmaMatrix>(local.dtype);
  setSource(t, gdmaAddress(local));
  t.src_nstride = local.stride[0];
  t.src_cstride = local.stride[1];
  t.src_nsize = local.size[0];
  t.src_csize = local.size[1];
  t.src_wsize = local.size[3];
  setDestination(t, dst.addr);
  t.dst_hstride = pitch;
  t.dst_hsize = local.size[0];
  t.dst_wsize = columns;
  push(t, {read(local)});
  Local whole = local;
  whole.size[1] = std::min(local.size[1], columns / local.size[3]);
  noteStore(whole, {pitch, local.size[3], 0, 1}, dst, {pitch, 0, 0, 1},
            {local.size[0], 1, 1, columns});
}

namespace {

/// One side of a gather or scatter: rows of every list.
struct RowSide {
  uint64_t addr;
  int64_t count;
  std::array<int64_t, 2> stride;
};
RowSide tableSide(const Global &table, const IndexedRows &fields) {
  return {table.addr, fields.tableRows, fields.tableStride};
}
RowSide rowsSide(uint64_t addr, const IndexedRows &fields) {
  return {addr, fields.count, fields.rowsStride};
}

/// A gather or a scatter of rows.
template <typename T>
T indexed(isa::DType type, const IndexedRows &rows, const RowSide &from,
          const RowSide &to) {
  auto t = gdma<T>(type);
  t.src_csize = t.dst_csize = rows.lists;
  t.src_wsize = t.dst_wsize = rows.width;
  t.index_csize = rows.sharedIndex ? 1 : rows.lists;
  t.index_hsize = rows.count;
  t.index_cstride = rows.indexStride[0];
  t.index_hstride = rows.indexStride[1];
  t.index_start_addr_l32 = rows.index.addr & 0xffffffff;
  t.index_start_addr_h8 = rows.index.addr >> 32;
  setSource(t, from.addr);
  t.src_hsize = from.count;
  t.src_cstride = from.stride[0];
  t.src_hstride = from.stride[1];
  setDestination(t, to.addr);
  t.dst_hsize = to.count;
  t.dst_cstride = to.stride[0];
  t.dst_hstride = to.stride[1];
  return t;
}

/// Rows in the lanes: a list is a channel, its rows follow each other.
IndexedRows inLanes(IndexedRows fields, const Local &rows) {
  fields.rowsStride = {rows.stride[1], rows.stride[2]};
  return fields;
}

} // namespace

void Emitter::gatherRows(const Global &table, const Global &rows,
                         const IndexedRows &fields) {
  push(indexed<isa::DmaGather>(table.dtype, fields, tableSide(table, fields),
                               rowsSide(rows.addr, fields)),
       {});
}

void Emitter::gatherRows(const Global &table, const Local &rows,
                         IndexedRows fields) {
  fields = inLanes(fields, rows);
  push(indexed<isa::DmaGather>(table.dtype, fields, tableSide(table, fields),
                               rowsSide(gdmaAddress(rows), fields)),
       {write(rows)});
}

void Emitter::scatterRows(const Global &rows, const Global &table,
                          const IndexedRows &fields) {
  push(indexed<isa::DmaScatter>(table.dtype, fields,
                                rowsSide(rows.addr, fields),
                                tableSide(table, fields)),
       {});
}

void Emitter::scatterRows(const Local &rows, const Global &table,
                          IndexedRows fields) {
  fields = inLanes(fields, rows);
  push(indexed<isa::DmaScatter>(table.dtype, fields,
                                rowsSide(gdmaAddress(rows), fields),
                                tableSide(table, fields)),
       {read(rows)});
}

} // namespace tpumlir::codegen
