#pragma once

#include "tpumlir/codegen/Group.h"

#include "llvm/ADT/DenseMap.h"

/// What operations cost, alone and as groups: the commands are emitted, priced
/// and forgotten, each question once.
namespace tpumlir::schedule {

/// Operations [begin, end) of a list.
struct Span {
  size_t begin, end;

  size_t size() const { return end - begin; }
};

/// How a span runs best.
struct Price {
  uint64_t cycles = 0;
  /// Cut of the group; none if its only operation runs by itself.
  std::optional<codegen::GroupCut> cut;
};

class Prices {
public:
  explicit Prices(llvm::ArrayRef<mlir::Operation *> ops) : ops(ops) {}

  /// The best way to run a span at once. None if it cannot be a group; one
  /// operation always has a price.
  const std::optional<Price> &of(Span span);

private:
  std::optional<Price> ask(Span span) const;

  llvm::ArrayRef<mlir::Operation *> ops;
  llvm::DenseMap<std::pair<size_t, size_t>, std::optional<Price>> known;
};

} // namespace tpumlir::schedule
