#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Kernels.h"
#include "tpumlir/cmodel/Scalar.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace tpumlir::cmodel {
namespace {

using isa::ArOp;
using isa::Layout;

/// An operand of AR: a constant, or a tensor in one of the layouts of (H5).
Tensor operand(Context &ctx, std::string_view field, uint64_t addr,
               bool isConstant, uint64_t layout, const Shape &shape,
               const Strides &elements, DType type, Access access) {
  if (isConstant)
    return Context::constant(addr, shape);
  const unsigned bytes = isa::bytes(type);
  switch (Layout(layout)) {
  case Layout::Aligned:
    return ctx.aligned(field, addr, shape, type, access);
  case Layout::Compact:
    return ctx.compact(field, addr, shape, type, access);
  case Layout::Strided:
    return ctx.tensor(field, addr, shape,
                      {elements.n * bytes, elements.c * bytes,
                       elements.h * bytes, elements.w * bytes},
                      bytes, access);
  default:
    ctx.badField(std::string(field) + " layout",
                 "aligned (0), compact (1) or strided (3)", layout);
  }
}

struct Operands {
  Shape shape;
  DType resType, type[3];
  bool sign[3];
  Tensor res, opd[3];
};

Strides strideFields(uint64_t n, uint64_t c, uint64_t h, uint64_t w) {
  return {int64_t(n), int64_t(c), int64_t(h), int64_t(w)};
}

Operands open(Context &ctx, const isa::Ar &op, int sources) {
  Operands o;
  o.shape = {int64_t(op.res0_n), int64_t(op.res0_c), int64_t(op.res0_h),
             int64_t(op.res0_w)};
  ctx.checkShape("res0", o.shape);
  o.resType = ctx.dtype("res0_prec", op.res0_prec);
  o.type[0] = ctx.dtype("opd0_prec", op.opd0_prec);
  // What an operand that is not read would be of may hold anything (H18).
  if (sources > 1)
    o.type[1] = ctx.dtype("opd1_prec", op.opd1_prec);
  if (sources > 2)
    o.type[2] = ctx.dtype("opd2_prec", op.opd2_prec);
  o.sign[0] = op.opd0_sign;
  o.sign[1] = op.opd1_sign;
  o.sign[2] = op.opd2_sign;
  o.opd[0] = operand(
      ctx, "opd0", op.opd0_addr, op.opd0_const, op.opd0_str, o.shape,
      strideFields(op.opd0_n_str, op.opd0_c_str, op.opd0_h_str, op.opd0_w_str),
      o.type[0], Access::Read);
  if (sources > 1)
    o.opd[1] =
        operand(ctx, "opd1", op.opd1_addr, op.opd1_const, op.opd1_str, o.shape,
                strideFields(op.opd1_n_str, op.opd1_c_str, op.opd1_h_str,
                             op.opd1_w_str),
                o.type[1], Access::Read);
  if (sources > 2)
    o.opd[2] = op.opd2_const ? Context::constant(op.opd2_addr, o.shape)
                             : ctx.aligned("opd2", op.opd2_addr, o.shape,
                                           o.type[2], Access::Read);
  o.res = operand(
      ctx, "res0", op.res0_addr, false, op.res0_str, o.shape,
      strideFields(op.res0_n_str, op.res0_c_str, op.res0_h_str, op.res0_w_str),
      o.resType, Access::Write);
  // Lanes do not exchange data: a command works in the lane it starts in.
  for (int i = 0; i < sources; ++i)
    if (o.opd[i].lanes && o.opd[i].lane != o.res.lane)
      ctx.badField("opd" + std::to_string(i) + " lane",
                   "the lane of res0 (" + std::to_string(o.res.lane) + ")",
                   o.opd[i].lane);
  return o;
}

void requireSame(Context &ctx, std::string_view field, DType got, DType want) {
  if (got != want)
    ctx.fault(std::string(field) + ": expected " + isa::name(want) + ", got " +
              isa::name(got));
}

/// (a > b, a = b or a < b) ? opd2 : 0. The third operand has the type of the
/// result.
void select(Context &ctx, const isa::Ar &op, ArOp kind) {
  Operands o = open(ctx, op, 3);
  requireSame(ctx, "opd1_prec", o.type[1], o.type[0]);
  requireSame(ctx, "opd2_prec", o.type[2], o.resType);
  requireSame(ctx, "res0_prec", o.resType, o.type[0]);
  const unsigned bytes = isa::bytes(o.resType);
  const isa::CmpOp relation = kind == ArOp::SelectGreat   ? isa::CmpOp::SelGt
                              : kind == ArOp::SelectEqual ? isa::CmpOp::SelEq
                                                          : isa::CmpOp::SelLt;
  const Tensor *all[] = {&o.res, &o.opd[0], &o.opd[1], &o.opd[2]};
  forEachRun(ctx, o.shape, all, [&](const Run *run, int64_t count, int64_t) {
    bool take[kBlock];
    compareRuns(relation, o.type[0], o.sign[0], run[1], run[2], count, take);
    for (int64_t i = 0; i < count; ++i) {
      std::byte *to = run[0].data + i * run[0].stride;
      if (take[i])
        std::memmove(to, run[3].data + i * run[3].stride, bytes);
      else
        std::memset(to, 0, bytes);
    }
  });
}

// --- float -------------------------------------------------------------------

/// res = f(opd0, opd1) in f32, narrowed to the result. f(a, b, count, to) works
/// on a run.
template <class F> void floatBinary(Context &ctx, const Operands &o, F f) {
  const Tensor *all[] = {&o.res, &o.opd[0], &o.opd[1]};
  forEachRun(ctx, o.shape, all, [&](const Run *run, int64_t count, int64_t) {
    float a[kBlock], b[kBlock];
    loadFloats(o.type[0], run[1].data, run[1].stride, count, a);
    loadFloats(o.type[1], run[2].data, run[2].stride, count, b);
    f(a, b, size_t(count), a);
    storeFloats(o.resType, a, count, run[0].data, run[0].stride);
  });
}

/// The absolute value of a float is its bits without the sign, NaN included.
void clearSigns(Context &ctx, const Operands &o) {
  const bool wide = o.resType == DType::F32;
  const int64_t mask = wide ? 0x7FFFFFFF : 0x7FFF;
  const DType words = wide ? DType::I32 : DType::I16;
  const Tensor *all[] = {&o.res, &o.opd[0]};
  forEachRun(ctx, o.shape, all, [&](const Run *run, int64_t count, int64_t) {
    int64_t v[kBlock];
    loadIntegers(words, false, run[1].data, run[1].stride, count, v);
    for (int64_t i = 0; i < count; ++i)
      v[i] &= mask;
    storeIntegers(words, v, count, run[0].data, run[0].stride);
  });
}

void extreme(Context &ctx, const Operands &o, bool isMax) {
  const Tensor *all[] = {&o.res, &o.opd[0], &o.opd[1]};
  forEachRun(ctx, o.shape, all, [&](const Run *run, int64_t count, int64_t) {
    storeExtremes(o.resType, isMax, run[1], run[2], count, run[0]);
  });
}

void execFloat(Context &ctx, const isa::Ar &op, ArOp kind) {
  switch (kind) {
  case ArOp::Abs: {
    Operands o = open(ctx, op, 1);
    requireSame(ctx, "res0_prec", o.resType, o.type[0]);
    return clearSigns(ctx, o);
  }
  case ArOp::SelectGreat:
  case ArOp::SelectEqual:
  case ArOp::SelectLess:
    return select(ctx, op, kind);
  default: {
    Operands o = open(ctx, op, 2);
    requireSame(ctx, "opd1_prec", o.type[1], o.type[0]);
    switch (kind) {
    case ArOp::Mul:
      return floatBinary(ctx, o, mulInOrder);
    case ArOp::Add:
      return floatBinary(ctx, o, addInOrder);
    case ArOp::Sub:
      return floatBinary(
          ctx, o, [](const float *a, const float *b, size_t count, float *to) {
            for (size_t i = 0; i < count; ++i)
              to[i] = a[i] - b[i];
          });
    case ArOp::Max:
    case ArOp::Min:
      return extreme(ctx, o, kind == ArOp::Max);
    case ArOp::Div: {
      requireSame(ctx, "opd0_prec", o.type[0], DType::F32);
      int iterations = int(op.opd2_n_str) + 1;
      return floatBinary(ctx, o,
                         [iterations](const float *a, const float *b,
                                      size_t count, float *to) {
                           for (size_t i = 0; i < count; ++i)
                             to[i] = divide(a[i], b[i], iterations);
                         });
    }
    default:
      execUnmodelled(ctx);
    }
  }
  }
}

// --- integer -----------------------------------------------------------------

template <class F> void integerBinary(Context &ctx, const Operands &o, F f) {
  const Tensor *all[] = {&o.res, &o.opd[0], &o.opd[1]};
  forEachRun(ctx, o.shape, all, [&](const Run *run, int64_t count, int64_t) {
    int64_t a[kBlock], b[kBlock];
    loadIntegers(o.type[0], o.sign[0], run[1].data, run[1].stride, count, a);
    loadIntegers(o.type[1], o.sign[1], run[2].data, run[2].stride, count, b);
    for (int64_t i = 0; i < count; ++i)
      a[i] = f(a[i], b[i]);
    storeIntegers(o.resType, a, count, run[0].data, run[0].stride);
  });
}

/// value * 2^shift, far beyond 32 bits where it does not fit: rounded when
/// shift is negative.
int64_t shifted(int64_t value, int64_t shift, Rounding mode) {
  if (shift < 0)
    return support::shiftRightRounded(
        value, unsigned(std::min<int64_t>(-shift, 63)), mode);
  const int64_t limit =
      std::numeric_limits<int64_t>::max() >> std::min<int64_t>(shift, 62);
  if (value > limit)
    return std::numeric_limits<int64_t>::max();
  if (value < -limit)
    return std::numeric_limits<int64_t>::min();
  return int64_t(uint64_t(value) << std::min<int64_t>(shift, 62));
}

/// The product of two unsigned words, times 2^shift, rounded.
int64_t shiftedProduct(uint64_t a, uint64_t b, int64_t shift, Rounding mode) {
  uint64_t product = a * b;
  if (product >> 63 == 0)
    return shifted(int64_t(product), shift, mode);
  if (shift > -3) // Saturates whatever the rounding.
    return std::numeric_limits<int64_t>::max();
  // One bit less: the lowest one stays as "something was cut off".
  return shifted(int64_t(product >> 1 | (product & 1)), shift + 1, mode);
}

/// The saturating forms: saturate(round((a op b) * 2^shift)), signed when an
/// operand is. Without a third operand there is no shift.
template <class F>
void integerShifted(Context &ctx, const isa::Ar &op, bool isSigned, F f) {
  const bool shifts = op.tsk_opd_num == 3;
  Operands o = open(ctx, op, shifts ? 3 : 2);
  Rounding mode = ctx.rounding("opd2_n_str", op.opd2_n_str);
  if (!shifts)
    o.opd[2] = Context::constant(0, o.shape);
  const Tensor *all[] = {&o.res, &o.opd[0], &o.opd[1], &o.opd[2]};
  forEachRun(ctx, o.shape, all, [&](const Run *run, int64_t count, int64_t) {
    int64_t a[kBlock], b[kBlock], s[kBlock];
    loadIntegers(o.type[0], o.sign[0], run[1].data, run[1].stride, count, a);
    loadIntegers(o.type[1], o.sign[1], run[2].data, run[2].stride, count, b);
    loadIntegers(DType::I8, true, run[3].data, run[3].stride, count, s);
    for (int64_t i = 0; i < count; ++i)
      a[i] = f(a[i], b[i], s[i], mode);
    saturateIntegers(o.resType, isSigned, count, a);
    storeIntegers(o.resType, a, count, run[0].data, run[0].stride);
  });
}

/// Shifts by a signed amount: left, or right and rounded. The logical one takes
/// the value for unsigned.
void shift(Context &ctx, const isa::Ar &op, bool logical) {
  Operands o = open(ctx, op, 2);
  Rounding mode = ctx.rounding("opd2_n_str", op.opd2_n_str);
  if (logical)
    o.sign[0] = false;
  o.sign[1] = true;
  integerBinary(ctx, o, [mode](int64_t a, int64_t b) {
    return b >= 0 ? int64_t(uint64_t(a) << (b & 31))
                  : support::shiftRightRounded(
                        a, unsigned(std::min<int64_t>(-b, 63)), mode);
  });
}

template <class F> void integerUnary(Context &ctx, const isa::Ar &op, F f) {
  Operands o = open(ctx, op, 1);
  const Tensor *all[] = {&o.res, &o.opd[0]};
  forEachRun(ctx, o.shape, all, [&](const Run *run, int64_t count, int64_t) {
    int64_t a[kBlock];
    loadIntegers(o.type[0], o.sign[0], run[1].data, run[1].stride, count, a);
    for (int64_t i = 0; i < count; ++i)
      a[i] = f(a[i]);
    storeIntegers(o.resType, a, count, run[0].data, run[0].stride);
  });
}

void execInteger(Context &ctx, const isa::Ar &op, ArOp kind) {
  auto binary = [&](auto f) { integerBinary(ctx, open(ctx, op, 2), f); };
  const bool isSigned = op.opd0_sign || op.opd1_sign;
  switch (kind) {
  case ArOp::Mul:
    return binary([](int64_t a, int64_t b) { return a * b; });
  case ArOp::Add:
    return binary([](int64_t a, int64_t b) { return a + b; });
  case ArOp::Sub:
    return binary([](int64_t a, int64_t b) { return a - b; });
  case ArOp::Max:
    return binary([](int64_t a, int64_t b) { return a > b ? a : b; });
  case ArOp::Min:
    return binary([](int64_t a, int64_t b) { return a < b ? a : b; });
  case ArOp::And:
    return binary([](int64_t a, int64_t b) { return a & b; });
  case ArOp::Or:
    return binary([](int64_t a, int64_t b) { return a | b; });
  case ArOp::Xor:
    return binary([](int64_t a, int64_t b) { return a ^ b; });
  case ArOp::Not:
    return integerUnary(ctx, op, [](int64_t a) { return ~a; });
  case ArOp::Abs:
    return integerUnary(ctx, op, [](int64_t a) { return a < 0 ? -a : a; });
  case ArOp::Ashift:
    return shift(ctx, op, false);
  case ArOp::LogicShift:
    return shift(ctx, op, true);
  case ArOp::SelectGreat:
  case ArOp::SelectEqual:
  case ArOp::SelectLess:
    return select(ctx, op, kind);
  case ArOp::Adds:
    return integerShifted(
        ctx, op, isSigned,
        [](int64_t a, int64_t b, int64_t shift, Rounding mode) {
          return shifted(a + b, shift, mode);
        });
  case ArOp::Subs:
    return integerShifted(
        ctx, op, true, [](int64_t a, int64_t b, int64_t shift, Rounding mode) {
          return shifted(a - b, shift, mode);
        });
  case ArOp::Muls:
    if (!isSigned)
      return integerShifted(
          ctx, op, false,
          [](int64_t a, int64_t b, int64_t shift, Rounding mode) {
            return shiftedProduct(uint64_t(a), uint64_t(b), shift, mode);
          });
    return integerShifted(
        ctx, op, true, [](int64_t a, int64_t b, int64_t shift, Rounding mode) {
          return shifted(a * b, shift, mode);
        });
  default:
    execUnmodelled(ctx);
  }
}

// --- both --------------------------------------------------------------------

void copy(Context &ctx, const isa::Ar &op) {
  Operands o = open(ctx, op, 1);
  requireSame(ctx, "res0_prec", o.resType, o.type[0]);
  const Tensor *all[] = {&o.res, &o.opd[0]};
  forEachRun(ctx, o.shape, all, [&](const Run *run, int64_t count, int64_t) {
    copyStrided(run[0].data, run[0].stride, run[1].data, run[1].stride, count,
                isa::bytes(o.resType));
  });
}

/// f16 to f32 makes every NaN 0x7FFFFFFF with its sign; bf16 to f32 only moves
/// the bits (N3).
void widen(DType type, const Run &from, const Run &to, int64_t count) {
  int64_t v[kBlock];
  loadIntegers(DType::I16, false, from.data, from.stride, count, v);
  for (int64_t i = 0; i < count; ++i) {
    auto half = uint16_t(v[i]);
    if (type == DType::BF16)
      v[i] = int64_t(uint32_t(half) << 16);
    else if ((half & 0x7FFF) > 0x7C00)
      v[i] = int64_t(uint32_t(half & 0x8000) << 16 | 0x7FFFFFFF);
    else
      v[i] = std::bit_cast<uint32_t>(support::f16ToF32(half));
  }
  storeIntegers(DType::I32, v, count, to.data, to.stride);
}

/// A cast to the same float type rounds to an integer. Infinities and NaN stay
/// as they are, denormals count (N10).
void roundFloats(DType type, Rounding mode, const Run &from, const Run &to,
                 int64_t count) {
  const DType words = type == DType::F32 ? DType::I32 : DType::I16;
  const int64_t infinity = type == DType::F32   ? 0x7F800000
                           : type == DType::F16 ? 0x7C00
                                                : 0x7F80;
  const int64_t magnitude = type == DType::F32 ? 0x7FFFFFFF : 0x7FFF;
  int64_t v[kBlock];
  float f[kBlock];
  loadIntegers(words, false, from.data, from.stride, count, v);
  loadFloats(type, from.data, from.stride, count, f);
  for (int64_t i = 0; i < count; ++i) {
    if ((v[i] & magnitude) >= infinity)
      continue;
    float rounded = support::roundToInteger(normalised(f[i]), mode);
    v[i] = type == DType::F32 ? int64_t(std::bit_cast<uint32_t>(rounded))
                              : castToHalf(rounded, type, Rounding::HalfToEven);
  }
  storeIntegers(words, v, count, to.data, to.stride);
}

void cast(Context &ctx, const isa::Ar &op) {
  Operands o = open(ctx, op, 1);
  Rounding mode = ctx.rounding("opd2_n_str", op.opd2_n_str);
  const bool fromFloat = isa::isFloat(o.type[0]);
  const bool toFloat = isa::isFloat(o.resType);
  if ((fromFloat || toFloat) && mode > Rounding::Ceil)
    ctx.badField("opd2_n_str", "a rounding mode of 0..4 for a cast of floats",
                 op.opd2_n_str);
  if (fromFloat && toFloat && o.type[0] != DType::F32 &&
      o.resType != DType::F32 && o.type[0] != o.resType)
    ctx.fault(std::string("expected a cast to or from f32, got ") +
              isa::name(o.type[0]) + " -> " + isa::name(o.resType));
  const Tensor *all[] = {&o.res, &o.opd[0]};
  forEachRun(ctx, o.shape, all, [&](const Run *run, int64_t count, int64_t) {
    float f[kBlock];
    int64_t v[kBlock];
    if (fromFloat && o.resType == o.type[0])
      return roundFloats(o.resType, mode, run[1], run[0], count);
    if (fromFloat && o.resType == DType::F32)
      return widen(o.type[0], run[1], run[0], count);
    if (fromFloat)
      loadFloats(o.type[0], run[1].data, run[1].stride, count, f);
    else
      loadIntegers(o.type[0], o.sign[0], run[1].data, run[1].stride, count, v);
    if (!toFloat) {
      if (fromFloat)
        for (int64_t i = 0; i < count; ++i)
          v[i] = floatToInteger(f[i], mode);
      saturateIntegers(o.resType, o.sign[2], count, v);
      storeIntegers(o.resType, v, count, run[0].data, run[0].stride);
      return;
    }
    if (!fromFloat)
      for (int64_t i = 0; i < count; ++i)
        f[i] = integerToFloat(v[i], mode);
    if (o.resType == DType::F32) {
      storeFloats(o.resType, f, count, run[0].data, run[0].stride);
      return;
    }
    for (int64_t i = 0; i < count; ++i)
      // An integer too large for f16 rounds as the mode says (N3).
      v[i] = fromFloat || o.resType == DType::BF16
                 ? castToHalf(f[i], o.resType, mode)
                 : support::f32ToF16(f[i], mode);
    storeIntegers(DType::I16, v, count, run[0].data, run[0].stride);
  });
}

} // namespace

void exec(Context &ctx, const isa::Ar &op) {
  const auto kind = ArOp(op.tsk_eu_typ);
  switch (kind) {
  case ArOp::Copy:
    return copy(ctx, op);
  case ArOp::Cast:
    return cast(ctx, op);
  default:
    break;
  }
  if (isa::isFloat(ctx.dtype("opd0_prec", op.opd0_prec)))
    return execFloat(ctx, op, kind);
  execInteger(ctx, op, kind);
}

} // namespace tpumlir::cmodel
