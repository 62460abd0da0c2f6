#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Reduce.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace tpumlir::codegen {

using isa::ArOp;
using isa::DType;

namespace {

/// Added to the place of NaN, which is sorted as infinity: before every
/// infinity, or behind it.
constexpr int32_t kFirst = std::numeric_limits<int32_t>::min();
constexpr int32_t kLast = 1 << 30;
constexpr int32_t kPlace = kLast - 1; ///< bits of a place

/// Sorts lists, each in a lane, together with the places of their elements, by
/// Batcher's odd-even merge sort: the comparisons of a stage have strides, so a
/// stage is a few commands on all of them.
class Sorter {
public:
  /// Lists of `length` elements, a power of two.
  Sorter(Emitter &em, DType type, int64_t length, bool largest)
      : em(em), type(computeType(type)), length(length), largest(largest),
        pitch(roundUp(length, isa::euWidth(this->type))) {}

  static constexpr int kTensors = 6;
  int64_t laneBytes() const { return 4 * pitch; } ///< of a tensor, per list

  /// `lists` of them; the tensors lie one after another from `addr` on.
  void place(int64_t addr, int64_t lists) {
    this->lists = lists;
    int64_t bytes = ceilDiv(lists, isa::kLanes) * laneBytes();
    for (int i = 0; i < kTensors; ++i)
      tensors[i] = addr + i * bytes;
  }

  /// Elements [begin, begin + count) of every list and their places.
  Local values(int64_t begin, int64_t count) const {
    return view(0, type, begin, {1, count}, {0, 0});
  }
  Local places(int64_t begin, int64_t count) const {
    return view(1, DType::I32, begin, {1, count}, {0, 0});
  }
  /// Where the stored form of the elements can stand while none is sorted.
  int64_t spare() const { return tensors[2]; }

  /// Numbers the elements from `first` on.
  void number(int64_t first) {
    em.copyLocal(places(0, 1), Operand::integer(int32_t(first)));
    for (int64_t done = 1; done < length; done *= 2)
      em.ar(ArOp::Add, places(done, done), places(0, done),
            Operand::integer(int32_t(done)));
  }

  /// NaN among the first `count` elements becomes infinity with another place;
  /// the elements behind them come last.
  void hideNan(int64_t count) {
    Local x = view(0, DType::I32, 0, {1, count}, {0, 0});
    Local isNan = view(2, DType::I32, 0, {1, count}, {0, 0});
    Local t = view(3, DType::I32, 0, {1, count}, {0, 0});
    maskNan(em, isNan, values(0, count));
    em.ar(ArOp::And, t, isNan, Operand::integer(~kInfinityBits));
    em.ar(ArOp::Or, x, x, isNan);
    em.ar(ArOp::Xor, x, x, t);
    em.ar(ArOp::And, isNan, isNan, Operand::integer(largest ? kFirst : kLast));
    em.ar(ArOp::Or, places(0, count), places(0, count), isNan);
    if (count < length)
      em.copyLocal(places(count, length - count),
                   Operand::integer(std::numeric_limits<int32_t>::max()));
  }
  /// Undoes that in the first `count` elements of the sorted lists.
  void showNan(int64_t count) {
    Local x = view(0, DType::I32, 0, {1, count}, {0, 0});
    Local isNan = view(2, DType::I32, 0, {1, count}, {0, 0});
    Local place = places(0, count);
    if (largest)
      em.mask(ArOp::SelectGreat, isNan, Operand::integer(0), place);
    else
      em.mask(ArOp::SelectGreat, isNan, place, Operand::integer(kPlace));
    em.ar(ArOp::Or, x, x, isNan);
    em.ar(ArOp::And, place, place, Operand::integer(kPlace));
  }

  void sort() {
    for (int64_t part = 1; part < length; part *= 2) {
      compare(0, part, {length / (2 * part), 1}, {2 * part, 0});
      for (int64_t step = part / 2; step > 0; step /= 2)
        compare(step, step, {length / (2 * part), part / step - 1},
                {2 * part, 2 * step});
    }
  }

private:
  using Pair = std::array<int64_t, 2>;

  /// Runs of `width` elements: `count` of them at `stride`, in two dimensions.
  Local view(int tensor, DType dtype, int64_t begin, Pair count, Pair stride,
             int64_t width) const {
    Local local;
    local.addr = tensors[tensor] + 4 * begin;
    local.size = {count[0], lists, count[1], width};
    // A stride that leads nowhere still has to be legal.
    local.stride = {std::max<int64_t>(stride[0], 1), pitch,
                    std::max<int64_t>(stride[1], 1), 1};
    local.dtype = dtype;
    local.layout = isa::Layout::Strided;
    return local;
  }
  Local view(int tensor, DType dtype, int64_t begin, Pair size,
             Pair stride) const {
    return view(tensor, dtype, begin, {1, size[0]}, stride, size[1]);
  }

  /// Brings every element i of the runs that start at `begin` and i + `width`
  /// in order.
  void compare(int64_t begin, int64_t width, Pair count, Pair stride) {
    auto at = [&](int tensor, DType dtype, int64_t from) {
      return view(tensor, dtype, from, count, stride, width);
    };
    Local a = at(0, type, begin), b = at(0, type, begin + width);
    Local ia = at(1, DType::I32, begin), ib = at(1, DType::I32, begin + width);
    Local after = at(2, DType::I32, begin), before = at(3, DType::I32, begin);
    Local t = at(4, DType::I32, begin), d = at(5, DType::I32, begin);
    // Neither before nor after: equal, also for zeros of both signs.
    em.mask(ArOp::SelectGreat, after, largest ? b : a, largest ? a : b);
    em.mask(ArOp::SelectGreat, before, largest ? a : b, largest ? b : a);
    em.mask(ArOp::SelectGreat, t, ia, ib);
    em.ar(ArOp::Xor, before, before, Operand::integer(-1));
    em.ar(ArOp::And, t, t, before);
    em.ar(ArOp::Or, after, after, t);
    exchange(a.as(DType::I32), b.as(DType::I32), after, d);
    exchange(ia, ib, after, d);
  }

  /// Exchanges a and b where the mask is set.
  void exchange(const Local &a, const Local &b, const Local &mask,
                const Local &d) {
    em.ar(ArOp::Xor, d, a, b);
    em.ar(ArOp::And, d, d, mask);
    em.ar(ArOp::Xor, a, a, d);
    em.ar(ArOp::Xor, b, b, d);
  }

  Emitter &em;
  DType type;
  int64_t length;
  bool largest;
  int64_t pitch, lists = 1;
  int64_t tensors[kTensors] = {};
};

/// The number that comes after every other one.
Operand worst(DType type, bool largest) {
  if (type == DType::I32)
    return Operand::integer(largest ? std::numeric_limits<int32_t>::min()
                                    : std::numeric_limits<int32_t>::max());
  float infinity = std::numeric_limits<float>::infinity();
  return largest ? -infinity : infinity;
}

} // namespace

template <> LogicalResult emit(Emitter &em, tpu::TopKOp op) {
  ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  int64_t extent = shape.back(), k = op.getK();
  int64_t all = top::elementsOf(shape.drop_back());
  int64_t length = int64_t(llvm::PowerOf2Ceil(uint64_t(extent)));
  Global input = globalOf(op.getInput()), values = globalOf(op.getValues());
  Global indices = globalOf(op.getIndices());
  Sorter sorter(em, input.dtype, length, op.getLargest());
  int64_t rows = isa::kLaneBytes / (Sorter::kTensors * sorter.laneBytes());
  for (Range tile : cut(all, std::min<int64_t>(rows * isa::kLanes, 65472))) {
    sorter.place(0, tile.size);
    const bool isNarrow = isHalf(input.dtype);
    auto stored = [&](int64_t count, const Local &computed) {
      if (!isNarrow)
        return computed;
      return aligned(sorter.spare(), {1, tile.size, 1, count}, input.dtype);
    };
    Local x = sorter.values(0, extent);
    Local loaded = stored(extent, x);
    em.load(input + tile.begin * extent, {extent, extent, extent, 1}, loaded);
    if (isNarrow)
      em.cast(x, loaded, support::Rounding::HalfToEven);
    if (length > extent)
      em.copyLocal(sorter.values(extent, length - extent),
                   worst(input.dtype, op.getLargest()));
    sorter.number(op.getFirstIndex());
    bool isFloat = isa::isFloat(input.dtype);
    if (isFloat)
      sorter.hideNan(extent);
    sorter.sort();
    if (isFloat)
      sorter.showNan(k);
    Local best = sorter.values(0, k), result = stored(k, best);
    if (isNarrow)
      em.cast(result, best, support::Rounding::HalfToEven);
    em.store(result, values + tile.begin * k, {k, k, k, 1});
    em.store(sorter.places(0, k), indices + tile.begin * k, {k, k, k, 1});
  }
  return success();
}

} // namespace tpumlir::codegen
