#include "tpumlir/codegen/Reduce.h"
#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/LocalKernel.h"
#include "tpumlir/codegen/Math.h"

#include <limits>

using namespace mlir;

namespace tpumlir::codegen {

using isa::ArOp;

Middle middleOf(ArrayRef<int64_t> shape, int64_t first, int64_t last) {
  return {top::elementsOf(shape.take_front(first)),
          top::elementsOf(shape.slice(first, last - first + 1)),
          top::elementsOf(shape.drop_front(last + 1))};
}

std::optional<MiddleTile>
cutMiddle(const Middle &m, int64_t laneBytes, bool mayCutDepth,
          llvm::function_ref<int64_t(const MiddleTile &)> bytes) {
  MiddleTile t{m.outer, m.depth, m.inner};
  auto fits = [&] {
    return std::max({t.outer, t.depth, t.inner}) <= kMaxField &&
           bytes(t) <= laneBytes;
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

Local rowsOf(const Local &x, int64_t begin, int64_t count) {
  Local rows = x;
  rows.addr += begin * x.stride[2] * int64_t(isa::bytes(x.dtype));
  rows.size[2] = count;
  rows.layout = isa::Layout::Strided;
  return rows;
}

void reduceRows(Emitter &em, ArOp op, const Local &x) {
  for (int64_t rows = x.size[2]; rows > 1;) {
    int64_t rest = rows / 2, kept = rows - rest;
    em.ar(op, rowsOf(x, 0, rest), rowsOf(x, 0, rest), rowsOf(x, kept, rest));
    rows = kept;
  }
}

WindowFields columnOf(const Local &local) {
  WindowFields fields;
  fields.kernelH = local.size[2];
  return fields;
}

bool isLongRow(const Local &x, const WindowFields &window) {
  const int64_t count = x.size[2] * x.size[3];
  return x.dtype == isa::DType::F32 &&
         window.kernelH * window.kernelW == count &&
         count >= 4 * int64_t(isa::euWidth(x.dtype));
}

void reduceLongRow(Emitter &em, bool isMax, const Local &res, const Local &x,
                   int64_t scratch) {
  const int64_t width = isa::euWidth(x.dtype), count = x.size[2] * x.size[3];
  const int64_t rows = ceilDiv(count, width), rest = rows * width - count;
  if (rest > 0) {
    Local behind = aligned(x.addr, {x.size[0], x.size[1], 1, count});
    behind.layout = isa::Layout::Strided;
    behind.addr += count * int64_t(isa::bytes(x.dtype));
    behind.size[3] = rest;
    em.copyLocal(behind,
                 isMax ? -std::numeric_limits<float>::infinity() : 0.0f);
  }
  Local folded = aligned(x.addr, {x.size[0], x.size[1], rows, width});
  Local part = aligned(scratch, vectorOf(x.size));
  WindowFields row;
  row.kernelW = width;
  if (isMax) {
    em.maxPool(part, folded, columnOf(folded));
    em.maxPool(res, part, row);
  } else {
    em.avgPool(part, folded, columnOf(folded), 1.0f);
    em.avgPool(res, part, row, 1.0f);
  }
}

void maskNan(Emitter &em, const Local &res, const Local &x) {
  // No number is less, but "less" holds for NaN (N7).
  em.mask(ArOp::SelectLess, res.as(x.dtype), x,
          -std::numeric_limits<float>::infinity());
}

void markNan(Emitter &em, const Local &marks, const Local &mask, const Local &x,
             const WindowFields &window) {
  maskNan(em, mask, x);
  em.avgPool(marks, mask, window, 1.0f);
}

void orBits(Emitter &em, const Local &res, const Local &a, const Local &b) {
  em.ar(ArOp::Or, res.as(isa::DType::I32), a.as(isa::DType::I32),
        b.as(isa::DType::I32));
}

namespace {

/// What brings two parts together.
ArOp combiner(Reduction kind) {
  switch (kind) {
  case Reduction::Min:
    return ArOp::Min;
  case Reduction::Max:
    return ArOp::Max;
  case Reduction::Prod:
    return ArOp::Mul;
  case Reduction::Mean:
  case Reduction::Sum:
    return ArOp::Add;
  }
  return ArOp::Add;
}

} // namespace

void emitMiddleReduction(Emitter &em, const MiddleReduction &r) {
  const Middle &m = r.shape;
  ArOp combine = combiner(r.kind);
  // Pooling sums floats only; of -infinity it makes the least finite number.
  isa::DType type = computeType(r.input.dtype);
  bool pools = combine == ArOp::Add && isa::isFloat(type);
  // A maximum or minimum loses NaN: where there is one is found out by itself.
  bool marks = (combine == ArOp::Max || combine == ArOp::Min) &&
               isa::isFloat(type) && m.depth > 1;
  auto bytes = [&](const MiddleTile &t) {
    return TileBuffers::bytes(r.input.dtype, t.whole()) +
           TileBuffers::bytes(r.output.dtype, t.column()) +
           alignedBytes(t.column()) + (pools ? vectorBytes(t.whole()) : 0) +
           (marks ? alignedBytes(t.whole()) + 2 * alignedBytes(t.column()) : 0);
  };
  auto tile = cutMiddle(m, isa::kLaneBytes, true, bytes);
  assert(tile && "one element always fits");

  LaneMemory memory;
  TileBuffers inputs(memory, r.input.dtype, tile->whole());
  TileBuffers results(memory, r.output.dtype, tile->column());
  int64_t part = memory.take(alignedBytes(tile->column()));
  int64_t vector = pools ? memory.take(vectorBytes(tile->whole())) : 0;
  int64_t mask = 0, mark = 0, partMark = 0;
  if (marks) {
    mask = memory.take(alignedBytes(tile->whole()));
    mark = memory.take(alignedBytes(tile->column()));
    partMark = memory.take(alignedBytes(tile->column()));
  }

  std::vector<Step> steps;
  int64_t resultCount = 0;
  for (Range o : cut(m.outer, tile->outer))
    for (Range i : cut(m.inner, tile->inner)) {
      ++resultCount;
      for (Range k : cut(m.depth, tile->depth)) {
        int64_t slot = int64_t(steps.size());
        Nchw whole{1, o.size, k.size, i.size}, column{1, o.size, 1, i.size};
        Local loaded = inputs.stored(slot, whole);
        Local in = inputs.computed(slot, whole);
        Local out = results.computed(resultCount, column);
        Local stored = results.stored(resultCount, column);
        Local partial = aligned(part, column, type);
        bool first = k.begin == 0, last = k.begin + k.size == m.depth;
        Step step;
        step.load = [=, &em, &r] {
          const Middle &m = r.shape;
          em.load(r.input + ((o.begin * m.depth + k.begin) * m.inner + i.begin),
                  {m.outer * m.depth * m.inner, m.depth * m.inner, m.inner, 1},
                  loaded);
        };
        step.compute = [=, &em, &r] {
          castTile(em, in, loaded);
          const Local &target = first ? out : partial;
          if (pools && isLongRow(in, columnOf(in))) {
            reduceLongRow(em, /*isMax=*/false, target, in, vector);
          } else if (pools) {
            em.avgPool(target, in, columnOf(in), 1.0f);
          } else {
            if (marks)
              markNan(em, aligned(first ? mark : partMark, column),
                      aligned(mask, whole), in, columnOf(in));
            reduceRows(em, combine, in);
            em.copyLocal(target, rowsOf(in, 0, 1));
          }
          if (!first)
            em.ar(combine, out, out, partial);
          if (marks && !first)
            orBits(em, aligned(mark, column), aligned(mark, column),
                   aligned(partMark, column));
          if (!last)
            return;
          if (marks)
            orBits(em, out, out, aligned(mark, column));
          if (r.kind == Reduction::Mean)
            em.ar(ArOp::Mul, out, out, 1.0f / float(r.shape.depth));
          emitRelu(em, out, r.relu, r.limit);
          castTile(em, stored, out);
        };
        if (last)
          step.store = [=, &em, &r] {
            const Middle &m = r.shape;
            em.store(stored, r.output + (o.begin * m.inner + i.begin),
                     {m.outer * m.inner, m.inner, m.inner, 1});
          };
        steps.push_back(std::move(step));
      }
    }
  runSteps(steps);
}

static Reduction kindOf(tpu::ReduceOp op) {
  switch (op.getMode()) {
  case top::ReduceMode::ReduceMin:
    return Reduction::Min;
  case top::ReduceMode::ReduceMax:
    return Reduction::Max;
  case top::ReduceMode::ReduceMean:
    return Reduction::Mean;
  case top::ReduceMode::ReduceProd:
    return Reduction::Prod;
  case top::ReduceMode::ReduceSum:
    return Reduction::Sum;
  case top::ReduceMode::ReduceL1:
  case top::ReduceMode::ReduceL2:
    break; // the verifier refuses norms
  }
  llvm_unreachable("no reduction of the chip");
}

template <> LogicalResult emit(Emitter &em, tpu::ReduceOp op) {
  auto axes = op.getAxes();
  ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  MiddleReduction reduction{};
  reduction.shape = axes.empty() ? Middle{1, 1, top::elementsOf(shape)}
                                 : middleOf(shape, axes.front(), axes.back());
  reduction.kind = kindOf(op);
  reduction.input = globalOf(op.getInput());
  reduction.output = globalOf(op.getOutput());
  emitMiddleReduction(em, reduction);
  return success();
}

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

/// What both softmax emitters share.
struct SoftmaxProblem {
  Middle shape;
  Global input, output;
  float beta;
  bool log;
  /// Bytes of what a tile needs, with so many scratch columns.
  int64_t bytes(const MiddleTile &tile, int64_t columns) const {
    return TileBuffers::bytes(input.dtype, tile.whole()) +
           TileBuffers::bytes(output.dtype, tile.whole()) +
           2 * alignedBytes(tile.whole()) +
           columns * alignedBytes(tile.column());
  }
  Nchw stride() const {
    const Middle &m = shape;
    return {m.outer * m.depth * m.inner, m.depth * m.inner, m.inner, 1};
  }
};

/// A softmax whose axis does not fit into local memory: per tile three passes
/// over parts of the axis: the maximum; the exponentials and their sum; the
/// quotients. An F32 result keeps the exponentials for the last pass; in halves
/// they would be rounded, so they are computed again.
class LongSoftmax {
public:
  LongSoftmax(Emitter &em, Math &math, LaneMemory memory,
              const SoftmaxProblem &problem)
      : em(em), math(math), p(problem) {
    auto cutTile =
        cutMiddle(p.shape, memory.left(), true, [&](const MiddleTile &t) {
          return p.bytes(t, std::size(columns));
        });
    assert(cutTile && "one element always fits");
    tile = *cutTile;
    inputs = TileBuffers(memory, p.input.dtype, tile.whole());
    outputs = TileBuffers(memory, p.output.dtype, tile.whole());
    for (int64_t &addr : scratch)
      addr = memory.take(alignedBytes(tile.whole()));
    for (int64_t &addr : columns)
      addr = memory.take(alignedBytes(tile.column()));
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
  void addStep(int pass, Range o, Range k, Range i) {
    const Middle &m = p.shape;
    int64_t slot = int64_t(steps.size());
    Nchw size{1, o.size, k.size, i.size};
    Local loaded = inputs.stored(slot, size), x = inputs.computed(slot, size);
    Local stored = outputs.stored(slot, size), y = outputs.computed(slot, size);
    Local t0 = aligned(scratch[0], size), t1 = aligned(scratch[1], size);
    std::array<Local, 6> c;
    for (int n = 0; n < 6; ++n)
      c[n] = aligned(columns[n], {1, o.size, 1, i.size});
    const Local greatest = c[0], sum = c[1], part = c[2], norm = c[3];
    bool first = k.begin == 0, last = k.begin + k.size == m.depth;
    int64_t offset = (o.begin * m.depth + k.begin) * m.inner + i.begin;
    bool keeps = !p.log && p.output.dtype == isa::DType::F32 &&
                 p.input.dtype == isa::DType::F32;
    bool reloads = pass == 2 && keeps;

    Step step;
    step.load = [=, this] {
      em.load((reloads ? p.output : p.input) + offset, p.stride(), loaded);
    };
    step.compute = [=, this] {
      if (reloads)
        return em.ar(ArOp::Mul, y, x, norm);
      castTile(em, x, loaded);
      if (p.beta != 1.0f)
        em.ar(ArOp::Mul, x, x, p.beta);
      if (pass == 0) {
        em.maxPool(first ? greatest : part, x, columnOf(x));
        if (!first)
          em.ar(ArOp::Max, greatest, greatest, part);
        return;
      }
      em.ar(ArOp::Sub, x, x, greatest);
      if (pass == 2) {
        if (p.log) {
          em.ar(ArOp::Sub, y, x, norm);
        } else {
          math.exp(y, x, t0, t1);
          em.ar(ArOp::Mul, y, y, norm);
        }
        return castTile(em, stored, y);
      }
      math.exp(y, x, t0, t1);
      em.avgPool(first ? sum : part, y, columnOf(y), 1.0f);
      if (!first)
        em.ar(ArOp::Add, sum, sum, part);
      if (!last)
        return;
      if (p.log)
        math.log(norm, sum, part, c[4], c[5]);
      else
        math.quotient(norm, 1.0f, sum);
    };
    if (pass == 2 || (pass == 1 && keeps))
      step.store = [=, this] {
        em.store(stored, p.output + offset, p.stride());
      };
    steps.push_back(std::move(step));
  }

  Emitter &em;
  Math &math;
  const SoftmaxProblem &p;
  MiddleTile tile;
  TileBuffers inputs, outputs;
  int64_t scratch[2], columns[6];
  std::vector<Step> steps;
};

} // namespace

template <> LogicalResult emit(Emitter &em, tpu::SoftmaxOp op) {
  int64_t axis = op.getAxis();
  Middle m = middleOf(top::shapeOf(op.getInput()), axis, axis);
  Math math(em);
  math.roundsTo(op.getLog() ? isa::DType::F32 : dtypeOf(op.getOutput()));
  LaneMemory memory;
  SmallVector<Table, 2> tables{Table::Exp};
  if (op.getLog())
    tables.push_back(Table::Atanh);
  math.prepare(memory, tables);
  SoftmaxProblem problem{m, globalOf(op.getInput()), globalOf(op.getOutput()),
                         float(op.getBeta()), op.getLog()};
  int64_t columns[4];
  // With few of the outer elements the inner ones are spread over the lanes, in
  // pieces: what stands in the lanes is then a piece of one outer element.
  const int64_t lanes = isa::kLanes;
  const bool spreads = m.outer < lanes / 2 && m.inner >= lanes;
  const int64_t width = spreads ? ceilDiv(m.inner, lanes) : m.inner;
  Middle inLanes = m;
  if (spreads)
    inLanes = {m.inner / width, m.depth, width};
  auto tile =
      cutMiddle(inLanes, memory.left(), false, [&](const MiddleTile &t) {
        return problem.bytes(t, std::size(columns));
      });
  if (!tile) {
    LongSoftmax(em, math, memory, problem).emit();
    return success();
  }
  struct Part {
    int64_t offset;
    Nchw size, stride;
  };
  SmallVector<Part> parts;
  Nchw stride = problem.stride();
  if (spreads) {
    stride[1] = width;
    for (int64_t o = 0; o < m.outer; ++o) {
      int64_t begin = o * m.depth * m.inner;
      int64_t rest = m.inner % width, whole = m.inner - rest;
      for (Range c : cut(m.inner / width, tile->outer))
        for (Range i : cut(width, tile->inner))
          parts.push_back({begin + c.begin * width + i.begin,
                           {1, c.size, m.depth, i.size},
                           stride});
      for (Range i : cut(rest, tile->inner))
        parts.push_back(
            {begin + whole + i.begin, {1, 1, m.depth, i.size}, stride});
    }
  } else {
    for (Range o : cut(m.outer, tile->outer))
      for (Range i : cut(m.inner, tile->inner))
        parts.push_back({o.begin * m.depth * m.inner + i.begin,
                         {1, o.size, m.depth, i.size},
                         stride});
  }
  TileBuffers inputs(memory, problem.input.dtype, tile->whole());
  TileBuffers outputs(memory, problem.output.dtype, tile->whole());
  int64_t scratch[2];
  for (int64_t &addr : scratch)
    addr = memory.take(alignedBytes(tile->whole()));
  for (int64_t &addr : columns)
    addr = memory.take(alignedBytes(tile->column()));
  Global input = problem.input, output = problem.output;
  float beta = problem.beta;
  bool log = problem.log;

  std::vector<Step> steps;
  for (const Part &part : parts) {
    int64_t slot = int64_t(steps.size());
    const Nchw size = part.size, stride = part.stride;
    Local loaded = inputs.stored(slot, size), x = inputs.computed(slot, size);
    Local stored = outputs.stored(slot, size), y = outputs.computed(slot, size);
    Local t0 = aligned(scratch[0], size), t1 = aligned(scratch[1], size);
    std::array<Local, 4> c;
    for (int k = 0; k < 4; ++k)
      c[k] = aligned(columns[k], {1, size[1], 1, size[3]});
    int64_t offset = part.offset;
    Step step;
    step.load = [=, &em] { em.load(input + offset, stride, loaded); };
    step.compute = [=, &em, &math] {
      castTile(em, x, loaded);
      softmaxTile(em, math, columnOf(x), beta, log, y, x, t0, t1, c);
      castTile(em, stored, y);
    };
    step.store = [=, &em] { em.store(stored, output + offset, stride); };
    steps.push_back(std::move(step));
  }
  runSteps(steps);
  return success();
}

//===----------------------------------------------------------------------===//
// Local form
//===----------------------------------------------------------------------===//

namespace {

/// Longer sums are made in parts, see emitMiddleReduction.
constexpr int64_t kMostSummed = 4096;

WindowFields rowWindow(int64_t columns) {
  WindowFields window;
  window.kernelW = columns;
  return window;
}

/// Sum or mean of the columns of each row.
class RowSumKernel : public LocalKernel {
public:
  RowSumKernel(tpu::ReduceOp op, const LaneView &in, const LaneView &out)
      : isMean(kindOf(op) == Reduction::Mean),
        isPlane(op.getAxes().size() == 2) {
    inputs.push_back({op.getInput(), in});
    output = out;
    outputType = dtypeOf(op.getOutput());
    channels = {0, out.size[1]};
  }

  /// The result has an element for each row of the input, or for each plane, in
  /// its lane.
  static bool takes(tpu::ReduceOp op, const LaneView &in, const LaneView &out) {
    Reduction kind = kindOf(op);
    auto axes = op.getAxes();
    SmallVector<int> lanes = laneAxes(top::shapeOf(op.getInput()));
    if ((kind != Reduction::Sum && kind != Reduction::Mean) ||
        !isa::isFloat(dtypeOf(op.getInput())) || axes.empty() ||
        lanes[axes.back()] != 3)
      return false;
    if (axes.size() == 1)
      return in.size[3] <= kMostSummed &&
             out.size == Nchw{in.size[0], in.size[1], in.size[2], 1};
    return axes.size() == 2 && lanes[axes[0]] == 2 &&
           in.size[2] * in.size[3] <= kMostSummed &&
           out.size == Nchw{in.size[0], in.size[1], 1, 1};
  }

  Range inputRows(size_t input, Range rows) const override {
    return isPlane ? Range{0, inputs[0].view.size[2]}
                   : LocalKernel::inputRows(input, rows);
  }
  int64_t scratchBytes(const Nchw &out, ArrayRef<Nchw> in) const override {
    return (dtypeOf(inputs[0].value) == isa::DType::F32 ? 0
                                                        : alignedBytes(in[0])) +
           (outputType == isa::DType::F32 ? 0 : alignedBytes(out)) +
           vectorBytes(isPlane ? rowOf(in[0]) : in[0]);
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    LaneMemory memory(tile.scratch);
    Local in = tile.inputs[0], out = tile.output;
    if (in.dtype != isa::DType::F32) {
      in = aligned(memory.take(alignedBytes(in.size)), in.size);
      castTile(em, in, tile.inputs[0]);
    }
    if (isPlane) // its rows follow each other
      in = aligned(in.addr, rowOf(in.size));
    if (out.dtype != isa::DType::F32)
      out = aligned(memory.take(alignedBytes(out.size)), out.size);
    if (isLongRow(in, rowWindow(in.size[3])))
      reduceLongRow(em, /*isMax=*/false, out, in,
                    memory.take(vectorBytes(in.size)));
    else
      em.avgPool(out, in, rowWindow(in.size[3]), 1.0f);
    if (isMean)
      em.ar(ArOp::Mul, out, out, 1.0f / float(in.size[3]));
    castTile(em, tile.output, out);
  }

private:
  /// A plane as one row.
  static Nchw rowOf(const Nchw &size) {
    return {size[0], size[1], 1, size[2] * size[3]};
  }

  bool isMean;
  bool isPlane; ///< rows too
};

/// Over the columns of each row.
class SoftmaxKernel : public LocalKernel {
public:
  SoftmaxKernel(tpu::SoftmaxOp op, const LaneView &view)
      : beta(float(op.getBeta())), log(op.getLog()) {
    inputs.push_back({op.getInput(), view});
    output = view;
    outputType = dtypeOf(op.getOutput());
    channels = {0, view.size[1]};
    tables = {Table::Exp};
    if (log)
      tables.push_back(Table::Atanh);
  }

  int64_t scratchBytes(const Nchw &out, ArrayRef<Nchw>) const override {
    Nchw column = out;
    column[3] = 1;
    return (outputType == isa::DType::F32 ? 3 : 4) * alignedBytes(out) +
           4 * alignedBytes(column);
  }
  void emit(Emitter &em, Math &math, const KernelTile &tile) const override {
    LaneMemory memory(tile.scratch);
    Nchw size = tile.output.size, column = size;
    column[3] = 1;
    auto take = [&](const Nchw &of) {
      return aligned(memory.take(alignedBytes(of)), of);
    };
    Local x = take(size), t0 = take(size), t1 = take(size);
    std::array<Local, 4> columns;
    for (Local &local : columns)
      local = take(column);
    Local y = outputType == isa::DType::F32 ? tile.output : take(size);
    if (tile.inputs[0].dtype == x.dtype)
      em.copyLocal(x, tile.inputs[0]);
    else
      castTile(em, x, tile.inputs[0]);
    math.roundsTo(log ? isa::DType::F32 : outputType);
    softmaxTile(em, math, rowWindow(size[3]), beta, log, y, x, t0, t1, columns);
    math.roundsTo(isa::DType::F32);
    castTile(em, tile.output, y);
  }

private:
  float beta;
  bool log;
};

} // namespace

template <> SmallVector<KernelPtr> kernelsOf(tpu::ReduceOp op, int64_t) {
  SmallVector<KernelPtr> kernels;
  auto in = LaneView::of(top::shapeOf(op.getInput()));
  auto out = LaneView::of(top::shapeOf(op.getOutput()));
  if (!in || !out)
    return kernels;
  // Without the axis that is gone, the rows may count as columns.
  if (out->size[2] * out->size[3] == in->size[2] &&
      out->size[1] == in->size[1] && out->size[0] == in->size[0]) {
    out->size = {in->size[0], in->size[1], in->size[2], 1};
    out->stride = denseStrides(out->size);
  }
  if (RowSumKernel::takes(op, *in, *out))
    kernels.push_back(std::make_unique<RowSumKernel>(op, *in, *out));
  return kernels;
}

template <>
KernelPtr matrixKernelOf(tpu::SoftmaxOp op, const MatrixTensors &matrices) {
  auto view = LaneView::of(matrices.shapeOf(op.getOutput()));
  if (op.getAxis() != top::rankOf(op.getInput()) - 1 ||
      !isa::isFloat(dtypeOf(op.getInput())))
    return nullptr;
  return std::make_unique<SoftmaxKernel>(op, *view);
}

template <> SmallVector<KernelPtr> kernelsOf(tpu::SoftmaxOp op, int64_t) {
  SmallVector<KernelPtr> kernels;
  ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  auto view = LaneView::of(shape);
  if (view && laneAxes(shape)[op.getAxis()] == 3 &&
      isa::isFloat(dtypeOf(op.getInput())))
    kernels.push_back(std::make_unique<SoftmaxKernel>(op, *view));
  return kernels;
}

} // namespace tpumlir::codegen
