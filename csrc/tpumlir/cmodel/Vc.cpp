#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Kernels.h"

#include <algorithm>

namespace tpumlir::cmodel {
namespace {

using isa::VcOp;

void apply(VcOp kind, const float *a, const float *b, size_t count, float *to) {
  if (kind == VcOp::Mul)
    return mulInOrder(a, b, count, to);
  if (kind == VcOp::Add)
    return addInOrder(a, b, count, to);
  for (size_t i = 0; i < count; ++i)
    to[i] = a[i] - b[i];
}

int64_t apply(VcOp kind, int64_t a, int64_t b) {
  switch (kind) {
  case VcOp::Mul:
    return a * b;
  case VcOp::Add:
    return a + b;
  case VcOp::Sub:
    return a - b;
  case VcOp::Max:
    return a > b ? a : b;
  default:
    return a < b ? a : b;
  }
}

} // namespace

void exec(Context &ctx, const isa::Vc &op) {
  const auto kind = VcOp(op.tsk_eu_typ);
  if (kind != VcOp::Mul && kind != VcOp::Add && kind != VcOp::Sub &&
      kind != VcOp::Max && kind != VcOp::Min)
    execUnmodelled(ctx);
  const DType type = ctx.dtype("opd0_prec", op.opd0_prec);
  const DType type1 = ctx.dtype("opd1_prec", op.opd1_prec);
  const DType resType = ctx.dtype("res0_prec", op.res0_prec);
  const bool isFloat = isa::isFloat(type);
  if (isFloat ? type1 != type || resType != type
              : isa::isFloat(type1) || isa::isFloat(resType))
    ctx.fault(std::string("expected one float type, or integers, got ") +
              isa::name(type) + ", " + isa::name(type1) + " -> " +
              isa::name(resType));
  const int64_t width = int64_t(op.opd0_w), last = int64_t(op.opd1_w);
  if (last < 1 || last > width)
    ctx.badField("opd1_w", "a last piece of 1.." + std::to_string(width),
                 op.opd1_w);
  const int64_t rows = (int64_t(op.opd0_c) - 1) * width + last;
  Tensor a = ctx.aligned("opd0", op.opd0_addr,
                         {1, int64_t(op.opd0_c), 1, width}, type, Access::Read);
  const Shape vector{1, int64_t(op.res0_c), 1, int64_t(op.res0_w)};
  Tensor b = ctx.aligned("opd1", op.opd1_addr, vector, type1, Access::Read);
  Tensor res = ctx.aligned("res0", op.res0_addr, {rows, vector.c, 1, vector.w},
                           resType, Access::Write);
  ctx.requireDisjoint("res0", res, "opd0", a);
  ctx.requireDisjoint("res0", res, "opd1", b);
  const unsigned resBytes = isa::bytes(resType);
  const unsigned bytes = isa::bytes(type), bytes1 = isa::bytes(type1);
  for (int64_t r = 0; r < rows; ++r) {
    const Run left{a.plane(0, r / width) + r % width * bytes, 0};
    for (int64_t c = 0; c < vector.c; ++c)
      for (int64_t w = 0; w < vector.w; w += kBlock) {
        const int64_t count = std::min(kBlock, vector.w - w);
        const Run right{b.plane(0, c) + w * bytes1, bytes1};
        const Run to{res.plane(r, c) + w * resBytes, resBytes};
        if (!isFloat) {
          int64_t x, y[kBlock];
          loadIntegers(type, op.opd0_sign, left.data, 0, 1, &x);
          loadIntegers(type1, op.opd1_sign, right.data, right.stride, count, y);
          for (int64_t i = 0; i < count; ++i)
            y[i] = apply(kind, x, y[i]);
          storeIntegers(resType, y, count, to.data, to.stride);
          continue;
        }
        if (kind == VcOp::Max || kind == VcOp::Min) {
          storeExtremes(type, kind == VcOp::Max, left, right, count, to);
          continue;
        }
        float x[kBlock], y[kBlock];
        loadFloats(type, left.data, 0, count, x);
        loadFloats(type, right.data, right.stride, count, y);
        apply(kind, x, y, size_t(count), x);
        storeFloats(type, x, count, to.data, to.stride);
      }
  }
}

} // namespace tpumlir::cmodel
