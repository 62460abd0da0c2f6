#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Scalar.h"

#include <bit>

namespace tpumlir::cmodel {
namespace {

using isa::CmpOp;

bool holds(CmpOp kind, int64_t a, int64_t b) {
  switch (kind) {
  case CmpOp::SelGt:
  case CmpOp::GtAndSel:
    return a > b;
  case CmpOp::SelEq:
    return a == b;
  case CmpOp::SelLt:
  case CmpOp::LtAndSel:
    return a < b;
  }
  return false;
}

/// Floats (N7): "equal" compares the bits; "less" is "not greater or equal",
/// hence true with a NaN, unless the bits are equal.
bool holds(CmpOp kind, float a, float b) {
  switch (kind) {
  case CmpOp::SelGt:
  case CmpOp::GtAndSel:
    return a > b;
  case CmpOp::SelEq:
    return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
  case CmpOp::SelLt:
  case CmpOp::LtAndSel:
    return !(a >= b) &&
           std::bit_cast<uint32_t>(a) != std::bit_cast<uint32_t>(b);
  }
  return false;
}

} // namespace

void compareRuns(CmpOp kind, DType type, bool isSigned, const Run &a,
                 const Run &b, int64_t count, bool *take) {
  if (isa::isFloat(type)) {
    float x[kBlock], y[kBlock];
    loadFloats(type, a.data, a.stride, count, x);
    loadFloats(type, b.data, b.stride, count, y);
    for (int64_t i = 0; i < count; ++i)
      take[i] = holds(kind, x[i], y[i]);
    return;
  }
  int64_t x[kBlock], y[kBlock];
  loadIntegers(type, isSigned, a.data, a.stride, count, x);
  loadIntegers(type, isSigned, b.data, b.stride, count, y);
  for (int64_t i = 0; i < count; ++i)
    take[i] = holds(kind, x[i], y[i]);
}

void exec(Context &ctx, const isa::Cmp &op) {
  const auto kind = CmpOp(op.tsk_eu_typ);
  const Shape shape{int64_t(op.res0_n), int64_t(op.res0_c), int64_t(op.res0_h),
                    int64_t(op.res0_w)};
  ctx.checkShape("res0", shape);
  const DType compared = ctx.dtype("opd0_prec", op.opd0_prec);
  const DType selected = ctx.dtype("opd2_prec", op.opd2_prec);
  auto operand = [&](const char *field, uint64_t addr, bool isConstant,
                     uint64_t layout, DType type) {
    if (isConstant)
      return Context::constant(addr, shape);
    if (isa::Layout(layout) == isa::Layout::Compact)
      return ctx.compact(field, addr, shape, type, Access::Read);
    if (isa::Layout(layout) != isa::Layout::Aligned)
      ctx.badField(std::string(field) + " layout", "aligned (0) or compact (1)",
                   layout);
    return ctx.aligned(field, addr, shape, type, Access::Read);
  };
  Tensor a =
      operand("opd0", op.opd0_addr, op.opd0_const, op.opd0_str, compared);
  Tensor b =
      operand("opd1", op.opd1_addr, op.opd1_const, op.opd1_str, compared);
  Tensor yes = operand("opd2", op.opd2_addr, op.opd2_const, 0, selected);
  Tensor no = operand("opd3", op.opd3_addr, op.opd3_const, 0, selected);
  const bool both = kind == CmpOp::GtAndSel || kind == CmpOp::LtAndSel;
  // The forms with two results write the larger or smaller operand to res0.
  Tensor extreme;
  if (both)
    extreme = ctx.aligned("res0", op.res0_addr, shape, compared, Access::Write);
  Tensor res =
      ctx.aligned(both ? "res1" : "res0", both ? op.res1_addr : op.res0_addr,
                  shape, selected, Access::Write);
  if (!both)
    extreme = res;
  const unsigned bytes = isa::bytes(selected);
  const unsigned comparedBytes = isa::bytes(compared);
  const Tensor *all[] = {&res, &a, &b, &yes, &no, &extreme};
  forEachRun(ctx, shape, all, [&](const Run *run, int64_t count, int64_t) {
    bool take[kBlock];
    compareRuns(kind, compared, op.opd0_sign, run[1], run[2], count, take);
    if (both && isa::isFloat(compared))
      storeExtremes(compared, kind == CmpOp::GtAndSel, run[1], run[2], count,
                    run[5]);
    if (both && !isa::isFloat(compared))
      for (int64_t i = 0; i < count; ++i)
        std::memmove(run[5].data + i * run[5].stride,
                     take[i] ? run[1].data + i * run[1].stride
                             : run[2].data + i * run[2].stride,
                     comparedBytes);
    // An operand may begin inside of an element of the result.
    for (int64_t i = 0; i < count; ++i)
      std::memmove(run[0].data + i * run[0].stride,
                   take[i] ? run[3].data + i * run[3].stride
                           : run[4].data + i * run[4].stride,
                   bytes);
  });
}

} // namespace tpumlir::cmodel
