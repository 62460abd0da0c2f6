#pragma once

#include "tpumlir/codegen/Math.h"
#include "tpumlir/codegen/Tiles.h"

#include "llvm/ADT/DenseSet.h"

#include <memory>
#include <optional>

/// How an op computes on tensors that are in the lanes already: the form in
/// which groups of ops keep them. No loads, no stores, no loop over tiles.
namespace tpumlir::codegen {

struct WindowGeometry;

/// A tensor as groups keep it, [n, c, h, w] with the channels over the lanes.
/// Groups cut n and h.
struct LaneView {
  Nchw size{1, 1, 1, 1};
  Nchw stride{1, 1, 1, 1}; ///< in global memory, in elements

  /// Four axes as they are, three as [n, c, w], two as [c, w], one as [c]; none
  /// for more. Missing axes are of size 1. A matrix of one row is a vector over
  /// the lanes, [c], and batches of one row are the rows of one matrix.
  static std::optional<LaneView> of(llvm::ArrayRef<int64_t> shape);
  /// An operand that broadcasts, as in numpy, to a result.
  static std::optional<LaneView> of(llvm::ArrayRef<int64_t> shape,
                                    llvm::ArrayRef<int64_t> result);
  /// One element per channel.
  static LaneView perChannel(int64_t channels);
  static LaneView dense(const Nchw &size) { return {size, denseStrides(size)}; }

  bool operator==(const LaneView &other) const {
    return size == other.size && stride == other.stride;
  }
  bool operator!=(const LaneView &other) const { return !(*this == other); }
};

/// The axis among n, c, h and w of each axis of a tensor that has a LaneView.
llvm::SmallVector<int> laneAxes(llvm::ArrayRef<int64_t> shape);

/// The tensors of a group that lie as batches of matrices, [.., c, w] with all
/// leading axes as n: operands and results of products of batches, what becomes
/// of them element by element, and whatever has more than four axes. Any other
/// tensor of four axes has its second one, there the heads of an attention,
/// over the lanes.
class MatrixTensors {
public:
  static MatrixTensors of(llvm::ArrayRef<mlir::Operation *> ops);

  bool contains(mlir::Value value) const { return values.contains(value); }
  /// Whether an op computes with one of them.
  bool concerns(mlir::Operation *op) const;
  /// The shape that the lane view is that of.
  llvm::SmallVector<int64_t> shapeOf(mlir::Value value) const;

private:
  llvm::DenseSet<mlir::Value> values;
};

/// Whether a Permute has this order.
inline bool isOrder(tpu::PermuteOp op, std::initializer_list<int64_t> order) {
  return llvm::equal(op.getOrder(), order);
}

/// Lanes and columns exchanged.
constexpr Nchw turned(const Nchw &size) {
  return {size[0], size[3], size[2], size[1]};
}

/// A shape of at least three axes with one axis in front of the last two.
llvm::SmallVector<int64_t> matrixShape(llvm::ArrayRef<int64_t> shape);

/// An operand of which a slice of the result needs a slice.
struct SlicedInput {
  mlir::Value value;
  LaneView view;
  /// One channel that stands against so many of the result: every lane has to
  /// hold it. 0 for any other operand.
  int64_t everyLane = 0;
  /// Of an op by itself: its columns for each one of the result.
  int64_t perColumn = 1;
};

/// An operand of which every slice of the result needs all: a filter, a bias, a
/// factor per channel. A weight or a tensor that was computed.
struct WholeInput {
  mlir::Value value;
  Local local; ///< as the kernel reads it; the address does not count
  Nchw stride; ///< in global memory, in elements
  /// The form that it is loaded in, if `LocalKernel::pack` has to rearrange it.
  std::optional<Local> loose = std::nullopt;
  int64_t begin = 0; ///< the element of the value that comes first
  /// Elements of a channel (h times w) that the value has, if they do not fill
  /// the last row; the others are zeros. Of constants only.
  int64_t filled = 0;
  /// The first elements of each cube of a channel that the value has, if they
  /// do not fill it; the others are zeros. Of constants only.
  struct Cubes {
    int64_t width, used;
  };
  std::optional<Cubes> cubes = std::nullopt;
  /// A filter of a command, which begins at a multiple of kEuBytes even if it
  /// is one element per channel; a bias or a factor may lie anywhere.
  bool isFilter = false;

  const Local &loaded() const { return loose ? *loose : local; }
  /// As the kernel reads it: a filter that is computed may be of numbers
  /// without sign.
  Local read() const { return local.withSign(isSigned(value)); }
  /// Whether both are the same bytes in the same form. Of what is packed only
  /// its kernel knows the form.
  bool isSame(const WholeInput &other) const {
    return !loose && !other.loose && value == other.value &&
           begin == other.begin && filled == other.filled &&
           isFilter == other.isFilter && stride == other.stride &&
           local.size == other.local.size &&
           local.stride == other.local.stride &&
           local.everyLane == other.local.everyLane;
  }
};

/// Some rows of the inputs of an op by itself, see LocalKernel::Rows::InParts.
struct Part {
  int pass = 0;
  int64_t begin = 0; ///< the first of the rows
  bool first = true, last = true;
};

/// What passes through the parts of a lane of the gather of four at a time by
/// one command, if it does not lie there.
inline constexpr int64_t kLookupStage = 4096;
inline constexpr int64_t kStagedIndices =
    int64_t(isa::kGatherIndices.end - isa::kEuBytes) - kLookupStage;
inline constexpr int64_t kStagedResult = int64_t(isa::kGatherResult.begin);

/// Where a kernel finds everything for one slice.
struct KernelTile {
  llvm::SmallVector<Local, 4> inputs, wholes;
  Local output;
  Range batches, rows; ///< of the output, those (n, h) that `output` holds
  mutable LaneMemory scratch; ///< what is taken of it, the kernel may use
  /// Of a kernel that looks up: the table is there as often and where the
  /// gather of four at a time reads it, and kLookupStage in front of and behind
  /// the border between the parts of its indices and its result are free.
  bool isFourfold = false;
  Part part;
  /// The windows over the first input, if their columns are cut too.
  std::optional<WindowFields> window;
};

/// Of some rows of an output whose row r comes from row r / factor of the
/// input: those with r % factor = phase.
struct RowsOfPhase {
  int64_t first;  ///< counted from the first of the rows
  int64_t source; ///< row of the input that it comes from
  int64_t count;

  RowsOfPhase(Range rows, int64_t factor, int64_t phase)
      : source((rows.begin - phase + factor - 1) / factor),
        count((rows.begin + rows.size - 1 - phase + factor) / factor - source) {
    first = source * factor + phase - rows.begin;
    count = std::max<int64_t>(count, 0);
  }
};

class LocalKernel {
public:
  LocalKernel() = default;
  /// All channels of a result, as it lies, from an input.
  LocalKernel(mlir::Value input, const LaneView &in, mlir::Value result,
              const LaneView &out)
      : output(out), outputType(dtypeOf(result)), inputs{{input, in}},
        channels{0, out.size[1]} {}
  virtual ~LocalKernel() = default;

  LaneView output;
  isa::DType outputType = isa::DType::F32;
  llvm::SmallVector<SlicedInput, 3> inputs;
  llvm::SmallVector<WholeInput, 2> wholes;
  llvm::SmallVector<Table, 2> tables; ///< of the `Math` that `emit` is given
  /// Inputs may have any strides; otherwise they are aligned tensors.
  bool strides = false;
  /// The part of the output's channels that it computes; begins at a multiple
  /// of the lanes.
  Range channels{0, 0};
  /// The same of the output's columns, if it does not compute all of them.
  std::optional<Range> partOfColumns;
  /// The first of the whole operands is a table of bytes in every lane that
  /// each element is looked up in, and nothing else is whole.
  bool looksUp = false;
  /// Of an op by itself (Alone.h): inputs may be lost.
  bool ownsInputs = false;
  /// The same: what a column of the result needs of the rows of the inputs,
  /// those of its own row, or all. If these come in parts, in their order and
  /// so many times, scratch and the result stay as they are between them; the
  /// result has all of the rows too, made the last time, or one.
  enum class Rows { Own, All, InParts } needs = Rows::Own;
  int passes = 1;
  /// The same: channels and rows of the result are rows and channels of the
  /// input, which is cut.
  bool turns = false;
  /// What it makes of its input the last time but one is its input the last
  /// time, and stands in the place of the result meanwhile.
  bool keeps = false;

  /// The rows (h) of an input under rows of the output.
  virtual Range inputRows(size_t input, Range rows) const {
    return inputs[input].view.size[2] == 1 ? Range{0, 1} : rows;
  }
  /// The batches (n) of an input under batches of the output.
  virtual Range inputBatches(size_t input, Range batches) const {
    return inputs[input].view.size[0] == 1 ? Range{0, 1} : batches;
  }
  /// What `emit` takes of its scratch for a tile.
  int64_t scratchBytes(const KernelTile &tile) const;
  /// Of an op by itself: the windows over the first input, which may be cut
  /// anyhow. Null if there are none.
  virtual const WindowGeometry *windows() const { return nullptr; }
  /// Brings a whole operand from the form that it is loaded in into that which
  /// `emit` reads.
  virtual void pack(Emitter &em, size_t whole, const Local &to,
                    const Local &from) const {}
  virtual void emit(Emitter &em, Math &math, const KernelTile &tile) const = 0;
};

using KernelPtr = std::unique_ptr<LocalKernel>;
using Kernels = llvm::SmallVector<KernelPtr>;

/// A kernel that has all of a result to itself.
template <typename Kernel, typename... Args> Kernels only(Args &&...args) {
  Kernels kernels;
  kernels.push_back(std::make_unique<Kernel>(std::forward<Args>(args)...));
  return kernels;
}

/// The kernels of an op that together compute its result, part after part of
/// its channels: one, or with `parts` up to as many. None if the op has no
/// local form.
Kernels localKernels(mlir::Operation *op, const MatrixTensors &matrices,
                     int64_t parts = 1);

/// Whether an op brings channels into other lanes, which takes a step for each:
/// a Concat of operands that begin anywhere.
bool movesLanes(mlir::Operation *op);

/// What localKernels asks each op for; defined for every op of the dialect that
/// is in LocalOps.def.
template <typename OpTy> Kernels kernelsOf(OpTy op, int64_t parts);

/// The same for ops that compute with matrices.
template <typename OpTy>
Kernels matrixKernelsOf(OpTy op, const MatrixTensors &matrices);

/// The channels of a result in `parts` parts that begin at multiples of the
/// lanes, fewer if there are not that many.
llvm::SmallVector<Range> channelParts(int64_t channels, int64_t parts);

} // namespace tpumlir::codegen
