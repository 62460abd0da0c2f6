#include "tpumlir/codegen/Map.h"

#include "tpumlir/codegen/Alone.h"
#include "tpumlir/codegen/TilingSolver.h"
#include "tpumlir/dialect/top/TopUtils.h"

using namespace mlir;

namespace tpumlir::codegen {

namespace {

constexpr int64_t kMaxWidth = 65520; // of a flat tile; below the field's limit

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

/// Up to four axes as n, c, h, w; those before them are looped over.
std::vector<Block> blocksOf(const MergedAxes &axes) {
  const size_t rank = axes.size.size(), inputs = axes.inputStrides.size();
  const size_t outer = rank > 4 ? rank - 4 : 0;
  auto lanesOf = [](int64_t extent) {
    return std::min<int64_t>(extent, isa::kLanes);
  };
  SmallVector<int> places{0, 1, 2, 3}; // of each inner axis in n, c, h, w
  if (rank == 2)
    places = {1, 3};
  else if (rank == 3)
    // Over the lanes goes the axis that fills more of them; of two that do,
    // the outer one, so that a lane takes long rows.
    places = lanesOf(axes.size[0]) >= lanesOf(axes.size[1])
                 ? SmallVector<int>{1, 2, 3}
                 : SmallVector<int>{0, 1, 3};
  Block inner;
  inner.inputs.resize(inputs);
  inner.begins.assign(inputs, 0);
  // An axis that is not there must not look like rows that lie apart: the
  // engine's time goes by the strides.
  inner.output.stride = {0, 0, 0, 0};
  for (auto [i, place] : llvm::enumerate(places)) {
    const size_t axis = outer + i;
    inner.output.size[place] = axes.size[axis];
    inner.output.stride[place] = axes.outputStride[axis];
    for (auto [view, stride] : llvm::zip_equal(inner.inputs, axes.inputStrides))
      if (stride[axis] != 0) {
        view.size[place] = axes.size[axis];
        view.stride[place] = stride[axis];
      }
  }
  std::vector<Block> blocks{inner};
  for (size_t axis = outer; axis-- > 0;) {
    std::vector<Block> steps;
    for (int64_t at = 0; at < axes.size[axis]; ++at)
      for (Block block : blocks) {
        block.begin += at * axes.outputStride[axis];
        for (auto [begin, stride] :
             llvm::zip_equal(block.begins, axes.inputStrides))
          begin += at * stride[axis];
        steps.push_back(std::move(block));
      }
    blocks = std::move(steps);
  }
  return blocks;
}

/// An elementwise op.
class MapKernel : public LocalKernel {
public:
  explicit MapKernel(const MapProblem &problem) : problem(problem) {
    outputType = dtypeOf(problem.output);
    tables = problem.tables;
    strides = problem.strides;
  }
  /// For blocks of all tensors, which have views of their own.
  static MapKernel alone(const MapProblem &problem) {
    MapKernel kernel(problem);
    for (Value input : problem.inputs)
      kernel.inputs.push_back({input, {}});
    kernel.isWhole.assign(problem.inputs.size(), false);
    return kernel;
  }
  /// Null if the tensors have no lane view.
  static KernelPtr make(const MapProblem &problem,
                        const MatrixTensors &matrices) {
    const bool isMatrices = matrices.contains(problem.output);
    SmallVector<int64_t> shape = matrices.shapeOf(problem.output);
    std::optional<LaneView> view = LaneView::of(shape);
    if (!view || (isMatrices && !problem.perChannel.empty()))
      return nullptr;
    auto kernel = std::make_unique<MapKernel>(problem);
    kernel->output = *view;
    kernel->channels = {0, view->size[1]};
    for (auto [i, input] : llvm::enumerate(problem.inputs)) {
      // A channel is what stands along axis 1, wherever that lies.
      LaneView in = LaneView::perChannel(1);
      if (llvm::is_contained(problem.perChannel, i)) {
        int channel = laneAxes(shape)[1];
        in.size[channel] = view->size[channel];
        in.stride = denseStrides(in.size);
      } else {
        SmallVector<int64_t> extents(top::shapeOf(input));
        if (isMatrices && !asMatrices(extents, top::shapeOf(problem.output)))
          return nullptr;
        in = *LaneView::of(extents, shape);
      }
      // Constants without extents to be cut are held whole. What is computed
      // may be a result of the group.
      kernel->isWhole.push_back(input.getDefiningOp<top::WeightOp>() &&
                                in.size[0] * in.size[2] * in.size[3] == 1);
      if (kernel->isWhole.back())
        kernel->addWhole(input, in.size[1]);
      else
        kernel->inputs.push_back(
            {input, in, in.size[1] < view->size[1] ? view->size[1] : 0});
    }
    return kernel;
  }

  int64_t scratchBytes(const Nchw &out, ArrayRef<Nchw> in) const override {
    int64_t sum = problem.scratchTensors() * alignedBytes(out);
    if (problem.native)
      return sum;
    if (outputType != computeType(outputType))
      sum += alignedBytes(out);
    for (auto [input, size] : llvm::zip_equal(inputs, in))
      if (isHalf(dtypeOf(input.value)))
        sum += alignedBytes(size);
    for (const WholeInput &whole : wholes)
      if (isHalf(whole.local.dtype))
        sum += wideBytes(whole.local);
    return sum;
  }

  void emit(Emitter &em, Math &math, const KernelTile &tile) const override {
    LaneMemory memory(tile.scratch);
    // As `compute` takes them: in F32 unless it is native.
    auto computed = [&](const Local &local) {
      if (problem.native || !isHalf(local.dtype))
        return local;
      int64_t addr = memory.take(wideBytes(local));
      Local wide = aligned(addr, local.size);
      if (local.everyLane)
        wide = inEveryLane(addr, local.size, local.size[1]);
      else if (local.layout == isa::Layout::Compact)
        wide = compact(addr, local.size);
      castTile(em, wide, local);
      return wide;
    };
    SmallVector<Local> in, scratch;
    size_t sliced = 0, whole = 0;
    for (bool isWhole : isWhole)
      in.push_back(
          computed(isWhole ? tile.wholes[whole++] : tile.inputs[sliced++]));
    Local out = tile.output;
    if (!problem.native && isHalf(outputType))
      out = aligned(memory.take(alignedBytes(out.size)), out.size);
    for (int64_t i = 0; i < problem.scratchTensors(); ++i)
      scratch.push_back(aligned(memory.take(alignedBytes(out.size)), out.size));
    problem.run(em, math, out, in, scratch);
    castTile(em, tile.output, out);
  }

private:
  /// An operand that broadcasts to matrices: of one batch or of all of them.
  static bool asMatrices(SmallVector<int64_t> &shape,
                         ArrayRef<int64_t> result) {
    SmallVector<int64_t> all(result.size() - shape.size(), 1);
    llvm::append_range(all, shape);
    ArrayRef<int64_t> batch = ArrayRef(all).drop_back(2);
    if (batch != result.drop_back(2) && top::elementsOf(batch) != 1)
      return false;
    shape = matrixShape(all);
    return true;
  }

  static bool isHalf(isa::DType type) { return type != computeType(type); }

  /// Bytes of an operand in F32.
  static int64_t wideBytes(const Local &local) {
    Nchw size = local.size;
    if (local.everyLane)
      size[1] = 1;
    return local.layout == isa::Layout::Compact
               ? roundUp(compactBytes(size), isa::kEuBytes)
               : alignedBytes(size);
  }

  void addWhole(Value value, int64_t own) {
    isa::DType type = dtypeOf(value);
    const Nchw &out = output.size;
    Local local = aligned(0, {1, own, 1, 1}, type);
    if (own < out[1])
      local = inEveryLane(0, {1, 1, 1, 1}, out[1], type);
    else if (out[0] * out[2] * out[3] > 1) // it broadcasts: AR reads it
      local = compact(0, {1, own, 1, 1}, type);
    wholes.push_back({value, local.withSign(isSigned(value)), {0, 1, 1, 1}});
  }

  MapProblem problem;
  SmallVector<bool> isWhole; ///< per input of `problem`
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

KernelPtr mapKernel(const MapProblem &problem, const MatrixTensors &matrices) {
  return MapKernel::make(problem, matrices);
}

LogicalResult emitMap(Emitter &em, Operation *op, const MapProblem &problem) {
  LaneMemory memory;
  Emitter forgotten(Emitter::Mode::Check);
  Math(forgotten).prepare(memory, problem.tables);
  // Each operand and the result take two words per element, also halves: two of
  // two bytes and one of four. Rows of halves have 32 elements.
  const int64_t words =
      2 * (int64_t(problem.inputs.size()) + 1) + problem.scratchTensors();
  const int64_t laneElements = memory.left() / (4 * words) / 32 * 32;
  const MapKernel kernel = MapKernel::alone(problem);
  const MergedAxes axes = mergeAxes(top::shapeOf(problem.output), problem);
  if (axes.size.size() > 1) {
    std::vector<Block> blocks = blocksOf(axes);
    const Nchw most = cutToFit(blocks[0].output.size, laneElements);
    return success(emitTiles(em, op, kernel, blocks, most));
  }
  // One axis is spread over the lanes, in four tiles or more.
  const int64_t lanes = isa::kLanes;
  const int64_t total = axes.size.empty() ? 1 : axes.size[0];
  const int64_t width =
      std::min({laneElements, kMaxWidth,
                std::max<int64_t>(1024, ceilDiv(total, 4 * lanes))});
  SmallVector<bool> isOne;
  for (const auto &stride : axes.inputStrides)
    isOne.push_back(stride.empty() || stride[0] == 0);
  return success(emitTiles(em, op, kernel, flatBlocks(total, width, isOne)));
}

} // namespace tpumlir::codegen
