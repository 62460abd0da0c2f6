#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "tpumlir/isa/Chip.h"

#include "llvm/ADT/SetVector.h"

#include <map>

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_ADDRESSASSIGN
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

/// Every part starts at a page, as in the vendor's files.
constexpr int64_t kPage = 4096;

int64_t pages(int64_t bytes) { return llvm::divideCeil(bytes, kPage) * kPage; }

int64_t bytesOf(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  return type.getNumElements() *
         llvm::divideCeil(type.getElementTypeBitWidth(), 8);
}

/// The value whose memory this one uses.
Value root(Value value) {
  while (auto reshape = value.getDefiningOp<tpu::ReshapeOp>())
    value = reshape.getInput();
  return value;
}

/// Memory from a start on, taken and given back; the lowest gap that fits is
/// taken, so the outcome depends on the order of the calls only.
class Arena {
public:
  explicit Arena(int64_t begin) : begin(begin), high(begin) {}

  int64_t take(int64_t bytes) {
    int64_t at = begin;
    auto it = used.begin();
    for (; it != used.end() && it->first - at < bytes; ++it)
      at = it->first + it->second;
    used.insert({at, bytes});
    high = std::max(high, at + bytes);
    return at;
  }
  void give(int64_t at) { used.erase(at); }
  int64_t end() const { return high; }

private:
  std::map<int64_t, int64_t> used; ///< start -> bytes
  int64_t begin, high;
};

struct AddressAssign : impl::AddressAssignBase<AddressAssign> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto functions = llvm::to_vector(module.getOps<func::FuncOp>());
    if (functions.size() != 1) {
      module.emitError() << "expected one function, got " << functions.size();
      return signalPassFailure();
    }
    Block &body = functions.front().getBody().front();
    auto ret = cast<func::ReturnOp>(body.getTerminator());

    // Places of an earlier run count for nothing.
    for (Operation &op : body)
      op.removeAttr(tpu::TpuDialect::kPlaceAttr);
    int64_t coeffEnd = placeWeights(body);
    int64_t ioEnd = placeInputsOutputs(body, ret, coeffEnd);
    int64_t end = placeOthers(body, ioEnd);
    if (end > int64_t(isa::kGlobalMemory.size())) {
      module.emitError() << "expected at most " << isa::kGlobalMemory.size()
                         << " bytes of global memory, got " << end;
      return signalPassFailure();
    }
    for (tpu::ReshapeOp op : body.getOps<tpu::ReshapeOp>())
      tpu::setPlace(op, tpu::placeOf(root(op)));

    Builder b(&getContext());
    int64_t base = isa::kGlobalMemory.begin;
    module->setAttr("module.coeff_addr", b.getI64IntegerAttr(base));
    module->setAttr("module.coeff_size", b.getI64IntegerAttr(coeffEnd));
    module->setAttr("module.neuron_addr", b.getI64IntegerAttr(base + coeffEnd));
    module->setAttr("module.neuron_size", b.getI64IntegerAttr(end - coeffEnd));
    module->setAttr("module.state", b.getStringAttr("TPU_ADDRESSED"));
  }

  void place(Value value, tpu::Region region, int64_t offset) {
    tpu::setPlace(value, tpu::GmemAttr::get(&getContext(), region, offset));
  }

  int64_t placeWeights(Block &body) {
    int64_t end = 0;
    for (top::WeightOp op : body.getOps<top::WeightOp>()) {
      if (tpu::isPacked(op))
        continue;
      place(op, tpu::Region::weight, end);
      end += pages(bytesOf(op));
    }
    // The constants of groups, at the first operation of each.
    tpu::GroupAttr last;
    for (Operation &op : body) {
      op.removeAttr(tpu::TpuDialect::kImageAttr);
      tpu::GroupAttr group = tpu::groupOf(&op);
      if (group && group != last && group.getImage() > 0) {
        op.setAttr(tpu::TpuDialect::kImageAttr,
                   tpu::GmemAttr::get(&getContext(), tpu::Region::weight, end));
        end += pages(group.getImage());
      }
      if (group)
        last = group;
    }
    return end;
  }

  int64_t placeInputsOutputs(Block &body, func::ReturnOp ret, int64_t end) {
    auto add = [&](Value value) {
      place(value, tpu::Region::io, end);
      end += pages(bytesOf(value));
    };
    for (top::InputOp op : body.getOps<top::InputOp>())
      add(op);
    for (Value value : ret.getOperands())
      if (!tpu::placeOf(root(value)))
        add(root(value));
    return end;
  }

  /// Operations that run at once: the slices of a group read its operands
  /// while others write its results.
  static SmallVector<SmallVector<Operation *>> unitsOf(Block &body) {
    SmallVector<SmallVector<Operation *>> units;
    // Constants may stand between the operations of a group.
    DenseMap<tpu::GroupAttr, size_t> unitOf;
    for (Operation &op : body) {
      tpu::GroupAttr group = tpu::groupOf(&op);
      auto [it, isNew] = unitOf.try_emplace(group, units.size());
      if (!group || isNew)
        units.emplace_back(1, &op);
      else
        units[it->second].push_back(&op);
    }
    return units;
  }

  int64_t placeOthers(Block &body, int64_t begin) {
    SmallVector<SmallVector<Operation *>> units = unitsOf(body);
    DenseMap<Value, size_t> lastUse;
    for (auto [i, unit] : llvm::enumerate(units))
      for (Operation *op : unit)
        for (Value operand : op->getOperands())
          lastUse[root(operand)] = i;

    Arena arena(begin);
    for (auto [i, unit] : llvm::enumerate(units)) {
      // What nobody reads again, the unit's own unused results included.
      llvm::SmallSetVector<Value, 4> ending;
      for (Operation *op : unit) {
        for (Value result : op->getResults()) {
          if (llvm::isa<RankedTensorType>(result.getType()) &&
              root(result) == result && !tpu::placeOf(result) &&
              !tpu::staysLocal(result) && !tpu::isPacked(result))
            place(result, tpu::Region::neuron,
                  arena.take(pages(bytesOf(result))));
          if (root(result) == result && !lastUse.contains(result))
            ending.insert(result);
        }
        for (Value operand : op->getOperands())
          if (lastUse.lookup(root(operand)) == i)
            ending.insert(root(operand));
      }
      for (Value value : ending)
        if (auto at = tpu::placeOf(value);
            at && at.getRegion() == tpu::Region::neuron)
          arena.give(at.getOffset());
    }
    return arena.end();
  }
};

} // namespace
} // namespace tpumlir
