#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Scalar.h"

namespace tpumlir::cmodel {

void exec(Context &ctx, const isa::Lin &op) {
  const Shape shape{int64_t(op.res0_n), int64_t(op.res0_c), int64_t(op.res0_h),
                    int64_t(op.res0_w)};
  const DType type = ctx.dtype("res0_prec", op.res0_prec);
  if (!isa::isFloat(type))
    ctx.badField("res0_prec", "a float type", op.res0_prec);
  const unsigned bytes = isa::bytes(type);
  Tensor input = ctx.aligned("opd0", op.opd0_addr, shape, type, Access::Read);
  const auto kind = isa::LinOp(op.tsk_eu_typ);
  // One factor per channel, compact, or a constant.
  auto perChannel = [&](const char *field, uint64_t addr, bool isConstant) {
    if (isConstant)
      return Context::constant(addr, shape);
    Strides s = compactStrides({1, shape.c, 1, 1}, laneOf(addr), bytes);
    Tensor t =
        ctx.tensor(field, addr, {1, shape.c, 1, 1}, s, bytes, Access::Read);
    t.stride = {0, s.c, 0, 0};
    return t;
  };
  Tensor p = perChannel("opd1", op.opd1_addr, op.opd1_const);
  Tensor q;
  if (kind == isa::LinOp::Mac)
    q = perChannel("opd2", op.opd2_addr, op.opd2_const);
  else
    q = Context::constant(0, shape);
  Tensor res = ctx.aligned("res0", op.res0_addr, shape, type, Access::Write);
  const Tensor *all[] = {&res, &input, &p, &q};
  forEachRun(ctx, shape, all, [&](const Run *run, int64_t count, int64_t) {
    float x[kBlock], a, b;
    loadFloats(type, run[1].data, run[1].stride, count, x);
    loadFloats(type, run[2].data, 0, 1, &a);
    loadFloats(type, run[3].data, 0, 1, &b);
    switch (kind) {
    case isa::LinOp::Mac:
      for (int64_t i = 0; i < count; ++i)
        x[i] = halfRounded(x[i] * a, type) + b;
      break;
    case isa::LinOp::SquareSum:
      for (int64_t i = 0; i < count; ++i) {
        float sum = halfRounded(x[i] + a, type);
        x[i] = sum * sum;
      }
      break;
    case isa::LinOp::SquareDiff:
      for (int64_t i = 0; i < count; ++i) {
        float difference = halfRounded(x[i] - a, type);
        x[i] = difference * difference;
      }
      break;
    }
    storeFloats(type, x, count, run[0].data, run[0].stride);
  });
}

} // namespace tpumlir::cmodel
