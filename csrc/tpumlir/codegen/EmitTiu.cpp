#include "tpumlir/codegen/Emitter.h"

#include <limits>

/// The commands of TIU.
namespace tpumlir::codegen {

using isa::ArOp;
using isa::CmpOp;
using isa::DType;
using isa::Layout;
using support::Rounding;

namespace {

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

template <typename T> void setBias(T &t, const Local *bias) {
  t.opd2_const = !bias;
  t.opd2_addr = bias ? bias->addr : 0;
}

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

/// Where an AR command states one of its tensors.
struct ArFields {
  uint64_t isa::Ar::*addr, isa::Ar::*layout, isa::Ar::*prec, isa::Ar::*constant;
  std::array<uint64_t isa::Ar::*, 4> stride;
};
#define FIELDS(prefix, constant)                                               \
  ArFields {                                                                   \
    &isa::Ar::prefix##_addr, &isa::Ar::prefix##_str, &isa::Ar::prefix##_prec,  \
        constant, {                                                            \
      &isa::Ar::prefix##_n_str, &isa::Ar::prefix##_c_str,                      \
          &isa::Ar::prefix##_h_str, &isa::Ar::prefix##_w_str                   \
    }                                                                          \
  }
constexpr ArFields kResultFields = FIELDS(res0, nullptr),
                   kFirstFields = FIELDS(opd0, &isa::Ar::opd0_const),
                   kSecondFields = FIELDS(opd1, &isa::Ar::opd1_const);
#undef FIELDS

void setTensor(isa::Ar &t, const ArFields &fields, const Local &local) {
  t.*fields.addr = local.addr;
  t.*fields.layout = uint64_t(local.layout);
  if (local.layout == Layout::Strided)
    for (int dim = 0; dim < 4; ++dim)
      t.*fields.stride[dim] = strideField(local, dim);
}

void setOperand(isa::Ar &t, const ArFields &fields, const Operand &operand,
                const Nchw &size) {
  t.*fields.constant = operand.isConst;
  if (operand.isConst)
    t.*fields.addr = bitsOf(operand.number, DType(t.*fields.prec));
  else
    setTensor(t, fields, broadcastTo(operand.local, size));
}

isa::Ar arithmetic(ArOp op, const Local &res) {
  isa::Ar t;
  t.tsk_eu_typ = uint64_t(op);
  setResult(t, res);
  setTensor(t, kResultFields, res);
  return t;
}

isa::Ar unary(ArOp op, const Local &res, const Operand &a) {
  isa::Ar t = arithmetic(op, res);
  t.tsk_opd_num = 1;
  t.opd0_prec = code(a.isConst ? res.dtype : a.local.dtype);
  t.opd0_sign = a.isConst ? res.isSigned : a.local.isSigned;
  setOperand(t, kFirstFields, a, res.size);
  return t;
}

isa::Ar binary(ArOp op, const Local &res, const Operand &a, const Operand &b) {
  isa::Ar t = arithmetic(op, res);
  t.tsk_opd_num = 2;
  DType type =
      a.isConst ? b.isConst ? res.dtype : b.local.dtype : a.local.dtype;
  t.opd0_prec = t.opd1_prec = code(type);
  // A number has the sign of the operand beside it.
  t.opd0_sign = !a.isUnsigned &&
                (a.isConst ? b.isConst ? res : b.local : a.local).isSigned;
  t.opd1_sign = !b.isUnsigned &&
                (b.isConst ? a.isConst ? res : a.local : b.local).isSigned;
  setOperand(t, kFirstFields, a, res.size);
  setOperand(t, kSecondFields, b, res.size);
  return t;
}

} // namespace

/// What a command reads and writes whose operands may be numbers.
Emitter::Accesses
Emitter::touched(const Local &res,
                 std::initializer_list<const Operand *> operands) {
  Accesses accesses{write(res)};
  for (const Operand *operand : operands)
    if (!operand->isConst)
      accesses.push_back(read(operand->local));
  return accesses;
}

Emitter::Accesses Emitter::touched(const Local &res, const Local &a,
                                   const Local &b, const Local *bias) {
  Accesses accesses{write(res), read(a), read(b)};
  if (bias)
    accesses.push_back(read(*bias));
  return accesses;
}

void Emitter::ar(ArOp op, const Local &res, const Operand &a,
                 const Operand &b) {
  isa::Ar t = binary(op, res, a, b);
  push(t, touched(res, {&a, &b}));
}

void Emitter::div(const Local &res, const Operand &a, const Operand &b,
                  int iterations) {
  isa::Ar t = binary(ArOp::Div, res, a, b);
  t.opd2_n_str = uint64_t(iterations - 1);
  push(t, touched(res, {&a, &b}));
}

void Emitter::addShift(const Local &res, const Operand &a, const Operand &b,
                       int shift, Rounding rounding) {
  isa::Ar t = binary(ArOp::Adds, res, a, b);
  t.tsk_opd_num = 3;
  t.opd2_const = 1;
  t.opd2_addr = uint8_t(shift);
  t.opd2_n_str = uint64_t(rounding);
  push(t, touched(res, {&a, &b}));
}

void Emitter::shift(const Local &res, const Operand &a, const Operand &amount,
                    bool isLogical) {
  isa::Ar t =
      binary(isLogical ? ArOp::LogicShift : ArOp::Ashift, res, a, amount);
  t.opd2_n_str = uint64_t(Rounding::Floor);
  push(t, touched(res, {&a, &amount}));
}

void Emitter::cast(const Local &res, const Local &a, Rounding rounding) {
  isa::Ar t = unary(ArOp::Cast, res, a);
  t.opd2_n_str = uint64_t(rounding);
  t.opd2_sign = res.isSigned;
  push(t, {write(res), read(a)});
}

void Emitter::copyLocal(const Local &res, const Operand &a) {
  isa::Ar t = unary(ArOp::Copy, res, a);
  push(t, touched(res, {&a}));
}

void Emitter::abs(const Local &res, const Local &a) {
  isa::Ar t = unary(ArOp::Abs, res, a);
  push(t, {write(res), read(a)});
}

void Emitter::mask(ArOp op, const Local &res, const Operand &a,
                   const Operand &b) {
  isa::Ar t = binary(op, res, a, b);
  t.res0_prec = t.opd2_prec = t.opd0_prec; // only bits are moved
  t.tsk_opd_num = 3;
  t.opd2_const = 1;
  t.opd2_addr = 0xffffffff;
  push(t, touched(res, {&a, &b}));
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
  push(t, touched(res, {&a, &b, &yes, &no}));
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
  push(t, {write(res), read(x), read(table)});
}

void Emitter::rsqrt(const Local &res, const Local &x) {
  isa::Sfu t;
  t.tsk_eu_typ = uint64_t(isa::SfuOp::Rsqrt);
  setResult(t, res);
  t.opd0_prec = code(x.dtype);
  t.opd0_addr = x.addr;
  t.opd2_n_str = 2; // iterations - 1
  push(t, {write(res), read(x)});
}

static isa::RqDq requantisation(isa::RqDqOp op, const Local &res,
                                const Local &a) {
  isa::RqDq t;
  t.tsk_eu_typ = uint64_t(op);
  setResult(t, res);
  t.opd0_prec = code(a.dtype);
  t.opd0_sign = a.isSigned;
  t.opd2_sign = res.isSigned;
  t.opd0_addr = a.addr;
  return t;
}

void Emitter::requantize(const Local &res, const Local &a, float scale,
                         float offset) {
  isa::RqDq t = requantisation(isa::RqDqOp::Rq0, res, a);
  t.opd1_const = 1;
  t.opd1_addr = bitsOf(scale, DType::F32);
  t.opd2_addr = bitsOf(offset, DType::F32);
  t.opd2_n_str = uint64_t(Rounding::HalfToEven) << 3;
  push(t, {write(res), read(a)});
}

void Emitter::requantize(const Local &res, const Local &a, const Local &rows) {
  isa::RqDq t = requantisation(isa::RqDqOp::Rq0, res, a);
  t.opd1_addr = rows.addr;
  t.opd2_n_str = uint64_t(Rounding::HalfToEven) << 3;
  push(t, {write(res), read(a), read(rows)});
}

void Emitter::dequantize(const Local &res, const Local &a, float scale,
                         int64_t zero) {
  isa::RqDq t = requantisation(isa::RqDqOp::Dq0, res, a);
  t.opd1_const = 1;
  t.opd1_addr = uint16_t(zero);
  t.opd2_addr = bitsOf(scale, DType::F32);
  push(t, {write(res), read(a)});
}

void Emitter::lookup(const Local &res, const Local &table, const Local &index) {
  auto bank = [](const Local &local) { return local.addr / isa::kBankBytes; };
  // (L11) Only the slower form may read and write one bank.
  lookup(bank(res) == bank(table) ? isa::SgOp::PeSGatherHzd
                                  : isa::SgOp::PeSGatherD1coor,
         res, table, index);
}

void Emitter::lookupFour(const Local &res, const Local &table,
                         const Local &index) {
  lookup(isa::SgOp::PeMGatherD1coor, res, table, index);
}

void Emitter::lookup(isa::SgOp op, const Local &res, const Local &table,
                     const Local &index) {
  isa::Sg t;
  t.tsk_eu_typ = uint64_t(op);
  setResult(t, res);
  // The hazard form takes rows only (L11).
  t.res0_h = 1;
  t.res0_w = res.size[2] * res.size[3];
  t.opd0_prec = code(table.dtype);
  t.opd0_str = uint64_t(Layout::Table);
  t.opd0_h = 1;
  t.opd0_w = table.size[3];
  t.opd0_addr = table.addr;
  t.opd1_prec = code(index.dtype);
  t.opd1_c = index.size[1];
  t.opd1_w = index.size[2] * index.size[3];
  t.opd1_addr = index.addr;
  Accesses accesses{write(res), read(index)};
  Local copy = table;
  for (unsigned i = 0;
       i < (op == isa::SgOp::PeMGatherD1coor ? isa::kGatherCopies : 1); ++i) {
    accesses.push_back(read(copy));
    copy.addr += isa::kGatherCopyBytes;
  }
  push(t, accesses);
}

/// A transfer of what `a` holds to other lanes.
static isa::TransBc betweenLanes(isa::TransBcOp op, const Local &res,
                                 const Local &a) {
  isa::TransBc t;
  t.tsk_eu_typ = uint64_t(op);
  setResult(t, res);
  t.opd0_c = a.size[1];
  t.opd0_w = a.size[3];
  t.opd0_addr = a.addr;
  return t;
}

void Emitter::transposeLanes(const Local &res, const Local &a) {
  isa::TransBc t = betweenLanes(isa::TransBcOp::WcTs, res, a);
  push(t, {write(res), read(a)});
}

void Emitter::copyToLanes(const Local &res, int64_t lane, const Local &a) {
  assert(res.size[0] == 1 && "batches of aligned tensors in other lanes have "
                             "other distances");
  isa::TransBc t = betweenLanes(isa::TransBcOp::LCopy, res, a);
  t.res0_addr += uint64_t(lane) * isa::kLaneBytes;
  // The channels of its last row may reach into one more.
  Access written = write(res);
  written.end += (ceilDiv(lane + res.size[1], isa::kLanes) - res.rows()) *
                 res.stride[1] * int64_t(isa::bytes(res.dtype));
  push(t, {written, read(a)});
}

void Emitter::copyToEveryLane(const Local &res, const Local &a) {
  assert(res.everyLane && a.size[1] == 1);
  Nchw size = res.size;
  size[1] = std::min(size[1], int64_t(isa::kLanes));
  const Local lanes = aligned(res.addr, size, res.dtype);
  isa::TransBc t = betweenLanes(isa::TransBcOp::LBc, lanes, a);
  push(t, {write(lanes), read(a)});
}

void Emitter::broadcastStatic(const Local &res, uint64_t addr) {
  isa::TransBc t;
  t.tsk_eu_typ = uint64_t(isa::TransBcOp::SBc);
  setResult(t, res);
  t.opd0_c = isa::kLanes;
  t.opd0_w = res.size[3];
  t.opd0_addr = addr;
  push(t, {write(res)});
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
  setBias(t, bias);
  t.opd3_const = 1;
  if (!isa::isFloat(input.dtype)) {
    t.opd0_sign = input.isSigned;
    t.opd1_sign = filter.isSigned;
    t.opd2_sign = bias && bias->isSigned; // zero points of the filter
    t.opd3_addr = bitsOf(double(window.padValue), input.dtype);
  }
  t.res_add = accumulate;
  push(t, touched(res, input, filter, bias));
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
  if (!isa::isFloat(input.dtype)) {
    t.opd0_sign = input.isSigned;
    t.opd1_sign = filter.isSigned;
    t.opd2_sign = 1;
    t.opd3_addr = bitsOf(double(window.padValue), input.dtype);
  }
  t.opd1_addr = filter.addr;
  setBias(t, bias);
  push(t, touched(res, input, filter, bias));
}

void Emitter::avgPool(const Local &res, const Local &input,
                      const WindowFields &window, float factor) {
  isa::PorD t = pooling(isa::PorDOp::Avgpooling, res, input, window);
  t.opd1_const = 1;
  t.opd1_addr = bitsOf(factor, input.dtype);
  if (!isa::isFloat(input.dtype)) {
    t.opd0_sign = input.isSigned;
    t.opd2_const = 1; // no shift
    t.opd3_addr = bitsOf(double(window.padValue), input.dtype);
  }
  push(t, {write(res), read(input)});
}

void Emitter::maxPool(const Local &res, const Local &input,
                      const WindowFields &window) {
  isa::PorD t = pooling(isa::PorDOp::Maxpooling, res, input, window);
  if (isa::isFloat(input.dtype)) {
    t.opd3_addr = bitsOf(-std::numeric_limits<double>::infinity(), input.dtype);
  } else {
    t.opd0_sign = input.isSigned;
    t.opd3_addr = bitsOf(input.isSigned ? -128 : 0, input.dtype);
  }
  push(t, {write(res), read(input)});
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
  setBias(t, bias);
  t.res_add = accumulate;
  push(t, touched(res, left, right, bias));
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
  push(t, {write(res), read(left), read(right)});
}

} // namespace tpumlir::codegen
