#include "tpumlir/codegen/Alone.h"

#include "tpumlir/codegen/Window.h"

using namespace mlir;

namespace tpumlir::codegen {

Block Block::of(const LocalKernel &kernel) {
  Block block;
  block.output = kernel.output;
  for (const SlicedInput &input : kernel.inputs)
    block.inputs.push_back(input.view);
  block.begins.assign(kernel.inputs.size(), 0);
  block.wholes.assign(kernel.wholes.size(), 0);
  return block;
}

std::vector<Block> repeated(ArrayRef<Block> blocks, int64_t count,
                            int64_t stride, ArrayRef<int64_t> inputStrides) {
  std::vector<Block> all;
  for (int64_t at = 0; at < count; ++at)
    for (Block block : blocks) {
      block.begin += at * stride;
      for (auto [begin, step] : llvm::zip_equal(block.begins, inputStrides))
        begin += at * step;
      all.push_back(std::move(block));
    }
  return all;
}

std::vector<Block> flatBlocks(int64_t total, int64_t width,
                              ArrayRef<bool> isOne) {
  std::vector<Block> blocks;
  auto add = [&](int64_t begin, int64_t channels, int64_t columns) {
    Nchw size{1, channels, 1, columns};
    Block block{{size, denseStrides(size)}, begin, {}, {}, {}};
    for (bool one : isOne) {
      block.inputs.push_back(one ? LaneView() : block.output);
      block.begins.push_back(one ? 0 : begin);
    }
    blocks.push_back(block);
  };
  const int64_t lanes = isa::kLanes;
  for (Range tile : cut(total, lanes * width)) {
    const int64_t perLane = tile.size / lanes;
    if (perLane > 0)
      add(tile.begin, lanes, perLane);
    if (int64_t rest = tile.size % lanes)
      add(tile.begin + lanes * perLane, rest, 1);
  }
  return blocks;
}

namespace {

class Tiles {
public:
  Tiles(Emitter &em, Operation *op, const LocalKernel &kernel)
      : em(em), op(op), kernel(kernel), math(em) {}

  bool emit(ArrayRef<Block> blocks, const std::optional<Nchw> &most) {
    all = blocks.front();
    for (const Block &block : blocks) {
      extend(all.output, block.output);
      for (auto [i, input] : llvm::enumerate(block.inputs))
        extend(all.inputs[i], input);
    }
    tile = most.value_or(spaceOf(all));
    if (const WindowGeometry *windows = kernel.windows()) {
      tile[2] = std::min(tile[2], windows->h.mostOutputs());
      tile[3] = std::min(tile[3], windows->w.mostOutputs());
    }
    severalBlocks = blocks.size() > 1;
    if (!cutToFit())
      return false;
    allocate();
    for (const Block &block : blocks)
      addSteps(block);
    for (size_t i = 0; i < steps.size(); ++i) {
      // The next tile comes before this one goes.
      if (i == 0)
        load(0);
      if (i + 1 < steps.size())
        load(i + 1);
      compute(i);
    }
    return true;
  }

private:
  /// Ranges along n, c, h, w.
  using Place = std::array<Range, 4>;
  struct Step {
    const Block *block;
    Place at; ///< the part of the block's space
    Part part;
    size_t result; ///< the number of the result that it is for
    bool stores;
    size_t channels; ///< the number of the channels with their whole operands
    bool loadsWholes;
  };

  static void extend(LaneView &view, const LaneView &by) {
    for (int axis = 0; axis < 4; ++axis)
      view.size[axis] = std::max(view.size[axis], by.size[axis]);
  }
  /// What is cut: the extents of the output, with the rows of the inputs where
  /// the kernel needs all of them.
  Nchw spaceOf(const Block &block) const {
    Nchw space = inOutput(block.output.size);
    if (kernel.needs != LocalKernel::Rows::Own)
      space[2] = block.inputs[0].size[2];
    return space;
  }
  /// What stands along the axes of the space in the output, or the reverse.
  template <typename Axes> Axes inOutput(Axes axes) const {
    if (kernel.turns)
      std::swap(axes[1], axes[2]);
    return axes;
  }
  static Nchw sizeOf(const LaneView &view, const Nchw &part,
                     int64_t perColumn = 1) {
    Nchw size;
    for (int axis = 0; axis < 4; ++axis)
      size[axis] = view.size[axis] == 1 ? 1 : part[axis];
    size[3] *= perColumn;
    return size;
  }
  /// Of a part of the space.
  Nchw outputSize(const Nchw &part) const {
    return sizeOf(all.output, inOutput(part));
  }
  Nchw inputSize(size_t i, const Nchw &part) const {
    if (const WindowGeometry *windows = kernel.windows(); windows && i == 0) {
      auto [h, w] = windows->inputExtent(part[2], part[3]);
      return {part[0], part[1], h, w};
    }
    return sizeOf(all.inputs[i], part, kernel.inputs[i].perColumn);
  }
  isa::DType typeOf(size_t input) const {
    return dtypeOf(kernel.inputs[input].value);
  }
  int64_t scratchBytes() const {
    KernelTile measured;
    for (size_t i = 0; i < kernel.inputs.size(); ++i)
      measured.inputs.push_back(local(i, 0, inputSize(i, tile), tile[1]));
    for (size_t i = 0; i < kernel.wholes.size(); ++i)
      measured.wholes.push_back(whole(i, 0, tile[1]));
    measured.output = aligned(0, outputSize(tile), kernel.outputType);
    measured.batches = {0, tile[0]};
    measured.rows = {0, tile[2]};
    // What a part needs that is not the only one.
    measured.part.first = false;
    measured.window.emplace();
    return kernel.scratchBytes(measured);
  }
  /// Whole operands that have to be there at once.
  int64_t wholeCopies() const {
    return severalBlocks || tile[1] < spaceOf(all)[1] ? 2 : 1;
  }

  bool fits() const {
    int64_t bytes = 2 * alignedBytes(outputSize(tile), kernel.outputType);
    for (size_t i = 0; i < kernel.inputs.size(); ++i)
      bytes += 2 * alignedBytes(inputSize(i, tile), typeOf(i));
    for (size_t i = 0; i < kernel.wholes.size(); ++i)
      bytes +=
          wholeCopies() * roundUp(whole(i, 0, tile[1]).bytes(), isa::kEuBytes);
    return *llvm::max_element(tile) <= kMaxField && bytes <= memory.left() &&
           bytes + scratchBytes() <= memory.left();
  }
  bool cutToFit() {
    Emitter nothing(Emitter::Mode::Nothing);
    Math(nothing).prepare(memory, kernel.tables);
    constexpr int64_t kVector = isa::euWidth(isa::DType::F32);
    const int64_t lanes = isa::kLanes;
    using Rows = LocalKernel::Rows;
    auto &[n, c, h, w] = tile;
    while (!fits())
      if (n > 1)
        n = ceilDiv(n, 2);
      else if (kernel.turns && std::max(c, h) > 1)
        (c > h ? c : h) = ceilDiv(std::max(c, h), 2);
      else if (c > lanes)
        c = roundUp(ceilDiv(c, 2), lanes);
      else if (h > 1 && kernel.needs == Rows::Own)
        h = ceilDiv(h, 2);
      else if (w > kVector)
        w = roundUp(ceilDiv(w, 2), kVector);
      else if (h > 1 && kernel.needs == Rows::InParts)
        h = ceilDiv(h, 2);
      else if (w > 1)
        w = ceilDiv(w, 2);
      else
        return false;
    return true;
  }

  void allocate() {
    memory = LaneMemory();
    math.prepare(memory, kernel.tables);
    auto both = [&](const Nchw &size, isa::DType type) {
      const int64_t bytes = alignedBytes(size, type);
      const int64_t first = memory.take(bytes);
      return std::array<int64_t, 2>{first, memory.take(bytes)};
    };
    for (size_t i = 0; i < kernel.inputs.size(); ++i)
      inputs.push_back(both(inputSize(i, tile), typeOf(i)));
    output = both(outputSize(tile), kernel.outputType);
    for (size_t i = 0; i < kernel.wholes.size(); ++i) {
      const int64_t bytes = whole(i, 0, tile[1]).bytes();
      const int64_t first = memory.take(bytes);
      wholes.push_back({first, wholeCopies() > 1 ? memory.take(bytes) : first});
    }
  }

  void addSteps(const Block &block) {
    const Nchw space = spaceOf(block);
    const bool isOwn = kernel.needs == LocalKernel::Rows::Own;
    const SmallVector<Range> all{{0, space[2]}}, some = cut(space[2], tile[2]);
    const bool hasAllRows = isOwn || block.output.size[2] == space[2];
    for (Range n : cut(space[0], tile[0]))
      for (Range c : cut(space[1], tile[1]))
        for (Range h : isOwn ? some : all)
          for (Range w : cut(space[3], tile[3])) {
            for (int pass = 0; pass < kernel.passes; ++pass)
              for (Range r : isOwn ? SmallVector<Range>{h} : some) {
                const bool first = isOwn || r.begin == 0;
                const bool last = isOwn || r.begin + r.size == space[2];
                const bool stores =
                    hasAllRows ? pass + 1 + kernel.keeps >= kernel.passes
                               : pass + 1 == kernel.passes && last;
                const bool fresh = steps.empty() ||
                                   steps.back().block != &block ||
                                   steps.back().at[1].begin != c.begin;
                channels += fresh;
                steps.push_back({&block,
                                 {n, c, r, w},
                                 {pass, r.begin, first, last},
                                 results,
                                 stores,
                                 channels,
                                 fresh});
                results += stores;
              }
          }
  }

  /// The element of a view at a place.
  static int64_t offsetOf(const LaneView &view, const Place &at,
                          int64_t perColumn = 1) {
    int64_t offset = 0;
    for (int axis = 0; axis < 4; ++axis)
      if (view.size[axis] > 1)
        offset +=
            at[axis].begin * view.stride[axis] * (axis == 3 ? perColumn : 1);
    return offset;
  }
  static Nchw extentOf(const Place &at) {
    return {at[0].size, at[1].size, at[2].size, at[3].size};
  }
  WindowTile windowOf(size_t index) const {
    const Step &step = steps[index];
    return windowTile(*kernel.windows(), step.at[2], step.at[3],
                      inputs[0][index % 2], typeOf(0), step.at[0].size,
                      step.at[1].size);
  }
  Local inputOf(size_t index, size_t i) const {
    const Step &step = steps[index];
    const LaneView &view = step.block->inputs[i];
    return local(i, inputs[i][index % 2],
                 sizeOf(view, extentOf(step.at), kernel.inputs[i].perColumn),
                 step.at[1].size);
  }
  Local local(size_t i, int64_t addr, const Nchw &size,
              int64_t channels) const {
    Local local = size[1] < channels
                      ? inEveryLane(addr, size, channels, typeOf(i))
                      : aligned(addr, size, typeOf(i));
    return local.withSign(isSigned(kernel.inputs[i].value));
  }
  /// What some channels have of a whole operand, as the kernel has all of it.
  Local whole(size_t i, int64_t addr, int64_t channels) const {
    Local local = kernel.wholes[i].read();
    if (local.everyLane) {
      local.addr = addr;
      return local;
    }
    Nchw size = local.size;
    size[1] = channels;
    return compact(addr, size, local.dtype).withSign(local.isSigned);
  }
  Local wholeOf(const Step &step, size_t i) const {
    return whole(i, wholes[i][step.channels % 2], step.at[1].size);
  }
  static Nchw legal(Nchw stride) {
    // That of a size of 1 counts for nothing, but has to be a legal one.
    for (int64_t &s : stride)
      s = std::max<int64_t>(s, 1);
    return stride;
  }

  void loadWholes(const Step &step) {
    for (auto [i, operand] : llvm::enumerate(kernel.wholes)) {
      const Global from =
          globalOf(operand.value) + (operand.begin + step.block->wholes[i]);
      const Local to = wholeOf(step, i);
      if (to.everyLane)
        em.loadEveryLane(from, legal(operand.stride), to);
      else
        em.load(from + step.at[1].begin * operand.stride[1],
                legal(operand.stride), to);
    }
  }

  void load(size_t index) {
    const Step &step = steps[index];
    for (size_t i = 0; i < inputs.size(); ++i) {
      LaneView view = step.block->inputs[i];
      Global from = globalOf(kernel.inputs[i].value) + step.block->begins[i];
      if (kernel.keeps && step.part.pass + 1 == kernel.passes) {
        view = step.block->output;
        from = globalOf(op->getResult(0)) + step.block->begin;
      }
      if (i == 0 && kernel.windows()) {
        windowOf(index).load(em,
                             from + (step.at[0].begin * view.stride[0] +
                                     step.at[1].begin * view.stride[1]),
                             view.stride[0], view.stride[1]);
        continue;
      }
      const Local to = inputOf(index, i);
      from = from + offsetOf(view, step.at, kernel.inputs[i].perColumn);
      if (to.everyLane)
        em.loadEveryLane(from, legal(view.stride), to);
      else
        em.load(from, legal(view.stride), to);
    }
    if (step.loadsWholes)
      loadWholes(step);
  }

  void compute(size_t index) {
    const Step &step = steps[index];
    const Value result = op->getResult(0);
    KernelTile tile;
    for (size_t i = 0; i < inputs.size(); ++i)
      tile.inputs.push_back(inputOf(index, i));
    if (kernel.windows()) {
      WindowTile window = windowOf(index);
      tile.inputs[0] = window.local;
      tile.window = window.fields;
    }
    const LaneView &view = step.block->output;
    const Place at = inOutput(step.at);
    tile.output = aligned(output[step.result % 2], sizeOf(view, extentOf(at)),
                          kernel.outputType)
                      .withSign(isSigned(result));
    tile.batches = step.at[0];
    tile.rows = step.at[2];
    for (size_t i = 0; i < wholes.size(); ++i)
      tile.wholes.push_back(wholeOf(step, i));
    tile.scratch = memory;
    tile.part = step.part;
    kernel.emit(em, math, tile);
    if (step.stores)
      em.store(tile.output,
               globalOf(result) + (step.block->begin + offsetOf(view, at)),
               view.stride);
  }

  Emitter &em;
  Operation *op;
  const LocalKernel &kernel;
  LaneMemory memory;
  Math math;
  Block all;             ///< the greatest extents
  Nchw tile{1, 1, 1, 1}; ///< greatest part of a space
  SmallVector<std::array<int64_t, 2>, 3> inputs, wholes;
  std::array<int64_t, 2> output;
  bool severalBlocks = false;
  std::vector<Step> steps;
  size_t results = 0, channels = 0;
};

} // namespace

bool emitTiles(Emitter &em, Operation *op, const LocalKernel &kernel,
               ArrayRef<Block> blocks, const std::optional<Nchw> &most) {
  return Tiles(em, op, kernel).emit(blocks, most);
}
bool emitTiles(Emitter &em, Operation *op, const LocalKernel &kernel) {
  return emitTiles(em, op, kernel, Block::of(kernel));
}

} // namespace tpumlir::codegen
