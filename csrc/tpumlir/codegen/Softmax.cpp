#include "tpumlir/codegen/Alone.h"
#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Reduce.h"

using namespace mlir;

namespace tpumlir::codegen {

using isa::ArOp;

namespace {

/// y = softmax of x, which is lost, over a window that holds one axis; t0 and
/// t1 are like x, the columns like a tensor with one element of that axis.
void softmaxTile(Emitter &em, Math &math, const WindowFields &window,
                 float beta, bool log, const Local &y, const Local &x,
                 const Local &t0, const Local &t1,
                 const std::array<Local, 4> &columns) {
  // No result lies over its operand: that takes twice as long.
  Local scaled = x;
  if (beta != 1.0f) {
    scaled = t1;
    em.ar(ArOp::Mul, scaled, x, beta);
  }
  if (isLongRow(x, window))
    reduceLongRow(em, /*isMax=*/true, columns[0], scaled, t0.addr);
  else
    em.maxPool(columns[0], scaled, window);
  em.ar(ArOp::Sub, y, scaled, columns[0]);
  math.exp(x, y, t0, t1);
  if (isLongRow(x, window))
    reduceLongRow(em, /*isMax=*/false, columns[0], x, t0.addr);
  else
    em.avgPool(columns[0], x, window, 1.0f);
  if (log) {
    math.log(columns[1], columns[0], columns[2], columns[3],
             aligned(t0.addr, columns[0].size));
    return em.ar(ArOp::Sub, y, y, columns[1]);
  }
  math.quotient(columns[1], 1.0f, columns[0]);
  em.ar(ArOp::Mul, y, x, columns[1]);
}

/// Over the rows or the columns, which a slice has all of.
class SoftmaxKernel : public LocalKernel {
public:
  SoftmaxKernel(tpu::SoftmaxOp op, const LaneView &view, int axis)
      : LocalKernel(op.getInput(), view, op.getOutput(), view),
        beta(float(op.getBeta())), log(op.getLog()), axis(axis) {
    tables = {Table::Exp};
    if (log)
      tables.push_back(Table::Atanh);
    if (axis == 2) {
      needs = Rows::All;
      ownsInputs = true;
    }
  }

  void emit(Emitter &em, Math &math, const KernelTile &tile) const override {
    const Nchw size = tile.output.size;
    auto take = [&](const Nchw &of) { return tile.scratch.tensor(of); };
    Local x = copies() ? take(size) : tile.inputs[0];
    Local t0 = take(size), t1 = take(size);
    std::array<Local, 4> columns;
    for (Local &local : columns)
      local = take(columnOf(size));
    const Local y = tile.scratch.wide(tile.output);
    if (copies())
      moveTile(em, x, tile.inputs[0]);
    math.roundsTo(log ? isa::DType::F32 : outputType);
    WindowFields window = rowWindow(size[3]);
    if (axis == 2)
      window = codegen::columnOf(x);
    softmaxTile(em, math, window, beta, log, y, x, t0, t1, columns);
    math.roundsTo(isa::DType::F32);
    castTile(em, tile.output, y);
  }

protected:
  Nchw columnOf(Nchw size) const {
    size[axis] = 1;
    return size;
  }
  bool isNarrowInput() const { return isHalf(dtypeOf(inputs[0].value)); }
  /// Whether the exponentials cannot lie where the input does.
  bool copies() const { return !ownsInputs || isNarrowInput(); }

  float beta;
  bool log;
  int axis;
};

/// Over rows that come in parts, three times: for the greatest, for the
/// exponentials and their sum, for the quotients. An F32 result keeps the
/// exponentials for the last time; in halves they would be rounded, so they are
/// computed again.
class LongSoftmaxKernel : public SoftmaxKernel {
public:
  LongSoftmaxKernel(tpu::SoftmaxOp op, const LaneView &view)
      : SoftmaxKernel(op, view, 2) {
    needs = Rows::InParts;
    passes = 3;
    keeps = !log && !isNarrowInput() && !isHalf(outputType);
  }

  void emit(Emitter &em, Math &math, const KernelTile &tile) const override {
    auto take = [&](const Nchw &of) { return tile.scratch.tensor(of); };
    Local c[kColumns];
    for (Local &local : c) // what stays from part to part comes first
      local = take(columnOf(tile.output.size));
    const Local &greatest = c[0], &sum = c[1], &part = c[2], &norm = c[3];
    const Local x = tile.scratch.wide(tile.inputs[0]);
    const Local y = tile.scratch.wide(tile.output);
    Local t0 = take(x.size), t1 = take(x.size);
    const bool first = tile.part.first;
    const bool isLast = tile.part.pass == 2;
    if (isLast && keeps)
      return em.ar(ArOp::Mul, y, x, norm);
    castTile(em, x, tile.inputs[0]);
    if (beta != 1.0f)
      em.ar(ArOp::Mul, x, x, beta);
    if (tile.part.pass == 0) {
      em.maxPool(first ? greatest : part, x, codegen::columnOf(x));
      if (!first)
        em.ar(ArOp::Max, greatest, greatest, part);
      return;
    }
    em.ar(ArOp::Sub, x, x, greatest);
    math.roundsTo(log ? isa::DType::F32 : outputType);
    if (isLast && log) {
      em.ar(ArOp::Sub, y, x, norm);
    } else {
      math.exp(y, x, t0, t1);
      if (isLast)
        em.ar(ArOp::Mul, y, y, norm);
    }
    if (!isLast) {
      em.avgPool(first ? sum : part, y, codegen::columnOf(y), 1.0f);
      if (!first)
        em.ar(ArOp::Add, sum, sum, part);
      if (tile.part.last && log)
        math.log(norm, sum, part, c[4], c[5]);
      else if (tile.part.last)
        math.quotient(norm, 1.0f, sum);
    } else {
      castTile(em, tile.output, y);
    }
    math.roundsTo(isa::DType::F32);
  }

private:
  static constexpr int kColumns = 6;
};

/// With few of the outer elements the inner ones are spread over the lanes, in
/// pieces: what stands in the lanes is then a piece of one outer element.
std::vector<Block> spreadBlocks(const Middle &m) {
  const int64_t width = ceilDiv(m.inner, int64_t(isa::kLanes));
  const int64_t pieces = m.inner / width, rest = m.inner % width;
  std::vector<Block> blocks;
  auto add = [&](int64_t begin, int64_t channels, int64_t columns) {
    LaneView view = wholeOf({channels, m.depth, columns});
    view.stride = {m.depth * m.inner, width, m.inner, 1};
    blocks.push_back({view, begin, {view}, {begin}, {}});
  };
  for (int64_t o = 0; o < m.outer; ++o) {
    const int64_t begin = o * m.depth * m.inner;
    add(begin, pieces, width);
    if (rest > 0)
      add(begin + pieces * width, 1, rest);
  }
  return blocks;
}

} // namespace

template <> LogicalResult emit(Emitter &em, tpu::SoftmaxOp op) {
  const int64_t axis = op.getAxis(), lanes = isa::kLanes;
  const Middle m = middleOf(top::shapeOf(op.getInput()), axis, axis);
  SoftmaxKernel kernel(op, wholeOf(m), 2);
  const bool spreads = m.outer < lanes / 2 && m.inner >= lanes;
  if (spreads ? emitTiles(em, op, kernel, spreadBlocks(m))
              : emitTiles(em, op, kernel))
    return success();
  return success(emitTiles(em, op, LongSoftmaxKernel(op, wholeOf(m))));
}

template <>
Kernels matrixKernelsOf(tpu::SoftmaxOp op, const MatrixTensors &matrices) {
  auto view = LaneView::of(matrices.shapeOf(op.getOutput()));
  if (op.getAxis() != top::rankOf(op.getInput()) - 1 ||
      !isa::isFloat(dtypeOf(op.getInput())))
    return {};
  return only<SoftmaxKernel>(op, *view, 3);
}

template <> Kernels kernelsOf(tpu::SoftmaxOp op, int64_t) {
  ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  auto view = LaneView::of(shape);
  if (view && laneAxes(shape)[op.getAxis()] == 3 &&
      isa::isFloat(dtypeOf(op.getInput())))
    return only<SoftmaxKernel>(op, *view, 3);
  return {};
}

} // namespace tpumlir::codegen
