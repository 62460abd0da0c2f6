#include "tpumlir/schedule/Prices.h"
#include "tpumlir/schedule/SchedulePasses.h"

#include "tpumlir/codegen/Registry.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/DenseSet.h"

#include <set>

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_TPUGROUP
#include "tpumlir/schedule/SchedulePasses.h.inc"

namespace {

using schedule::Price;
using schedule::Prices;
using schedule::Span;

/// More neighbours are not looked at together.
constexpr size_t kMostJoined = 8;

/// How often that is done, together with moving borders, at level 2.
constexpr int kRounds = 3;

/// A run of operations, in spans that follow each other. Some may be kept by
/// themselves.
class Partition {
public:
  Partition(ArrayRef<Operation *> ops, Prices &prices, ArrayRef<size_t> lone)
      : prices(prices), lone(lone) {
    for (size_t i = 0; i < ops.size(); ++i)
      spans.push_back({i, i + 1});
  }

  /// Joins the two neighbours that gain most until none gain.
  bool join() {
    // The next span of each that begins there; gains, the greatest first.
    std::vector<std::optional<size_t>> endOf(spans.back().end + 1),
        beginOf(spans.back().end + 1);
    for (const Span &span : spans) {
      endOf[span.begin] = span.end;
      beginOf[span.end] = span.begin;
    }
    std::set<std::pair<int64_t, size_t>> gains; // minus the gain, the border
    std::vector<int64_t> gainAt(spans.back().end + 1, 0);
    auto ask = [&](size_t border) {
      if (gainAt[border] > 0)
        gains.erase({-gainAt[border], border});
      gainAt[border] = 0;
      if (!endOf[border] || !beginOf[border])
        return;
      gainAt[border] =
          gain({*beginOf[border], border}, {border, *endOf[border]});
      if (gainAt[border] > 0)
        gains.insert({-gainAt[border], border});
    };
    for (const Span &span : spans)
      ask(span.begin);
    bool changed = false;
    while (!gains.empty()) {
      size_t border = gains.begin()->second;
      size_t begin = *beginOf[border], end = *endOf[border];
      gains.erase(gains.begin());
      gainAt[border] = 0;
      endOf[border] = beginOf[border] = std::nullopt;
      endOf[begin] = end;
      beginOf[end] = begin;
      ask(begin);
      ask(end);
      changed = true;
    }
    size_t last = spans.back().end;
    spans.clear();
    for (size_t at = 0; at < last; at = *endOf[at])
      spans.push_back({at, *endOf[at]});
    return changed;
  }

  /// Joins `count` neighbours at once where that gains although no two of them
  /// do: what one of them makes is only worth keeping with all its readers.
  bool joinRuns(size_t count) {
    bool changed = false;
    for (size_t i = 0; i + count <= spans.size(); ++i) {
      std::optional<Price> joined =
          priceOf({spans[i].begin, spans[i + count - 1].end});
      uint64_t apart = 0;
      for (size_t k = 0; k < count; ++k)
        apart += prices.of(spans[i + k])->cycles;
      if (!joined || joined->cycles >= apart)
        continue;
      spans[i].end = spans[i + count - 1].end;
      spans.erase(spans.begin() + i + 1, spans.begin() + i + count);
      changed = true;
    }
    return changed;
  }

  /// Moves borders by one operation while that gains.
  bool moveBorders() {
    bool changed = false;
    for (size_t i = 0; i + 1 < spans.size(); ++i)
      for (int step : {-1, 1})
        while (moves(spans[i], spans[i + 1], step)) {
          spans[i].end += step;
          spans[i + 1].begin += step;
          changed = true;
        }
    return changed;
  }

  ArrayRef<Span> result() const { return spans; }
  std::optional<Price> priceOf(Span span) {
    if (span.size() > 1 && llvm::any_of(lone, [&](size_t op) {
          return op >= span.begin && op < span.end;
        }))
      return std::nullopt;
    return prices.of(span);
  }
  uint64_t cycles() {
    uint64_t sum = 0;
    for (const Span &span : spans)
      sum += priceOf(span)->cycles;
    return sum;
  }

private:
  int64_t gain(Span a, Span b) {
    std::optional<Price> joined = priceOf({a.begin, b.end});
    if (!joined)
      return 0;
    return int64_t(prices.of(a)->cycles + prices.of(b)->cycles) -
           int64_t(joined->cycles);
  }

  bool moves(Span a, Span b, int step) {
    if ((step < 0 ? a : b).size() < 2)
      return false;
    Span left{a.begin, a.end + step}, right{b.begin + step, b.end};
    std::optional<Price> first = priceOf(left), second = priceOf(right);
    return first && second &&
           first->cycles + second->cycles <
               prices.of(a)->cycles + prices.of(b)->cycles;
  }

  Prices &prices;
  ArrayRef<size_t> lone; ///< operations, in order
  std::vector<Span> spans;
};

struct TpuGroup : impl::TpuGroupBase<TpuGroup> {
  using TpuGroupBase::TpuGroupBase;

  void runOnOperation() override {
    for (func::FuncOp function : getOperation().getOps<func::FuncOp>())
      for (Block &block : function.getBody())
        group(block);
  }

  void group(Block &block) {
    // Groups of an earlier run count for nothing.
    SmallVector<Operation *> ops;
    for (Operation &op : block) {
      op.removeAttr(tpu::TpuDialect::kGroupAttr);
      op.removeAttr(tpu::TpuDialect::kPackedAttr);
      if (llvm::isa_and_nonnull<tpu::TpuDialect>(op.getDialect()))
        ops.push_back(&op);
    }
    if (level < 1)
      return pack(block);
    // An operation without local form ends a run.
    int64_t id = 0;
    for (size_t begin = 0; begin < ops.size();) {
      size_t end = begin;
      while (end < ops.size() && codegen::Group::mayJoin(ops[end]))
        ++end;
      if (end > begin)
        groupRun(ArrayRef(ops).slice(begin, end - begin), id);
      begin = end + 1;
    }
    pack(block);
  }

  void groupRun(ArrayRef<Operation *> ops, int64_t &id) {
    Prices prices(ops);
    Partition partition(ops, prices, {});
    search(partition);
    // A local form that takes long may gain at once and be in the way later.
    SmallVector<size_t> dear;
    for (auto [i, op] : llvm::enumerate(ops))
      if (codegen::movesLanes(op))
        dear.push_back(i);
    Partition without(ops, prices, dear);
    if (!dear.empty())
      search(without);
    const bool isWorse = !dear.empty() && without.cycles() < partition.cycles();
    keep(isWorse ? without : partition, ops, id);
  }

  void search(Partition &partition) {
    partition.join();
    if (level < 2)
      return;
    // A border that was moved may have made way for others.
    bool again = true;
    for (int round = 0; again && (level >= 3 || round < kRounds); ++round) {
      again = false;
      for (size_t count = 3; count <= kMostJoined; ++count)
        if (partition.joinRuns(count)) {
          partition.join();
          again = true;
        }
      again |= partition.moveBorders();
      again |= partition.join();
    }
  }

  /// Writes down what was found.
  void keep(Partition &partition, ArrayRef<Operation *> ops, int64_t &id) {
    for (Span span : partition.result()) {
      const Price price = *partition.priceOf(span);
      if (!price.cut)
        continue;
      ArrayRef<Operation *> group = ops.slice(span.begin, span.size());
      auto plan = codegen::Group::plan(group, *price.cut);
      auto attr = tpu::GroupAttr::get(&getContext(), id++, price.cut->n,
                                      price.cut->h, plan->imageBytes());
      for (Operation *op : group) {
        op->setAttr(tpu::TpuDialect::kGroupAttr, attr);
        for (Value operand : op->getOperands())
          if (plan->readsFromImage(operand))
            packed.insert({operand, op});
      }
    }
  }

  /// Weights whose every reader is served by an image, or reads nothing.
  void pack(Block &block) {
    for (top::WeightOp weight : block.getOps<top::WeightOp>())
      if (!weight->use_empty() &&
          llvm::all_of(weight->getUsers(), [&](Operation *user) {
            return packed.contains({weight.getOutput(), user}) ||
                   (!tpu::groupOf(user) &&
                    !codegen::readsConstant(user, weight.getOutput()));
          }))
        weight->setAttr(tpu::TpuDialect::kPackedAttr,
                        UnitAttr::get(&getContext()));
    packed.clear();
  }

  DenseSet<std::pair<Value, Operation *>> packed;
};

} // namespace
} // namespace tpumlir
