#include "tpumlir/codegen/Reduce.h"
#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Math.h"

#include "llvm/ADT/StringSwitch.h"

#include <limits>

using namespace mlir;

namespace tpumlir::codegen {

using isa::ArOp;

namespace {

Middle middleOf(ArrayRef<int64_t> shape, int64_t first, int64_t last) {
  return {top::elementsOf(shape.take_front(first)),
          top::elementsOf(shape.slice(first, last - first + 1)),
          top::elementsOf(shape.drop_front(last + 1))};
}

/// Tile of a reduction: outer in the lanes, depth as rows, inner as columns.
struct MiddleTile {
  int64_t outer, depth, inner;
};

constexpr int64_t kMaxField = 65535;

/// Cuts inner, then outer, then (if it may) depth until `buffers` tiles of the
/// input and two of the result fit.
std::optional<MiddleTile> cutMiddle(const Middle &m, int64_t laneBytes,
                                    int64_t buffers, bool mayCutDepth) {
  MiddleTile t{m.outer, m.depth, m.inner};
  auto fits = [&] {
    return std::max({t.outer, t.depth, t.inner}) <= kMaxField &&
           buffers * alignedBytes({1, t.outer, t.depth, t.inner}) +
                   4 * alignedBytes({1, t.outer, 1, t.inner}) <=
               laneBytes;
  };
  while (!fits())
    if (t.outer > isa::kLanes)
      t.outer = roundUp(ceilDiv(t.outer, 2), isa::kLanes);
    else if (t.inner > 16)
      t.inner = roundUp(ceilDiv(t.inner, 2), 16);
    else if (mayCutDepth && t.depth > 1)
      t.depth = ceilDiv(t.depth, 2);
    else if (t.inner > 1)
      t.inner = ceilDiv(t.inner, 2);
    else
      return std::nullopt;
  return t;
}

/// The whole column of rows under one window.
WindowFields columnOf(const Local &local) {
  WindowFields fields;
  fields.kernelH = local.size[2];
  return fields;
}

} // namespace

void emitMiddleReduction(Emitter &em, const MiddleReduction &r) {
  const Middle &m = r.shape;
  auto tile = cutMiddle(m, isa::kLaneBytes, 2, true);
  assert(tile && "one element always fits");
  bool isMin = r.kind == Reduction::Min;
  bool isExtremum = isMin || r.kind == Reduction::Max;

  LaneMemory memory;
  int64_t inputs[2], parts[2], results[2];
  Dims part{1, tile->outer, 1, tile->inner};
  for (int i = 0; i < 2; ++i) {
    inputs[i] =
        memory.take(alignedBytes({1, tile->outer, tile->depth, tile->inner}));
    parts[i] = memory.take(alignedBytes(part));
    results[i] = memory.take(alignedBytes(part));
  }

  std::vector<Step> steps;
  int64_t resultCount = 0;
  for (Range o : cut(m.outer, tile->outer))
    for (Range i : cut(m.inner, tile->inner)) {
      ++resultCount;
      for (Range k : cut(m.depth, tile->depth)) {
        int slot = steps.size() % 2;
        Local in = aligned(inputs[slot], {1, o.size, k.size, i.size});
        Local out = aligned(results[resultCount % 2], {1, o.size, 1, i.size});
        Local partial = aligned(parts[slot], out.size);
        bool first = k.begin == 0, last = k.begin + k.size == m.depth;
        Step step;
        step.load = [=, &em, &r] {
          const Middle &m = r.shape;
          em.load(
              r.input + 4 * ((o.begin * m.depth + k.begin) * m.inner + i.begin),
              {m.outer * m.depth * m.inner, m.depth * m.inner, m.inner, 1}, in);
        };
        step.compute = [=, &em, &r] {
          const Local &target = first ? out : partial;
          if (isMin) // the chip has no minimum over a window
            em.ar(ArOp::Mul, in, in, -1.0f);
          if (isExtremum)
            em.maxPool(target, in, columnOf(in));
          else
            em.avgPool(target, in, columnOf(in), 1.0f);
          if (!first)
            em.ar(isExtremum ? ArOp::Max : ArOp::Add, out, out, partial);
          if (!last)
            return;
          if (isMin)
            em.ar(ArOp::Mul, out, out, -1.0f);
          if (r.kind == Reduction::Mean)
            em.ar(ArOp::Mul, out, out, 1.0f / float(r.shape.depth));
          emitRelu(em, out, r.relu, r.limit);
        };
        if (last)
          step.store = [=, &em, &r] {
            const Middle &m = r.shape;
            em.store(out, r.output + 4 * (o.begin * m.inner + i.begin),
                     {m.outer * m.inner, m.inner, m.inner, 1});
          };
        steps.push_back(std::move(step));
      }
    }
  runSteps(steps);
}

LogicalResult emitReduce(Emitter &em, tpu::ReduceOp op) {
  auto axes = op.getAxes();
  ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  MiddleReduction reduction{};
  reduction.shape = axes.empty() ? Middle{1, 1, top::elementsOf(shape)}
                                 : middleOf(shape, axes.front(), axes.back());
  reduction.kind = llvm::StringSwitch<Reduction>(op.getMode())
                       .Case("ReduceMin", Reduction::Min)
                       .Case("ReduceMax", Reduction::Max)
                       .Case("ReduceMean", Reduction::Mean)
                       .Default(Reduction::Sum);
  reduction.input = addressOf(op.getInput());
  reduction.output = addressOf(op.getOutput());
  emitMiddleReduction(em, reduction);
  return success();
}

namespace {

/// What both softmax emitters share.
struct SoftmaxProblem {
  Middle shape;
  uint64_t input, output;
  float beta;
  bool log;
  Dims stride() const {
    const Middle &m = shape;
    return {m.outer * m.depth * m.inner, m.depth * m.inner, m.inner, 1};
  }
};

/// A softmax whose axis does not fit into local memory: per tile three passes
/// over parts of the axis: the maximum; the exponentials, stored, and their
/// sum; the quotients.
class LongSoftmax {
public:
  LongSoftmax(Emitter &em, Math &math, LaneMemory memory,
              const SoftmaxProblem &problem)
      : em(em), math(math), p(problem) {
    auto cutTile = cutMiddle(p.shape, memory.left() - kColumnSlack, 6, true);
    assert(cutTile && "one element always fits");
    tile = *cutTile;
    for (int64_t *buffers : {inputs, outputs, scratch})
      for (int i = 0; i < 2; ++i)
        buffers[i] =
            memory.take(alignedBytes({1, tile.outer, tile.depth, tile.inner}));
    for (int64_t &addr : columns)
      addr = memory.take(alignedBytes({1, tile.outer, 1, tile.inner}));
    assert(memory.left() >= 0 && "kColumnSlack covers the columns");
  }

  void emit() {
    for (Range o : cut(p.shape.outer, tile.outer))
      for (Range i : cut(p.shape.inner, tile.inner))
        for (int pass = 0; pass < 3; ++pass)
          for (Range k : cut(p.shape.depth, tile.depth))
            addStep(pass, o, k, i);
    runSteps(steps);
  }

private:
  /// cutMiddle counts four columns and there are six. One whose depth had to be
  /// cut has at most 16 elements per lane.
  static constexpr int64_t kColumnSlack = 2 * int64_t(isa::kEuBytes);

  void addStep(int pass, Range o, Range k, Range i) {
    const Middle &m = p.shape;
    int slot = steps.size() % 2;
    Dims size{1, o.size, k.size, i.size};
    Local x = aligned(inputs[slot], size), y = aligned(outputs[slot], size);
    Local t0 = aligned(scratch[0], size), t1 = aligned(scratch[1], size);
    std::array<Local, 6> c;
    for (int n = 0; n < 6; ++n)
      c[n] = aligned(columns[n], {1, o.size, 1, i.size});
    const Local greatest = c[0], sum = c[1], part = c[2], norm = c[3];
    bool first = k.begin == 0, last = k.begin + k.size == m.depth;
    uint64_t offset = 4 * ((o.begin * m.depth + k.begin) * m.inner + i.begin);
    bool reloads = pass == 2 && !p.log;

    Step step;
    step.load = [=, this] {
      em.load((reloads ? p.output : p.input) + offset, p.stride(), x);
    };
    step.compute = [=, this] {
      if (reloads)
        return em.ar(ArOp::Mul, y, x, norm);
      if (p.beta != 1.0f)
        em.ar(ArOp::Mul, x, x, p.beta);
      if (pass == 0) {
        em.maxPool(first ? greatest : part, x, columnOf(x));
        if (!first)
          em.ar(ArOp::Max, greatest, greatest, part);
        return;
      }
      em.ar(ArOp::Sub, x, x, greatest);
      if (pass == 2)
        return em.ar(ArOp::Sub, y, x, norm);
      math.exp(y, x, t0, t1);
      em.avgPool(first ? sum : part, y, columnOf(y), 1.0f);
      if (!first)
        em.ar(ArOp::Add, sum, sum, part);
      if (!last)
        return;
      if (p.log)
        math.log(norm, sum, part, c[4], c[5]);
      else
        em.div(norm, 1.0f, sum);
    };
    if (pass == 2 || (pass == 1 && !p.log))
      step.store = [=, this] { em.store(y, p.output + offset, p.stride()); };
    steps.push_back(std::move(step));
  }

  Emitter &em;
  Math &math;
  const SoftmaxProblem &p;
  MiddleTile tile;
  int64_t inputs[2], outputs[2], scratch[2], columns[6];
  std::vector<Step> steps;
};

} // namespace

LogicalResult emitSoftmax(Emitter &em, tpu::SoftmaxOp op) {
  int64_t axis = op.getAxis();
  Middle m = middleOf(top::shapeOf(op.getInput()), axis, axis);
  Math math(em);
  LaneMemory memory;
  SmallVector<Table, 2> tables{Table::Exp};
  if (op.getLog())
    tables.push_back(Table::Atanh);
  math.prepare(memory, tables);
  SoftmaxProblem problem{m, addressOf(op.getInput()), addressOf(op.getOutput()),
                         float(op.getBeta()), op.getLog()};
  // Two inputs and two results in turn, two scratch tensors.
  auto tile = cutMiddle(m, memory.left(), 6, false);
  if (!tile) {
    LongSoftmax(em, math, memory, problem).emit();
    return success();
  }
  Dims whole{1, tile->outer, tile->depth, tile->inner};
  Dims column{1, tile->outer, 1, tile->inner};
  int64_t inputs[2], outputs[2], scratch[2], columns[4];
  for (int i = 0; i < 2; ++i) {
    inputs[i] = memory.take(alignedBytes(whole));
    outputs[i] = memory.take(alignedBytes(whole));
    scratch[i] = memory.take(alignedBytes(whole));
  }
  for (int64_t &addr : columns)
    addr = memory.take(alignedBytes(column));
  uint64_t input = problem.input, output = problem.output;
  float beta = problem.beta;
  bool log = problem.log;
  Dims stride = problem.stride();

  std::vector<Step> steps;
  for (Range o : cut(m.outer, tile->outer))
    for (Range i : cut(m.inner, tile->inner)) {
      int slot = steps.size() % 2;
      Dims size{1, o.size, m.depth, i.size};
      Local x = aligned(inputs[slot], size), y = aligned(outputs[slot], size);
      Local t0 = aligned(scratch[0], size), t1 = aligned(scratch[1], size);
      Local c[4];
      for (int k = 0; k < 4; ++k)
        c[k] = aligned(columns[k], {1, o.size, 1, i.size});
      uint64_t offset = 4 * (o.begin * m.depth * m.inner + i.begin);
      Step step;
      step.load = [=, &em] { em.load(input + offset, stride, x); };
      step.compute = [=, &em, &math] {
        if (beta != 1.0f)
          em.ar(ArOp::Mul, x, x, beta);
        em.maxPool(c[0], x, columnOf(x));
        em.ar(ArOp::Sub, x, x, c[0]);
        math.exp(y, x, t0, t1);
        em.avgPool(c[0], y, columnOf(y), 1.0f);
        if (log) {
          math.log(c[1], c[0], c[2], c[3], aligned(scratch[0], c[0].size));
          return em.ar(ArOp::Sub, y, x, c[1]);
        }
        em.div(c[1], 1.0f, c[0]);
        em.ar(ArOp::Mul, y, y, c[1]);
      };
      step.store = [=, &em] { em.store(y, output + offset, stride); };
      steps.push_back(std::move(step));
    }
  runSteps(steps);
  return success();
}

} // namespace tpumlir::codegen
