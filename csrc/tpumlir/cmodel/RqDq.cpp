#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Scalar.h"

#include <cmath>

namespace tpumlir::cmodel {
namespace {

using isa::RqDqOp;

/// Three words per channel: multiplier or scale, shift or offset, zero point.
struct Parameters {
  int32_t word[3];

  float asFloat(int i) const { return std::bit_cast<float>(uint32_t(word[i])); }
};

/// round(value * multiplier * 2^shift) (N13).
int64_t requantise(int64_t value, int64_t multiplier, int64_t shift,
                   Rounding mode) {
  int64_t product = value * multiplier;
  if (shift >= 0)
    return shift > 62 ? 0 : int64_t(uint64_t(product) << shift);
  return support::shiftRightRounded(
      product, unsigned(std::min<int64_t>(-shift, 63)), mode);
}

} // namespace

void exec(Context &ctx, const isa::RqDq &op) {
  const auto kind = RqDqOp(op.tsk_eu_typ);
  if (kind != RqDqOp::Rq0 && kind != RqDqOp::Rq1 && kind != RqDqOp::Dq0)
    execUnmodelled(ctx);
  const DType type = ctx.dtype("opd0_prec", op.opd0_prec);
  const DType resType = ctx.dtype("res0_prec", op.res0_prec);
  const bool toFloat = kind == RqDqOp::Dq0;
  if (isa::isFloat(type) ||
      (toFloat ? resType != DType::F32 : isa::isFloat(resType)))
    ctx.fault(std::string("expected integers") + (toFloat ? " to f32" : "") +
              ", got " + isa::name(type) + " -> " + isa::name(resType));
  if (kind == RqDqOp::Rq0 && type == DType::I8)
    ctx.fault("opd0_prec: expected i16 or i32 (the float form takes 8 bits for "
              "0), got i8");
  if (type == DType::I32 && !op.opd0_sign)
    ctx.badField("opd0_sign", "1 (signed) for an i32 input", op.opd0_sign);
  // The float form has its rounding in the upper bits of the field.
  // To f32 nothing is rounded.
  const Rounding mode =
      ctx.rounding("opd2_n_str", toFloat               ? 0
                                 : kind == RqDqOp::Rq0 ? op.opd2_n_str >> 3
                                                       : op.opd2_n_str & 7);
  if (kind == RqDqOp::Rq0 && mode > Rounding::Ceil)
    ctx.badField("opd2_n_str", "a rounding mode of 0..4 in bits 3..5",
                 op.opd2_n_str);
  const Shape shape{int64_t(op.res0_n), int64_t(op.res0_c), int64_t(op.res0_h),
                    int64_t(op.res0_w)};
  Tensor input = ctx.aligned("opd0", op.opd0_addr, shape, type, Access::Read);
  Tensor res = ctx.aligned("res0", op.res0_addr, shape, resType, Access::Write);
  const int64_t words = kind == RqDqOp::Rq1 ? 3 : 2;
  Tensor rows;
  Parameters constant{};
  if (op.opd1_const) {
    constant.word[0] = int32_t(op.opd1_addr);
    constant.word[1] = int32_t(op.opd2_addr);
    if (kind == RqDqOp::Rq1)
      constant.word[2] = int32_t(op.opd2_addr >> 16);
  } else {
    rows = ctx.aligned("opd1", op.opd1_addr, {1, shape.c, 1, words}, DType::I32,
                       Access::Read);
  }
  const Tensor *all[] = {&res, &input};
  forEachRun(
      ctx, shape, all, [&](const Run *run, int64_t count, int64_t channel) {
        Parameters p = constant;
        if (!op.opd1_const)
          std::memcpy(p.word, rows.plane(0, channel), size_t(words) * 4);
        int64_t v[kBlock];
        loadIntegers(type, op.opd0_sign, run[1].data, run[1].stride, count, v);
        if (toFloat) {
          // The zero point has 16 bits and the sign of the input.
          const int64_t zero = op.opd0_sign ? int64_t(int16_t(p.word[0]))
                                            : int64_t(uint16_t(p.word[0]));
          float f[kBlock];
          for (int64_t i = 0; i < count; ++i)
            f[i] = float(v[i] - zero) * p.asFloat(1);
          storeFloats(DType::F32, f, count, run[0].data, run[0].stride);
          return;
        }
        // Shift: the low byte. Zero point: 16 bits, with the sign of the
        // result.
        const int64_t zero = op.opd2_sign ? int64_t(int16_t(p.word[2]))
                                          : int64_t(uint16_t(p.word[2]));
        if (kind == RqDqOp::Rq0)
          for (int64_t i = 0; i < count; ++i)
            v[i] =
                floatToInteger(float(v[i]) * p.asFloat(0) + p.asFloat(1), mode);
        else
          for (int64_t i = 0; i < count; ++i)
            v[i] = requantise(v[i], p.word[0], int8_t(p.word[1]), mode) + zero;
        saturateIntegers(resType, op.opd2_sign, count, v);
        storeIntegers(resType, v, count, run[0].data, run[0].stride);
      });
}

} // namespace tpumlir::cmodel
