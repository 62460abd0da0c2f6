#include "tpumlir/cmodel/Exec.h"

#include <algorithm>
#include <vector>

namespace tpumlir::cmodel {
namespace {

using isa::TransBcOp;

/// (n, c, h, w) -> (n, w, h, c).
void transposeCw(Context &ctx, const Tensor &res, const Tensor &input,
                 unsigned bytes) {
  ctx.requireDisjoint("res0", res, "opd0", input);
  const Shape &s = input.shape;
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t c = 0; c < s.c; ++c)
      for (int64_t h = 0; h < s.h; ++h) {
        const std::byte *from = input.plane(n, c) + h * input.stride.h;
        for (int64_t w = 0; w < s.w; ++w)
          std::memmove(res.plane(n, w) + h * res.stride.h + c * bytes,
                       from + w * bytes, bytes);
      }
}

} // namespace

void exec(Context &ctx, const isa::TransBc &op) {
  const auto kind = TransBcOp(op.tsk_eu_typ);
  const DType type = ctx.dtype("res0_prec", op.res0_prec);
  const unsigned bytes = isa::bytes(type);
  const Shape shape{int64_t(op.res0_n), int64_t(op.res0_c), int64_t(op.res0_h),
                    int64_t(op.res0_w)};
  switch (kind) {
  case TransBcOp::CwTs:
  case TransBcOp::WcTs: {
    const Shape from{shape.n, int64_t(op.opd0_c), shape.h, int64_t(op.opd0_w)};
    if (kind == TransBcOp::CwTs && (shape.n != 1 || shape.h != 1))
      ctx.fault("res0: expected n = h = 1 for cw_ts, got n = " +
                std::to_string(shape.n) + ", h = " + std::to_string(shape.h) +
                " (use wc_ts)");
    if (from.c != shape.w || from.w != shape.c)
      ctx.fault("opd0: expected c = res0_w and w = res0_c, got c = " +
                std::to_string(from.c) + ", w = " + std::to_string(from.w));
    Tensor input = ctx.aligned("opd0", op.opd0_addr, from, type, Access::Read);
    Tensor res = ctx.aligned("res0", op.res0_addr, shape, type, Access::Write);
    return transposeCw(ctx, res, input, bytes);
  }
  case TransBcOp::LCopy:
  case TransBcOp::LBc: {
    const bool broadcast = kind == TransBcOp::LBc;
    Shape from = shape;
    if (broadcast)
      from.c = 1;
    Tensor input = ctx.aligned("opd0", op.opd0_addr, from, type, Access::Read);
    Tensor res = ctx.aligned("res0", op.res0_addr, shape, type, Access::Write);
    // The source is read before anything is written, so that a broadcast may
    // write over it.
    const size_t planeBytes = size_t(shape.plane()) * bytes;
    std::vector<std::byte> all(size_t(from.n * from.c) * planeBytes);
    for (int64_t n = 0; n < from.n; ++n)
      for (int64_t c = 0; c < from.c; ++c)
        std::memcpy(&all[size_t(n * from.c + c) * planeBytes],
                    input.plane(n, c), planeBytes);
    for (int64_t n = 0; n < shape.n; ++n)
      for (int64_t c = 0; c < shape.c; ++c)
        std::memcpy(res.plane(n, c),
                    &all[size_t(n * from.c + (broadcast ? 0 : c)) * planeBytes],
                    planeBytes);
    return;
  }
  case TransBcOp::SBc:
  case TransBcOp::SDistribute: {
    // The source is an address of the GDMA map, in static memory (H11).
    const bool broadcast = kind == TransBcOp::SBc;
    const uint64_t addr = op.opd0_addr;
    const uint64_t count = uint64_t(broadcast ? shape.w : shape.c);
    ctx.checkShape("res0", shape);
    if (!isa::kStaticMemory.contains(addr, count * bytes))
      ctx.fault("opd0_addr: expected " + std::to_string(count * bytes) +
                    " bytes within static memory [" +
                    std::to_string(isa::kStaticMemory.begin) + ", " +
                    std::to_string(isa::kStaticMemory.end) + "), got " +
                    std::to_string(addr),
                addr);
    const std::byte *from =
        ctx.bytesAt("opd0_addr", addr, count * bytes, Access::Read);
    const Shape to =
        broadcast ? Shape{1, shape.c, 1, shape.w} : Shape{1, shape.c, 1, 1};
    Tensor res = ctx.compact("res0", op.res0_addr, to, type, Access::Write);
    for (int64_t c = 0; c < to.c; ++c)
      std::memmove(res.plane(0, c), broadcast ? from : from + c * bytes,
                   size_t(to.w) * bytes);
    return;
  }
  default:
    execUnmodelled(ctx);
  }
}

} // namespace tpumlir::cmodel
