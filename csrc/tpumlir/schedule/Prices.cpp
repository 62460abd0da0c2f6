#include "tpumlir/schedule/Prices.h"

#include "tpumlir/codegen/Registry.h"
#include "tpumlir/dialect/top/TopUtils.h"

#include "mlir/IR/Diagnostics.h"

using namespace mlir;

namespace tpumlir::schedule {

using codegen::Emitter;
using codegen::Group;
using codegen::GroupCut;

namespace {

/// How often a cut that fits is followed by finer ones.
constexpr int kFinerCuts = 2;

/// Longer groups gain little, and each question about one costs its length.
constexpr size_t kMostOps = 192;

} // namespace

const std::optional<Price> &Prices::of(Span span) {
  auto [it, isNew] = known.try_emplace({span.begin, span.end});
  if (isNew) {
    std::optional<Price> price = ask(span);
    it = known.find({span.begin, span.end});
    it->second = price;
  }
  return it->second;
}

std::optional<Price> Prices::ask(Span span) const {
  ArrayRef<Operation *> group = ops.slice(span.begin, span.size());
  std::optional<Price> best;
  if (group.size() > kMostOps)
    return best;
  if (group.size() == 1) {
    Emitter alone(Emitter::Mode::Price);
    // What cannot be emitted is reported by code generation.
    ScopedDiagnosticHandler quiet(group[0]->getContext(),
                                  [](Diagnostic &) { return success(); });
    if (succeeded(codegen::emitOp(alone, group[0])))
      best = {alone.cycles(), std::nullopt};
    else
      return Price{0, std::nullopt};
  }
  // The least extents of what leaves the group say how fine it can be cut.
  std::optional<int64_t> n, h;
  const auto matrices = codegen::MatrixTensors::of(group);
  for (Operation *op : group) {
    if (op->getNumResults() != 1)
      return best;
    Value result = op->getResult(0);
    auto inside = [&](Operation *user) {
      return llvm::is_contained(group, user);
    };
    if (!result.use_empty() && llvm::all_of(result.getUsers(), inside))
      continue;
    auto view = codegen::LaneView::of(matrices.shapeOf(result));
    if (!view)
      return best;
    n = std::min(n.value_or(view->size[0]), view->size[0]);
    h = std::min(h.value_or(view->size[2]), view->size[2]);
  }
  int finer = 0;
  for (const GroupCut &cut : codegen::cutsOf(n.value_or(1), h.value_or(1))) {
    // With fewer bytes it takes as long.
    std::unique_ptr<Group> plan =
        Group::plan(group, cut, Group::Constants::Images);
    if (!plan)
      continue;
    uint64_t cycles = plan->price();
    if (cycles != UINT64_MAX && (!best || cycles < best->cycles))
      best = {cycles, cut};
    if (!plan->isCramped() && ++finer > kFinerCuts)
      break;
  }
  return best;
}

} // namespace tpumlir::schedule
