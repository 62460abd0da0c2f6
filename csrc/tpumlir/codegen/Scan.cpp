#include "tpumlir/codegen/Alone.h"
#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Reduce.h"

using namespace mlir;

namespace tpumlir::codegen {

using isa::ArOp;
using isa::DType;

namespace {

/// The place of the best element of each column, whose rows may come in parts.
class ArgKernel : public LocalKernel {
public:
  ArgKernel(tpu::ArgOp op, const Middle &m)
      : LocalKernel(op.getInput(), wholeOf(m), op->getResult(0), columnsOf(m)),
        isMax(op.getMode() == top::ArgMode::ArgMax),
        isLast(op.getSelectLastIndex()),
        type(computeType(dtypeOf(op.getInput()))) {
    needs = Rows::InParts;
    ownsInputs = true;
  }

  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    LaneMemory &memory = tile.scratch;
    Columns columns; // the best one stays from part to part
    for (int64_t &addr : columns)
      addr = memory.take(alignedBytes(tile.output.size));
    const Local x = widened(em, memory, tile.inputs[0]);
    const int64_t bytes = alignedBytes(x.size);
    const int64_t first = memory.take(bytes), second = memory.take(bytes);
    part(em, columns, x, first, second, tile.part.begin);
    keep(em, columns, tile.output, tile.part.first);
  }

private:
  static constexpr int kColumns = 6;
  using Columns = std::array<int64_t, kColumns>;

  bool isFloat() const { return isa::isFloat(type); }

  /// The best element of each column of `x` into column 0, its place in the
  /// axis into column 1.
  void part(Emitter &em, const Columns &columns, const Local &x, int64_t first,
            int64_t second, int64_t begin) const {
    Nchw column = x.size;
    column[2] = 1;
    Local t = aligned(first, x.size, type);
    Local index = aligned(second, x.size, DType::I32);
    Local best = aligned(columns[0], column, type);
    Local mark = aligned(columns[4], column);
    if (isFloat())
      markNan(em, mark, aligned(second, x.size), x, columnOf(x));
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
    em.copyLocal(aligned(columns[1], column, DType::I32), rowsOf(index, 0, 1));
  }

  /// Takes the part's best if it beats what is kept in column 2 and `result`.
  void keep(Emitter &em, const Columns &columns, const Local &result,
            bool first) const {
    auto at = [&](int i, DType dtype) {
      return aligned(columns[i], result.size, dtype);
    };
    Local value = at(0, type), kept = at(2, type), place = at(1, DType::I32);
    if (first) {
      em.copyLocal(kept, value);
      em.copyLocal(result, place);
      return;
    }
    Local take = at(3, DType::I32);
    const Local &high = isMax == isLast ? kept : value;
    const Local &low = isMax == isLast ? value : kept;
    em.mask(ArOp::SelectGreat, take, high, low);
    if (isFloat()) {
      // NaN beats numbers.
      Local better = at(4, DType::I32);
      Local other = at(5, DType::I32);
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

  bool isMax, isLast;
  DType type;
};

/// Sums over distances of 1, 2, 4 ... rows; what the rows of earlier parts sum
/// up to is added last.
class CumSumKernel : public LocalKernel {
public:
  CumSumKernel(tpu::CumSumOp op, const Middle &m)
      : LocalKernel(op.getInput(), wholeOf(m), op.getOutput(), wholeOf(m)) {
    needs = Rows::InParts;
    ownsInputs = true;
  }

  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Nchw size = tile.output.size;
    const DType type = computeType(outputType);
    auto take = [&](const Nchw &of) { return tile.scratch.tensor(of, type); };
    Local carry = take({1, size[1], 1, size[3]}), other = take(size);
    Local from = tile.inputs[0], y = tile.output;
    if (type != outputType) {
      from = take(size);
      y = take(size);
    }
    castTile(em, from, tile.inputs[0]);
    const int64_t rows = size[2];
    int64_t passes = 0;
    for (int64_t d = 1; d < rows; d *= 2, ++passes) {
      Local to = passes % 2 ? other : y;
      em.ar(ArOp::Add, rowsOf(to, d, rows - d), rowsOf(from, d, rows - d),
            rowsOf(from, 0, rows - d));
      em.copyLocal(rowsOf(to, 0, d), rowsOf(from, 0, d));
      from = to;
    }
    if (!tile.part.first)
      em.ar(ArOp::Add, y, from, carry);
    else if (from.addr != y.addr)
      em.copyLocal(y, from);
    if (!tile.part.last)
      em.copyLocal(carry, rowsOf(y, rows - 1, 1));
    castTile(em, tile.output, y);
  }
};

} // namespace

template <> LogicalResult emit(Emitter &em, tpu::ArgOp op) {
  const ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  const Middle m = middleOf(shape, op.getAxis(), op.getAxis());
  return success(emitTiles(em, op, ArgKernel(op, m)));
}

template <> LogicalResult emit(Emitter &em, tpu::CumSumOp op) {
  const ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  const Middle m = middleOf(shape, op.getAxis(), op.getAxis());
  return success(emitTiles(em, op, CumSumKernel(op, m)));
}

} // namespace tpumlir::codegen
