#include "tpumlir/codegen/Group.h"

#include "tpumlir/codegen/Dma.h"
#include "tpumlir/dialect/top/TopUtils.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/STLExtras.h"

#include <deque>

using namespace mlir;

namespace tpumlir::codegen {

namespace {

/// The least range with both in it.
Range hull(const Range &a, const Range &b) {
  if (a.size == 0)
    return b;
  if (b.size == 0)
    return a;
  int64_t begin = std::min(a.begin, b.begin);
  return {begin, std::max(a.begin + a.size, b.begin + b.size) - begin};
}

/// Something that needs bytes of a lane from one node to another.
struct Demand {
  int64_t bytes;
  size_t first, last;
  int64_t *addr;
};

/// Two places of which one is read while the other is written: a requantisation
/// takes twice as long if both begin in one bank.
struct Apart {
  const int64_t *one, *other;
};

/// Gives every demand a place that none shares with it at the same time, nor
/// one of those in `placed`; the greatest first, each as low as it can be.
/// False if a lane is too small.
bool placeAll(std::vector<Demand> demands, int64_t begin, ArrayRef<Apart> apart,
              std::vector<Demand> placed) {
  for (Demand &demand : demands)
    demand.bytes = roundUp(demand.bytes, isa::kEuBytes);
  llvm::stable_sort(demands, [](const Demand &a, const Demand &b) {
    return a.bytes > b.bytes;
  });
  // A group plans its places hundreds of times: no search through all pairs.
  llvm::DenseMap<const int64_t *, SmallVector<const int64_t *, 2>> partners;
  for (const Apart &pair : apart) {
    partners[pair.one].push_back(pair.other);
    partners[pair.other].push_back(pair.one);
  }
  llvm::DenseSet<const int64_t *> known;
  for (const Demand &demand : demands) {
    SmallVector<std::pair<int64_t, int64_t>> taken;
    for (const Demand &other : placed)
      if (other.first <= demand.last && demand.first <= other.last)
        taken.push_back({*other.addr, *other.addr + other.bytes});
    llvm::sort(taken);
    // Banks that something read or written beside it begins in.
    SmallVector<int64_t> banks;
    if (auto found = partners.find(demand.addr); found != partners.end())
      for (const int64_t *other : found->second)
        if (known.contains(other))
          banks.push_back(*other / int64_t(isa::kBankBytes));
    auto elsewhere = [&](int64_t addr) {
      while (llvm::is_contained(banks, addr / int64_t(isa::kBankBytes)))
        addr = roundUp(addr + 1, int64_t(isa::kBankBytes));
      return addr;
    };
    int64_t at = elsewhere(begin);
    for (auto [from, to] : taken) {
      if (from - at >= demand.bytes)
        break;
      at = std::max(at, elsewhere(to));
    }
    if (at + demand.bytes > int64_t(isa::kLaneBytes))
      return false;
    *demand.addr = at;
    known.insert(demand.addr);
    placed.push_back(demand);
  }
  return true;
}

/// Of more vectors the commands that turn each of them into a row are many.
constexpr int64_t kMostRows = 64;

/// About what is loaded while a part of this size is computed with.
constexpr int64_t kPartBytes = 48 * 1024;

} // namespace

//===----------------------------------------------------------------------===//
// What there is
//===----------------------------------------------------------------------===//

SmallVector<GroupCut> cutsOf(int64_t n, int64_t h) {
  // More parts than this make slices too small to be worth a look.
  static constexpr int64_t kMostParts = 256;
  SmallVector<GroupCut> cuts;
  auto steps = [](int64_t extent) {
    SmallVector<int64_t> parts;
    for (int64_t part = 1; part < std::min(extent, kMostParts);
         part += std::max<int64_t>(1, part / 2))
      parts.push_back(part);
    parts.push_back(std::min(extent, kMostParts));
    return parts;
  };
  for (int64_t part : steps(n))
    cuts.push_back({part, 1});
  for (int64_t part : steps(h))
    if (part > 1)
      cuts.push_back({std::min(n, kMostParts), part});
  return cuts;
}

std::unique_ptr<Group> Group::plan(ArrayRef<Operation *> ops,
                                   const GroupCut &cut, Constants kind) {
  std::unique_ptr<Group> group(new Group);
  group->cut = cut;
  group->hasImages = kind != Constants::Loose;
  if (!group->addNodes(ops) || !group->slice() || !group->addConstants())
    return nullptr;
  // What is spread out takes more of a lane, and time of TIU.
  bool fits = group->fitWith(LeftOut::WithinCycles);
  if (fits && kind == Constants::FewestBytes && group->spreads()) {
    const uint64_t cycles = group->price();
    if (group->fitWith(LeftOut::Fillers) && group->price() >= cycles)
      group->fitWith(LeftOut::WithinCycles);
  } else if (!fits && !group->fitWith(LeftOut::Fillers)) {
    return nullptr;
  }
  if (kind == Constants::FewestBytes)
    group->leaveOutMore();
  return group;
}

bool Group::fitWith(LeftOut leftOut) {
  for (Block &block : blocks)
    block.leftOut = leftOut;
  return layConstants() && fit();
}

bool Group::spreads() const {
  return llvm::any_of(constants, [](const Constant &constant) {
    return constant.dense.has_value();
  });
}

/// What takes GDMA longer need not take the group longer: of all blocks, or of
/// half of them and so on.
void Group::leaveOutMore() {
  int trials = 48; // each plans the group again
  const uint64_t cycles = price();
  auto isNoSlower = [&] {
    --trials;
    return layConstants() && fit() && price() <= cycles;
  };
  auto leaveOut = [&](auto &self, ArrayRef<Block *> some,
                      LeftOut leftOut) -> void {
    if (some.empty() || trials <= 0)
      return;
    SmallVector<LeftOut> before;
    for (Block *block : some) {
      before.push_back(block->leftOut);
      block->leftOut = leftOut;
    }
    if (isNoSlower())
      return;
    for (auto [block, was] : llvm::zip_equal(some, before))
      block->leftOut = was;
    if (some.size() == 1)
      return;
    self(self, some.take_front(some.size() / 2), leftOut);
    self(self, some.drop_front(some.size() / 2), leftOut);
  };
  for (LeftOut leftOut : {LeftOut::Rows, LeftOut::All}) {
    SmallVector<Block *> leaving;
    for (Block &block : blocks)
      if (block.leavesBytes)
        leaving.push_back(&block);
    leaveOut(leaveOut, leaving, leftOut);
    layConstants();
    fit();
  }
}

/// As many kernels ahead of their readers as there is room for, so that what is
/// loaded is not waited for.
bool Group::fit() {
  for (bool doubleStores : {true, false})
    for (size_t ahead : {64, 16, 8, 4, 2, 1, 0}) {
      if (cut.slices() > 1 && ahead != 64)
        continue;
      if (cut.slices() == 1 && !doubleStores)
        continue;
      if (!place(ahead, doubleStores))
        continue;
      // What comes too early has others wait: results that go meanwhile.
      if (ahead == 64 && nodes.size() > 16) {
        uint64_t early = price();
        if (!place(16, doubleStores) || early < price()) {
          place(64, doubleStores);
          known = early;
        }
      }
      return true;
    }
  return false;
}

uint64_t Group::price() const {
  if (!known) {
    Emitter emitter(Emitter::Mode::Price);
    emit(emitter, isa::kGlobalMemory.begin);
    known = emitter.failed() ? UINT64_MAX : emitter.cycles();
  }
  return *known;
}

bool Group::mayJoin(Operation *op) {
  return llvm::isa<tpu::SliceOp, tpu::ReshapeOp>(op) ||
         !localKernels(op, MatrixTensors::of(op)).empty();
}

size_t Group::tensorOf(const Tensor &tensor) {
  for (auto [i, other] : llvm::enumerate(tensors))
    if (tensor.value == other.value && tensor.view == other.view &&
        tensor.offset == other.offset && tensor.everyLane == other.everyLane)
      return i;
  tensors.push_back(tensor);
  return tensors.size() - 1;
}

/// Whether an op is a Slice of some columns that GDMA would take longer to load
/// than all of them once, for it and all other Slices: pieces of less than 256
/// bytes count as that. It is taken apart in the lanes.
static bool takesColumnsApart(Operation *op, const MatrixTensors &matrices) {
  constexpr int64_t kPiece = 256;
  auto slice = llvm::dyn_cast<tpu::SliceOp>(op);
  if (!slice || slice.getSteps().empty())
    return false;
  const int64_t bytes = isa::bytes(dtypeOf(slice.getInput()));
  auto columnsOf = [](Value value) { return top::shapeOf(value).back(); };
  const int64_t whole = columnsOf(slice.getInput());
  auto cuts = [&](tpu::SliceOp some) {
    return columnsOf(some.getOutput()) < whole;
  };
  if (!cuts(slice))
    return false;
  int64_t apart = 0;
  for (Operation *user : slice.getInput().getUsers())
    if (auto other = llvm::dyn_cast<tpu::SliceOp>(user); other && cuts(other))
      apart += other.getSteps().back() > 1
                   ? columnsOf(other.getOutput()) * kPiece
                   : std::max(columnsOf(other.getOutput()) * bytes, kPiece);
  return apart > std::max(whole * bytes, kPiece) &&
         !localKernels(op, matrices).empty();
}

/// Notes where the result of a Slice or a Reshape of something outside of the
/// group lies. False if it has no regular place there.
bool Group::addAlias(Operation *op) {
  Value input = op->getOperand(0), result = op->getResult(0);
  ArrayRef<int64_t> shape = top::shapeOf(input);
  Alias alias{input, 0, rowMajor(shape)};
  if (auto known = aliases.find(input); known != aliases.end())
    alias = known->second;
  if (auto slice = dyn_cast<tpu::SliceOp>(op)) {
    for (auto [stride, offset, step] :
         llvm::zip_equal(alias.stride, slice.getOffset(), slice.getSteps())) {
      if (step < 1)
        return false;
      alias.offset += offset * stride;
      stride *= step;
    }
  } else {
    // Elements that follow each other do so in any shape.
    SmallVector<int64_t> dense = rowMajor(shape);
    for (size_t axis = 0; axis < shape.size(); ++axis)
      if (shape[axis] != 1 && alias.stride[axis] != dense[axis])
        return false;
    alias.stride = rowMajor(top::shapeOf(result));
  }
  aliases[result] = alias;
  return true;
}

/// Strides of the axes of a tensor become those of its matrices. False if its
/// leading axes are not one.
static bool joinLeading(ArrayRef<int64_t> shape,
                        SmallVectorImpl<int64_t> &stride) {
  int64_t extent = 1, step = 1;
  for (size_t axis = shape.size() - 2; axis-- > 0;) {
    if (shape[axis] == 1)
      continue;
    if (extent > 1 && stride[axis] != step * extent)
      return false;
    if (extent == 1)
      step = stride[axis];
    extent *= shape[axis];
  }
  stride.erase(stride.begin(), stride.end() - 3);
  stride[0] = step;
  return true;
}

/// The tensor that an input of a kernel is. False if it does not lie as the
/// kernel reads it.
bool Group::resolve(const SlicedInput &input, Tensor &tensor) const {
  tensor.value = input.value;
  tensor.view = input.view;
  tensor.type = dtypeOf(input.value);
  tensor.isSigned = isSigned(input.value);
  tensor.everyLane = input.everyLane;
  tensor.loaded = true;
  tensor.named = input.value;
  tensor.namedView = input.view;
  // What the group computes lies in one way only. A channel of its own is
  // brought into the other lanes for each reader.
  if (auto own = computed.find(input.value); own != computed.end()) {
    tensor.loaded = false;
    tensor.everyLane = 0;
    return tensors[own->second].view == input.view;
  }
  auto alias = aliases.find(input.value);
  if (alias == aliases.end())
    return true;
  SmallVector<int64_t> shape = matrices.shapeOf(input.value);
  SmallVector<int64_t> stride = alias->second.stride;
  if (input.everyLane || LaneView::of(shape) != input.view)
    return false;
  if (matrices.contains(input.value) &&
      !joinLeading(top::shapeOf(input.value), stride))
    return false;
  tensor.value = alias->second.value;
  tensor.offset = alias->second.offset;
  for (auto [axis, lane] : llvm::enumerate(laneAxes(shape)))
    if (shape[axis] != 1)
      tensor.view.stride[lane] = stride[axis];
  // GDMA moves columns that follow each other.
  return tensor.view.size[3] == 1 || tensor.view.stride[3] == 1;
}

bool Group::addNode(Operation *op, KernelPtr kernel, bool last) {
  Node node;
  node.op = op;
  node.last = last;
  for (const SlicedInput &input : kernel->inputs) {
    Tensor tensor;
    if (!resolve(input, tensor))
      return false;
    node.inputs.push_back(tensorOf(tensor));
  }
  for (auto [i, whole] : llvm::enumerate(kernel->wholes)) {
    // It has to be there before the first slice.
    if (computed.contains(whole.value) || aliases.contains(whole.value))
      return false;
    node.wholes.push_back(constants.size());
    node.read.push_back(whole.read());
    constants.push_back({nodes.size(), i, constants.size(), 0});
  }
  for (Table table : kernel->tables)
    if (!llvm::is_contained(tables, table))
      tables.push_back(table);
  Tensor output;
  output.value = output.named = op->getResult(0);
  output.view = output.namedView = kernel->output;
  output.type = kernel->outputType;
  output.isSigned = isSigned(output.value);
  node.output = tensorOf(output);
  node.kernel = std::move(kernel);
  nodes.push_back(std::move(node));
  return true;
}

bool Group::addNodes(ArrayRef<Operation *> ops) {
  matrices = MatrixTensors::of(ops);
  for (Operation *op : ops) {
    if (op->getNumResults() != 1)
      return false;
    if (llvm::isa<tpu::SliceOp, tpu::ReshapeOp>(op) &&
        !computed.contains(op->getOperand(0)) &&
        !takesColumnsApart(op, matrices)) {
      if (!addAlias(op))
        return false;
      continue;
    }
    SmallVector<KernelPtr> kernels = localKernels(op, matrices);
    if (kernels.size() != 1)
      return false;
    // Great constants come in parts, so that one part can be used while the
    // next one is loaded.
    int64_t bytes = 0;
    for (const WholeInput &whole : kernels[0]->wholes)
      bytes += roundUp(whole.local.bytes(), isa::kEuBytes);
    if (cut.slices() == 1 && bytes > kPartBytes &&
        kernels[0]->output.size[0] == 1)
      kernels = localKernels(op, matrices, ceilDiv(bytes, kPartBytes));
    for (auto [i, kernel] : llvm::enumerate(kernels))
      if (!addNode(op, std::move(kernel), i + 1 == kernels.size()))
        return false;
    computed[op->getResult(0)] = nodes.back().output;
  }
  if (nodes.empty())
    return false;
  for (auto [i, node] : llvm::enumerate(nodes)) {
    auto touch = [&](size_t tensor) {
      if (tensors[tensor].first < 0)
        tensors[tensor].first = int(i);
      tensors[tensor].last = int(i);
    };
    llvm::for_each(node.inputs, touch);
    touch(node.output);
  }
  auto staysInside = [&](Value value) {
    return !value.use_empty() &&
           llvm::all_of(value.getUsers(), [&](Operation *user) {
             return llvm::is_contained(ops, user);
           });
  };
  for (auto [value, tensor] : computed)
    tensors[tensor].stored = !staysInside(value);
  // Outside of the group somebody would look for it in a place of its own.
  return llvm::all_of(
      aliases, [&](const auto &alias) { return staysInside(alias.first); });
}

//===----------------------------------------------------------------------===//
// Slices
//===----------------------------------------------------------------------===//

Group::Slice Group::needed(const Node &node, size_t input,
                           const Slice &output) const {
  return {node.kernel->inputBatches(input, output.n),
          node.kernel->inputRows(input, output.h)};
}

bool Group::slice() {
  for (Tensor &tensor : tensors) {
    tensor.slices.resize(cut.slices());
    if (!tensor.stored)
      continue;
    if (tensor.view.size[0] < cut.n || tensor.view.size[2] < cut.h)
      return false;
    for (int64_t n = 0; n < cut.n; ++n)
      for (int64_t h = 0; h < cut.h; ++h)
        tensor.slices[n * cut.h + h] = {partOf(tensor.view.size[0], n, cut.n),
                                        partOf(tensor.view.size[2], h, cut.h)};
  }
  for (int64_t s = 0; s < cut.slices(); ++s)
    for (const Node &node : llvm::reverse(nodes)) {
      Slice output = tensors[node.output].slices[s];
      for (auto [i, input] : llvm::enumerate(node.inputs)) {
        Slice want = needed(node, i, output), &have = tensors[input].slices[s];
        have = {hull(have.n, want.n), hull(have.h, want.h)};
      }
    }
  for (Tensor &tensor : tensors) {
    const Nchw &size = tensor.view.size;
    tensor.asRow = cut.slices() == 1 && size[0] <= kMostRows && size[2] == 1 &&
                   size[3] == 1 && size[1] > 1 && !tensor.everyLane &&
                   tensor.view.stride[1] == 1 &&
                   (tensor.loaded || tensor.stored);
    for (const Slice &slice : tensor.slices)
      tensor.bytes = std::max(tensor.bytes,
                              alignedBytes(sizeOf(tensor, slice), tensor.type));
  }
  for (Node &node : nodes) {
    SmallVector<int64_t, 32> last, form;
    for (int64_t s = 0; s < cut.slices(); ++s) {
      // Slices of one size, cut out of one size, take as much.
      form = extentsOf(node, s);
      if (form == last)
        continue;
      std::swap(form, last);
      const KernelTile tile = tileOf(node, s);
      int64_t copies = 0;
      for (auto [i, input] : llvm::enumerate(tile.inputs))
        if (isCopied(node, input) || isSpread(node, i))
          copies += alignedBytes(oneLane(input).size, input.dtype);
      node.scratchBytes =
          std::max(node.scratchBytes, copies + node.kernel->scratchBytes(tile));
    }
  }
  return true;
}

/// The sizes of a slice and where it lies in the tensors that hold it.
SmallVector<int64_t, 32> Group::extentsOf(const Node &node,
                                          size_t slice) const {
  const Slice &output = tensors[node.output].slices[slice];
  SmallVector<int64_t, 32> form{output.n.size, output.h.size};
  for (auto [i, input] : llvm::enumerate(node.inputs)) {
    const Slice &have = tensors[input].slices[slice];
    const Slice want = needed(node, i, output);
    for (auto [whole, part] : {std::pair{have.n, want.n}, {have.h, want.h}})
      form.append({whole.size, part.begin - whole.begin, part.size});
  }
  return form;
}

KernelTile Group::tileOf(const Node &node, size_t slice) const {
  const Tensor &output = tensors[node.output];
  const Slice &range = output.slices[slice];
  KernelTile tile;
  for (auto [i, input] : llvm::enumerate(node.inputs)) {
    Local local = part(tensors[input], slice, needed(node, i, range));
    if (isSpread(node, i)) {
      local.size[1] = node.kernel->inputs[i].everyLane;
      local.stride[1] = 0;
      local.everyLane = true;
    }
    tile.inputs.push_back(local);
  }
  tile.wholes.append(node.read.begin(), node.read.end());
  tile.batches = range.n;
  tile.rows = range.h;
  tile.output = localOf(output, slice);
  const Range &channels = node.kernel->channels;
  if (channels.size != output.view.size[1]) {
    tile.output = tile.output +
                  channels.begin / int64_t(isa::kLanes) * tile.output.stride[1];
    tile.output.size[1] = channels.size;
  }
  return tile;
}

Nchw Group::sizeOf(const Tensor &tensor, const Slice &slice) const {
  return {slice.n.size, tensor.view.size[1], slice.h.size, tensor.view.size[3]};
}

Local Group::localOf(const Tensor &tensor, size_t slice) const {
  Nchw size = sizeOf(tensor, tensor.slices[slice]);
  int64_t addr = tensor.addr[slice % tensor.copies];
  Local local = tensor.everyLane
                    ? inEveryLane(addr, size, tensor.everyLane, tensor.type)
                    : aligned(addr, size, tensor.type);
  return local.withSign(tensor.isSigned);
}

Local Group::rowOf(const Tensor &tensor) const {
  return aligned(tensor.row, {tensor.view.size[0], 1, 1, tensor.view.size[1]},
                 tensor.type);
}

Nchw Group::rowStride(const Tensor &tensor) const {
  const int64_t columns = tensor.view.size[1];
  const int64_t step =
      tensor.view.size[0] == 1 ? columns : tensor.view.stride[0];
  return {step, columns, columns, 1};
}

Local Group::part(const Tensor &tensor, size_t slice,
                  const Slice &wanted) const {
  Local local = localOf(tensor, slice);
  const Slice &have = tensor.slices[slice];
  if (have == wanted)
    return local;
  return local.part(0, wanted.n.begin - have.n.begin, wanted.n.size)
      .part(2, wanted.h.begin - have.h.begin, wanted.h.size);
}

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

size_t Group::before(size_t node) const {
  return node - std::min(node, lookahead);
}

bool Group::place(size_t ahead, bool doubleStores) {
  lookahead = ahead;
  known.reset();
  const bool hasTables =
      llvm::any_of(blocks, [](const Block &block) { return block.isTable; });
  return (hasTables && placeWith(true, doubleStores)) ||
         placeWith(false, doubleStores);
}

bool Group::placeWith(bool fourfold, bool doubleStores) {
  LaneMemory memory;
  Emitter nothing(Emitter::Mode::Nothing);
  Math(nothing).prepare(memory, tables);
  const int64_t begin = int64_t(isa::kLaneBytes) - memory.left();
  const size_t end = nodes.size() - 1;
  const bool repeats = cut.slices() > 1;
  std::vector<Demand> demands, fixed;
  std::deque<int64_t> places; // of those that are fixed
  // Tables stand at the end of their part: there is more room in front of it.
  int64_t next = int64_t(isa::kGatherTable.end - isa::kEuBytes);
  for (Block &block : blocks) {
    const size_t first = repeats ? 0 : before(block.first);
    const size_t last = repeats ? end : block.last;
    block.isFourfold = fourfold && block.isTable;
    if (!block.isFourfold) {
      demands.push_back({block.bytes, first, last, &block.addr});
      continue;
    }
    next -= roundUp(block.bytes, isa::kEuBytes);
    block.addr = next;
    for (unsigned i = 0; i < isa::kGatherCopies; ++i) {
      places.push_back(next + i * int64_t(isa::kGatherCopyBytes));
      fixed.push_back({block.bytes, first, last, &places.back()});
    }
  }
  if (fourfold &&
      (next < int64_t(isa::kGatherTable.begin) || begin > kStagedIndices))
    return false;
  for (Tensor &tensor : tensors) {
    size_t first = tensor.first, last = tensor.last;
    tensor.copies = 1;
    if (repeats && (tensor.loaded || (tensor.stored && doubleStores))) {
      // The next slice is loaded, and the one before stored, meanwhile.
      tensor.copies = 2;
      first = 0;
      last = end;
    } else if (tensor.loaded) {
      first = before(first);
    } else if (tensor.stored) {
      last = std::min(end, std::max(last, first + 1));
    }
    if (tensor.asRow)
      demands.push_back({rowOf(tensor).bytes(), first, last, &tensor.row});
    for (int64_t copy = 0; copy < tensor.copies; ++copy)
      demands.push_back({tensor.bytes, first, last, &tensor.addr[copy]});
  }
  SmallVector<Apart> apart;
  for (auto [i, node] : llvm::enumerate(nodes)) {
    if (node.kernel->looksUp &&
        blocks[constants[node.wholes[0]].block].isFourfold) {
      places.push_back(kStagedIndices);
      fixed.push_back({kStagedResult + kLookupStage - kStagedIndices, i, i,
                       &places.back()});
    }
    if (node.scratchBytes == 0)
      continue;
    demands.push_back({node.scratchBytes, i, i, &node.scratch});
    const Tensor &output = tensors[node.output];
    if (output.type == isa::DType::I8)
      for (int64_t copy = 0; copy < output.copies; ++copy)
        apart.push_back({&node.scratch, &output.addr[copy]});
  }
  return (!apart.empty() && placeAll(demands, begin, apart, fixed)) ||
         placeAll(std::move(demands), begin, {}, std::move(fixed));
}

} // namespace tpumlir::codegen
