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
  Global input, output;
  bool isMax, relu;
  double limit;
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
    mend(em, out, in, mark, fields, pool.output.dtype != isa::DType::F32);
  } else {
    em.avgPool(out, in, fields, 1.0f / float(g.h.kernel * g.w.kernel));
  }
  emitRelu(em, out, pool.relu, pool.limit);
}

bool isGlobal(const AxisWindow &axis) {
  return axis.out == 1 && axis.padBegin == 0 && axis.kernel == axis.in &&
         axis.dilation == 1;
}

template <typename OpTy> Pooling poolingOf(OpTy op) {
  ArrayRef<int64_t> in = top::shapeOf(op.getInput());
  ArrayRef<int64_t> out = top::shapeOf(op.getOutput());
  auto kernel = op.getKernelShape(), stride = op.getStrides(),
       pads = op.getPads();
  size_t axes = kernel.size();
  auto dilation = op.getDilations().value_or(SmallVector<int64_t>(axes, 1));
  Pooling pool{};
  pool.n = in[0];
  pool.c = in[1];
  pool.input = globalOf(op.getInput());
  pool.output = globalOf(op.getOutput());
  pool.isMax = op.getPoolMode() == tpu::PoolMode::Max;
  pool.relu = op.getDoRelu();
  pool.limit = op.getReluLimit();
  if (pool.isMax)
    pool.geometry.padValue = -std::numeric_limits<float>::infinity();
  AxisWindow *windows[] = {&pool.geometry.h, &pool.geometry.w};
  pool.geometry.h = {1, 1, 1, 1, 1, 0};
  for (size_t i = 0; i < axes; ++i)
    *windows[i + 2 - axes] = {in[i + 2], out[i + 2],  kernel[i],
                              stride[i], dilation[i], pads[i]};
  return pool;
}

/// More elements of a window are summed in a tree, see emitReduction.
constexpr int64_t kMostWindow = 4096;

class PoolKernel : public LocalKernel {
public:
  PoolKernel(const Pooling &pool, Value input) : pool(pool) {
    const WindowGeometry &g = pool.geometry;
    Nchw in{pool.n, pool.c, g.h.in, g.w.in};
    Nchw out{pool.n, pool.c, g.h.out, g.w.out};
    inputs.push_back({input, {in, denseStrides(in)}});
    output = {out, denseStrides(out)};
    outputType = pool.output.dtype;
    channels = {0, pool.c};
  }

  Range inputRows(size_t, Range rows) const override {
    AxisTile tile = inputUnder(pool.geometry.h, rows);
    return {tile.begin, tile.size};
  }
  const WindowGeometry *windows() const override { return &pool.geometry; }
  int64_t scratchBytes(const Nchw &out, ArrayRef<Nchw> in) const override {
    return (copiesInput() ? alignedBytes(in[0]) : 0) +
           (isWide() ? 0 : alignedBytes(out)) +
           (pool.isMax ? alignedBytes(out) : 0);
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    LaneMemory memory(tile.scratch);
    Local in = tile.inputs[0];
    if (copiesInput()) {
      Local copy = aligned(memory.take(alignedBytes(in.size)), in.size);
      if (in.dtype == copy.dtype)
        em.copyLocal(copy, in);
      else
        castTile(em, copy, in);
      in = copy;
    }
    Local out = tile.output, mark;
    if (!isWide())
      out = aligned(memory.take(alignedBytes(out.size)), out.size);
    if (pool.isMax)
      mark = aligned(memory.take(alignedBytes(out.size)), out.size);
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

private:
  bool isWide() const { return outputType == isa::DType::F32; }
  /// Halves become F32; the rest of a maximum loses its input.
  bool copiesInput() const { return (pool.isMax && !ownsInputs) || !isWide(); }
};

/// The maximum of integers, or their mean: a sum that is brought to the scale
/// of the result.
class QuantizedPoolKernel : public PoolKernel {
public:
  QuantizedPoolKernel(const Pooling &pool, Value input, Value output)
      : PoolKernel(pool, input), from(*Quantization::of(input)),
        to(*Quantization::of(output)) {}
  int64_t scratchBytes(const Nchw &out, ArrayRef<Nchw>) const override {
    if (pool.isMax)
      return 0;
    return alignedBytes(out, isa::DType::I32) +
           (foldedWidth() == 0
                ? 0
                : alignedBytes(folded(out, foldedWidth()), isa::DType::I32));
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const WindowGeometry &g = pool.geometry;
    WindowFields fields = fieldsOf(tile);
    if (pool.isMax)
      return em.maxPool(tile.output, tile.inputs[0], fields);
    Local sum = aligned(tile.scratch, tile.output.size, isa::DType::I32);
    fields.padValue = from.zeroPoint;
    if (foldedWidth() > 0)
      sumPlanes(em, sum, tile.inputs[0], foldedWidth());
    else
      em.avgPool(sum, tile.inputs[0], fields, 1);
    RescaledMean mean = RescaledMean::of(from, to, g.h.kernel * g.w.kernel);
    em.requantize(tile.output, sum, float(mean.factor), float(mean.offset));
  }

private:
  static constexpr int64_t kLine = isa::kEuBytes;

  static Nchw folded(const Nchw &out, int64_t width) {
    return {out[0], out[1], 1, width};
  }

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

  /// Sums of whole planes: of the columns of a plane as rows of `width`, of
  /// what is left over, and then of the columns' sums by halves.
  void sumPlanes(Emitter &em, const Local &sum, const Local &in,
                 int64_t width) const {
    const int64_t plane = in.size[2] * in.size[3];
    // What is left over begins at a line, too.
    const int64_t rest = plane % kLine, rows = (plane - rest) / width;
    Local columns = aligned(sum.addr + alignedBytes(sum.size, isa::DType::I32),
                            folded(sum.size, width), isa::DType::I32);
    auto row = [](const Local &local, int64_t n, int64_t r, Nchw size,
                  int64_t begin) {
      size[1] = std::min(int64_t(isa::kLanes),
                         local.size[1] - r * int64_t(isa::kLanes));
      return aligned(local.addr +
                         (n * local.stride[0] + r * local.stride[1] + begin) *
                             int64_t(isa::bytes(local.dtype)),
                     size, local.dtype)
          .withSign(local.isSigned);
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
      Local some = columns;
      some.addr += begin * int64_t(isa::bytes(some.dtype));
      some.size[3] = count;
      some.layout = isa::Layout::Strided;
      return some;
    };
    for (int64_t half = width / 2; half > 1; half /= 2)
      em.ar(isa::ArOp::Add, part(0, half), part(0, half), part(half, half));
    Local last = sum;
    last.layout = isa::Layout::Strided;
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
        pool.isMax ? Reduction::Max : Reduction::Mean, pool.relu, pool.limit);
  for (const AxisWindow *axis : {&g.h, &g.w})
    if (axis->dilation > kMaxDilation)
      return op->emitError("expected dilations up to ")
             << kMaxDilation << " (the conversion unfolds others), got "
             << axis->dilation;
  PoolKernel kernel(pool, op.getInput());
  kernel.ownsInputs = true;
  if (emitTiles(em, op, kernel))
    return success();
  return op->emitError("expected a window that fits into local memory, got ")
         << g.h.kernel << " x " << g.w.kernel << " elements";
}

template <typename OpTy> SmallVector<KernelPtr> poolKernels(OpTy op) {
  Pooling pool = poolingOf(op);
  const WindowGeometry &g = pool.geometry;
  SmallVector<KernelPtr> kernels;
  for (const AxisWindow *axis : {&g.h, &g.w})
    if (axis->dilation > kMaxDilation)
      return kernels;
  if (!cutsFreely(g))
    return kernels;
  if (isQuantized(op.getInput()))
    kernels.push_back(std::make_unique<QuantizedPoolKernel>(pool, op.getInput(),
                                                            op.getOutput()));
  else if (g.h.kernel * g.w.kernel <= kMostWindow)
    kernels.push_back(std::make_unique<PoolKernel>(pool, op.getInput()));
  return kernels;
}

} // namespace

template <> LogicalResult emit(Emitter &em, tpu::Pool1DOp op) {
  return emitPoolOp(em, op);
}
template <> LogicalResult emit(Emitter &em, tpu::Pool2DOp op) {
  return emitPoolOp(em, op);
}

template <> SmallVector<KernelPtr> kernelsOf(tpu::Pool1DOp op, int64_t) {
  return poolKernels(op);
}
template <> SmallVector<KernelPtr> kernelsOf(tpu::Pool2DOp op, int64_t) {
  return poolKernels(op);
}

} // namespace tpumlir::codegen
