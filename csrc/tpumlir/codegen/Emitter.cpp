#include "tpumlir/codegen/Emitter.h"

#include "tpumlir/dialect/top/TopUtils.h"
#include "tpumlir/isa/Validate.h"

#include "mlir/IR/Diagnostics.h"

#include <bit>
#include <limits>

using namespace mlir;
using tpumlir::support::Rounding;

namespace tpumlir::codegen {

using isa::ArOp;
using isa::CmpOp;
using isa::DType;
using isa::Engine;
using isa::Layout;

namespace {

/// Ids have 20 bits; a segment ends well before that.
constexpr uint64_t kMaxId = (1u << 20) - 64;

uint64_t code(DType type) { return uint64_t(type); }

/// Stride of a dimension that has a next element; the field of another is 0,
/// because its value may be too wide and means nothing.
uint64_t strideField(const Local &local, int dim) {
  bool hasNext = dim == 1 ? local.rows() > 1 : local.size[dim] > 1;
  return hasNext ? uint64_t(local.stride[dim]) : 0;
}

template <typename T> void setResult(T &t, const Local &res) {
  t.res0_n = res.size[0];
  t.res0_c = res.size[1];
  t.res0_h = res.size[2];
  t.res0_w = res.size[3];
  t.res0_addr = res.addr;
  t.res0_prec = code(res.dtype);
}

template <typename T> void setWindow(T &t, const WindowFields &w) {
  t.opd1_h = w.kernelH;
  t.opd1_w = w.kernelW;
  t.res_op_y_str = w.strideH;
  t.res_op_x_str = w.strideW;
  t.opd1_y_ins0 = w.dilationH - 1;
  t.opd1_x_ins0 = w.dilationW - 1;
  t.opd0_y_ins0 = w.insertH;
  t.opd0_x_ins0 = w.insertW;
  t.opd0_up_pad = w.up;
  t.opd0_dn_pad = w.down;
  t.opd0_lf_pad = w.left;
  t.opd0_rt_pad = w.right;
  t.kernel_rotate = w.rotate;
}

uint64_t gdmaAddress(const Local &local) {
  return isa::kLocalMemory.begin + uint64_t(local.addr);
}

template <typename T> void setSource(T &t, uint64_t addr) {
  t.src_start_addr_l32 = addr & 0xffffffff;
  t.src_start_addr_h8 = addr >> 32;
}

template <typename T> void setDestination(T &t, uint64_t addr) {
  t.dst_start_addr_l32 = addr & 0xffffffff;
  t.dst_start_addr_h8 = addr >> 32;
}

template <typename T> void setSourceStride(T &t, const Nchw &stride) {
  t.src_nstride = stride[0];
  t.src_cstride = stride[1];
  t.src_hstride = stride[2];
  t.src_wstride = stride[3];
}

template <typename T> void setDestinationStride(T &t, const Nchw &stride) {
  t.dst_nstride = stride[0];
  t.dst_cstride = stride[1];
  t.dst_hstride = stride[2];
  t.dst_wstride = stride[3];
}

template <typename T> void setSourceSize(T &t, const Nchw &size) {
  t.src_nsize = size[0];
  t.src_csize = size[1];
  t.src_hsize = size[2];
  t.src_wsize = size[3];
}

template <typename T> void setDestinationSize(T &t, const Nchw &size) {
  t.dst_nsize = size[0];
  t.dst_csize = size[1];
  t.dst_hsize = size[2];
  t.dst_wsize = size[3];
}

/// A fresh GDMA command on elements of a type, all lanes enabled.
template <typename T> T gdma(DType type) {
  T t;
  t.src_data_format = code(type);
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

uint32_t bitsOf(double number, DType type) {
  switch (type) {
  case DType::F32:
    return std::bit_cast<uint32_t>(float(number));
  case DType::F16:
    return support::f32ToF16(float(number));
  case DType::BF16:
    return support::f32ToBf16(float(number));
  default:
    return uint32_t(int32_t(number));
  }
}

//===----------------------------------------------------------------------===//
// Numbering, dependencies, errors
//===----------------------------------------------------------------------===//

static std::pair<int64_t, int64_t> byteRange(const Local &local) {
  return {local.addr, local.addr + local.bytes()};
}

#define READ(local)                                                            \
  Access { byteRange(local).first, byteRange(local).second, false }
#define WRITE(local)                                                           \
  Access { byteRange(local).first, byteRange(local).second, true }

void Emitter::error(const std::string &message) {
  hasFailed = true;
  if (op)
    op->emitError(message);
}

/// The newest command of the other engine that `accesses` must come after.
uint64_t Emitter::dependency(Engine engine, const Accesses &accesses) {
  EngineState &self = engines[size_t(engine)];
  EngineState &other = engines[1 - size_t(engine)];
  for (const Access &past : llvm::reverse(other.recent)) {
    bool conflict = llvm::any_of(accesses, [&](const Access &now) {
      return (past.write || now.write) && past.begin < now.end &&
             now.begin < past.end;
    });
    if (!conflict)
      continue;
    self.synced = past.id;
    // Whatever came before that has ended too.
    llvm::erase_if(other.recent,
                   [&](const Access &a) { return a.id <= past.id; });
    break;
  }
  return self.synced;
}

void Emitter::startSegment() {
  segments.emplace_back();
  engines[0] = engines[1] = {};
}

void Emitter::note(Engine engine, uint64_t id) {
  CommandOrigin origin{engine, segments.size() - 1, id, "", "", ""};
  if (op) {
    origin.op = op->getName().getStringRef().str();
    origin.tensor = top::tensorName(op->getLoc()).str();
    origin.node = top::nodeName(op->getLoc()).str();
  }
  origins.push_back(std::move(origin));
}

template <typename T> void Emitter::push(T &command, const Accesses &accesses) {
  if (hasFailed)
    return;
  if (segments.empty() || engines[0].nextId >= kMaxId ||
      engines[1].nextId >= kMaxId) {
    if (!segments.empty())
      finish();
    startSegment();
  }
  constexpr Engine engine = isa::engineOf(T::kKind);
  EngineState &self = engines[size_t(engine)];
  if (!dry)
    command.cmd_id_dep = dependency(engine, accesses);
  command.cmd_id = self.nextId++;
  for (Access access : accesses) {
    if (dry)
      break;
    access.id = command.cmd_id;
    self.recent.push_back(access);
  }

  isa::Command any(command);
  for (const isa::Violation &violation : isa::validate(any))
    error("illegal command " + std::string(isa::name(engine)) + " " +
          std::to_string(command.cmd_id) + ", " + violation.message());
  CommandSegment &segment = segments.back();
  forgotten.clear();
  try {
    isa::encode(any, dry                     ? forgotten
                     : engine == Engine::Tiu ? segment.tiu
                                             : segment.gdma);
  } catch (const isa::EncodeError &e) {
    error(std::string(isa::opName(any)) + ": " + e.what());
  }
  if (dry)
    return;
  (engine == Engine::Tiu ? segment.tiuCount : segment.gdmaCount)++;
  note(engine, command.cmd_id);
}

void Emitter::finish() {
  if (segments.empty())
    startSegment();
  CommandSegment &segment = segments.back();
  isa::Sys tiuEnd;
  tiuEnd.tsk_eu_typ = uint64_t(isa::SysOp::End);
  tiuEnd.cmd_id = engines[0].nextId;
  isa::encode(tiuEnd, segment.tiu);
  ++segment.tiuCount;
  isa::DmaSys gdmaEnd;
  gdmaEnd.cmd_id = engines[1].nextId;
  isa::encode(gdmaEnd, segment.gdma);
  ++segment.gdmaCount;
}

//===----------------------------------------------------------------------===//
// GDMA
//===----------------------------------------------------------------------===//

void Emitter::load(const Global &src, const Nchw &stride, const Local &local) {
  assert(src.dtype == local.dtype);
  isa::DmaTensor t = tensorCopy(local.size, local.dtype);
  setSource(t, src.addr);
  setSourceStride(t, stride);
  setDestination(t, gdmaAddress(local));
  setDestinationStride(t, local.stride);
  push(t, {WRITE(local)});
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
  push(t, {WRITE(local)});
}

void Emitter::store(const Local &local, const Global &dst, const Nchw &stride) {
  assert(dst.dtype == local.dtype);
  isa::DmaTensor t = tensorCopy(local.size, local.dtype);
  setSource(t, gdmaAddress(local));
  setSourceStride(t, local.stride);
  setDestination(t, dst.addr);
  setDestinationStride(t, stride);
  push(t, {READ(local)});
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
  push(t, {WRITE(local)});
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
  push(t, {WRITE(local)});
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
  push(t, {READ(local)});
}

namespace {

/// Fields that a gather and a scatter share, but for source and destination.
template <typename T> T indexed(isa::DType type, const IndexedRows &rows) {
  auto t = gdma<T>(type);
  t.src_csize = t.dst_csize = rows.lists;
  t.src_wsize = t.dst_wsize = rows.width;
  t.index_csize = rows.sharedIndex ? 1 : rows.lists;
  t.index_hsize = rows.count;
  t.index_cstride = rows.indexStride[0];
  t.index_hstride = rows.indexStride[1];
  t.index_start_addr_l32 = rows.index.addr & 0xffffffff;
  t.index_start_addr_h8 = rows.index.addr >> 32;
  return t;
}

isa::DmaGather gather(uint64_t table, uint64_t rows, isa::DType type,
                      const IndexedRows &fields) {
  auto t = indexed<isa::DmaGather>(type, fields);
  setSource(t, table);
  t.src_hsize = fields.tableRows;
  t.src_cstride = fields.tableStride[0];
  t.src_hstride = fields.tableStride[1];
  setDestination(t, rows);
  t.dst_hsize = fields.count;
  t.dst_cstride = fields.rowsStride[0];
  t.dst_hstride = fields.rowsStride[1];
  return t;
}

isa::DmaScatter scatter(uint64_t rows, uint64_t table, isa::DType type,
                        const IndexedRows &fields) {
  auto t = indexed<isa::DmaScatter>(type, fields);
  setSource(t, rows);
  t.src_hsize = fields.count;
  t.src_cstride = fields.rowsStride[0];
  t.src_hstride = fields.rowsStride[1];
  setDestination(t, table);
  t.dst_hsize = fields.tableRows;
  t.dst_cstride = fields.tableStride[0];
  t.dst_hstride = fields.tableStride[1];
  return t;
}

} // namespace

void Emitter::gatherRows(const Global &table, const Global &rows,
                         const IndexedRows &fields) {
  isa::DmaGather t = gather(table.addr, rows.addr, table.dtype, fields);
  push(t, {});
}

void Emitter::gatherRows(const Global &table, const Local &rows,
                         IndexedRows fields) {
  fields.rowsStride = {rows.stride[1], rows.stride[2]};
  isa::DmaGather t = gather(table.addr, gdmaAddress(rows), table.dtype, fields);
  push(t, {WRITE(rows)});
}

void Emitter::scatterRows(const Global &rows, const Global &table,
                          const IndexedRows &fields) {
  isa::DmaScatter t = scatter(rows.addr, table.addr, table.dtype, fields);
  push(t, {});
}

void Emitter::scatterRows(const Local &rows, const Global &table,
                          IndexedRows fields) {
  fields.rowsStride = {rows.stride[1], rows.stride[2]};
  isa::DmaScatter t =
      scatter(gdmaAddress(rows), table.addr, table.dtype, fields);
  push(t, {READ(rows)});
}

//===----------------------------------------------------------------------===//
// TIU: arithmetic
//===----------------------------------------------------------------------===//

namespace {

/// The operand as the result's command sees it: sizes of 1 against more become
/// a stride of 0.
Local broadcastTo(const Local &local, const Nchw &size) {
  Local out = local;
  for (int dim = 0; dim < 4; ++dim) {
    if (local.size[dim] == size[dim])
      continue;
    assert(local.size[dim] == 1 && (dim != 1 || local.everyLane));
    out.size[dim] = size[dim];
    out.stride[dim] = 0;
    out.layout = Layout::Strided;
  }
  return out;
}

void setOperand0(isa::Ar &t, const Operand &a, const Nchw &size) {
  t.opd0_const = a.isConst;
  if (a.isConst) {
    t.opd0_addr = bitsOf(a.number, DType(t.opd0_prec));
    return;
  }
  Local local = broadcastTo(a.local, size);
  t.opd0_addr = local.addr;
  t.opd0_str = uint64_t(local.layout);
  if (local.layout != Layout::Strided)
    return;
  t.opd0_n_str = strideField(local, 0);
  t.opd0_c_str = strideField(local, 1);
  t.opd0_h_str = strideField(local, 2);
  t.opd0_w_str = strideField(local, 3);
}

void setOperand1(isa::Ar &t, const Operand &b, const Nchw &size) {
  t.opd1_const = b.isConst;
  if (b.isConst) {
    t.opd1_addr = bitsOf(b.number, DType(t.opd1_prec));
    return;
  }
  Local local = broadcastTo(b.local, size);
  t.opd1_addr = local.addr;
  t.opd1_str = uint64_t(local.layout);
  if (local.layout != Layout::Strided)
    return;
  t.opd1_n_str = strideField(local, 0);
  t.opd1_c_str = strideField(local, 1);
  t.opd1_h_str = strideField(local, 2);
  t.opd1_w_str = strideField(local, 3);
}

isa::Ar arithmetic(ArOp op, const Local &res) {
  isa::Ar t;
  t.tsk_eu_typ = uint64_t(op);
  setResult(t, res);
  t.res0_str = uint64_t(res.layout);
  if (res.layout == Layout::Strided) {
    t.res0_n_str = strideField(res, 0);
    t.res0_c_str = strideField(res, 1);
    t.res0_h_str = strideField(res, 2);
    t.res0_w_str = strideField(res, 3);
  }
  return t;
}

isa::Ar unary(ArOp op, const Local &res, const Operand &a) {
  isa::Ar t = arithmetic(op, res);
  t.tsk_opd_num = 1;
  t.opd0_prec = code(a.isConst ? res.dtype : a.local.dtype);
  t.opd0_sign = a.isConst ? res.isSigned : a.local.isSigned;
  setOperand0(t, a, res.size);
  return t;
}

isa::Ar binary(ArOp op, const Local &res, const Operand &a, const Operand &b) {
  isa::Ar t = arithmetic(op, res);
  t.tsk_opd_num = 2;
  DType type =
      a.isConst ? b.isConst ? res.dtype : b.local.dtype : a.local.dtype;
  t.opd0_prec = t.opd1_prec = code(type);
  // A number has the sign of the operand beside it.
  t.opd0_sign = (a.isConst ? b.isConst ? res : b.local : a.local).isSigned;
  t.opd1_sign = (b.isConst ? a.isConst ? res : a.local : b.local).isSigned;
  setOperand0(t, a, res.size);
  setOperand1(t, b, res.size);
  return t;
}

} // namespace

#define READ_OPERANDS(accesses, ...)                                           \
  for (const Operand *operand : {__VA_ARGS__})                                 \
    if (!operand->isConst)                                                     \
  accesses.push_back(READ(operand->local))

void Emitter::ar(ArOp op, const Local &res, const Operand &a,
                 const Operand &b) {
  isa::Ar t = binary(op, res, a, b);
  Accesses accesses{WRITE(res)};
  READ_OPERANDS(accesses, &a, &b);
  push(t, accesses);
}

void Emitter::div(const Local &res, const Operand &a, const Operand &b) {
  isa::Ar t = binary(ArOp::Div, res, a, b);
  t.opd2_n_str = 2; // iterations - 1
  Accesses accesses{WRITE(res)};
  READ_OPERANDS(accesses, &a, &b);
  push(t, accesses);
}

void Emitter::addShift(const Local &res, const Operand &a, const Operand &b,
                       int shift, Rounding rounding) {
  isa::Ar t = binary(ArOp::Adds, res, a, b);
  t.tsk_opd_num = 3;
  t.opd2_const = 1;
  t.opd2_addr = uint8_t(shift);
  t.opd2_n_str = uint64_t(rounding);
  Accesses accesses{WRITE(res)};
  READ_OPERANDS(accesses, &a, &b);
  push(t, accesses);
}

void Emitter::shift(const Local &res, const Operand &a, const Operand &amount,
                    bool isLogical) {
  isa::Ar t =
      binary(isLogical ? ArOp::LogicShift : ArOp::Ashift, res, a, amount);
  t.opd2_n_str = uint64_t(Rounding::Floor);
  Accesses accesses{WRITE(res)};
  READ_OPERANDS(accesses, &a, &amount);
  push(t, accesses);
}

void Emitter::cast(const Local &res, const Local &a, Rounding rounding) {
  isa::Ar t = unary(ArOp::Cast, res, a);
  t.opd2_n_str = uint64_t(rounding);
  t.opd2_sign = res.isSigned;
  push(t, {WRITE(res), READ(a)});
}

void Emitter::copyLocal(const Local &res, const Operand &a) {
  isa::Ar t = unary(ArOp::Copy, res, a);
  Accesses accesses{WRITE(res)};
  READ_OPERANDS(accesses, &a);
  push(t, accesses);
}

void Emitter::abs(const Local &res, const Local &a) {
  isa::Ar t = unary(ArOp::Abs, res, a);
  push(t, {WRITE(res), READ(a)});
}

void Emitter::mask(ArOp op, const Local &res, const Operand &a,
                   const Operand &b) {
  isa::Ar t = binary(op, res, a, b);
  t.res0_prec = t.opd2_prec = t.opd0_prec; // only bits are moved
  t.tsk_opd_num = 3;
  t.opd2_const = 1;
  t.opd2_addr = 0xffffffff;
  Accesses accesses{WRITE(res)};
  READ_OPERANDS(accesses, &a, &b);
  push(t, accesses);
}

void Emitter::select(CmpOp op, const Local &res, const Operand &a,
                     const Operand &b, const Operand &yes, const Operand &no) {
  isa::Cmp t;
  t.tsk_eu_typ = uint64_t(op);
  setResult(t, res);
  t.res0_prec = 0; // the short form has no such field
  const Local &side = a.isConst ? b.local : a.local;
  assert((b.isConst || b.local.isSigned == side.isSigned) &&
         "one sign for both that are compared");
  DType compared = side.dtype;
  t.opd0_prec = code(compared);
  t.opd2_prec = code(res.dtype);
  t.opd0_sign = side.isSigned;
  t.opd0_const = a.isConst;
  auto field = [](const Operand &operand, DType type) {
    return operand.isConst ? bitsOf(operand.number, type)
                           : uint64_t(operand.local.addr);
  };
  t.opd0_addr = field(a, compared);
  t.opd1_const = b.isConst;
  t.opd1_addr = field(b, compared);
  t.opd2_const = yes.isConst;
  t.opd2_addr = field(yes, res.dtype);
  t.opd3_const = no.isConst;
  t.opd3_addr = field(no, res.dtype);
  Accesses accesses{WRITE(res)};
  READ_OPERANDS(accesses, &a, &b, &yes, &no);
  push(t, accesses);
}

//===----------------------------------------------------------------------===//
// TIU: functions
//===----------------------------------------------------------------------===//

void Emitter::taylor(const Local &res, const Local &x, const Local &table,
                     int64_t terms) {
  isa::Sfu t;
  t.tsk_eu_typ = uint64_t(isa::SfuOp::Taylor4x);
  setResult(t, res);
  t.opd0_prec = code(x.dtype);
  t.opd0_addr = x.addr;
  t.opd1_addr = table.addr;
  t.opd1_n = terms;
  push(t, {WRITE(res), READ(x), READ(table)});
}

void Emitter::rsqrt(const Local &res, const Local &x) {
  isa::Sfu t;
  t.tsk_eu_typ = uint64_t(isa::SfuOp::Rsqrt);
  setResult(t, res);
  t.opd0_prec = code(x.dtype);
  t.opd0_addr = x.addr;
  t.opd2_n_str = 2; // iterations - 1
  push(t, {WRITE(res), READ(x)});
}

void Emitter::broadcastStatic(const Local &res, uint64_t addr) {
  isa::TransBc t;
  t.tsk_eu_typ = uint64_t(isa::TransBcOp::SBc);
  setResult(t, res);
  t.opd0_c = isa::kLanes;
  t.opd0_w = res.size[3];
  t.opd0_addr = addr;
  push(t, {WRITE(res)});
}

//===----------------------------------------------------------------------===//
// TIU: windows and matrices
//===----------------------------------------------------------------------===//

void Emitter::conv(const Local &res, const Local &input, const Local &filter,
                   const Local *bias, const WindowFields &window,
                   bool accumulate) {
  isa::Conv t;
  t.tsk_eu_typ = uint64_t(isa::ConvOp::Normal);
  setResult(t, res);
  setWindow(t, window);
  t.opd0_prec = code(input.dtype);
  t.opd0_c = input.size[1];
  t.opd0_h = input.size[2];
  t.opd0_w = input.size[3];
  t.opd0_addr = input.addr;
  t.opd1_addr = filter.addr;
  t.opd2_const = !bias;
  t.opd2_addr = bias ? bias->addr : 0;
  t.opd3_const = 1; // padding value 0
  t.res_add = accumulate;
  Accesses accesses{WRITE(res), READ(input), READ(filter)};
  if (bias)
    accesses.push_back(READ(*bias));
  push(t, accesses);
}

static isa::PorD pooling(isa::PorDOp op, const Local &res, const Local &input,
                         const WindowFields &window) {
  isa::PorD t;
  t.tsk_eu_typ = uint64_t(op);
  setResult(t, res);
  setWindow(t, window);
  t.opd0_prec = code(input.dtype);
  t.opd0_h = input.size[2];
  t.opd0_w = input.size[3];
  t.opd0_addr = input.addr;
  t.opd3_const = 1;
  return t;
}

void Emitter::depthwise(const Local &res, const Local &input,
                        const Local &filter, const Local *bias,
                        const WindowFields &window) {
  isa::PorD t = pooling(isa::PorDOp::Depthwise, res, input, window);
  t.opd1_addr = filter.addr;
  t.opd2_const = !bias;
  t.opd2_addr = bias ? bias->addr : 0;
  Accesses accesses{WRITE(res), READ(input), READ(filter)};
  if (bias)
    accesses.push_back(READ(*bias));
  push(t, accesses);
}

void Emitter::avgPool(const Local &res, const Local &input,
                      const WindowFields &window, float factor) {
  isa::PorD t = pooling(isa::PorDOp::Avgpooling, res, input, window);
  t.opd1_const = 1;
  t.opd1_addr = bitsOf(factor, input.dtype);
  push(t, {WRITE(res), READ(input)});
}

void Emitter::maxPool(const Local &res, const Local &input,
                      const WindowFields &window) {
  isa::PorD t = pooling(isa::PorDOp::Maxpooling, res, input, window);
  t.opd3_addr = bitsOf(-std::numeric_limits<double>::infinity(), input.dtype);
  push(t, {WRITE(res), READ(input)});
}

void Emitter::matMul(const Local &res, const Local &left, const Local &right,
                     const Local *bias, int64_t lastWidth, bool accumulate) {
  isa::Mm t;
  t.tsk_eu_typ = uint64_t(isa::MmOp::Normal);
  t.res0_addr = res.addr;
  t.res0_prec = code(res.dtype);
  t.res0_c = res.size[1];
  t.res0_w = res.size[3];
  t.opd0_prec = code(left.dtype);
  t.opd0_n = left.size[0];
  t.opd0_c = left.size[1];
  t.opd0_w = left.size[3];
  t.opd1_w = lastWidth;
  t.opd0_addr = left.addr;
  t.opd1_addr = right.addr;
  t.opd2_const = !bias;
  t.opd2_addr = bias ? bias->addr : 0;
  t.res_add = accumulate;
  Accesses accesses{WRITE(res), READ(left), READ(right)};
  if (bias)
    accesses.push_back(READ(*bias));
  push(t, accesses);
}

void Emitter::halfMatMul(const Local &res, const Local &left,
                         const Local &right, bool rightTranspose,
                         bool accumulate) {
  isa::Mm2 t;
  t.tsk_eu_typ = uint64_t(rightTranspose ? isa::Mm2Op::Nt : isa::Mm2Op::Nn);
  t.res0_addr = res.addr;
  t.res0_prec = code(res.dtype);
  t.res0_c = res.size[1];
  t.res0_w = res.size[3];
  t.opd0_prec = code(left.dtype);
  t.opd0_addr = left.addr;
  t.opd1_addr = right.addr;
  t.opd1_c = right.size[1];
  t.opd1_w = right.size[3];
  t.res_add = accumulate;
  push(t, {WRITE(res), READ(left), READ(right)});
}

} // namespace tpumlir::codegen
