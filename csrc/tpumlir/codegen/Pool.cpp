#include "tpumlir/codegen/Alone.h"
#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Group.h"
#include "tpumlir/codegen/LocalKernel.h"
#include "tpumlir/codegen/Reduce.h"
#include "tpumlir/codegen/Window.h"

#include <limits>

using namespace mlir;

namespace tpumlir::codegen {

namespace {

struct Pooling {
  int64_t n, c;
  WindowGeometry geometry;
  Value input, output;
  bool isMax;
  Relu relu;
};

/// Max pooling loses NaN behind a number, and starts from the least finite
/// one (N7): brings NaN and -infinity back. The input is lost.
void mend(Emitter &em, const Local &out, const Local &in, const Local &mark,
          const WindowFields &fields, bool fromHalves) {
  const float infinity = std::numeric_limits<float>::infinity();
  if (fromHalves) {
    // That number is rounded to -infinity.
    markNan(em, mark, in, in, fields);
    return orBits(em, out, out, mark);
  }
  // 1 for numbers, 0 for -infinity; NaN stays.
  em.select(isa::CmpOp::SelGt, in, in, -infinity, 1.0f, in);
  atLeast(em, in, in, 0);
  em.avgPool(mark, in, fields, 1.0f);
  em.select(isa::CmpOp::SelGt, out, mark, 0.0f, out, -infinity);
  maskNan(em, mark, mark);
  orBits(em, out, out, mark);
}

/// A tile in F32: the function of each window, then the Relu. The input of a
/// maximum is lost, and `mark` is like the output.
void compute(Emitter &em, const Pooling &pool, const Local &out,
             const Local &in, const Local &mark, const WindowFields &fields) {
  const WindowGeometry &g = pool.geometry;
  if (pool.isMax) {
    em.maxPool(out, in, fields);
    mend(em, out, in, mark, fields, dtypeOf(pool.output) != isa::DType::F32);
  } else {
    em.avgPool(out, in, fields, 1.0f / float(g.h.kernel * g.w.kernel));
  }
  emitRelu(em, out, pool.relu);
}

bool isGlobal(const AxisWindow &axis) {
  return axis.out == 1 && axis.padBegin == 0 && axis.kernel == axis.in &&
         axis.dilation == 1;
}

template <typename OpTy> Pooling poolingOf(OpTy op) {
  ArrayRef<int64_t> in = top::shapeOf(op.getInput());
  ArrayRef<int64_t> out = top::shapeOf(op.getOutput());
  auto kernel = op.getKernelShape();
  auto dilation =
      op.getDilations().value_or(SmallVector<int64_t>(kernel.size(), 1));
  Pooling pool{};
  pool.n = in[0];
  pool.c = in[1];
  pool.input = op.getInput();
  pool.output = op.getOutput();
  pool.isMax = op.getPoolMode() == tpu::PoolMode::Max;
  pool.relu = Relu::of(op);
  pool.geometry =
      geometryOf(in, out, kernel, op.getStrides(), dilation, op.getPads());
  if (pool.isMax)
    pool.geometry.padValue = -std::numeric_limits<float>::infinity();
  return pool;
}

/// More elements of a window are summed in a tree, see emitReduction.
constexpr int64_t kMostWindow = 4096;

class PoolKernel : public LocalKernel {
public:
  explicit PoolKernel(const Pooling &pool)
      : LocalKernel(pool.input,
                    LaneView::dense({pool.n, pool.c, pool.geometry.h.in,
                                     pool.geometry.w.in}),
                    pool.output,
                    LaneView::dense({pool.n, pool.c, pool.geometry.h.out,
                                     pool.geometry.w.out})),
        pool(pool) {}

  Range inputRows(size_t, Range rows) const override {
    AxisTile tile = inputUnder(pool.geometry.h, rows);
    return {tile.begin, tile.size};
  }
  const WindowGeometry *windows() const override { return &pool.geometry; }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    Local in = tile.inputs[0];
    // Halves become F32; the rest of a maximum loses its input.
    if ((pool.isMax && !ownsInputs) || isHalf(in.dtype)) {
      in = tile.scratch.tensor(in.size);
      moveTile(em, in, tile.inputs[0]);
    }
    const Local out = tile.scratch.wide(tile.output);
    Local mark = pool.isMax ? tile.scratch.tensor(out.size) : Local();
    compute(em, pool, out, in, mark, fieldsOf(tile));
    castTile(em, tile.output, out);
  }

protected:
  WindowFields fieldsOf(const KernelTile &tile) const {
    const WindowGeometry &g = pool.geometry;
    return tile.window ? *tile.window
                       : windowPart(g, tile.rows, {0, g.w.out}).fields;
  }

  Pooling pool;
};

/// The maximum of integers, or their mean: a sum that is brought to the scale
/// of the result.
class QuantizedPoolKernel : public PoolKernel {
public:
  explicit QuantizedPoolKernel(const Pooling &pool)
      : PoolKernel(pool), from(*Quantization::of(pool.input)),
        to(*Quantization::of(pool.output)) {}
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const WindowGeometry &g = pool.geometry;
    WindowFields fields = fieldsOf(tile);
    if (pool.isMax)
      return em.maxPool(tile.output, tile.inputs[0], fields);
    const Local sum = tile.scratch.tensor(tile.output.size, isa::DType::I32);
    fields.padValue = from.zeroPoint;
    if (foldedWidth() > 0)
      sumPlanes(
          em, sum, tile.inputs[0],
          tile.scratch.tensor({sum.size[0], sum.size[1], 1, foldedWidth()},
                              isa::DType::I32));
    else
      em.avgPool(sum, tile.inputs[0], fields, 1);
    RescaledMean mean = RescaledMean::of(from, to, g.h.kernel * g.w.kernel);
    em.requantize(tile.output, sum, float(mean.factor), float(mean.offset));
  }

private:
  static constexpr int64_t kLine = isa::kEuBytes;

  /// A window takes a cycle for each of its elements, and as long for a vector
  /// of results as for one. So a plane that is one window is summed as rows of
  /// this many elements; 0 if that is no faster.
  int64_t foldedWidth() const {
    const WindowGeometry &g = pool.geometry;
    if (!isGlobal(g.h) || !isGlobal(g.w))
      return 0;
    const int64_t plane = g.h.in * g.w.in;
    const int64_t rest = plane % kLine, whole = plane - rest;
    int64_t best = plane, width = 0;
    // Each halving of the row of sums is a command that reads what it writes.
    for (int64_t w = kLine, halvings = 6; w >= 8; w /= 2, --halvings) {
      const int64_t cycles = whole / w + rest + 2 * halvings + 4;
      if (whole > 0 && cycles < best)
        best = cycles, width = w;
    }
    return width;
  }

  /// Sums of whole planes: into `columns` those of the columns of a plane as
  /// rows of that width, then of what is left over, and then of the columns'
  /// sums by halves.
  void sumPlanes(Emitter &em, const Local &sum, const Local &in,
                 const Local &columns) const {
    const int64_t plane = in.size[2] * in.size[3], width = columns.size[3];
    // What is left over begins at a line, too.
    const int64_t rest = plane % kLine, rows = (plane - rest) / width;
    auto row = [](const Local &local, int64_t n, int64_t r, Nchw size,
                  int64_t begin) {
      size[1] = std::min(int64_t(isa::kLanes),
                         local.size[1] - r * int64_t(isa::kLanes));
      const Local at =
          local + (n * local.stride[0] + r * local.stride[1] + begin);
      return aligned(at.addr, size, local.dtype).withSign(local.isSigned);
    };
    for (int64_t n = 0; n < in.size[0]; ++n)
      for (int64_t r = 0; r < in.rows(); ++r) {
        WindowFields down, along;
        down.kernelH = rows;
        em.avgPool(row(columns, n, r, {1, 0, 1, width}, 0),
                   row(in, n, r, {1, 0, rows, width}, 0), down, 1);
        along.kernelW = rest;
        if (rest > 0)
          em.avgPool(row(sum, n, r, {1, 0, 1, 1}, 0),
                     row(in, n, r, {1, 0, 1, rest}, rows * width), along, 1);
      }
    auto part = [&](int64_t begin, int64_t count) {
      return columns.part(3, begin, count);
    };
    for (int64_t half = width / 2; half > 1; half /= 2)
      em.ar(isa::ArOp::Add, part(0, half), part(0, half), part(half, half));
    const Local last = sum.strided();
    if (rest == 0)
      return em.ar(isa::ArOp::Add, last, part(0, 1), part(1, 1));
    em.ar(isa::ArOp::Add, part(0, 1), part(0, 1), part(1, 1));
    em.ar(isa::ArOp::Add, last, last, part(0, 1));
  }

  Quantization from, to;
};

template <typename OpTy> LogicalResult emitPoolOp(Emitter &em, OpTy op) {
  if (isQuantized(op.getInput()))
    return emitAlone(em, op);
  const Pooling pool = poolingOf(op);
  const WindowGeometry &g = pool.geometry;
  // One window over a whole plane, which need not fit into local memory.
  if (isGlobal(g.h) && isGlobal(g.w))
    return emitReduction(
        em, op, op.getInput(), {pool.n * pool.c, g.h.in * g.w.in, 1},
        pool.isMax ? Reduction::Max : Reduction::Mean, pool.relu);
  for (const AxisWindow *axis : {&g.h, &g.w})
    if (axis->dilation > kMaxDilation)
      return op->emitError("expected dilations up to ")
             << kMaxDilation << " (the conversion unfolds others), got "
             << axis->dilation;
  PoolKernel kernel(pool);
  kernel.ownsInputs = true;
  if (emitTiles(em, op, kernel))
    return success();
  return op->emitError("expected a window that fits into local memory, got ")
         << g.h.kernel << " x " << g.w.kernel << " elements";
}

template <typename OpTy> Kernels poolKernels(OpTy op) {
  const Pooling pool = poolingOf(op);
  const WindowGeometry &g = pool.geometry;
  if (std::max(g.h.dilation, g.w.dilation) > kMaxDilation || !cutsFreely(g))
    return {};
  if (isQuantized(op.getInput()))
    return only<QuantizedPoolKernel>(pool);
  return g.h.kernel * g.w.kernel <= kMostWindow ? only<PoolKernel>(pool)
                                                : Kernels();
}

} // namespace

template <> LogicalResult emit(Emitter &em, tpu::Pool1DOp op) {
  return emitPoolOp(em, op);
}
template <> LogicalResult emit(Emitter &em, tpu::Pool2DOp op) {
  return emitPoolOp(em, op);
}

template <> Kernels kernelsOf(tpu::Pool1DOp op, int64_t) {
  return poolKernels(op);
}
template <> Kernels kernelsOf(tpu::Pool2DOp op, int64_t) {
  return poolKernels(op);
}

} // namespace tpumlir::codegen
