#include "tpumlir/isa/Checker.h"

namespace tpumlir::isa::detail {
namespace {

using Lane = std::optional<unsigned>;

/// (L4) The four sizes of the result.
template <class T> bool resultSizes(Checker &c, const T &t) {
  bool ok = c.between("res0_n", t.res0_n, 1, kMaxSize);
  ok &= c.between("res0_c", t.res0_c, 1, kMaxSize);
  ok &= c.between("res0_h", t.res0_h, 1, kMaxSize);
  ok &= c.between("res0_w", t.res0_w, 1, kMaxSize);
  return ok;
}

template <class T> Extents resultDims(const T &t) {
  return {t.res0_n, t.res0_c, t.res0_h, t.res0_w};
}

/// Operand of arithmetic in the layout that its *_str field names.
Lane inLayout(Checker &c, const LocalOperand &operand, DType type,
              Extents sizes) {
  switch (Layout(operand.layout)) {
  case Layout::Aligned:
    return c.localAligned(operand, type, sizes);
  case Layout::Compact:
    return c.localCompact(operand, type, sizes);
  case Layout::OnePerLane:
    return c.local(operand, bytes(type), {1, sizes.c, 1, 1}, {1, 1, 1, 1},
                   bytes(type));
  case Layout::Strided:
    return c.local(operand, bytes(type), sizes, operand.strides, bytes(type));
  case Layout::Table:
    return c.localStart(operand, bytes(type));
  }
  c.add(operand.layoutField, operand.layout, "a layout code 0..4");
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Convolution and pooling
//===----------------------------------------------------------------------===//

/// (L5) Stride, dilation and insertion; padding fields hold no illegal value.
template <class T> bool windowRanges(Checker &c, const T &t) {
  bool ok = c.between("res_op_x_str", t.res_op_x_str, 1, 15);
  ok &= c.between("res_op_y_str", t.res_op_y_str, 1, 15);
  ok &= c.between("opd0_x_ins0", t.opd0_x_ins0, 0, 14);
  ok &= c.between("opd0_y_ins0", t.opd0_y_ins0, 0, 14);
  ok &= c.between("opd1_x_ins0", t.opd1_x_ins0, 0, 14);
  ok &= c.between("opd1_y_ins0", t.opd1_y_ins0, 0, 14);
  ok &= c.between("opd0_h", t.opd0_h, 1, kMaxSize);
  ok &= c.between("opd0_w", t.opd0_w, 1, kMaxSize);
  ok &= c.between("opd1_h", t.opd1_h, 1, kMaxSize);
  ok &= c.between("opd1_w", t.opd1_w, 1, kMaxSize);
  return ok;
}

/// (L6) The last window ends inside the padded input.
template <class T> void windowFits(Checker &c, const T &t) {
  auto fits = [&](const char *field, uint64_t out, uint64_t in, uint64_t zeros,
                  uint64_t kernel, uint64_t dilation, uint64_t stride,
                  uint64_t pads) {
    uint64_t have = (in - 1) * (zeros + 1) + 1 + pads;
    uint64_t need = (out - 1) * stride + (kernel - 1) * (dilation + 1) + 1;
    if (need > have)
      c.add(field, out,
            "a last window inside the padded input (" + std::to_string(have) +
                "); it ends at " + std::to_string(need));
  };
  fits("res0_h", t.res0_h, t.opd0_h, t.opd0_y_ins0, t.opd1_h, t.opd1_y_ins0,
       t.res_op_y_str, t.opd0_up_pad + t.opd0_dn_pad);
  fits("res0_w", t.res0_w, t.opd0_w, t.opd0_x_ins0, t.opd1_w, t.opd1_x_ins0,
       t.res_op_x_str, t.opd0_lf_pad + t.opd0_rt_pad);
}

void check(Checker &c, const Conv &t) {
  bool sizes = resultSizes(c, t);
  sizes &= c.between("opd0_c", t.opd0_c, 1, kMaxSize);
  if (windowRanges(c, t) && sizes)
    windowFits(c, t);

  // (L7) f32 -> f32; halves -> themselves or f32; i8 -> i32, i16.
  DType in = DType(t.opd0_prec);
  DType out = DType(t.res0_prec);
  if (!c.oneOf("opd0_prec", t.opd0_prec,
               {DType::F32, DType::F16, DType::BF16, DType::I8}))
    return;
  bool outOk = in == DType::I8
                   ? c.oneOf("res0_prec", t.res0_prec, {DType::I32, DType::I16})
               : in == DType::F32
                   ? c.oneOf("res0_prec", t.res0_prec, {DType::F32})
                   : c.oneOf("res0_prec", t.res0_prec, {in, DType::F32});
  if (!outOk || !sizes)
    return;

  Lane lane = c.localAligned(res0(t), out, resultDims(t));
  Extents input{t.res0_n, t.opd0_c, t.opd0_h, t.opd0_w};
  // The input may start in a lane of its own, but its rows obey the alignment
  // of data operands whatever their strides.
  if (Layout(t.opd0_str) == Layout::Strided)
    c.local(opd0(t), bytes(in), input,
            {t.opd0_n_str, t.opd0_c_str, t.opd0_h_str, t.opd0_w_str}, kEuBytes);
  else if (c.require(Layout(t.opd0_str) == Layout::Aligned, "opd0_str",
                     t.opd0_str, "0 (aligned) or 3 (strides)"))
    c.localAligned(opd0(t), in, input);
  if (!opd1(t).isConst) {
    uint64_t cube = convChannelCube(in);
    uint64_t perChannel = divUp(t.opd0_c, cube) * cube * t.opd1_h * t.opd1_w;
    Lane weight = c.local(
        opd1(t), bytes(in), {1, t.res0_c, 1, perChannel}, {0, perChannel, 0, 1},
        c.own() ? kEuBytes : bytes(in)); // compact, so it may (H18)
    c.sameLane(opd1(t), weight, lane);
  }
  if (!opd2(t).isConst) {
    Lane bias = isFloat(in)
                    ? c.localCompact(opd2(t), DType::F32, {1, t.res0_c, 1, 1})
                    : c.localStart(opd2(t), 1);
    c.sameLane(opd2(t), bias, lane);
  }
  if (!opd3(t).isConst)
    c.localStart(opd3(t), 1);
}

/// (L14) Where the result of a window lies over its input: a row of channels is
/// read whole before it is written, so in place is safe from the same start
/// address with rows that are not longer. Ours never do it.
void windowInPlace(Checker &c, const PorD &t, DType in, DType out) {
  auto rows = [&](DType type, uint64_t plane) {
    return divUp(plane * bytes(type), kEuBytes) * kEuBytes;
  };
  uint64_t count = mulAdd(
      t.res0_n,
      (t.res0_addr / kLaneBytes % kLanes + t.res0_c + kLanes - 1) / kLanes, 0);
  uint64_t inRow = rows(in, t.opd0_h * t.opd0_w);
  uint64_t outRow = rows(out, t.res0_h * t.res0_w);
  if (t.res0_addr >= mulAdd(count, inRow, t.opd0_addr) ||
      t.opd0_addr >= mulAdd(count, outRow, t.res0_addr))
    return;
  if (c.own())
    c.add("res0_addr", t.res0_addr, "no overlap with operand 0");
  else if (t.res0_addr != t.opd0_addr || outRow > inRow)
    c.add("res0_addr", t.res0_addr,
          "no overlap with operand 0, or its address and rows that are not "
          "longer");
}

void check(Checker &c, const PorD &t) {
  bool sizes = resultSizes(c, t);
  auto op = PorDOp(t.tsk_eu_typ);
  bool roi = op == PorDOp::RoiDepthwise || op == PorDOp::Roiavgpooling ||
             op == PorDOp::Roimaxpooling;
  if (windowRanges(c, t) && sizes && !roi)
    windowFits(c, t);

  DType in = DType(t.opd0_prec);
  if (!c.oneOf("opd0_prec", t.opd0_prec,
               {DType::F32, DType::F16, DType::BF16, DType::I8}))
    return;
  // (L7) Floats and maxima keep their type; integer sums may widen.
  bool isMax = op == PorDOp::Maxpooling || op == PorDOp::Roimaxpooling;
  bool outOk = isFloat(in) || isMax
                   ? c.oneOf("res0_prec", t.res0_prec, {in})
                   : c.oneOf("res0_prec", t.res0_prec,
                             {DType::I8, DType::I16, DType::I32});
  if (!outOk || !sizes)
    return;

  Lane lane = c.localAligned(res0(t), DType(t.res0_prec), resultDims(t));
  Lane input =
      c.localAligned(opd0(t), in, {t.res0_n, t.res0_c, t.opd0_h, t.opd0_w});
  c.sameLane(opd0(t), input, lane);
  windowInPlace(c, t, in, DType(t.res0_prec));
  bool depthwise = op == PorDOp::Depthwise || op == PorDOp::Depthwiserelu;
  if (depthwise && !opd1(t).isConst) {
    Lane kernel =
        c.localCompact(opd1(t), in, {1, t.res0_c, t.opd1_h, t.opd1_w});
    c.sameLane(opd1(t), kernel, lane);
  }
  if (depthwise && !opd2(t).isConst) {
    // The bias of halves has either width; the smaller one bounds it.
    DType type = in == DType::I8 ? DType::I32 : in;
    Lane bias = c.localCompact(opd2(t), type, {1, t.res0_c, 1, 1});
    c.sameLane(opd2(t), bias, lane);
  }
  if (!roi && !opd3(t).isConst)
    c.localStart(opd3(t), 1);
}

//===----------------------------------------------------------------------===//
// Matrices
//===----------------------------------------------------------------------===//

void check(Checker &c, const Mm &t) {
  bool sizes = c.between("res0_c", t.res0_c, 1, kMaxSize);
  sizes &= c.between("res0_w", t.res0_w, 1, kMaxSize);
  sizes &= c.between("opd0_n", t.opd0_n, 1, kMaxSize);
  sizes &= c.between("opd0_c", t.opd0_c, 1, kMaxSize);
  sizes &= c.between("opd0_w", t.opd0_w, 1, kMaxSize);
  if (sizes && !t.left_tran)
    sizes &= c.between("opd1_w", t.opd1_w, 1, t.opd0_w);

  // (L7) Halves have MM2; f32 has no MM2.
  if (!c.oneOf("opd0_prec", t.opd0_prec, {DType::F32, DType::I8}))
    return;
  DType in = DType(t.opd0_prec);
  if (MmOp(t.tsk_eu_typ) != MmOp::Normal)
    return;
  if (!c.oneOf("res0_prec", t.res0_prec,
               {in == DType::F32 ? DType::F32 : DType::I32}) ||
      !sizes)
    return;
  DType out = DType(t.res0_prec);
  if (t.left_tran) {
    // How a transposed left operand is cut is not known; its address is.
    Lane lane = c.localStart(res0(t), kEuBytes);
    if (!opd0(t).isConst)
      c.sameLane(opd0(t), c.localStart(opd0(t), kEuBytes), lane);
    c.sameLane(opd1(t), c.localStart(opd1(t), kEuBytes), lane);
    return;
  }
  uint64_t depth = (t.opd0_c - 1) * t.opd0_w + t.opd1_w;
  Lane lane = c.localAligned(res0(t), out, {t.opd0_n, t.res0_c, 1, t.res0_w});
  if (!opd0(t).isConst)
    c.sameLane(opd0(t),
               c.localAligned(opd0(t), in, {t.opd0_n, t.opd0_c, 1, t.opd0_w}),
               lane);
  c.sameLane(opd1(t),
             c.localAligned(opd1(t), in, {depth, t.res0_c, 1, t.res0_w}), lane);
  if (!opd2(t).isConst)
    c.sameLane(opd2(t),
               c.localAligned(opd2(t), out, {1, t.res0_c, 1, t.res0_w}), lane);
}

void check(Checker &c, const Mm2 &t) {
  bool sizes = c.between("res0_c", t.res0_c, 1, kMaxSize);
  sizes &= c.between("res0_w", t.res0_w, 1, kMaxSize);
  // Of the right matrix as stored only the side that runs over the sums is
  // read; the result has the other one.
  auto op = Mm2Op(t.tsk_eu_typ);
  uint64_t rightRows = op == Mm2Op::Nn   ? t.opd1_c
                       : op == Mm2Op::Nt ? t.res0_w
                                         : t.res0_c;
  uint64_t rightCols = op == Mm2Op::Nn ? t.res0_w : t.opd1_w;
  if (c.own() || op == Mm2Op::Nn)
    sizes &= c.between("opd1_c", t.opd1_c, 1, kMaxSize);
  if (c.own() || op != Mm2Op::Nn)
    sizes &= c.between("opd1_w", t.opd1_w, 1, kMaxSize);
  // (L7) f32 gives NaN on this chip.
  if (!c.oneOf("opd0_prec", t.opd0_prec, {DType::F16, DType::BF16, DType::I8}))
    return;
  DType in = DType(t.opd0_prec);
  bool outOk = in == DType::I8
                   ? c.oneOf("res0_prec", t.res0_prec, {DType::I32})
                   : c.oneOf("res0_prec", t.res0_prec, {in, DType::F32});
  if (!outOk || !sizes)
    return;

  auto lane0 = [&](const LocalOperand &operand, Lane lane) { // (L2)
    if (lane && *lane != 0)
      c.add(operand.addrField, operand.addr,
            "an address in lane 0 (below " + hex(kLaneBytes) + ")");
  };
  if (c.own() && op == Mm2Op::Nn)
    c.require(t.res0_w == t.opd1_w, "res0_w", t.res0_w,
              "opd1_w, the columns of the right matrix");
  if (c.own() && op == Mm2Op::Nt)
    c.require(t.res0_w == t.opd1_c, "res0_w", t.res0_w,
              "opd1_c, the rows of the right matrix as stored");
  if (c.own() && op == Mm2Op::Tt)
    c.require(t.res0_c == t.opd1_c, "res0_c", t.res0_c,
              "opd1_c, the rows of the right matrix as stored");
  lane0(res0(t), c.localAligned(res0(t), DType(t.res0_prec),
                                {1, t.res0_c, 1, t.res0_w}));
  uint64_t depth = op == Mm2Op::Nn ? t.opd1_c : t.opd1_w;
  if (!opd0(t).isConst)
    lane0(opd0(t), op == Mm2Op::Tt
                       ? c.localStart(opd0(t), kEuBytes)
                       : c.localAligned(opd0(t), in, {1, t.res0_c, 1, depth}));
  if (!opd1(t).isConst)
    lane0(opd1(t), c.localAligned(opd1(t), in, {1, rightRows, 1, rightCols}));
  if (in == DType::I8 && !opd2(t).isConst)
    c.localStart(opd2(t), 1);
}

void check(Checker &c, const Vc &t) {
  bool sizes = c.between("res0_c", t.res0_c, 1, kMaxSize);
  sizes &= c.between("res0_w", t.res0_w, 1, kMaxSize);
  sizes &= c.between("opd0_c", t.opd0_c, 1, kMaxSize);
  sizes &= c.between("opd0_w", t.opd0_w, 1, kMaxSize);
  if (sizes)
    sizes &= c.between("opd1_w", t.opd1_w, 1, t.opd0_w);
  DType a{};
  DType b{};
  DType out{};
  bool types = c.dtype("opd0_prec", t.opd0_prec, a);
  types &= c.dtype("opd1_prec", t.opd1_prec, b);
  types &= c.dtype("res0_prec", t.res0_prec, out);
  if (!types || !sizes)
    return;
  if (isFloat(a) || isFloat(b) || isFloat(out)) { // (L7)
    c.oneOf("opd1_prec", t.opd1_prec, {a});
    c.oneOf("res0_prec", t.res0_prec, {a});
  }
  uint64_t rows = (t.opd0_c - 1) * t.opd0_w + t.opd1_w;
  Lane lane = c.localAligned(res0(t), out, {rows, t.res0_c, 1, t.res0_w});
  c.sameLane(opd0(t), c.localAligned(opd0(t), a, {1, t.opd0_c, 1, t.opd0_w}),
             lane);
  c.sameLane(opd1(t), c.localAligned(opd1(t), b, {1, t.res0_c, 1, t.res0_w}),
             lane);
}

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

/// How many source operands an operation takes; 0..3 where it is not known.
std::pair<unsigned, unsigned> operandCount(ArOp op) {
  switch (op) {
  case ArOp::Copy:
  case ArOp::Cast:
  case ArOp::Not:
  case ArOp::Abs:
    return {1, 1};
  case ArOp::Add:
  case ArOp::Sub:
  case ArOp::Mul:
  case ArOp::Max:
  case ArOp::Min:
  case ArOp::Div:
  case ArOp::And:
  case ArOp::Or:
  case ArOp::Xor:
    return {2, 2};
  case ArOp::SelectGreat:
  case ArOp::SelectEqual:
  case ArOp::SelectLess:
    return {3, 3};
  case ArOp::Adds:
  case ArOp::Subs:
  case ArOp::Muls:
    return {2, 3}; // The third is the shift.
  default:
    return {0, 3};
  }
}

void arTypes(Checker &c, const Ar &t, DType a, DType b, DType out) {
  auto op = ArOp(t.tsk_eu_typ);
  bool anyFloat = isFloat(a) || isFloat(b) || isFloat(out);
  switch (op) {
  case ArOp::Div: // (L7)
    c.oneOf("opd0_prec", t.opd0_prec, {DType::F32});
    c.oneOf("opd1_prec", t.opd1_prec, {DType::F32});
    c.oneOf("res0_prec", t.res0_prec, {DType::F32});
    return;
  case ArOp::Max:
  case ArOp::Min:
    c.oneOf("opd1_prec", t.opd1_prec, {a});
    c.oneOf("res0_prec", t.res0_prec, {a});
    if (!anyFloat)
      c.require(t.opd0_sign == t.opd1_sign, "opd1_sign", t.opd1_sign,
                "the sign of operand 0");
    return;
  case ArOp::Add:
  case ArOp::Sub:
  case ArOp::Mul:
    if (!anyFloat)
      return;
    c.oneOf("opd1_prec", t.opd1_prec, {a});
    c.oneOf("res0_prec", t.res0_prec, {a});
    return;
  case ArOp::Adds:
  case ArOp::Subs:
  case ArOp::Muls:
  case ArOp::Ashift:
  case ArOp::LogicShift:
  case ArOp::Cshift:
    if (!anyFloat)
      return;
    c.oneOf("opd0_prec", t.opd0_prec, {DType::I8, DType::I16, DType::I32});
    c.oneOf("opd1_prec", t.opd1_prec, {DType::I8, DType::I16, DType::I32});
    c.oneOf("res0_prec", t.res0_prec, {DType::I8, DType::I16, DType::I32});
    return;
  case ArOp::SelectGreat:
  case ArOp::SelectEqual:
  case ArOp::SelectLess:
    if (isFloat(a) || isFloat(b))
      c.oneOf("opd1_prec", t.opd1_prec, {a});
    return;
  case ArOp::Cast:
    if (isFloat(a))
      c.between("opd2_n_str", t.opd2_n_str, 0, 4);
    // In place, a wider result would overwrite what is still to be read.
    if (!opd0(t).isConst && bytes(out) > bytes(a))
      c.require(t.res0_addr != t.opd0_addr, "res0_addr", t.res0_addr,
                "another address than operand 0 for a widening cast");
    return;
  default:
    return;
  }
}

void check(Checker &c, const Ar &t) {
  bool sizes = resultSizes(c, t);
  auto [fewest, most] = operandCount(ArOp(t.tsk_eu_typ));
  c.between("tsk_opd_num", t.tsk_opd_num, fewest, most);
  // The field is 3 bits in the short form; 7 means nothing.
  c.between("opd2_n_str", t.opd2_n_str, 0,
            ArOp(t.tsk_eu_typ) == ArOp::Div ? 7 : 6);

  DType a{};
  DType b{};
  DType out{};
  bool second = t.tsk_opd_num >= 2;
  bool types = c.dtype("res0_prec", t.res0_prec, out);
  if (t.tsk_opd_num >= 1)
    types &= c.dtype("opd0_prec", t.opd0_prec, a);
  if (second)
    types &= c.dtype("opd1_prec", t.opd1_prec, b);
  if (!types || !sizes)
    return;
  if (t.tsk_opd_num >= 1)
    arTypes(c, t, a, second ? b : a, out);

  Extents dims = resultDims(t);
  Lane lane = inLayout(c, res0(t), out, dims);
  if (t.tsk_opd_num >= 1 && !opd0(t).isConst)
    c.sameLane(opd0(t), inLayout(c, opd0(t), a, dims), lane);
  if (second && !opd1(t).isConst)
    c.sameLane(opd1(t), inLayout(c, opd1(t), b, dims), lane);
  if (t.tsk_opd_num >= 3 && !opd2(t).isConst)
    c.sameLane(opd2(t), c.localStart(opd2(t), 1), lane);
}

void check(Checker &c, const Lin &t) {
  bool sizes = resultSizes(c, t);
  if (!c.oneOf("res0_prec", t.res0_prec,
               {DType::F32, DType::F16, DType::BF16}) ||
      !sizes)
    return;
  DType type = DType(t.res0_prec);
  Lane lane = c.localAligned(res0(t), type, resultDims(t));
  c.sameLane(opd0(t), c.localAligned(opd0(t), type, resultDims(t)), lane);
  Extents vector{1, t.res0_c, 1, 1};
  if (!opd1(t).isConst)
    c.sameLane(opd1(t), c.localCompact(opd1(t), type, vector), lane);
  if (!opd2(t).isConst && LinOp(t.tsk_eu_typ) == LinOp::Mac)
    c.sameLane(opd2(t), c.localCompact(opd2(t), type, vector), lane);
}

void check(Checker &c, const Cmp &t) {
  bool sizes = resultSizes(c, t);
  DType compared{};
  DType selected{};
  bool types = c.dtype("opd0_prec", t.opd0_prec, compared);
  types &= c.dtype("opd2_prec", t.opd2_prec, selected);
  if (!types || !sizes)
    return;
  // These two write the larger (smaller) value and, beside it, the selection.
  auto op = CmpOp(t.tsk_eu_typ);
  bool both = op == CmpOp::GtAndSel || op == CmpOp::LtAndSel;
  Extents dims = resultDims(t);
  Lane lane = c.localAligned(res0(t), both ? compared : selected, dims);
  if (both)
    c.sameLane(res1(t), c.localAligned(res1(t), selected, dims), lane);
  // Layouts other than aligned have no stride fields here, the selected
  // operands no layout.
  auto source = [&](const LocalOperand &operand, DType type) {
    if (!operand.isConst)
      c.sameLane(operand,
                 Layout(operand.layout) == Layout::Aligned
                     ? c.localAligned(operand, type, dims)
                     : c.localStart(operand, bytes(type)),
                 lane);
  };
  source(opd0(t), compared);
  source(opd1(t), compared);
  for (LocalOperand operand : {opd2(t), opd3(t)}) {
    operand.layout = uint64_t(Layout::Aligned);
    source(operand, selected);
  }
}

void check(Checker &c, const Sfu &t) {
  bool sizes = resultSizes(c, t);
  if (!c.oneOf("opd0_prec", t.opd0_prec,
               {DType::F32, DType::F16, DType::BF16}) ||
      !c.oneOf("res0_prec", t.res0_prec, {DType(t.opd0_prec)}) || !sizes)
    return;
  DType type = DType(t.opd0_prec);
  Lane lane = c.localAligned(res0(t), type, resultDims(t));
  c.sameLane(opd0(t), c.localAligned(opd0(t), type, resultDims(t)), lane);
  auto op = SfuOp(t.tsk_eu_typ);
  if (op != SfuOp::Taylor && op != SfuOp::Taylor4x)
    return;
  // The same coefficients stand in every lane.
  if (c.between("opd1_n", t.opd1_n, 1, kMaxSize))
    c.local(opd1(t), bytes(type), {1, 1, 1, t.opd1_n}, {0, 0, 0, 1}, kEuBytes);
}

void check(Checker &c, const RqDq &t) {
  bool sizes = resultSizes(c, t);
  auto op = RqDqOp(t.tsk_eu_typ);
  // The float form rounds by bits 3..5 and the integer forms by bits 0..2
  // (H17). A dequantisation to f32 does not round. Ours leave the other bits 0.
  if (op == RqDqOp::Rq0) {
    c.between("opd2_n_str",
              c.own() ? t.opd2_n_str : t.opd2_n_str & ~uint64_t(7), 0, 4 << 3);
    if (c.own())
      c.require(t.opd2_n_str % 8 == 0, "opd2_n_str", t.opd2_n_str,
                "the rounding in bits 3..5, zeros below");
  } else if (c.own() || op != RqDqOp::Dq0 || DType(t.res0_prec) != DType::F32) {
    c.between("opd2_n_str", c.own() ? t.opd2_n_str : t.opd2_n_str & 7, 0, 6);
  }
  bool requantise = op == RqDqOp::Rq0 || op == RqDqOp::Rq1 || op == RqDqOp::Rq2;
  // (L7) The float form takes an operand of 8 bits for 0.
  bool inOk = c.own() && op == RqDqOp::Rq0
                  ? c.oneOf("opd0_prec", t.opd0_prec, {DType::I16, DType::I32})
                  : c.oneOf("opd0_prec", t.opd0_prec,
                            {DType::I8, DType::I16, DType::I32});
  if (!inOk)
    return;
  bool outOk = requantise ? c.oneOf("res0_prec", t.res0_prec,
                                    {DType::I8, DType::I16, DType::I32})
               : op == RqDqOp::Dq0
                   ? c.oneOf("res0_prec", t.res0_prec,
                             {DType::F32, DType::F16, DType::BF16})
                   : c.oneOf("res0_prec", t.res0_prec,
                             {DType::I8, DType::I16, DType::I32, DType::F32,
                              DType::F16, DType::BF16});
  if (!outOk || !sizes)
    return;
  Lane lane = c.localAligned(res0(t), DType(t.res0_prec), resultDims(t));
  c.sameLane(opd0(t),
             c.localAligned(opd0(t), DType(t.opd0_prec), resultDims(t)), lane);
  // A row of words per channel, each row 64 bytes apart.
  uint64_t words = op == RqDqOp::Rq0 || op == RqDqOp::Dq0 ? 2 : 3;
  if (!opd1(t).isConst)
    c.sameLane(opd1(t),
               c.localAligned(opd1(t), DType::I32, {1, t.res0_c, 1, words}),
               lane);
}

//===----------------------------------------------------------------------===//
// Movement inside local memory
//===----------------------------------------------------------------------===//

void check(Checker &c, const TransBc &t) {
  bool sizes = resultSizes(c, t);
  DType type{};
  if (!c.dtype("res0_prec", t.res0_prec, type) || !sizes)
    return;
  auto op = TransBcOp(t.tsk_eu_typ);
  // Sources and results of copies and broadcasts may start in different lanes.
  if (op == TransBcOp::SDistribute)
    c.localCompact(res0(t), type, resultDims(t));
  else
    c.localAligned(res0(t), type, resultDims(t));

  switch (op) {
  case TransBcOp::CwTs:
  case TransBcOp::WcTs:
    c.require(t.opd0_c == t.res0_w, "opd0_c", t.opd0_c, "res0_w");
    c.require(t.opd0_w == t.res0_c, "opd0_w", t.opd0_w, "res0_c");
    if (t.opd0_c != 0 && t.opd0_w != 0)
      c.localAligned(opd0(t), type, {t.res0_n, t.opd0_c, t.res0_h, t.opd0_w});
    return;
  case TransBcOp::LCopy:
    c.localAligned(opd0(t), type, resultDims(t));
    return;
  case TransBcOp::LBc:
    c.localAligned(opd0(t), type, {t.res0_n, 1, t.res0_h, t.res0_w});
    return;
  case TransBcOp::SBc:
  case TransBcOp::SDistribute: {
    uint64_t count = op == TransBcOp::SBc ? t.res0_w : t.res0_c;
    uint64_t size = count * bytes(type);
    if (!kStaticMemory.contains(t.opd0_addr, size)) // (L3)
      c.add("opd0_addr", t.opd0_addr,
            std::to_string(size) + " bytes of static memory (" +
                hex(kStaticMemory.begin) + ".." + hex(kStaticMemory.end) + ")");
    return;
  }
  }
}

/// (L15) Whether an operand of the gather of four at a time lies in its part of
/// a lane; the vendor's encoder does not let it reach the end either.
void inPart(Checker &c, const char *field, uint64_t addr, uint64_t bytes,
            const AddressRange &part) {
  const uint64_t offset = addr % kLaneBytes;
  if (offset < part.begin || offset >= part.end || bytes >= part.end - offset)
    c.add(field, addr,
          std::to_string(bytes) + " bytes in front of the end of (" +
              hex(part.begin) + ".." + hex(part.end) + ") of a lane");
}

void check(Checker &c, const Sg &t) {
  bool sizes = resultSizes(c, t);
  DType data{};
  DType table{};
  bool types = c.dtype("res0_prec", t.res0_prec, data);
  types &= c.dtype("opd0_prec", t.opd0_prec, table);
  if (!types || !sizes)
    return;
  Lane lane = c.localAligned(res0(t), data, resultDims(t));
  auto op = SgOp(t.tsk_eu_typ);
  bool four = op == SgOp::PeMGatherD1coor;
  bool gather = four || op == SgOp::PeSGatherD1coor || op == SgOp::PeSGatherHzd;
  bool scatter = op == SgOp::PeSScatterD1coor || op == SgOp::PeSScatterHzd;
  if (!gather && !scatter) {
    // The geometry of the others is not known beyond their addresses.
    c.localStart(opd0(t), kEuBytes);
    c.localStart(opd1(t), kEuBytes);
    return;
  }
  c.oneOf("opd1_prec", t.opd1_prec, {DType::I8, DType::I16});
  if (gather && c.own()) // (L11) all of a plane in one row
    c.between("res0_h", t.res0_h, 1, 1);
  bool more = c.between("opd0_h", t.opd0_h, 1, kMaxSize);
  more &= c.between("opd0_w", t.opd0_w, 1, kMaxSize);
  more &= c.between("opd1_c", t.opd1_c, 1, kMaxSize);
  more &= c.between("opd1_w", t.opd1_w, 1, kMaxSize);
  if (!more)
    return;
  // Layout 4 keeps one set of aligned rows for all channels of a lane.
  Lane source =
      Layout(t.opd0_str) == Layout::Table
          ? c.local(opd0(t), bytes(table), {1, 1, t.opd0_h, t.opd0_w},
                    {0, 0, divUp(t.opd0_w, euWidth(table)) * euWidth(table), 1},
                    kEuBytes)
          : c.localAligned(opd0(t), table, {1, t.res0_c, t.opd0_h, t.opd0_w});
  c.sameLane(opd0(t), source, lane);
  if (DType index = DType(t.opd1_prec);
      index == DType::I8 || index == DType::I16)
    c.sameLane(opd1(t),
               c.localAligned(opd1(t), index, {1, t.opd1_c, 1, t.opd1_w}),
               lane);
  if (four) {
    c.between("res0_n", t.res0_n, 1, 1);
    auto bytesOf = [&](uint64_t addr, uint64_t channels, uint64_t width,
                       DType type) {
      return divUp(addr / kLaneBytes % kLanes + channels, kLanes) *
             divUp(width, euWidth(type)) * kEuBytes;
    };
    const bool isShared = Layout(t.opd0_str) == Layout::Table;
    inPart(c, "opd0_addr", t.opd0_addr,
           bytesOf(t.opd0_addr, isShared ? 1 : t.res0_c, t.opd0_w, table),
           kGatherTable);
    inPart(c, "opd1_addr", t.opd1_addr,
           bytesOf(t.opd1_addr, t.opd1_c, t.opd1_w,
                   t.opd1_prec == uint64_t(DType::I8) ? DType::I8 : DType::I16),
           kGatherIndices);
    inPart(c, "res0_addr", t.res0_addr,
           bytesOf(t.res0_addr, t.res0_c, t.res0_w, data), kGatherResult);
    return;
  }
  // (L11) Only the hazard forms may read and write one bank.
  bool hazardForm = op == SgOp::PeSGatherHzd || op == SgOp::PeSScatterHzd;
  uint64_t bank = t.res0_addr % kLaneBytes / kBankBytes;
  if (!hazardForm && t.opd0_addr % kLaneBytes / kBankBytes == bank)
    c.add("opd0_addr", t.opd0_addr,
          "another bank than the result (bank " + std::to_string(bank) +
              "), or the hazard form");
}

void check(Checker &c, const Sgl &t) {
  DType data{};
  bool sizes = resultSizes(c, t);
  if (!c.dtype("res0_prec", t.res0_prec, data) || !sizes)
    return;
  c.localAligned(res0(t), data, resultDims(t));
  c.localStart(opd0(t), kEuBytes);
  c.localStart(opd1(t), kEuBytes);
}

template <class T> void refuse(Checker &c, const T &t) {
  c.add("tsk_typ", t.tsk_typ,
        "an instruction that the runtime can load (it does not know the "
        "length of this one)");
}
void check(Checker &c, const Lar &t) { refuse(c, t); }
void check(Checker &c, const Seg &t) { refuse(c, t); }
void check(Checker &, const Sys &) {}

} // namespace

void checkTiu(Checker &checker) {
  std::visit(
      [&]<class T>(const T &t) {
        if constexpr (engineOf(T::kKind) == Engine::Tiu) {
          if constexpr (requires { t.cmd_id_en; }) {
            // (L8) Without the bit the dependency is not waited for. The end
            // command of the vendor's streams carries 0.
            if (T::kKind != Kind::Sys || t.cmd_id_dep != 0)
              checker.require(t.cmd_id_en & 1, "cmd_id_en", t.cmd_id_en,
                              "bit 0 set");
          }
          check(checker, t);
        }
      },
      checker.command);
}

} // namespace tpumlir::isa::detail
