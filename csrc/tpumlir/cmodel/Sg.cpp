#include "tpumlir/cmodel/Exec.h"

namespace tpumlir::cmodel {
namespace {

using isa::SgOp;

uint64_t indexAt(const std::byte *from, unsigned bytes) {
  uint64_t value = 0;
  std::memcpy(&value, from, bytes);
  return value;
}

} // namespace

void exec(Context &ctx, const isa::Sg &op) {
  const auto kind = SgOp(op.tsk_eu_typ);
  const bool four = kind == SgOp::PeMGatherD1coor;
  const bool gather =
      four || kind == SgOp::PeSGatherD1coor || kind == SgOp::PeSGatherHzd;
  const bool scatter =
      kind == SgOp::PeSScatterD1coor || kind == SgOp::PeSScatterHzd;
  if (!gather && !scatter)
    execUnmodelled(ctx);
  const DType type = ctx.dtype("opd0_prec", op.opd0_prec);
  const DType indexType = ctx.dtype("opd1_prec", op.opd1_prec);
  if (indexType != DType::I8 && indexType != DType::I16)
    ctx.badField("opd1_prec", "i8 (0) or i16 (3), read as unsigned",
                 op.opd1_prec);
  const unsigned bytes = isa::bytes(type), indexBytes = isa::bytes(indexType);
  const Shape shape{int64_t(op.res0_n), int64_t(op.res0_c), int64_t(op.res0_h),
                    int64_t(op.res0_w)};
  // All batches share opd0; each has its own indices (H14).
  const Shape inShape{1, shape.c, int64_t(op.opd0_h), int64_t(op.opd0_w)};
  ctx.checkShape("res0", shape);
  ctx.checkShape("opd0", inShape);
  const auto tableAt = [&](uint64_t addr) {
    if (isa::Layout(op.opd0_str) != isa::Layout::Table)
      return ctx.aligned("opd0", addr, inShape, type, Access::Read);
    // Rows start at multiples of 64 bytes and serve every n and channel.
    Strides s{0, 0, roundUp(inShape.w * bytes, isa::kEuBytes), bytes};
    Tensor table = ctx.tensor(
        "opd0", addr,
        {1, std::min<int64_t>(inShape.c, isa::kLanes), inShape.h, inShape.w}, s,
        bytes, Access::Read);
    table.shape = inShape;
    return table;
  };
  std::vector<Tensor> tables;
  for (unsigned i = 0; i < (four ? isa::kGatherCopies : 1); ++i)
    tables.push_back(tableAt(op.opd0_addr + i * isa::kGatherCopyBytes));
  const Tensor &input = tables[0];
  const Shape indexShape{shape.n, int64_t(op.opd1_c), 1, int64_t(op.opd1_w)};
  if (indexShape.c < shape.c)
    ctx.badField("opd1_c", "at least " + std::to_string(shape.c), op.opd1_c);
  Tensor index =
      ctx.aligned("opd1", op.opd1_addr, indexShape, indexType, Access::Read);
  Tensor res = ctx.aligned("res0", op.res0_addr, shape, type,
                           gather ? Access::Write : Access::Update);
  const uint64_t limit = uint64_t(gather ? inShape.plane() : shape.plane());
  ctx.requireDisjoint("res0", res, "opd1", index);
  const int64_t count = indexShape.w;
  const int64_t bound = gather ? shape.plane() : inShape.plane();
  if (count > bound)
    ctx.badField("opd1_w", "at most " + std::to_string(bound), op.opd1_w);
  const auto element = [&](const Tensor &t, const std::byte *plane,
                           uint64_t at) {
    int64_t w = t.shape.w;
    return plane + int64_t(at) / w * t.stride.h + int64_t(at) % w * bytes;
  };
  for (int64_t n = 0; n < shape.n; ++n)
    for (int64_t c = 0; c < shape.c; ++c) {
      const std::byte *from = input.plane(0, c);
      const std::byte *idx = index.plane(n, c);
      std::byte *to = res.plane(n, c);
      for (int64_t j = 0; j < count; ++j) {
        uint64_t at = indexAt(idx + j * indexBytes, indexBytes);
        if (at >= limit)
          ctx.fault("opd1: expected an index below " + std::to_string(limit) +
                    " at channel " + std::to_string(c) + ", element " +
                    std::to_string(j) + ", got " + std::to_string(at));
        for (size_t i = 1; i < tables.size(); ++i)
          if (std::memcmp(element(input, from, at),
                          element(tables[i], tables[i].plane(0, c), at),
                          bytes) != 0)
            ctx.fault("opd0: expected equal copies of the table, got others "
                      "at channel " +
                      std::to_string(c) + ", element " + std::to_string(at));
        if (gather)
          std::memmove(to + j * bytes, element(input, from, at), bytes);
        else
          std::memmove(to + at * bytes, element(input, from, uint64_t(j)),
                       bytes);
      }
    }
}

} // namespace tpumlir::cmodel
