#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Reduce.h"
#include "tpumlir/codegen/Window.h"

#include <limits>

using namespace mlir;

namespace tpumlir::codegen {

namespace {

struct Pooling {
  int64_t n, c;
  WindowGeometry geometry;
  uint64_t input, output;
  bool isMax, relu;
  double limit;
};

class PoolEmitter {
public:
  PoolEmitter(Emitter &em, const Pooling &pool) : em(em), pool(pool) {}

  LogicalResult emit(Operation *op) {
    const WindowGeometry &g = pool.geometry;
    for (const AxisWindow *axis : {&g.h, &g.w})
      if (axis->stride > 15)
        return op->emitError("expected strides up to 15, got ") << axis->stride;
    Dims t{pool.n, pool.c, g.h.out, g.w.out};
    while (bytes(t) > int64_t(isa::kLaneBytes))
      if (t[0] > 1)
        t[0] = ceilDiv(t[0], 2);
      else if (t[1] > isa::kLanes)
        t[1] = roundUp(ceilDiv(t[1], 2), isa::kLanes);
      else if (t[2] > 1)
        t[2] = ceilDiv(t[2], 2);
      else if (t[3] > 1)
        t[3] = ceilDiv(t[3], 2);
      else
        return op->emitError("expected a window that fits into local memory, "
                             "got ")
               << g.h.kernel << " x " << g.w.kernel << " elements";
    LaneMemory memory;
    auto [inH, inW] = g.inputExtent(t[2], t[3]);
    for (int i = 0; i < 2; ++i) {
      inputs[i] = memory.take(alignedBytes({t[0], t[1], inH, inW}));
      outputs[i] = memory.take(alignedBytes(t));
    }
    for (Range n : cut(pool.n, t[0]))
      for (Range c : cut(pool.c, t[1]))
        for (Range h : cut(g.h.out, t[2]))
          for (Range w : cut(g.w.out, t[3]))
            addTile(n, c, h, w);
    runSteps(steps);
    return success();
  }

private:
  int64_t bytes(const Dims &t) const {
    auto [inH, inW] = pool.geometry.inputExtent(t[2], t[3]);
    return 2 * (alignedBytes({t[0], t[1], inH, inW}) + alignedBytes(t));
  }

  void addTile(Range n, Range c, Range h, Range w) {
    const WindowGeometry &g = pool.geometry;
    int slot = steps.size() % 2;
    WindowTile tile = windowTile(g, h, w, inputs[slot], n.size, c.size);
    Local out = aligned(outputs[slot], {n.size, c.size, h.size, w.size});
    int64_t inPlane = g.h.in * g.w.in, outPlane = g.h.out * g.w.out;
    Step step;
    step.load = [=, this] {
      tile.load(em, pool.input + 4 * ((n.begin * pool.c + c.begin) * inPlane),
                pool.c * inPlane, inPlane);
    };
    step.compute = [=, this] {
      if (pool.isMax)
        em.maxPool(out, tile.local, tile.fields);
      else
        em.avgPool(out, tile.local, tile.fields,
                   1.0f / float(g.h.kernel * g.w.kernel));
      emitRelu(em, out, pool.relu, pool.limit);
    };
    step.store = [=, this] {
      em.store(out,
               pool.output + 4 * ((n.begin * pool.c + c.begin) * outPlane +
                                  h.begin * g.w.out + w.begin),
               {pool.c * outPlane, outPlane, g.w.out, 1});
    };
    steps.push_back(std::move(step));
  }

  Emitter &em;
  const Pooling &pool;
  int64_t inputs[2], outputs[2];
  std::vector<Step> steps;
};

/// One window over a whole plane, which need not fit into local memory.
void emitGlobalPool(Emitter &em, const Pooling &pool) {
  const WindowGeometry &g = pool.geometry;
  emitMiddleReduction(em, {{pool.n * pool.c, g.h.in * g.w.in, 1},
                           pool.isMax ? Reduction::Max : Reduction::Mean,
                           pool.input,
                           pool.output,
                           pool.relu,
                           pool.limit});
}

bool isGlobal(const AxisWindow &axis) {
  return axis.out == 1 && axis.padBegin == 0 && axis.kernel == axis.in;
}

template <typename OpTy> LogicalResult emitPoolOp(Emitter &em, OpTy op) {
  ArrayRef<int64_t> in = top::shapeOf(op.getInput());
  ArrayRef<int64_t> out = top::shapeOf(op.getOutput());
  auto kernel = op.getKernelShape(), stride = op.getStrides(),
       pads = op.getPads();
  Pooling pool{};
  pool.n = in[0];
  pool.c = in[1];
  pool.input = addressOf(op.getInput());
  pool.output = addressOf(op.getOutput());
  pool.isMax = op.getPoolMode() == tpu::PoolMode::Max;
  pool.relu = op.getDoRelu();
  pool.limit = op.getReluLimit();
  if (pool.isMax)
    pool.geometry.padValue = -std::numeric_limits<float>::infinity();
  AxisWindow *windows[] = {&pool.geometry.h, &pool.geometry.w};
  pool.geometry.h = {1, 1, 1, 1, 1, 0};
  size_t axes = kernel.size();
  for (size_t i = 0; i < axes; ++i)
    *windows[i + 2 - axes] = {in[i + 2], out[i + 2], kernel[i],
                              stride[i], 1,          pads[i]};
  if (isGlobal(pool.geometry.h) && isGlobal(pool.geometry.w)) {
    emitGlobalPool(em, pool);
    return success();
  }
  return PoolEmitter(em, pool).emit(op);
}

} // namespace

LogicalResult emitPool(Emitter &em, tpu::Pool1DOp op) {
  return emitPoolOp(em, op);
}
LogicalResult emitPool(Emitter &em, tpu::Pool2DOp op) {
  return emitPoolOp(em, op);
}

} // namespace tpumlir::codegen
