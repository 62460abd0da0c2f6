#pragma once

#include "tpumlir/codegen/LocalKernel.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <string>

/// Ops whose tensors stay in local memory between them. A group is cut into
/// slices of its results along n and h; for each slice its operands are loaded,
/// every op computes what the later ones need of it (rows under their windows
/// too, so neighbours may compute a row twice), and the results are stored.
namespace tpumlir::codegen {

/// Into how many parts the results of a group are cut along each axis.
struct GroupCut {
  int64_t n = 1, h = 1;

  int64_t slices() const { return n * h; }
};

/// Cuts of results with such least extents, from the whole to the finest:
/// batches first, then rows, each about half as large again as the one before.
llvm::SmallVector<GroupCut> cutsOf(int64_t n, int64_t h);

/// A group with all places in local memory. The operands of which every slice
/// needs all, weights among them, stay for the life of the group; if there is
/// one slice only, they come some kernels before they are used.
class Group {
public:
  /// Whether constants are loaded from their own places or from an image, and
  /// whether this one is also looked at for bytes that can be left out without
  /// any loss of time. Then it takes no longer than `Images`.
  enum class Constants { Loose, Images, FewestBytes };

  /// Plans the ops, which follow each other in their block. Null if they make
  /// no group: an op without local form, a tensor that the others cannot read
  /// as it lies, too little local memory.
  static std::unique_ptr<Group> plan(llvm::ArrayRef<mlir::Operation *> ops,
                                     const GroupCut &cut,
                                     Constants kind = Constants::FewestBytes);

  /// Whether an op can be part of a group at all, whatever the others are.
  static bool mayJoin(mlir::Operation *op);

  /// Whether tables stand there once for want of room: a finer cut may have it.
  bool isCramped() const {
    return llvm::any_of(blocks, [](const Block &block) {
      return block.isTable && !block.isFourfold;
    });
  }
  /// Bytes of the group's constants as they are laid out for its loads.
  int64_t imageBytes() const { return image; }
  /// Writes the constants as they stand there. `dataOf` gives the bytes of a
  /// weight.
  void
  fillImage(llvm::function_ref<llvm::ArrayRef<uint8_t>(mlir::Value)> dataOf,
            llvm::MutableArrayRef<uint8_t> bytes) const;
  /// Whether a value is read from the image and nowhere else in the group.
  bool readsFromImage(mlir::Value value) const;

  /// `imageAddr` is the place of the image in global memory.
  void emit(Emitter &em, uint64_t imageAddr) const;
  /// Cycles of its commands; the greatest number if one of them is not legal.
  uint64_t price() const;

private:
  Group() = default;

  /// The part of a tensor that one slice needs.
  struct Slice {
    Range n{0, 0}, h{0, 0};
    bool operator==(const Slice &other) const {
      return n.begin == other.n.begin && n.size == other.n.size &&
             h.begin == other.h.begin && h.size == other.h.size;
    }
  };
  struct Tensor {
    mlir::Value value;
    LaneView view;
    int64_t offset = 0; ///< of its first element in that of `value`
    /// What its readers know it as, if that is a part of `value`.
    mlir::Value named;
    LaneView namedView;
    isa::DType type;
    bool isSigned = true;
    int64_t everyLane = 0;     ///< see SlicedInput
    int first = -1, last = -1; ///< nodes that touch it
    bool loaded = false, stored = false;
    std::vector<Slice> slices;
    int64_t bytes = 0; ///< of its largest slice
    int64_t copies = 1, addr[2] = {0, 0};
    /// A vector over the lanes for each n, which GDMA would move element by
    /// element, comes and goes as rows in one lane at this address.
    bool asRow = false;
    int64_t row = 0;
  };
  /// A kernel of an op.
  struct Node {
    mlir::Operation *op;
    KernelPtr kernel;
    llvm::SmallVector<size_t, 3> inputs; ///< tensors
    size_t output;
    llvm::SmallVector<size_t, 2> wholes; ///< constants
    llvm::SmallVector<Local, 2> read;    ///< them, as the kernel reads them
    bool last;                           ///< kernel of its op
    int64_t scratchBytes = 0, scratch = 0;
  };
  /// A whole operand without what fills its rows.
  struct Dense {
    Local form;
    Nchw stride;  ///< of its elements among those of the value
    Local spread; ///< them as the kernel reads them; the address does not count
    bool zeros;   ///< what fills the rows counts
  };
  /// A whole operand.
  struct Constant {
    size_t node, whole; ///< the whole operand of that kernel
    size_t loaded; ///< the constant that comes; another one if that is alike
    size_t block;
    int64_t offset = 0;      ///< from the block's address
    int64_t looseOffset = 0; ///< of the form that is loaded, if it is packed
    /// An image has it without what fills its rows: `offset` is where the first
    /// reader spreads it out, `denseOffset` where it comes.
    std::optional<Dense> dense = std::nullopt;
    int64_t denseOffset = 0;
  };
  /// What one command brings out of the image: some bytes of some lanes.
  struct ImagePart {
    int64_t lanes, bytes;
    int64_t begin;                 ///< of these bytes, from the block's address
    int64_t offset = 0, pitch = 0; ///< of lane 0 in the image; to the next lane
  };
  /// How much is left out of images: rows of lanes that have no channels, where
  /// that takes GDMA no longer; what fills rows of channels and cubes too; all
  /// such rows of lanes; or all that can be.
  enum class LeftOut { Fillers, WithinCycles, Rows, All };
  /// Constants that come together: out of the image if they are weights.
  struct Block {
    llvm::SmallVector<size_t, 2> constants;
    bool isImage;
    size_t first, last; ///< nodes that read it
    int64_t bytes = 0, lanes = 0, addr = 0;
    bool isTable = false;    ///< that is worth to be there fourfold
    bool isFourfold = false; ///< see KernelTile
    llvm::SmallVector<ImagePart, 2> parts;
    LeftOut leftOut = LeftOut::WithinCycles;
    bool leavesBytes = false; ///< more could be left out, at a price
  };

  /// A part of a tensor outside of the group, as a Slice or a Reshape has it:
  /// nothing is done for it, its readers load from there.
  struct Alias {
    mlir::Value value;
    int64_t offset;
    llvm::SmallVector<int64_t> stride; ///< per axis, in elements
  };

  bool addNodes(llvm::ArrayRef<mlir::Operation *> ops);
  bool addAlias(mlir::Operation *op);
  bool addNode(mlir::Operation *op, KernelPtr kernel, bool last);
  bool resolve(const SlicedInput &input, Tensor &tensor) const;
  bool addConstants();
  const WholeInput &wholeOf(const Constant &constant) const {
    return nodes[constant.node].kernel->wholes[constant.whole];
  }
  static std::optional<Dense> denseOf(const WholeInput &whole);
  /// As it lies in an image.
  const Local &formOf(const Constant &constant) const {
    return constant.dense ? constant.dense->form : wholeOf(constant).local;
  }
  bool layConstants();
  /// The same, and everything gets a place; with so much left out of all
  /// blocks.
  bool fitWith(LeftOut leftOut);
  bool spreads() const;
  void leaveOutMore();
  void spread(Emitter &em, const Constant &constant) const;
  void layLoose(Block &block);
  void layImage(Block &block);
  void arrange(Block &block, std::optional<size_t> cut);
  void layParts();
  bool slice();
  bool fit();
  bool place(size_t ahead, bool doubleStores);
  /// The same, with tables fourfold or not.
  bool placeWith(bool fourfold, bool doubleStores);
  /// The node in front of which what this one is the first to read is loaded.
  size_t before(size_t node) const;

  size_t tensorOf(const Tensor &tensor);
  Nchw sizeOf(const Tensor &tensor, const Slice &slice) const;
  Local localOf(const Tensor &tensor, size_t slice) const;
  Local rowOf(const Tensor &tensor) const;
  /// How its rows lie in global memory.
  Nchw rowStride(const Tensor &tensor) const;
  /// What a kernel needs of an input for a slice.
  Slice needed(const Node &node, size_t input, const Slice &output) const;
  /// Some rows and batches of a tensor that holds a slice.
  Local part(const Tensor &tensor, size_t slice, const Slice &wanted) const;
  llvm::SmallVector<int64_t, 32> extentsOf(const Node &node,
                                           size_t slice) const;
  /// What a node computes of a slice, and from what.
  KernelTile tileOf(const Node &node, size_t slice) const;
  /// Whether a kernel that takes no strides has to have a copy of an input.
  static bool isCopied(const Node &node, const Local &input) {
    return input.layout == isa::Layout::Strided && !input.everyLane &&
           !node.kernel->strides;
  }

  /// Whether the one channel of a tensor that the group computes has to be
  /// brought into every lane for a kernel.
  bool isSpread(const Node &node, size_t input) const {
    return node.kernel->inputs[input].everyLane != 0 &&
           tensors[node.inputs[input]].everyLane == 0;
  }
  /// What is to be in every lane as it is in the first one; else itself.
  static Local oneLane(Local local) {
    if (local.everyLane) {
      local.size[1] = 1;
      local.everyLane = false;
    }
    return local;
  }

  class Noted;
  Piece pieceOf(const Tensor &tensor, size_t slice) const;
  Piece rowPiece(const Tensor &tensor) const;
  void noteConstant(Emitter &em, const Emitter::Mark &since, Noted &noted,
                    size_t constant) const;

  void load(Emitter &em, Noted &noted, const Block &block,
            uint64_t imageAddr) const;
  void load(Emitter &em, Noted &noted, size_t tensor, size_t slice) const;
  void store(Emitter &em, Noted &noted, size_t tensor, size_t slice) const;
  void compute(Emitter &em, Math &math, Noted &noted, const Node &node,
               size_t slice) const;

  GroupCut cut;
  bool hasImages = true;
  MatrixTensors matrices;
  llvm::DenseMap<mlir::Value, size_t> computed; ///< tensors
  llvm::DenseMap<mlir::Value, Alias> aliases;
  std::vector<Tensor> tensors;
  std::vector<Node> nodes;
  std::vector<Constant> constants;
  std::vector<Block> blocks;
  llvm::SmallVector<Table, 4> tables;
  size_t lookahead = 0; ///< kernels by which loads are ahead of readers
  int64_t image = 0;
  mutable std::optional<uint64_t> known; ///< price of the present places
};

/// Emits an op that has a local form by itself: a group of one, without an
/// image, cut as coarsely as it fits. An error at the op if it does not.
mlir::LogicalResult emitAlone(Emitter &em, mlir::Operation *op);

} // namespace tpumlir::codegen
