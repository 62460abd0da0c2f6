#include "tpumlir/cmodel/Exec.h"
#include "tpumlir/cmodel/Scalar.h"

#include <vector>

namespace tpumlir::cmodel {
namespace {

using isa::VcOp;

template <class T> T apply(Context &ctx, VcOp kind, T a, T b) {
  switch (kind) {
  case VcOp::Mul:
    return a * b;
  case VcOp::Add:
    return a + b;
  case VcOp::Sub:
    return a - b;
  case VcOp::Max:
    if constexpr (std::is_same_v<T, float>)
      return maxFloat(a, b);
    else
      return a > b ? a : b;
  case VcOp::Min:
    if constexpr (std::is_same_v<T, float>)
      return minFloat(a, b);
    else
      return a < b ? a : b;
  default:
    execUnmodelled(ctx);
    return a;
  }
}

} // namespace

void exec(Context &ctx, const isa::Vc &op) {
  const auto kind = VcOp(op.tsk_eu_typ);
  apply(ctx, kind, 0.0F, 0.0F); // faults on what is not modelled
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
  Tensor res = ctx.aligned("res0", op.res0_addr,
                           {rows, vector.c, 1, vector.w}, resType,
                           Access::Write);
  ctx.requireDisjoint("res0", res, "opd0", a);
  ctx.requireDisjoint("res0", res, "opd1", b);
  const unsigned resBytes = isa::bytes(resType);
  auto outer = [&]<class T>(T, auto load, auto store) {
    std::vector<T> line(static_cast<size_t>(vector.w));
    for (int64_t c = 0; c < vector.c; ++c) {
      load(type1, op.opd1_sign, b.plane(0, c), vector.w, line.data());
      for (int64_t r = 0; r < rows; ++r) {
        T left;
        load(type, op.opd0_sign,
             a.plane(0, r / width) + r % width * isa::bytes(type), int64_t(1),
             &left);
        std::vector<T> out(line);
        for (T &value : out)
          value = apply(ctx, kind, left, value);
        store(out.data(), vector.w, res.plane(r, c));
      }
    }
  };
  if (isFloat)
    return outer(
        0.0F,
        [](DType t, bool, const std::byte *from, int64_t n, float *to) {
          loadFloats(t, from, isa::bytes(t), n, to);
        },
        [&](const float *from, int64_t n, std::byte *to) {
          storeFloats(resType, from, n, to, resBytes);
        });
  outer(
      int64_t(0),
      [](DType t, bool sign, const std::byte *from, int64_t n, int64_t *to) {
        loadIntegers(t, sign, from, isa::bytes(t), n, to);
      },
      [&](const int64_t *from, int64_t n, std::byte *to) {
        storeIntegers(resType, from, n, to, resBytes);
      });
}

} // namespace tpumlir::cmodel
