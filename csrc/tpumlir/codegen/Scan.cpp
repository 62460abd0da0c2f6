#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Reduce.h"

using namespace mlir;

namespace tpumlir::codegen {

using isa::ArOp;
using isa::DType;

namespace {

Nchw stridesOf(const Middle &m) {
  return {m.outer * m.depth * m.inner, m.depth * m.inner, m.inner, 1};
}

/// What an Arg op keeps of the parts of its axis that were seen: the best
/// element of each column and its place.
class ArgEmitter {
public:
  ArgEmitter(Emitter &em, tpu::ArgOp op)
      : em(em),
        m(middleOf(top::shapeOf(op.getInput()), op.getAxis(), op.getAxis())),
        input(globalOf(op.getInput())), output(globalOf(op.getOutput())),
        isMax(op.getMode() == top::ArgMode::ArgMax),
        isLast(op.getSelectLastIndex()), type(computeType(input.dtype)) {}

  void emit() {
    auto bytes = [&](const MiddleTile &t) {
      return TileBuffers::bytes(input.dtype, t.whole()) +
             2 * alignedBytes(t.whole()) + kColumns * alignedBytes(t.column()) +
             2 * alignedBytes(t.column());
    };
    auto tile = cutMiddle(m, isa::kLaneBytes, true, bytes);
    assert(tile && "one element always fits");
    LaneMemory memory;
    inputs = TileBuffers(memory, input.dtype, tile->whole());
    for (int64_t &addr : scratch)
      addr = memory.take(alignedBytes(tile->whole()));
    for (int64_t &addr : columns)
      addr = memory.take(alignedBytes(tile->column()));
    results = TileBuffers(memory, DType::I32, tile->column());
    for (Range o : cut(m.outer, tile->outer))
      for (Range i : cut(m.inner, tile->inner)) {
        ++resultCount;
        for (Range k : cut(m.depth, tile->depth))
          addStep(o, k, i);
      }
    runSteps(steps);
  }

private:
  static constexpr int kColumns = 6;

  void addStep(Range o, Range k, Range i) {
    int64_t slot = int64_t(steps.size());
    Nchw whole{1, o.size, k.size, i.size}, column{1, o.size, 1, i.size};
    Local loaded = inputs.stored(slot, whole), x = inputs.computed(slot, whole);
    Local result = results.stored(resultCount, column);
    bool first = k.begin == 0, last = k.begin + k.size == m.depth;
    Step step;
    step.load = [=, this] {
      em.load(input + ((o.begin * m.depth + k.begin) * m.inner + i.begin),
              stridesOf(m), loaded);
    };
    step.compute = [=, this] {
      castTile(em, x, loaded);
      part(x, k.begin);
      keep(column, result, first);
    };
    if (last)
      step.store = [=, this] {
        em.store(result, output + (o.begin * m.inner + i.begin),
                 {m.outer * m.inner, m.inner, m.inner, 1});
      };
    steps.push_back(std::move(step));
  }

  bool isFloat() const { return isa::isFloat(type); }

  Local columnAt(int i, const Nchw &size, DType dtype) const {
    return aligned(columns[i], size, dtype);
  }

  /// The best element of each column of `x` into column 0, its place in the
  /// axis into column 1.
  void part(const Local &x, int64_t begin) {
    Nchw column = x.size;
    column[2] = 1;
    Local t = aligned(scratch[0], x.size, type);
    Local index = aligned(scratch[1], x.size, DType::I32);
    Local best = columnAt(0, column, type);
    Local mark = columnAt(4, column, DType::F32);
    if (isFloat())
      markNan(em, mark, aligned(scratch[1], x.size), x, columnOf(x));
    em.copyLocal(t, x);
    reduceRows(em, isMax ? ArOp::Max : ArOp::Min, t);
    em.copyLocal(best, rowsOf(t, 0, 1));
    if (isFloat())
      orBits(em, best, best, mark);
    em.copyLocal(rowsOf(index, 0, 1), Operand::integer(int32_t(begin)));
    for (int64_t done = 1; done < x.size[2]; done *= 2) {
      int64_t more = std::min(done, x.size[2] - done);
      em.ar(ArOp::Add, rowsOf(index, done, more), rowsOf(index, 0, more),
            Operand::integer(int32_t(done)));
    }
    // Places of other elements become the number that cannot be chosen: -1, or
    // the greatest where the first one counts.
    Local others = t.as(DType::I32);
    em.mask(ArOp::SelectGreat, others, isMax ? Operand(best) : Operand(x),
            isMax ? Operand(x) : Operand(best));
    if (isFloat()) {
      // Beside NaN the others are the numbers, which no comparison has found.
      Local isNan = x.as(DType::I32);
      maskNan(em, mark, best);
      maskNan(em, isNan, x);
      em.ar(ArOp::Xor, others, others, isNan);
      em.ar(ArOp::Xor, others, others, mark.as(DType::I32));
    }
    if (!isLast)
      em.ar(ArOp::And, others, others,
            Operand::integer(std::numeric_limits<int32_t>::max()));
    em.ar(ArOp::Or, index, index, others);
    reduceRows(em, isLast ? ArOp::Max : ArOp::Min, index);
    em.copyLocal(columnAt(1, column, DType::I32), rowsOf(index, 0, 1));
  }

  /// Takes the part's best if it beats what is kept in column 2 and `result`.
  void keep(const Nchw &column, const Local &result, bool first) {
    Local value = columnAt(0, column, type), kept = columnAt(2, column, type);
    Local place = columnAt(1, column, DType::I32);
    if (first) {
      em.copyLocal(kept, value);
      em.copyLocal(result, place);
      return;
    }
    Local take = columnAt(3, column, DType::I32);
    const Local &high = isMax == isLast ? kept : value;
    const Local &low = isMax == isLast ? value : kept;
    em.mask(ArOp::SelectGreat, take, high, low);
    if (isFloat()) {
      // NaN beats numbers.
      Local better = columnAt(4, column, DType::I32);
      Local other = columnAt(5, column, DType::I32);
      maskNan(em, better, isLast ? kept : value);
      maskNan(em, other, isLast ? value : kept);
      em.ar(ArOp::Or, better, better, other);
      em.ar(ArOp::Xor, better, better, other);
      em.ar(ArOp::Or, take, take, better);
    }
    if (isLast) // also of equal ones
      em.ar(ArOp::Xor, take, take, Operand::integer(-1));
    for (auto [old, part] :
         {std::pair(kept.as(DType::I32), value.as(DType::I32)),
          std::pair(result, place)}) {
      em.ar(ArOp::Xor, part, part, old);
      em.ar(ArOp::And, part, part, take);
      em.ar(ArOp::Xor, old, old, part);
    }
  }

  Emitter &em;
  Middle m;
  Global input, output;
  bool isMax, isLast;
  DType type;
  TileBuffers inputs, results;
  int64_t scratch[2], columns[kColumns];
  int64_t resultCount = 0;
  std::vector<Step> steps;
};

} // namespace

template <> LogicalResult emit(Emitter &em, tpu::ArgOp op) {
  ArgEmitter(em, op).emit();
  return success();
}

/// Sums over distances of 1, 2, 4 ... rows; what the rows of earlier tiles sum
/// up to is added last.
template <> LogicalResult emit(Emitter &em, tpu::CumSumOp op) {
  Middle m = middleOf(top::shapeOf(op.getInput()), op.getAxis(), op.getAxis());
  Global input = globalOf(op.getInput()), output = globalOf(op.getOutput());
  DType type = computeType(input.dtype);
  auto tile = cutMiddle(m, isa::kLaneBytes, true, [&](const MiddleTile &t) {
    return TileBuffers::bytes(input.dtype, t.whole()) +
           TileBuffers::bytes(output.dtype, t.whole()) +
           alignedBytes(t.whole()) + alignedBytes(t.column());
  });
  assert(tile && "one element always fits");
  LaneMemory memory;
  TileBuffers inputs(memory, input.dtype, tile->whole());
  TileBuffers outputs(memory, output.dtype, tile->whole());
  int64_t scratch = memory.take(alignedBytes(tile->whole()));
  int64_t carried = memory.take(alignedBytes(tile->column()));
  std::vector<Step> steps;
  for (Range o : cut(m.outer, tile->outer))
    for (Range i : cut(m.inner, tile->inner))
      for (Range k : cut(m.depth, tile->depth)) {
        int64_t slot = int64_t(steps.size());
        Nchw size{1, o.size, k.size, i.size};
        Local loaded = inputs.stored(slot, size),
              x = inputs.computed(slot, size);
        Local stored = outputs.stored(slot, size);
        Local y = outputs.computed(slot, size);
        Local other = aligned(scratch, size, type);
        Local carry = aligned(carried, {1, o.size, 1, i.size}, type);
        int64_t at = (o.begin * m.depth + k.begin) * m.inner + i.begin;
        bool first = k.begin == 0, last = k.begin + k.size == m.depth;
        Step step;
        step.load = [=, &em] { em.load(input + at, stridesOf(m), loaded); };
        step.compute = [=, &em] {
          castTile(em, x, loaded);
          int64_t rows = k.size, passes = 0;
          Local from = x;
          for (int64_t d = 1; d < rows; d *= 2, ++passes) {
            Local to = passes % 2 ? other : y;
            em.ar(ArOp::Add, rowsOf(to, d, rows - d), rowsOf(from, d, rows - d),
                  rowsOf(from, 0, rows - d));
            em.copyLocal(rowsOf(to, 0, d), rowsOf(from, 0, d));
            from = to;
          }
          if (!first)
            em.ar(ArOp::Add, y, from, carry);
          else if (from.addr != y.addr)
            em.copyLocal(y, from);
          if (!last)
            em.copyLocal(carry, rowsOf(y, rows - 1, 1));
          castTile(em, stored, y);
        };
        step.store = [=, &em] { em.store(stored, output + at, stridesOf(m)); };
        steps.push_back(std::move(step));
      }
  runSteps(steps);
  return success();
}

} // namespace tpumlir::codegen
