#include "tpumlir/codegen/Map.h"

#include "tpumlir/codegen/Alone.h"
#include "tpumlir/codegen/Dma.h"
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

MergedAxes mergedAxes(ArrayRef<int64_t> shape, const MapProblem &problem) {
  MergedAxes merged{SmallVector<int64_t>(shape), rowMajor(shape), {}};
  for (auto [i, input] : llvm::enumerate(problem.inputs)) {
    ArrayRef<int64_t> in = top::shapeOf(input);
    SmallVector<int64_t> stride(shape.size(), 0);
    if (llvm::is_contained(problem.perChannel, i)) {
      stride[1] = shape[1] > 1;
    } else {
      for (auto [axis, step] : llvm::enumerate(rowMajor(in)))
        if (in[axis] != 1)
          stride[shape.size() - in.size() + axis] = step;
    }
    merged.inputStrides.push_back(stride);
  }
  SmallVector<SmallVectorImpl<int64_t> *> strides{&merged.outputStride};
  for (SmallVector<int64_t> &stride : merged.inputStrides)
    strides.push_back(&stride);
  mergeAxes(merged.size, strides);
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
    SmallVector<int64_t> strides;
    for (ArrayRef<int64_t> stride : axes.inputStrides)
      strides.push_back(stride[axis]);
    blocks =
        repeated(blocks, axes.size[axis], axes.outputStride[axis], strides);
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
  /// None if the tensors have no lane view.
  static Kernels make(const MapProblem &problem,
                      const MatrixTensors &matrices) {
    const bool isMatrices = matrices.contains(problem.output);
    SmallVector<int64_t> shape = matrices.shapeOf(problem.output);
    std::optional<LaneView> view = LaneView::of(shape);
    if (!view || (isMatrices && !problem.perChannel.empty()))
      return {};
    Kernels kernels = only<MapKernel>(problem);
    auto kernel = static_cast<MapKernel *>(kernels[0].get());
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
          return {};
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
    return kernels;
  }

  void emit(Emitter &em, Math &math, const KernelTile &tile) const override {
    // As `compute` takes them: in F32 unless it is native.
    auto computed = [&](const Local &local) {
      return problem.native ? local : widened(em, tile.scratch, local);
    };
    SmallVector<Local> in, scratch;
    size_t sliced = 0, whole = 0;
    for (bool isWhole : isWhole)
      in.push_back(
          computed(isWhole ? tile.wholes[whole++] : tile.inputs[sliced++]));
    const Local out =
        problem.native ? tile.output : tile.scratch.wide(tile.output);
    for (int64_t i = 0; i < problem.scratchTensors(); ++i)
      scratch.push_back(tile.scratch.tensor(out.size));
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

  void addWhole(Value value, int64_t own) {
    isa::DType type = dtypeOf(value);
    const Nchw &out = output.size;
    Local local = aligned(0, {1, own, 1, 1}, type);
    if (own < out[1])
      local = inEveryLane(0, {1, 1, 1, 1}, out[1], type);
    else if (out[0] * out[2] * out[3] > 1) // it broadcasts: AR reads it
      local = compact(0, {1, own, 1, 1}, type);
    wholes.push_back({value, local, {0, 1, 1, 1}});
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
  emitRelu(em, output, relu);
}

Kernels mapKernels(const MapProblem &problem, const MatrixTensors &matrices) {
  return MapKernel::make(problem, matrices);
}

LogicalResult emitMap(Emitter &em, Operation *op, const MapProblem &problem) {
  LaneMemory memory;
  Emitter nothing(Emitter::Mode::Nothing);
  Math(nothing).prepare(memory, problem.tables);
  // Each operand and the result take two words per element, also halves: two of
  // two bytes and one of four. Rows of halves have 32 elements.
  const int64_t words =
      2 * (int64_t(problem.inputs.size()) + 1) + problem.scratchTensors();
  const int64_t laneElements = memory.left() / (4 * words) / 32 * 32;
  const MapKernel kernel = MapKernel::alone(problem);
  const MergedAxes axes = mergedAxes(top::shapeOf(problem.output), problem);
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
