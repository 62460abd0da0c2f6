#include "tpumlir/codegen/LocalKernel.h"

#include "tpumlir/codegen/Map.h"
#include "tpumlir/dialect/top/TopUtils.h"

using namespace mlir;

namespace tpumlir::codegen {

SmallVector<int> laneAxes(ArrayRef<int64_t> shape) {
  switch (shape.size()) {
  case 0:
    return {};
  case 1:
    return {1};
  case 2:
    return shape[0] == 1 ? SmallVector<int>{0, 1} : SmallVector<int>{1, 3};
  case 3:
    return shape[1] == 1 && shape[0] > 1 ? SmallVector<int>{1, 0, 3}
                                         : SmallVector<int>{0, 1, 3};
  default:
    return {0, 1, 2, 3};
  }
}

std::optional<LaneView> LaneView::of(ArrayRef<int64_t> shape) {
  return of(shape, shape);
}

std::optional<LaneView> LaneView::of(ArrayRef<int64_t> shape,
                                     ArrayRef<int64_t> result) {
  if (result.size() > 4 || shape.size() > result.size())
    return std::nullopt;
  LaneView view;
  SmallVector<int> axes = laneAxes(result);
  for (auto [axis, extent] :
       llvm::zip(ArrayRef(axes).take_back(shape.size()), shape))
    view.size[axis] = extent;
  int64_t step = 1;
  for (int axis : llvm::reverse(ArrayRef(axes).take_back(shape.size()))) {
    view.stride[axis] = step;
    step *= view.size[axis];
  }
  // Strides of axes that are not there are as in a dense tensor.
  Nchw dense = denseStrides(view.size);
  for (int axis = 0; axis < 4; ++axis)
    if (view.size[axis] == 1)
      view.stride[axis] = dense[axis];
  return view;
}

LaneView LaneView::perChannel(int64_t channels) {
  return {{1, channels, 1, 1}, {channels, 1, 1, 1}};
}

SmallVector<Range> channelParts(int64_t channels, int64_t parts) {
  return cut(channels, roundUp(ceilDiv(channels, parts), int64_t(isa::kLanes)));
}

SmallVector<int64_t> matrixShape(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> flat{1};
  for (int64_t extent : shape.drop_back(2))
    flat[0] *= extent;
  llvm::append_range(flat, shape.take_back(2));
  return flat;
}

//===----------------------------------------------------------------------===//
// Batches of matrices
//===----------------------------------------------------------------------===//

namespace {

/// A tensor that has another view as matrices.
bool mayBeMatrices(Value value) {
  return llvm::isa<RankedTensorType>(value.getType()) &&
         top::shapeOf(value).size() >= 4;
}

bool isMapOp(Operation *op) {
  return llvm::isa<
#define MAP_OP(name) tpu::name##Op,
#include "tpumlir/codegen/MapOps.def"
      tpu::SoftmaxOp>(op);
}

/// Whether a Permute brings the third axis over the lanes, [a, b, c, d] to [a,
/// c, b, d] or [a, c, d, b].
bool splitsRows(tpu::PermuteOp op) {
  return isOrder(op, {0, 2, 1, 3}) || isOrder(op, {0, 2, 3, 1});
}

} // namespace

MatrixTensors MatrixTensors::of(ArrayRef<Operation *> ops) {
  MatrixTensors matrices;
  auto add = [&](Value value) {
    return mayBeMatrices(value) && matrices.values.insert(value).second;
  };
  auto addAll = [&](Operation *op) {
    bool changed = false;
    for (Value operand : op->getOperands())
      changed |= add(operand);
    for (Value result : op->getResults())
      changed |= add(result);
    return changed;
  };
  // What has matrices on one side has them on the other.
  auto spread = [&] {
    for (bool changed = true; changed;) {
      changed = false;
      for (Operation *op : ops)
        if (isMapOp(op) && matrices.concerns(op))
          changed |= addAll(op);
    }
  };
  bool found = false;
  for (Operation *op : ops) {
    auto product = dyn_cast<tpu::MatMulOp>(op);
    // More axes have no other view.
    if ((product && top::rankOf(product.getRight()) > 2) ||
        (isMapOp(op) && top::rankOf(op->getResult(0)) > 4))
      found |= addAll(op);
  }
  if (found)
    spread();
  // A Permute between heads and rows goes from one view into the other.
  for (Operation *op : ops)
    if (auto permute = dyn_cast<tpu::PermuteOp>(op);
        permute && splitsRows(permute) && !matrices.concerns(op)) {
      add(permute.getOutput());
      spread();
    }
  return matrices;
}

bool MatrixTensors::concerns(Operation *op) const {
  auto isOne = [&](Value value) { return contains(value); };
  return !values.empty() && (llvm::any_of(op->getOperands(), isOne) ||
                             llvm::any_of(op->getResults(), isOne));
}

SmallVector<int64_t> MatrixTensors::shapeOf(Value value) const {
  ArrayRef<int64_t> shape = top::shapeOf(value);
  return contains(value) ? matrixShape(shape) : SmallVector<int64_t>(shape);
}

namespace {

/// An elementwise op.
class MapKernel : public LocalKernel {
public:
  /// Null if the tensors have no lane view.
  static KernelPtr make(MapProblem problem, const MatrixTensors &matrices) {
    const bool isMatrices = matrices.contains(problem.output);
    SmallVector<int64_t> shape = matrices.shapeOf(problem.output);
    std::optional<LaneView> view = LaneView::of(shape);
    if (!view || (isMatrices && !problem.perChannel.empty()))
      return nullptr;
    auto kernel = std::make_unique<MapKernel>();
    kernel->output = *view;
    kernel->outputType = dtypeOf(problem.output);
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
    kernel->tables = problem.tables;
    kernel->strides = problem.strides;
    kernel->problem = std::move(problem);
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

SmallVector<KernelPtr> oneOrNone(KernelPtr kernel) {
  SmallVector<KernelPtr> kernels;
  if (kernel)
    kernels.push_back(std::move(kernel));
  return kernels;
}

template <typename OpTy>
SmallVector<KernelPtr> mapKernels(Operation *op, const MatrixTensors &matrices,
                                  int64_t) {
  return oneOrNone(MapKernel::make(mapOf(cast<OpTy>(op)), matrices));
}
template <typename OpTy>
SmallVector<KernelPtr> ownKernels(Operation *op, const MatrixTensors &matrices,
                                  int64_t parts) {
  auto typed = cast<OpTy>(op);
  if (!matrices.concerns(op))
    return kernelsOf(typed, parts);
  if constexpr (llvm::is_one_of<OpTy, tpu::MatMulOp, tpu::SoftmaxOp,
                                tpu::PermuteOp>::value)
    return oneOrNone(matrixKernelOf(typed, matrices));
  return {};
}

} // namespace

SmallVector<KernelPtr>
localKernels(Operation *op, const MatrixTensors &matrices, int64_t parts) {
  using MakeFn =
      SmallVector<KernelPtr> (*)(Operation *, const MatrixTensors &, int64_t);
  static const DenseMap<TypeID, MakeFn> rows = {
#define MAP_OP(name) {TypeID::get<tpu::name##Op>(), mapKernels<tpu::name##Op>},
#include "tpumlir/codegen/MapOps.def"
#define LOCAL_OP(name)                                                         \
  {TypeID::get<tpu::name##Op>(), ownKernels<tpu::name##Op>},
#include "tpumlir/codegen/LocalOps.def"
  };
  auto row = rows.find(op->getName().getTypeID());
  if (row == rows.end())
    return {};
  return row->second(op, matrices, parts);
}

} // namespace tpumlir::codegen
