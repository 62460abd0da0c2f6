#include "tpumlir/codegen/Group.h"

#include "llvm/ADT/STLExtras.h"

/// The commands of a group, and the places that its tensors have between them.
namespace tpumlir::codegen {

using namespace mlir;

/// The places of what is in local memory: of each tensor those of a slice, of
/// each constant one.
class Group::Noted {
public:
  Noted(const Emitter &em, const Group &group) {
    if (!em.records())
      return;
    held.resize(group.tensors.size());
    rows.resize(group.tensors.size(), Emitter::kNoPlace);
    constants.resize(group.constants.size(), Emitter::kNoPlace);
  }

  ArrayRef<size_t> of(size_t tensor, size_t slice) const {
    if (held.empty() || held[tensor][slice % 2].slice != slice)
      return {};
    return held[tensor][slice % 2].places;
  }
  void add(size_t tensor, size_t slice, size_t place) {
    if (held.empty())
      return;
    Slot &slot = held[tensor][slice % 2];
    if (slot.slice != slice)
      slot = {slice, {}};
    slot.places.push_back(place);
  }
  void addRow(size_t tensor, size_t place) {
    if (!rows.empty())
      rows[tensor] = place;
  }
  size_t row(size_t tensor) const {
    return rows.empty() ? Emitter::kNoPlace : rows[tensor];
  }
  void addConstant(size_t constant, size_t place) {
    if (!constants.empty())
      constants[constant] = place;
  }
  size_t constant(size_t index) const {
    return constants.empty() ? Emitter::kNoPlace : constants[index];
  }

private:
  struct Slot {
    size_t slice = ~size_t(0);
    SmallVector<size_t, 2> places;
  };
  std::vector<std::array<Slot, 2>> held;
  std::vector<size_t> rows, constants;
};

/// What a tensor holds of a slice.
Piece Group::pieceOf(const Tensor &tensor, size_t slice) const {
  const Slice &range = tensor.slices[slice];
  Nchw stride = tensor.namedView.stride;
  int64_t begin = range.n.begin * stride[0] + range.h.begin * stride[2];
  if (tensor.everyLane)
    stride[1] = 0;
  return {tensor.named, begin, stride, int64_t(slice)};
}

/// The same of one that is a row for each n.
Piece Group::rowPiece(const Tensor &tensor) const {
  const Nchw &stride = tensor.namedView.stride;
  return {tensor.named, 0, {stride[0], 0, 0, stride[1]}, 0};
}

/// Channels become rows, or rows channels, n by n.
static void turnRows(Emitter &em, const Local &to, const Local &from) {
  for (int64_t n = 0; n < to.size[0]; ++n)
    em.transposeLanes(to.batch(n), from.batch(n));
}

void Group::noteConstant(Emitter &em, const Emitter::Mark &since, Noted &noted,
                         size_t index) const {
  const Constant &constant = constants[index];
  const Block &block = blocks[constant.block];
  const WholeInput &whole = wholeOf(constant);
  if (whole.loose) // only its kernel knows the form that it is packed into
    return;
  Local local = whole.local;
  local.addr = block.addr + constant.offset;
  Piece piece{whole.value, whole.begin, whole.stride, 0};
  if (constant.dense) {
    local = constant.dense->form;
    local.addr = block.addr + constant.denseOffset;
    piece.stride = constant.dense->stride;
  }
  if (local.everyLane) {
    local.size[1] = block.lanes;
    piece.stride[1] = 0;
  }
  // Where rows are not filled, those that are.
  if (whole.filled > 0) {
    local.size[2] = whole.filled / local.size[3];
    if (local.size[2] == 0) {
      local.size[2] = 1;
      local.size[3] = whole.filled;
    }
  }
  noted.addConstant(index, em.placed(isa::Engine::Gdma, since, piece, local));
}

void Group::load(Emitter &em, Noted &noted, const Block &block,
                 uint64_t imageAddr) const {
  em.setOp(nodes[block.first].op);
  Emitter::Mark since = em.mark();
  if (block.isImage) {
    for (const ImagePart &part : block.parts) {
      Nchw size{1, part.lanes, 1, part.bytes / kWord};
      Nchw stride = denseStrides(size);
      stride[1] = part.pitch / kWord;
      em.load({imageAddr + uint64_t(part.offset), isa::DType::F32}, stride,
              aligned(block.addr + part.begin, size));
    }
    for (size_t index : block.constants)
      noteConstant(em, since, noted, index);
    return;
  }
  for (size_t index : block.constants) {
    const Constant &constant = constants[index];
    const LocalKernel &kernel = *nodes[constant.node].kernel;
    const WholeInput &whole = kernel.wholes[constant.whole];
    Local to = whole.loaded();
    to.addr =
        block.addr + (whole.loose ? constant.looseOffset : constant.offset);
    Nchw stride = whole.stride;
    for (int64_t &s : stride)
      s = std::max<int64_t>(s, 1);
    Global from = globalOf(whole.value) + whole.begin;
    since = em.mark();
    if (to.everyLane)
      em.loadEveryLane(from, stride, to);
    else
      em.load(from, stride, to);
    noteConstant(em, since, noted, index);
    if (block.isFourfold)
      for (unsigned i = 1; i < isa::kGatherCopies; ++i) {
        to.addr += isa::kGatherCopyBytes;
        em.loadEveryLane(from, stride, to);
      }
    if (whole.loose) {
      Nchw elements = whole.stride;
      if (to.everyLane)
        elements[1] = 0;
      em.placed(isa::Engine::Gdma, since,
                {whole.value, whole.begin, elements, 0}, to);
      Local packed = whole.local;
      packed.addr = block.addr + constant.offset;
      kernel.pack(em, constant.whole, packed, to);
    }
  }
}

void Group::load(Emitter &em, Noted &noted, size_t index, size_t slice) const {
  const Tensor &tensor = tensors[index];
  em.setOp(nodes[tensor.first].op);
  const Slice &range = tensor.slices[slice];
  Nchw stride = tensor.view.stride;
  Global from =
      globalOf(tensor.value) +
      (tensor.offset + range.n.begin * stride[0] + range.h.begin * stride[2]);
  for (int64_t &s : stride)
    s = std::max<int64_t>(s, 1);
  Local to = localOf(tensor, slice);
  const Emitter::Mark since = em.mark();
  if (tensor.asRow) {
    em.load(from, rowStride(tensor), rowOf(tensor));
    noted.addRow(index, em.placed(isa::Engine::Gdma, since, rowPiece(tensor),
                                  rowOf(tensor)));
    return;
  }
  if (tensor.everyLane)
    em.loadEveryLane(from, stride, to);
  else
    em.load(from, stride, to);
  noted.add(index, slice,
            em.placed(isa::Engine::Gdma, since, pieceOf(tensor, slice), to));
}

void Group::store(Emitter &em, Noted &noted, size_t index, size_t slice) const {
  const Tensor &tensor = tensors[index];
  // Of its own part only: rows that other ops of the group needed besides
  // belong to other slices.
  Slice own{partOf(tensor.view.size[0], int64_t(slice) / cut.h, cut.n),
            partOf(tensor.view.size[2], int64_t(slice) % cut.h, cut.h)};
  const Nchw &stride = tensor.view.stride;
  Emitter::Mark since = em.mark();
  if (tensor.asRow) {
    Local row = rowOf(tensor);
    turnRows(em, row, localOf(tensor, slice));
    size_t turned = em.placed(isa::Engine::Tiu, since, rowPiece(tensor), row,
                              noted.of(index, slice));
    since = em.mark();
    em.store(row, globalOf(tensor.value), rowStride(tensor));
    em.placed(since, rowPiece(tensor), globalOf(tensor.value), row.size,
              {turned});
    return;
  }
  const int64_t begin = own.n.begin * stride[0] + own.h.begin * stride[2];
  Local from = part(tensor, slice, own);
  Global to = globalOf(tensor.value) + begin;
  em.store(from, to, stride);
  em.placed(since, {tensor.value, begin, stride, int64_t(slice)}, to, from.size,
            noted.of(index, slice));
}

void Group::compute(Emitter &em, Math &math, Noted &noted, const Node &node,
                    size_t slice) const {
  em.setOp(node.op);
  const Tensor &output = tensors[node.output];
  KernelTile tile = tileOf(node, slice);
  tile.scratch = LaneMemory(node.scratch);
  const Emitter::Mark since = em.mark();
  SmallVector<size_t> reads;
  for (auto [i, input] : llvm::enumerate(node.inputs)) {
    const Tensor &tensor = tensors[input];
    // It has come as a row; the first of its readers turns it.
    if (tensor.asRow && tensor.loaded && &nodes[tensor.first] == &node) {
      turnRows(em, localOf(tensor, slice), rowOf(tensor));
      reads.push_back(noted.row(input));
      noted.add(input, slice,
                em.placed(isa::Engine::Tiu, since, pieceOf(tensor, slice),
                          localOf(tensor, slice), {noted.row(input)}));
    } else {
      llvm::append_range(reads, noted.of(input, slice));
    }
    Local &local = tile.inputs[i];
    if (isSpread(node, i)) {
      Local from = oneLane(local);
      Local copy =
          tile.scratch.tensor(from.size, from.dtype).withSign(from.isSigned);
      local = inEveryLane(copy.addr, from.size, local.size[1], from.dtype)
                  .withSign(from.isSigned);
      if (from.layout != isa::Layout::Aligned) {
        em.copyLocal(copy, from);
        from = copy;
      }
      em.copyToEveryLane(local, from);
    } else if (isCopied(node, local)) {
      Local copy =
          tile.scratch.tensor(local.size, local.dtype).withSign(local.isSigned);
      em.copyLocal(copy, local);
      local = copy;
    }
  }
  for (auto [index, local] : llvm::zip_equal(node.wholes, tile.wholes)) {
    const Constant &constant = constants[index];
    if (constant.dense && slice == 0)
      spread(em, constant);
    local.addr = blocks[constant.block].addr + constant.offset;
    tile.isFourfold = blocks[constant.block].isFourfold;
    reads.push_back(noted.constant(constant.loaded));
  }
  Piece piece = pieceOf(output, slice);
  piece.begin += node.kernel->channels.begin * piece.stride[1];
  node.kernel->emit(em, math, tile);
  Local made = tile.output;
  if (const std::optional<Range> &columns = node.kernel->partOfColumns) {
    made = made + columns->begin * made.stride[3];
    made.size[3] = columns->size;
    piece.begin += columns->begin * piece.stride[3];
  }
  noted.add(node.output, slice,
            em.placed(isa::Engine::Tiu, since, piece, made, reads));
}

void Group::emit(Emitter &em, uint64_t imageAddr) const {
  em.setOp(nodes.front().op);
  const Emitter::Noting noting(em);
  Noted noted(em, *this);
  Math math(em);
  LaneMemory memory;
  math.prepare(memory, tables);
  const size_t slices = cut.slices();
  auto loadSlice = [&](size_t slice) {
    for (auto [i, tensor] : llvm::enumerate(tensors))
      if (tensor.loaded)
        load(em, noted, i, slice);
  };
  for (size_t s = 0; s < slices; ++s) {
    for (auto [i, node] : llvm::enumerate(nodes)) {
      // Constants and the first slice: what the next ops need.
      if (s == 0) {
        if (slices > 1 && i == 0)
          loadSlice(0);
        // In the order in which they are read.
        for (size_t reader = i; reader < nodes.size(); ++reader) {
          if (before(reader) != i)
            continue;
          for (auto [t, tensor] : llvm::enumerate(tensors))
            if (slices == 1 && tensor.loaded && tensor.first == int(reader))
              load(em, noted, t, 0);
          for (const Block &block : blocks)
            if (block.first == reader)
              load(em, noted, block, imageAddr);
        }
      }
      if (i == 0 && s + 1 < slices)
        loadSlice(s + 1);
      compute(em, math, noted, node, s);
      if (node.last && tensors[node.output].stored)
        store(em, noted, node.output, s);
    }
  }
}

LogicalResult emitAlone(Emitter &em, Operation *op) {
  auto matrices = MatrixTensors::of(op);
  if (auto view = LaneView::of(matrices.shapeOf(op->getResult(0))))
    for (const GroupCut &cut : cutsOf(view->size[0], view->size[2]))
      if (auto group = Group::plan({op}, cut, Group::Constants::Loose)) {
        group->emit(em, isa::kGlobalMemory.begin);
        return success(!em.failed());
      }
  return op->emitError("expected an operation of which a row fits into local "
                       "memory, got ")
         << op->getName() << " of " << op->getResult(0).getType()
         << " (keep it in a float type by --quantize_table)";
}

} // namespace tpumlir::codegen
