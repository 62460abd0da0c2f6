#include "tpumlir/codegen/Map.h"

#include "tpumlir/codegen/TilingSolver.h"
#include "tpumlir/dialect/top/TopUtils.h"

using namespace mlir;

namespace tpumlir::codegen {

namespace {

constexpr int64_t kMaxWidth = 65520; // of a flat tile; below the field's limit

/// One rectangle of the output with where it and the inputs lie. A stride of 0
/// says that the input has one element there.
struct Block {
  Nchw size;
  int64_t output;
  Nchw outputStride;
  llvm::SmallVector<int64_t, 3> inputs;
  llvm::SmallVector<Nchw, 3> inputStrides;
};

/// Axes of the output, neighbours merged where every input allows it.
struct MergedAxes {
  SmallVector<int64_t> size, outputStride;
  SmallVector<SmallVector<int64_t>> inputStrides; ///< per input
};

MergedAxes mergeAxes(ArrayRef<int64_t> shape, const MapProblem &problem) {
  ArrayRef<Value> inputs = problem.inputs;
  size_t rank = shape.size();
  SmallVector<SmallVector<int64_t>> strides;
  for (Value input : inputs) {
    ArrayRef<int64_t> in = top::shapeOf(input);
    SmallVector<int64_t> stride(rank, 0);
    int64_t step = 1;
    if (llvm::is_contained(problem.perChannel, strides.size())) {
      stride[1] = shape[1] > 1;
      strides.push_back(stride);
      continue;
    }
    for (size_t i = 0; i < in.size(); ++i) {
      size_t axis = in.size() - 1 - i;
      if (in[axis] != 1)
        stride[rank - 1 - i] = step;
      step *= in[axis];
    }
    strides.push_back(stride);
  }
  MergedAxes merged;
  merged.inputStrides.resize(inputs.size());
  int64_t step = 1;
  // From the innermost axis outwards; reversed at the end.
  for (size_t axis = rank; axis-- > 0;) {
    int64_t extent = shape[axis];
    if (extent == 1)
      continue;
    bool joins = !merged.size.empty();
    for (size_t i = 0; joins && i < inputs.size(); ++i) {
      int64_t inner = merged.inputStrides[i].back();
      int64_t outer = strides[i][axis];
      joins =
          outer == inner * merged.size.back() && (inner == 0) == (outer == 0);
    }
    if (joins) {
      merged.size.back() *= extent;
    } else {
      merged.size.push_back(extent);
      merged.outputStride.push_back(step);
      for (size_t i = 0; i < inputs.size(); ++i)
        merged.inputStrides[i].push_back(strides[i][axis]);
    }
    step *= extent;
  }
  std::reverse(merged.size.begin(), merged.size.end());
  std::reverse(merged.outputStride.begin(), merged.outputStride.end());
  for (auto &stride : merged.inputStrides)
    std::reverse(stride.begin(), stride.end());
  return merged;
}

class MapEmitter {
public:
  MapEmitter(Emitter &em, const MapProblem &problem)
      : em(em), math(em), problem(problem) {
    math.prepare(free, problem.tables);
  }

  LogicalResult emit() {
    // Each operand and the result take two words per element, also halves:
    // two of two bytes and one of four. Rows of halves have 32 elements.
    int64_t words =
        2 * (int64_t(problem.inputs.size()) + 1) + problem.scratchTensors();
    laneElements = free.left() / (4 * words) / 32 * 32;
    MergedAxes axes = mergeAxes(top::shapeOf(problem.output), problem);
    if (axes.size.empty()) { // one element
      axes.size.push_back(1);
      axes.outputStride.push_back(1);
      for (auto &stride : axes.inputStrides)
        stride.push_back(1);
    }
    if (axes.size.size() == 1)
      cutFlat(axes);
    else
      cutAxes(axes);
    return emitBlocks();
  }

private:
  /// One axis: spread over the lanes, `width` elements in each.
  void cutFlat(const MergedAxes &axes) {
    const int64_t lanes = isa::kLanes, total = axes.size[0];
    int64_t width = std::min({laneElements, kMaxWidth,
                              std::max<int64_t>(1, ceilDiv(total, 4 * lanes))});
    width = std::max<int64_t>(width, std::min<int64_t>(1024, laneElements));
    for (Range tile : cut(total, lanes * width)) {
      int64_t perLane = tile.size / lanes;
      if (perLane > 0)
        flatBlock(axes, tile.begin, lanes, perLane);
      if (int64_t rest = tile.size % lanes)
        flatBlock(axes, tile.begin + lanes * perLane, rest, 1);
    }
  }

  void flatBlock(const MergedAxes &axes, int64_t begin, int64_t c, int64_t w) {
    Block block{{1, c, 1, w}, begin, {0, w, w, 1}, {}, {}};
    for (const auto &stride : axes.inputStrides) {
      bool one = stride[0] == 0;
      block.inputs.push_back(one ? 0 : begin);
      block.inputStrides.push_back(one ? Nchw{} : block.outputStride);
    }
    blocks.push_back(block);
  }

  /// Up to four axes as n, c, h, w; those before them are looped over.
  void cutAxes(const MergedAxes &axes) {
    size_t rank = axes.size.size();
    size_t outer = rank > 4 ? rank - 4 : 0;
    SmallVector<int> places; // of each inner axis in n, c, h, w
    switch (rank - outer) {
    case 2:
      places = {1, 3};
      break;
    case 3:
      // Over the lanes goes the axis that fills more of them; of two that do,
      // the outer one, so that a lane takes long rows.
      places = lanesOf(axes.size[outer]) >= lanesOf(axes.size[outer + 1])
                   ? SmallVector<int>{1, 2, 3}
                   : SmallVector<int>{0, 1, 3};
      break;
    default:
      places = {0, 1, 2, 3};
    }
    SmallVector<int64_t> index(outer, 0);
    do {
      Block block{{1, 1, 1, 1}, 0, {}, {}, {}};
      block.inputs.assign(problem.inputs.size(), 0);
      block.inputStrides.assign(problem.inputs.size(), Nchw{});
      for (size_t axis = 0; axis < outer; ++axis)
        advance(block, axes, axis, index[axis]);
      for (size_t axis = outer; axis < rank; ++axis) {
        int place = places[axis - outer];
        block.size[place] = axes.size[axis];
        block.outputStride[place] = axes.outputStride[axis];
        for (size_t i = 0; i < block.inputs.size(); ++i)
          block.inputStrides[i][place] = axes.inputStrides[i][axis];
      }
      cutBlock(block);
    } while (next(index, axes.size));
  }

  static int64_t lanesOf(int64_t extent) {
    return std::min<int64_t>(extent, isa::kLanes);
  }

  static void advance(Block &block, const MergedAxes &axes, size_t axis,
                      int64_t steps) {
    block.output += steps * axes.outputStride[axis];
    for (size_t i = 0; i < block.inputs.size(); ++i)
      block.inputs[i] += steps * axes.inputStrides[i][axis];
  }

  static bool next(SmallVectorImpl<int64_t> &index, ArrayRef<int64_t> size) {
    for (size_t axis = index.size(); axis-- > 0;) {
      if (++index[axis] < size[axis])
        return true;
      index[axis] = 0;
    }
    return false;
  }

  void cutBlock(const Block &whole) {
    Nchw part = cutToFit(whole.size, laneElements);
    for (Range n : cut(whole.size[0], part[0]))
      for (Range c : cut(whole.size[1], part[1]))
        for (Range h : cut(whole.size[2], part[2]))
          for (Range w : cut(whole.size[3], part[3])) {
            Block block = whole;
            block.size = {n.size, c.size, h.size, w.size};
            Nchw begin{n.begin, c.begin, h.begin, w.begin};
            for (int i = 0; i < 4; ++i) {
              block.output += begin[i] * block.outputStride[i];
              for (size_t k = 0; k < block.inputs.size(); ++k)
                block.inputs[k] += begin[i] * block.inputStrides[k][i];
            }
            blocks.push_back(block);
          }
  }

  //===--- Emission -------------------------------------------------------===//

  /// The input of a block in a type.
  static Local inputLocal(const Block &block, size_t input, int64_t addr,
                          isa::DType type) {
    const Nchw &stride = block.inputStrides[input];
    Nchw size = block.size;
    for (int i : {0, 2, 3})
      if (stride[i] == 0)
        size[i] = 1;
    if (stride[1] == 0 && block.size[1] > 1)
      return inEveryLane(addr, size, block.size[1], type);
    return aligned(addr, size, type);
  }

  LogicalResult emitBlocks() {
    LaneMemory memory = free;
    Nchw whole{1, 1, 1, laneElements};
    SmallVector<TileBuffers> inputs;
    for (Value input : problem.inputs)
      inputs.emplace_back(memory, dtypeOf(input), whole, isa::Layout::Aligned,
                          2, !problem.native);
    TileBuffers outputs(memory, dtypeOf(problem.output), whole,
                        isa::Layout::Aligned, 2, !problem.native);
    SmallVector<int64_t> scratchAddrs;
    for (int64_t i = 0; i < problem.scratchTensors(); ++i)
      scratchAddrs.push_back(memory.take(alignedBytes(whole)));

    Global output = globalOf(problem.output);
    SmallVector<Global> sources;
    for (Value input : problem.inputs)
      sources.push_back(globalOf(input));

    std::vector<Step> steps;
    for (const Block &block : blocks) {
      int64_t slot = int64_t(steps.size());
      SmallVector<Local> loaded, locals, scratch;
      for (size_t i = 0; i < sources.size(); ++i) {
        isa::DType type = sources[i].dtype;
        bool sign = isSigned(problem.inputs[i]);
        loaded.push_back(inputLocal(block, i, inputs[i].storedAddr(slot), type)
                             .withSign(sign));
        locals.push_back(inputLocal(block, i, inputs[i].computedAddr(slot),
                                    problem.native ? type : computeType(type))
                             .withSign(sign));
      }
      for (int64_t addr : scratchAddrs)
        scratch.push_back(aligned(addr, block.size));
      Local stored = outputs.stored(slot, block.size);
      Local out =
          outputs.computed(slot, block.size).withSign(isSigned(problem.output));
      Step step;
      step.load = [=, this, &block] {
        for (size_t i = 0; i < sources.size(); ++i)
          loadInput(block, i, sources[i], loaded[i]);
      };
      step.compute = [=, this] {
        for (auto [from, to] : llvm::zip_equal(loaded, locals))
          castTile(em, to, from);
        problem.run(em, math, out, locals, scratch);
        castTile(em, stored, out);
      };
      step.store = [=, this, &block] {
        em.store(stored, output + block.output, block.outputStride);
      };
      steps.push_back(std::move(step));
    }
    runSteps(steps);
    return success();
  }

  void loadInput(const Block &block, size_t i, const Global &source,
                 const Local &local) {
    Global src = source + block.inputs[i];
    Nchw stride = block.inputStrides[i];
    // The stride of a size of 1 is not used, but has to be a legal one.
    for (int64_t &s : stride)
      s = std::max<int64_t>(s, 1);
    if (local.everyLane)
      em.loadEveryLane(src, stride, local);
    else
      em.load(src, stride, local);
  }

  Emitter &em;
  Math math;
  LaneMemory free; ///< behind the tables
  const MapProblem &problem;
  int64_t laneElements = 0;
  std::vector<Block> blocks;
};

} // namespace

int64_t MapProblem::scratchTensors() const {
  ArrayRef<int64_t> shape = top::shapeOf(output);
  int64_t copies = whole ? llvm::count_if(inputs,
                                          [&](Value input) {
                                            return top::shapeOf(input) != shape;
                                          })
                         : 0;
  return scratch + copies;
}

void MapProblem::run(Emitter &em, Math &math, const Local &output,
                     ArrayRef<Local> inputs, ArrayRef<Local> scratch) const {
  SmallVector<Local> in(inputs);
  size_t next = size_t(this->scratch);
  if (whole)
    for (Local &input : in) {
      if (input.size == output.size && !input.everyLane)
        continue;
      Local copy = scratch[next++].as(input.dtype);
      em.copyLocal(copy, input);
      input = copy;
    }
  compute(em, math, output, in, scratch.take_front(size_t(this->scratch)));
}

LogicalResult emitMap(Emitter &em, const MapProblem &problem) {
  return MapEmitter(em, problem).emit();
}

} // namespace tpumlir::codegen
