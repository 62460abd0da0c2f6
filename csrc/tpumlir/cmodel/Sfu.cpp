#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Scalar.h"

#include <algorithm>
#include <vector>

namespace tpumlir::cmodel {
namespace {

/// x^0 .. x^(terms - 1) with coefficients of memory, by Horner (N12).
void taylor(Context &ctx, const isa::Sfu &op, const Shape &shape,
            const Tensor &res, const Tensor &input, DType type) {
  const int64_t terms = int64_t(op.opd1_n);
  if (terms < 2)
    ctx.badField("opd1_n", "at least two coefficients", op.opd1_n);
  const unsigned bytes = isa::bytes(type);
  // One copy of the table in every lane that works.
  Tensor table =
      ctx.tensor("opd1", op.opd1_addr,
                 {1, std::min<int64_t>(shape.c, isa::kLanes), 1, terms},
                 {0, 0, 0, int64_t(bytes)}, bytes, Access::Read);
  const Tensor *all[] = {&res, &input};
  forEachRun(
      ctx, shape, all, [&](const Run *run, int64_t count, int64_t channel) {
        std::vector<float> c(static_cast<size_t>(terms));
        loadFloats(type, table.plane(0, channel % int64_t(isa::kLanes)), bytes,
                   terms, c.data());
        float x[kBlock], y[kBlock];
        loadFloats(type, run[1].data, run[1].stride, count, x);
        std::fill_n(y, count, c.back());
        for (size_t k = c.size() - 1; k-- > 0;)
          for (int64_t i = 0; i < count; ++i)
            y[i] = halfRounded(halfRounded(y[i] * x[i], type) + c[k], type);
        storeFloats(type, y, count, run[0].data, run[0].stride);
      });
}

} // namespace

void exec(Context &ctx, const isa::Sfu &op) {
  const Shape shape{int64_t(op.res0_n), int64_t(op.res0_c), int64_t(op.res0_h),
                    int64_t(op.res0_w)};
  const DType type = ctx.dtype("opd0_prec", op.opd0_prec);
  const DType resType = ctx.dtype("res0_prec", op.res0_prec);
  if (!isa::isFloat(type) || resType != type)
    ctx.fault(std::string("expected the same float type for opd0 and res0, "
                          "got ") +
              isa::name(type) + " -> " + isa::name(resType));
  Tensor input = ctx.aligned("opd0", op.opd0_addr, shape, type, Access::Read);
  Tensor res = ctx.aligned("res0", op.res0_addr, shape, type, Access::Write);
  switch (isa::SfuOp(op.tsk_eu_typ)) {
  case isa::SfuOp::Taylor:
  case isa::SfuOp::Taylor4x:
    return taylor(ctx, op, shape, res, input, type);
  case isa::SfuOp::Rsqrt: {
    if (type != DType::F32)
      ctx.badField("opd0_prec", "f32 (2)", op.opd0_prec);
    const int iterations = int(op.opd2_n_str) + 1;
    const Tensor *all[] = {&res, &input};
    return forEachRun(ctx, shape, all,
                      [&](const Run *run, int64_t count, int64_t) {
                        float x[kBlock];
                        loadFloats(type, run[1].data, run[1].stride, count, x);
                        for (int64_t i = 0; i < count; ++i)
                          x[i] = reciprocalRoot(x[i], iterations);
                        storeFloats(type, x, count, run[0].data, run[0].stride);
                      });
  }
  default:
    execUnmodelled(ctx);
  }
}

} // namespace tpumlir::cmodel
