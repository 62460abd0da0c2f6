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

int64_t LocalKernel::scratchBytes(const KernelTile &tile) const {
  Emitter nothing(Emitter::Mode::Nothing);
  LaneMemory memory;
  Math math(nothing);
  math.prepare(memory, tables);
  KernelTile measured = tile;
  measured.scratch = LaneMemory();
  emit(nothing, math, measured);
  return measured.scratch.end();
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

template <typename OpTy>
Kernels kernelsOfMap(Operation *op, const MatrixTensors &matrices, int64_t) {
  return mapKernels(mapOf(cast<OpTy>(op)), matrices);
}
template <typename OpTy>
Kernels ownKernels(Operation *op, const MatrixTensors &matrices,
                   int64_t parts) {
  auto typed = cast<OpTy>(op);
  if (!matrices.concerns(op))
    return kernelsOf(typed, parts);
  if constexpr (llvm::is_one_of<OpTy, tpu::MatMulOp, tpu::SoftmaxOp,
                                tpu::PermuteOp>::value)
    return matrixKernelsOf(typed, matrices);
  return {};
}

} // namespace

Kernels localKernels(Operation *op, const MatrixTensors &matrices,
                     int64_t parts) {
  using MakeFn = Kernels (*)(Operation *, const MatrixTensors &, int64_t);
  static const DenseMap<TypeID, MakeFn> rows = {
#define MAP_OP(name)                                                           \
  {TypeID::get<tpu::name##Op>(), kernelsOfMap<tpu::name##Op>},
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
