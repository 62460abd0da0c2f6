#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "tpumlir/dialect/top/TopUtils.h"
#include "tpumlir/dialect/tpu/Views.h"
#include "tpumlir/isa/Chip.h"

#include "llvm/ADT/DenseSet.h"

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_ADDRESSASSIGN
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

/// Every part starts at a page, as in the vendor's files.
constexpr int64_t kPage = 4096;

int64_t pages(int64_t bytes) { return llvm::divideCeil(bytes, kPage) * kPage; }

int64_t elementBytes(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  return bytesOfElement(type);
}

int64_t bytesOf(Value value) {
  return top::elementsOf(top::shapeOf(value)) * elementBytes(value);
}

/// Which tensors lie inside of others. Each class of tensors that share memory
/// has a root, the one that contains all of them.
class Classes {
public:
  struct Place {
    Value root;
    int64_t offset; ///< in bytes
  };

  Classes(Block &body, func::ReturnOp ret) {
    for (Value value : ret.getOperands())
      results.insert(throughReshapes(value));
    for (Operation &op : body)
      if (tpu::groupOf(&op)) // makes its result in local memory
        continue;
      else if (auto concat = dyn_cast<tpu::ConcatOp>(op))
        join(concat);
      else if (std::optional<tpu::View> view = tpu::viewOf(&op))
        put(op.getResult(0), view->base,
            view->offset * elementBytes(view->base));
  }

  Place find(Value value) const {
    Place place{value, 0};
    SmallVector<Value> path;
    for (auto it = inside.find(value); it != inside.end();
         it = inside.find(place.root)) {
      path.push_back(place.root);
      place = {it->second.root, place.offset + it->second.offset};
    }
    // Long chains are walked once.
    int64_t passed = 0;
    for (Value each : path) {
      Place &known = inside.find(each)->second;
      int64_t step = known.offset;
      known = {place.root, place.offset - passed};
      passed += step;
    }
    return place;
  }

private:
  /// The tensor of which `value` is another shape. A model output is the root
  /// of its class: it has memory of its own, so that whoever runs the program
  /// finds each output whole at a page.
  static Value throughReshapes(Value value) {
    for (auto reshape = value.getDefiningOp<tpu::ReshapeOp>();
         reshape && !tpu::groupOf(reshape);
         reshape = value.getDefiningOp<tpu::ReshapeOp>())
      value = reshape.getInput();
    return value;
  }

  /// Whether `value` may be put into another tensor: it is a root that the run
  /// writes, and no model output.
  bool isFree(Value value) const {
    Operation *op = value.getDefiningOp();
    return op && !llvm::isa<top::InputOp, top::WeightOp>(op) &&
           !tpu::staysLocal(value) && !inside.contains(value) &&
           !results.contains(value);
  }

  void put(Value value, Value into, int64_t offset) {
    if (isFree(value))
      inside[value] = {into, offset};
  }

  /// Puts operands, or the tensors that they are parts of, where they belong in
  /// the result.
  void join(tpu::ConcatOp op) {
    Value output = op.getOutput();
    // Numbers would have to be changed on the way.
    if (op.getDoRelu() || !tpu::joinsWholeParts(op))
      return;
    struct Part {
      Place at;
      int64_t begin, end; ///< in the result
    };
    SmallVector<Part> parts;
    int64_t end = 0;
    for (Value input : op.getInputs()) {
      if (getElementTypeOrSelf(input) != getElementTypeOrSelf(output))
        return;
      int64_t begin = end;
      end += bytesOf(input);
      parts.push_back({find(input), begin, end});
    }
    // How many parts from `i` on follow each other in one tensor.
    auto run = [&](size_t i, int64_t most) {
      size_t next = i;
      while (next < parts.size() && parts[next].at.root == parts[i].at.root &&
             parts[next].at.offset - parts[i].at.offset ==
                 parts[next].begin - parts[i].begin &&
             parts[next].end - parts[i].begin <= most)
        ++next;
      return next - i;
    };
    // All of them do: a part of that tensor is the result.
    if (run(0, end) == parts.size() && !results.contains(output)) {
      put(output, parts[0].at.root, parts[0].at.offset);
      return;
    }
    // A tensor goes into the result if all of it is there: a Split whose parts
    // are operands side by side, or simply an operand.
    for (size_t i = 0; i < parts.size();) {
      const Part &first = parts[i];
      int64_t bytes = bytesOf(first.at.root);
      size_t count = run(i, bytes);
      if (count > 0 && first.at.offset == 0 && isFree(first.at.root) &&
          parts[i + count - 1].end - first.begin == bytes)
        put(first.at.root, output, first.begin);
      i += std::max<size_t>(count, 1);
    }
  }

  llvm::DenseSet<Value> results;
  mutable DenseMap<Value, Place> inside;
};

/// A tensor, with all that lies in it, from the unit that first writes it to
/// the last one that touches it.
struct Life {
  Value root;
  int64_t bytes; ///< whole pages
  size_t first, last;
  int64_t offset = 0;

  bool meets(const Life &other) const {
    return first <= other.last && other.first <= last;
  }
};

/// Gives each the lowest place from `begin` on that none before it in `order`
/// has at the same time. Where the last one ends.
int64_t placeInOrder(ArrayRef<Life *> order, int64_t begin) {
  int64_t end = begin;
  for (auto [i, life] : llvm::enumerate(order)) {
    SmallVector<std::pair<int64_t, int64_t>> taken;
    for (const Life *other : order.take_front(i))
      if (other->meets(*life))
        taken.push_back({other->offset, other->offset + other->bytes});
    llvm::sort(taken);
    int64_t at = begin;
    for (auto [from, to] : taken) {
      if (from - at >= life->bytes)
        break;
      at = std::max(at, to);
    }
    life->offset = at;
    end = std::max(end, at + life->bytes);
  }
  return end;
}

/// Places for all: in the order of the program, or the greatest first if that
/// takes less. Where the last one ends.
int64_t placeLives(MutableArrayRef<Life> lives, int64_t begin) {
  SmallVector<Life *> inTime;
  for (Life &life : lives)
    inTime.push_back(&life);
  SmallVector<Life *> bySize(inTime);
  llvm::stable_sort(
      bySize, [](const Life *a, const Life *b) { return a->bytes > b->bytes; });
  const int64_t sized = placeInOrder(bySize, begin);
  SmallVector<int64_t> offsets;
  for (const Life &life : lives)
    offsets.push_back(life.offset);
  const int64_t timed = placeInOrder(inTime, begin);
  if (timed <= sized)
    return timed;
  for (auto [life, offset] : llvm::zip_equal(lives, offsets))
    life.offset = offset;
  return sized;
}

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
    Classes classes(body, ret);
    int64_t coeffEnd = placeWeights(body);
    int64_t ioEnd = placeInputsOutputs(body, ret, classes, coeffEnd);
    int64_t end = placeOthers(body, classes, ioEnd);
    if (end > int64_t(isa::kGlobalMemory.size())) {
      module.emitError() << "expected at most " << isa::kGlobalMemory.size()
                         << " bytes of global memory, got " << end;
      return signalPassFailure();
    }
    for (Operation &op : body)
      for (Value value : tensorsOf(op))
        if (auto [root, offset] = classes.find(value); root != value) {
          tpu::GmemAttr at = tpu::placeOf(root);
          place(value, at.getRegion(), at.getOffset() + offset);
        }

    Builder b(&getContext());
    int64_t base = isa::kGlobalMemory.begin;
    module->setAttr("module.coeff_addr", b.getI64IntegerAttr(base));
    module->setAttr("module.coeff_size", b.getI64IntegerAttr(coeffEnd));
    module->setAttr("module.neuron_addr", b.getI64IntegerAttr(base + coeffEnd));
    module->setAttr("module.neuron_size", b.getI64IntegerAttr(end - coeffEnd));
    module->setAttr("module.state", b.getStringAttr("TPU_ADDRESSED"));
  }

  static SmallVector<Value> tensorsOf(Operation &op) {
    SmallVector<Value> tensors;
    for (Value result : op.getResults())
      if (llvm::isa<RankedTensorType>(result.getType()))
        tensors.push_back(result);
    return tensors;
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

  int64_t placeInputsOutputs(Block &body, func::ReturnOp ret,
                             const Classes &classes, int64_t end) {
    auto add = [&](Value value) {
      place(value, tpu::Region::io, end);
      end += pages(bytesOf(value));
    };
    for (top::InputOp op : body.getOps<top::InputOp>())
      add(op);
    for (Value value : ret.getOperands())
      if (Value root = classes.find(value).root; !tpu::placeOf(root))
        add(root);
    return end;
  }

  /// Operations that run at once: the slices of a group read its operands
  /// while others write its results.
  static SmallVector<SmallVector<Operation *>> unitsOf(Block &body) {
    DenseMap<Attribute, Operation *> last;
    for (Operation &op : body)
      if (tpu::GroupAttr group = tpu::groupOf(&op))
        last[group] = &op;
    SmallVector<SmallVector<Operation *>> units;
    Operation *until = nullptr; // the last one of the group that we are in
    for (Operation &op : body) {
      if (!until)
        units.emplace_back();
      units.back().push_back(&op);
      if (tpu::GroupAttr group = tpu::groupOf(&op); group && !until)
        until = last.lookup(group);
      if (until == &op)
        until = nullptr;
    }
    return units;
  }

  int64_t placeOthers(Block &body, const Classes &classes, int64_t begin) {
    SmallVector<SmallVector<Operation *>> units = unitsOf(body);
    // The last unit that reads or writes a tensor of the class.
    DenseMap<Value, size_t> lastUse;
    for (auto [i, unit] : llvm::enumerate(units))
      for (Operation *op : unit) {
        for (Value operand : op->getOperands())
          lastUse[classes.find(operand).root] = i;
        for (Value result : op->getResults())
          lastUse[classes.find(result).root] = i;
      }

    std::vector<Life> lives;
    llvm::DenseSet<Value> seen;
    for (auto [i, unit] : llvm::enumerate(units))
      for (Operation *op : unit)
        for (Value result : tensorsOf(*op)) {
          if (tpu::staysLocal(result) || tpu::isPacked(result))
            continue;
          Value root = classes.find(result).root;
          if (!tpu::placeOf(root) && seen.insert(root).second)
            lives.push_back({root, pages(bytesOf(root)), i,
                             std::max<size_t>(i, lastUse.lookup(root))});
        }
    const int64_t end = placeLives(lives, begin);
    for (const Life &life : lives)
      place(life.root, tpu::Region::neuron, life.offset);
    return end;
  }
};

} // namespace
} // namespace tpumlir
