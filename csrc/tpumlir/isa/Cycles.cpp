#include "tpumlir/isa/Cycles.h"

#include "tpumlir/isa/CyclesGdma.h"

/// TIU. The unit works on one vector per lane and cycle; `rows` counts how many
/// rows of channels the first lane has, since a tensor may start in any lane.
namespace tpumlir::isa {
namespace cycles {
namespace {

constexpr uint64_t widthOf(uint64_t code) { return kEuBytes / bytesOf(code); }

/// Input channels of one step; a code without meaning counts as i8.
constexpr uint64_t cubeOf(uint64_t code) {
  return convChannelCube(bits(DType(code)) ? DType(code) : DType::I8);
}

constexpr uint64_t rows(uint64_t n, uint64_t c, uint64_t addr) {
  return n * divUp((addr / kLaneBytes) % kLanes + c, kLanes);
}

constexpr bool sameBank(uint64_t a, uint64_t b) {
  return a / kBankBytes == b / kBankBytes;
}

Cost compute(uint64_t cycles, uint64_t products = 0, uint64_t type = 0) {
  Cost cost{.work = Work::Compute, .cycles = cycles, .products = products};
  if (uint64_t peak = peakProducts(DType(type)); products && peak)
    cost.peakCycles = double(products) / double(peak);
  return cost;
}

/// Nothing is known of what it takes.
Cost unknown(Work work) { return {.work = work, .known = false}; }

Cost cost(const Conv &c) {
  uint64_t taps = c.opd1_h * c.opd1_w;
  uint64_t pixels = c.res0_h * c.res0_w;
  // F32 has 16 pixels a cycle and one input channel, the others 4 and a cube.
  uint64_t cycles = c.res0_n * divUp(c.res0_c, kLanes) *
                    divUp(pixels, bytesOf(c.opd0_prec) == 4 ? 16 : 4) *
                    divUp(c.opd0_c, cubeOf(c.opd0_prec)) * taps;
  return compute(cycles, c.res0_n * c.res0_c * pixels * c.opd0_c * taps,
                 c.opd0_prec);
}

Cost cost(const PorD &c) {
  uint64_t width = widthOf(c.opd0_prec);
  // A window of one row goes row by row.
  uint64_t vectors = c.opd1_h == 1 ? c.res0_h * divUp(c.res0_w, width)
                                   : divUp(c.res0_h * c.res0_w, width);
  uint64_t taps = c.opd1_h * c.opd1_w;
  uint64_t slow = c.res_op_y_str > 1 && c.res_op_x_str > 1 ? 3 : 1;
  PorDOp op = PorDOp(c.tsk_eu_typ);
  bool multiplies = op == PorDOp::Depthwise || op == PorDOp::Depthwiserelu ||
                    op == PorDOp::RoiDepthwise;
  return compute(rows(c.res0_n, c.res0_c, c.res0_addr) * vectors * taps * slow,
                 multiplies ? c.res0_n * c.res0_c * c.res0_h * c.res0_w * taps
                            : 0,
                 c.opd0_prec);
}

Cost cost(const Mm &c) {
  uint64_t depth = (c.opd0_c ? c.opd0_c - 1 : 0) * c.opd0_w + c.opd1_w;
  uint64_t count = c.opd0_n;
  if (c.left_tran)
    std::swap(depth, count);
  // A bias and an old result take a product each.
  uint64_t extra = (c.opd2_const ? 0 : 1) + c.res_add;
  uint64_t pieces = divUp(c.res0_c, kLanes);
  return compute(count * (depth + extra) * pieces *
                     divUp(c.res0_w, widthOf(c.opd0_prec)),
                 count * depth * c.res0_c * c.res0_w, c.opd0_prec);
}

Cost cost(const Mm2 &c) {
  uint64_t depth = Mm2Op(c.tsk_eu_typ) == Mm2Op::Nn ? c.opd1_c : c.opd1_w;
  return compute(divUp(c.res0_c, kLanes) * divUp(c.res0_w, 4) *
                     divUp(depth, cubeOf(c.opd0_prec)),
                 c.res0_c * c.res0_w * depth, c.opd0_prec);
}

/// One operand of AR by its strides, in vectors per vector of the result; 0 if
/// it has none. A vector whose elements lie on several lines of 64 bytes is
/// several accesses.
uint64_t accesses(uint64_t layout, uint64_t hStride, uint64_t wStride,
                  uint64_t h, uint64_t w, uint64_t width) {
  if (layout == uint64_t(Layout::Aligned))
    return 0;
  if (wStride > 1)
    return std::min(wStride, width);
  if (hStride == 0)
    return 1;
  bool dense = hStride < w + width && hStride % width != 0;
  uint64_t lines =
      dense ? divUp(h * hStride, width) : h * divUp(hStride % width + w, width);
  return lines / std::max<uint64_t>(divUp(h * w, width), 1);
}

Cost cost(const Ar &c) {
  uint64_t width = std::min(
      {widthOf(c.res0_prec), widthOf(c.opd0_prec), widthOf(c.opd1_prec)});
  auto accessesOf = [&](uint64_t layout, uint64_t hStride, uint64_t wStride) {
    return accesses(layout, hStride, wStride, c.res0_h, c.res0_w, width);
  };
  uint64_t perVector =
      std::max({uint64_t(1),
                accessesOf(c.opd0_str, c.opd0_h_str, c.opd0_w_str) +
                    accessesOf(c.opd1_str, c.opd1_h_str, c.opd1_w_str),
                accessesOf(c.res0_str, c.res0_h_str, c.res0_w_str)});
  // A constant is taken for an address by its bits, as the estimator does.
  bool firstInPlace = c.opd0_addr == c.res0_addr;
  bool secondInPlace = c.opd1_addr == c.res0_addr;
  switch (ArOp(c.tsk_eu_typ)) {
  case ArOp::Div:
    perVector = std::max(perVector, 8 * (c.opd2_n_str + 1) + 7);
    break;
  case ArOp::Mac:
  case ArOp::Copy:
  case ArOp::EuIdxGen:
  case ArOp::NpuIdxGen:
  case ArOp::CopyMb:
  case ArOp::GetFirstOne:
  case ArOp::GetFirstZero:
    break;
  case ArOp::Not:
  case ArOp::LogicShift:
  case ArOp::Cast:
  case ArOp::Ashift:
  case ArOp::Cshift:
  case ArOp::Abs:
    perVector *= firstInPlace ? 2 : 1;
    break;
  default:
    perVector *= firstInPlace || secondInPlace ? 2 : 1;
  }
  return compute(rows(c.res0_n, c.res0_c, c.res0_addr) *
                 divUp(c.res0_h * c.res0_w, width) * perVector);
}

Cost cost(const RqDq &c) {
  return compute(rows(c.res0_n, c.res0_c, c.res0_addr) *
                 divUp(c.res0_h * c.res0_w, 16) *
                 (sameBank(c.opd0_addr, c.res0_addr) ? 2 : 1));
}

Cost cost(const TransBc &c) {
  uint64_t width = widthOf(c.res0_prec);
  TransBcOp op = TransBcOp(c.tsk_eu_typ);
  switch (op) {
  case TransBcOp::CwTs:
    return compute(c.res0_n * c.res0_h * divUp(c.res0_w, width));
  case TransBcOp::WcTs:
    return compute(c.res0_n * c.res0_h * divUp(c.res0_c, width));
  case TransBcOp::SBc:
    return compute(divUp(c.res0_w, width));
  case TransBcOp::SDistribute:
    return compute(divUp(c.res0_c, width));
  case TransBcOp::LCopy:
  case TransBcOp::LBc:
    break;
  }
  // A copy moves one channel at a time.
  uint64_t sources = op == TransBcOp::LCopy ? c.res0_c : 1;
  return compute(rows(c.res0_n, c.res0_c, c.res0_addr) *
                 divUp(c.res0_h * c.res0_w, width) * sources *
                 (sameBank(c.opd0_addr, c.res0_addr) ? 2 : 1));
}

Cost cost(const Sg &c) {
  uint64_t each = rows(c.res0_n, c.res0_c, c.res0_addr) * c.opd1_w;
  switch (SgOp(c.tsk_eu_typ)) {
  case SgOp::PlGatherRec:
    return compute(1);
  case SgOp::PeMGatherD1coor: // four at once
    return compute(std::max<uint64_t>(each / 4, 1));
  case SgOp::PeSGatherHzd:
  case SgOp::PeSScatterHzd:
  case SgOp::PeSNonzeroHzd:
    return compute(each * 3 / 2);
  case SgOp::PeSMaskSelhzd:
    return compute(each * 3);
  case SgOp::PlGatherPerw:
  case SgOp::PlScatterPerw:
    return unknown(Work::Compute);
  default:
    return compute(each);
  }
}

Cost cost(const Sgl &c) {
  uint64_t lines = c.opd1_h ? c.opd1_h : c.opd0_h;
  return compute(2 * rows(c.res0_n, c.res0_c, c.res0_addr) * lines *
                 divUp(c.res0_w, widthOf(c.res0_prec)));
}

Cost cost(const Sfu &c) {
  uint64_t perVector = 1;
  switch (SfuOp(c.tsk_eu_typ)) {
  case SfuOp::Taylor4x:
  case SfuOp::Taylor:
    perVector = c.opd1_n;
    break;
  case SfuOp::Rsqrt:
    perVector = 30;
    break;
  case SfuOp::Normalize:
    break;
  }
  return compute(rows(c.res0_n, c.res0_c, c.res0_addr) *
                 divUp(c.res0_h * c.res0_w, widthOf(c.opd0_prec)) * perVector);
}

Cost cost(const Lin &c) {
  return compute(rows(c.res0_n, c.res0_c, c.res0_addr) *
                 divUp(c.res0_h * c.res0_w, widthOf(c.res0_prec)));
}

Cost cost(const Cmp &c) {
  return compute(2 * rows(c.res0_n, c.res0_c, c.res0_addr) *
                 divUp(c.res0_h * c.res0_w, widthOf(c.opd0_prec)));
}

Cost cost(const Vc &c) {
  uint64_t length = (c.opd0_c ? c.opd0_c - 1 : 0) * c.opd0_w + c.opd1_w;
  uint64_t width = std::min(
      {widthOf(c.res0_prec), widthOf(c.opd0_prec), widthOf(c.opd1_prec)});
  return compute(rows(length, c.res0_c, c.res0_addr) * divUp(c.res0_w, width));
}

Cost cost(const Seg &) { return unknown(Work::Compute); }
Cost cost(const Lar &) { return unknown(Work::Compute); }

Cost cost(const Sys &c) {
  SysOp op = SysOp(c.tsk_eu_typ);
  return {.known = op == SysOp::Nop || op == SysOp::End};
}

Cost cost(const DmaSys &) { return {}; }

Cost anyCost(const Command &command) {
  return std::visit(
      [](const auto &c) {
        if constexpr (requires { gdmaCost(c); })
          return gdmaCost(c);
        else
          return cost(c);
      },
      command);
}

} // namespace
} // namespace cycles

Cost costOf(const Command &command) { return cycles::anyCost(command); }

} // namespace tpumlir::isa
