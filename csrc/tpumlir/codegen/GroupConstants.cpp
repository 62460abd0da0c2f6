#include "tpumlir/codegen/Group.h"

#include "tpumlir/dialect/top/TopUtils.h"

#include "llvm/ADT/STLExtras.h"

#include <cstring>

/// The constants of a group: which come together, and how they lie in a lane
/// and in the image that they are loaded from.
namespace tpumlir::codegen {

using namespace mlir;

namespace {

constexpr int64_t kLanes = isa::kLanes;

/// From here on a load reaches all channels of DDR, which take turns every 4
/// KiB; one that reaches fewer takes longer (isa/CyclesGdma.cpp).
constexpr int64_t kReach = 3 * 4096;
/// Of lanes that lie further apart some channels are passed over.
constexpr int64_t kMostPitch = 4096;
/// Fewer bytes are not worth a command.
constexpr int64_t kLeastSurplus = 1024;
/// A piece of fewer bytes, which is what a lane takes, counts as these.
constexpr int64_t kLeastPiece = 256;
/// Bytes of a lane up to which constants of several nodes come together: the
/// first of these waits for all of them.
constexpr int64_t kMostJoined = 2 * kLeastPiece;

/// Bytes from lane to lane that are enough to reach all channels.
int64_t pitchOf(int64_t lanes) {
  int64_t pitch = ceilDiv(kReach, std::max<int64_t>(lanes - 1, 1));
  return std::min(kMostPitch, roundUp(pitch, kWord));
}

bool isWeight(Value value) {
  return bool(value.getDefiningOp<top::WeightOp>());
}

int64_t formBytes(const Local &local) {
  return roundUp(local.bytes(), isa::kEuBytes);
}

/// At multiples of so many bytes a form of an operand may begin. One element
/// per channel may lie anywhere, unless it is a filter.
int64_t alignmentOf(const WholeInput &whole, const Local &form) {
  bool isVector = !whole.isFilter && form.layout == isa::Layout::Compact &&
                  form.size[0] == 1 && form.size[2] * form.size[3] == 1;
  return isVector ? int64_t(isa::bytes(form.dtype)) : int64_t(isa::kEuBytes);
}

/// Where the last row of channels of a form begins, if only some lanes have
/// channels there.
std::optional<int64_t> tailOf(const Local &form) {
  if (form.everyLane || form.size[0] != 1 || form.rows() < 2 ||
      form.size[1] % kLanes == 0)
    return std::nullopt;
  int64_t begin =
      (form.rows() - 1) * form.stride[1] * int64_t(isa::bytes(form.dtype));
  if (begin % kWord != 0)
    return std::nullopt;
  return begin;
}

/// Bytes that need not come if the last row of channels is loaded by itself.
int64_t surplusOf(const Local &form) {
  std::optional<int64_t> tail = tailOf(form);
  return tail ? (kLanes - form.size[1] % kLanes) * (form.bytes() - *tail) : 0;
}

/// Blocks of nodes behind one another come together where that is fewer bytes,
/// with the least that a lane counts as: those of images. What the first kernel
/// waits for comes by itself. `wholeOf` gives a constant as its kernel reads
/// it.
template <typename Block, typename WholeOf>
std::vector<Block> joinedBlocks(std::vector<Block> blocks, WholeOf wholeOf) {
  auto joined = [](const Block &one, const Block &other) {
    Block both = one;
    both.lanes = std::max(one.lanes, other.lanes);
    both.last = std::max(one.last, other.last);
    llvm::append_range(both.constants, other.constants);
    return both;
  };
  auto bytesOf = [&](const Block &block) {
    int64_t end = 0;
    for (size_t index : block.constants) {
      const WholeInput &whole = wholeOf(index);
      end = roundUp(end, alignmentOf(whole, whole.local)) + whole.local.bytes();
    }
    return roundUp(end, kWord);
  };
  // One of the forms may come without rows of lanes that have no channels.
  auto costOf = [&](const Block &block) {
    int64_t surplus = 0;
    for (size_t index : block.constants)
      surplus = std::max(surplus, surplusOf(wholeOf(index).local));
    return block.lanes * std::max(bytesOf(block), kLeastPiece) -
           (surplus < kLeastSurplus ? 0 : surplus);
  };
  std::vector<Block> kept;
  for (Block &block : blocks) {
    if (kept.size() > 1 && block.isImage && kept.back().isImage) {
      Block both = joined(kept.back(), block);
      if (bytesOf(both) <= kMostJoined &&
          costOf(both) < costOf(kept.back()) + costOf(block)) {
        kept.back() = std::move(both);
        continue;
      }
    }
    kept.push_back(std::move(block));
  }
  return kept;
}

} // namespace

bool Group::addConstants() {
  for (auto [i, constant] : llvm::enumerate(constants)) {
    WholeInput &whole = nodes[constant.node].kernel->wholes[constant.whole];
    // Rows that do not fill their cubes: an image has zeros there.
    if (!hasImages && whole.filled > 0 && !whole.loose)
      whole.loose = compact(0, {1, whole.local.size[1], 1, whole.filled},
                            whole.local.dtype);
    // What an earlier op has read, the same steps of a recurrence for example,
    // stays until the last one.
    auto earlier = ArrayRef(constants).take_front(i);
    auto same = llvm::find_if(earlier, [&](const Constant &other) {
      return wholeOf(other).isSame(whole);
    });
    if (same != earlier.end()) {
      constant.loaded = same->loaded;
      constant.block = same->block;
      blocks[same->block].last =
          std::max(blocks[same->block].last, constant.node);
      continue;
    }
    // One copy for all lanes comes by a broadcast, which reads it once.
    bool isImage = hasImages && isWeight(whole.value) && !whole.loose &&
                   !whole.local.everyLane;
    // Only an image has zeros where the value has nothing.
    if (!isImage && whole.filled > 0 && !whole.loose)
      return false;
    // Constants of a node come together. One that is computed comes alone.
    bool joins = isImage && !blocks.empty() && blocks.back().isImage &&
                 blocks.back().first == constant.node;
    if (!joins) {
      Block block;
      block.isImage = isImage;
      block.first = block.last = constant.node;
      blocks.push_back(block);
    }
    Block &block = blocks.back();
    // Of few elements a table is looked up as fast as it comes.
    constexpr int64_t kFewElements = 64;
    const Node &node = nodes[constant.node];
    const Nchw &size = node.kernel->output.size;
    block.isTable =
        node.kernel->looksUp &&
        size[0] * ceilDiv(size[1], kLanes) * size[2] * size[3] >= kFewElements;
    constant.block = blocks.size() - 1;
    block.lanes = std::max(block.lanes, whole.local.lanes());
    block.constants.push_back(i);
  }
  blocks =
      joinedBlocks(std::move(blocks), [&](size_t index) -> const WholeInput & {
        return wholeOf(constants[index]);
      });
  for (auto [i, block] : llvm::enumerate(blocks))
    for (size_t index : block.constants)
      constants[index].block = i;
  for (Constant &constant : constants)
    constant.block = constants[constant.loaded].block;
  return true;
}

//===----------------------------------------------------------------------===//
// In the lanes
//===----------------------------------------------------------------------===//

/// Gives all constants their places in their blocks, and those of images in
/// these. False if a command cannot state a part.
bool Group::layConstants() {
  for (Block &block : blocks) {
    if (block.isImage)
      layImage(block);
    else
      layLoose(block);
    for (const ImagePart &part : block.parts)
      if (part.bytes / kWord > kMaxField)
        return false;
  }
  for (Constant &constant : constants)
    constant.offset = constants[constant.loaded].offset;
  layParts();
  return true;
}

/// Each comes by itself.
void Group::layLoose(Block &block) {
  block.bytes = 0;
  for (size_t index : block.constants) {
    Constant &constant = constants[index];
    const WholeInput &whole = wholeOf(constant);
    constant.offset = block.bytes;
    block.bytes += formBytes(whole.local);
    if (whole.loose) {
      constant.looseOffset = block.bytes;
      block.bytes += formBytes(*whole.loose);
    }
  }
}

/// Rows of channels lie apart where a kernel reads them aligned, and channels
/// that do not fill their cube among zeros. None of what has none of that.
std::optional<Group::Dense> Group::denseOf(const WholeInput &whole) {
  const Local &local = whole.local;
  if (local.everyLane || local.size[0] != 1 || whole.filled > 0)
    return std::nullopt;
  if (whole.cubes) {
    const auto [width, used] = *whole.cubes;
    const Nchw size{1, local.size[1], local.size[2] * local.size[3] / width,
                    used};
    Dense dense{compact(0, size, local.dtype),
                {0, whole.stride[1], width, 1},
                local,
                /*zeros=*/local.dtype == isa::DType::I8};
    dense.spread.size = size;
    dense.spread.stride = {0, local.stride[1], width, 1};
    dense.spread.layout = isa::Layout::Strided;
    return dense;
  }
  if (local.layout != isa::Layout::Aligned || local.rows() == 1 ||
      local.stride[1] == local.size[2] * local.size[3])
    return std::nullopt;
  Dense dense{compact(0, local.size, local.dtype), whole.stride, local,
              /*zeros=*/false};
  dense.spread.layout = isa::Layout::Strided;
  return dense;
}

/// What came without its fillers, as the kernel reads it.
void Group::spread(Emitter &em, const Constant &constant) const {
  const int64_t begin = blocks[constant.block].addr;
  if (constant.dense->zeros) {
    Local all = wholeOf(constant).local;
    all.addr = begin + constant.offset;
    em.copyLocal(all, Operand::integer(0));
  }
  Local from = constant.dense->form, to = constant.dense->spread;
  from.addr = begin + constant.denseOffset;
  from.layout = isa::Layout::Strided;
  to.addr = begin + constant.offset;
  em.copyLocal(to, from);
}

/// All by one command, or the last row of channels of one of them, which few
/// lanes may have, by a second one; with what fills the rows of each, or
/// without.
void Group::layImage(Block &block) {
  const LeftOut leftOut = block.leftOut;
  block.leavesBytes = false;
  // Pieces below some bytes take as long as these.
  auto cycles = [&] {
    Emitter em(Emitter::Mode::Price);
    for (ImagePart part : block.parts) {
      int64_t pitch = std::max(
          part.bytes,
          std::min(kMostPitch, kReach / std::max<int64_t>(part.lanes - 1, 1)));
      Nchw size{1, part.lanes, 1, part.bytes / kWord};
      em.load({isa::kGlobalMemory.begin, isa::DType::F32},
              {0, pitch / kWord, size[3], 1},
              aligned(block.addr + part.begin, size));
    }
    for (size_t index : block.constants)
      if (constants[index].dense)
        spread(em, constants[index]);
    return em.cycles();
  };
  auto bytes = [&] {
    int64_t sum = 0;
    for (const ImagePart &part : block.parts)
      sum += part.lanes * part.bytes;
    return sum;
  };
  // With these without what fills their rows; the one of which most need not
  // come is cut, if any.
  auto apply = [&](ArrayRef<size_t> dense, bool cuts) {
    std::optional<size_t> cut;
    int64_t surplus = kLeastSurplus - 1;
    for (size_t index : block.constants) {
      Constant &constant = constants[index];
      constant.dense.reset();
      if (llvm::is_contained(dense, index))
        constant.dense = denseOf(wholeOf(constant));
      if (int64_t more = surplusOf(formOf(constant)); cuts && more > surplus) {
        cut = index;
        surplus = more;
      }
    }
    arrange(block, cut);
    return cut.has_value();
  };
  SmallVector<size_t> dense;
  bool cuts = false;
  apply(dense, cuts);
  uint64_t best = cycles();
  // Whether to keep what there is now, whatever it costs if that is wanted.
  auto isKept = [&](bool anyway) {
    const uint64_t now = cycles();
    if (now > best && !anyway) {
      block.leavesBytes = true;
      return false;
    }
    best = now;
    return true;
  };
  if (apply(dense, true))
    cuts = isKept(leftOut == LeftOut::Rows || leftOut == LeftOut::All);
  apply(dense, cuts);
  for (size_t index : block.constants) {
    if (!denseOf(wholeOf(constants[index])))
      continue;
    const int64_t before = bytes();
    dense.push_back(index);
    apply(dense, cuts);
    if (before - bytes() < kLeastSurplus) {
      dense.pop_back();
    } else if (leftOut == LeftOut::Fillers) {
      block.leavesBytes = true;
      dense.pop_back();
    } else if (!isKept(leftOut == LeftOut::All)) {
      dense.pop_back();
    }
    apply(dense, cuts);
  }
}

/// Places the constants of a block one after another; if one of them is cut, it
/// is the last one, and the others end where it begins. What an image has
/// without fillers is spread out behind them.
void Group::arrange(Block &block, std::optional<size_t> cut) {
  int64_t end = 0, alignment = 1;
  auto placeOf = [&](size_t index) -> int64_t & {
    Constant &constant = constants[index];
    return constant.dense ? constant.denseOffset : constant.offset;
  };
  auto add = [&](size_t index) {
    const Local &form = formOf(constants[index]);
    const int64_t own = constants[index].dense
                            ? kWord
                            : alignmentOf(wholeOf(constants[index]), form);
    alignment = std::max(alignment, own);
    placeOf(index) = roundUp(end, own);
    end = placeOf(index) + form.bytes();
  };
  for (size_t index : block.constants)
    if (index != cut)
      add(index);
  int64_t begin = 0;
  if (cut && alignment <= kWord) {
    end = roundUp(end, kWord);
    begin = roundUp(end, isa::kEuBytes) - end;
    for (size_t index : block.constants)
      placeOf(index) += begin;
    end += begin;
  }
  if (cut)
    add(*cut);
  const int64_t loaded = roundUp(end, kWord);
  block.parts.clear();
  if (!cut) {
    block.parts.push_back({block.lanes, loaded, 0});
  } else {
    const Local &form = formOf(constants[*cut]);
    int64_t tail = placeOf(*cut) + *tailOf(form);
    block.parts.push_back({block.lanes, tail - begin, begin});
    block.parts.push_back({form.size[1] % kLanes, loaded - tail, tail});
  }
  block.bytes = loaded;
  for (size_t index : block.constants)
    if (Constant &constant = constants[index]; constant.dense) {
      constant.offset = roundUp(block.bytes, isa::kEuBytes);
      block.bytes = constant.offset + wholeOf(constant).local.bytes();
    }
}

//===----------------------------------------------------------------------===//
// In the image
//===----------------------------------------------------------------------===//

/// Parts that are long enough lie by themselves, lane after lane. Short ones of
/// as many lanes lie side by side, so that the lanes of each are far enough
/// apart to reach all channels of DDR.
void Group::layParts() {
  image = 0;
  struct Shelf {
    int64_t lanes;
    SmallVector<ImagePart *> parts;
    int64_t bytes = 0;
  };
  std::vector<Shelf> shelves;
  auto close = [&](Shelf &shelf) {
    if (shelf.bytes == 0)
      return;
    int64_t at = image;
    // Behind the last lane there is nothing.
    const int64_t pitch = std::max(shelf.bytes, pitchOf(shelf.lanes));
    for (ImagePart *part : shelf.parts) {
      part->offset = at;
      part->pitch = pitch;
      at += part->bytes;
    }
    image += (shelf.lanes - 1) * pitch + shelf.bytes;
    shelf.parts.clear();
    shelf.bytes = 0;
  };
  for (Block &block : blocks)
    for (ImagePart &part : block.parts) {
      if ((part.lanes - 1) * part.bytes >= kReach) {
        part.offset = image;
        part.pitch = part.bytes;
        image += part.lanes * part.bytes;
        continue;
      }
      auto shelf = llvm::find_if(shelves, [&](const Shelf &other) {
        return other.lanes == part.lanes;
      });
      if (shelf == shelves.end()) {
        shelves.push_back({part.lanes, {}, 0});
        shelf = std::prev(shelves.end());
      }
      if (shelf->bytes + part.bytes > kMostPitch && shelf->bytes > 0)
        close(*shelf);
      shelf->parts.push_back(&part);
      shelf->bytes += part.bytes;
    }
  for (Shelf &shelf : shelves)
    close(shelf);
}

bool Group::readsFromImage(Value value) const {
  // Also what is loaded through another name.
  for (const Tensor &tensor : tensors)
    if (tensor.loaded && tensor.value == value)
      return false;
  // Numbers that became fields of commands are read from nowhere.
  for (const Constant &constant : constants)
    if (wholeOf(constant).value == value && !blocks[constant.block].isImage)
      return false;
  return isWeight(value);
}

void Group::fillImage(function_ref<ArrayRef<uint8_t>(Value)> dataOf,
                      MutableArrayRef<uint8_t> bytes) const {
  for (const Block &block : blocks)
    for (size_t index : block.constants) {
      if (!block.isImage)
        continue;
      const Constant &constant = constants[index];
      const WholeInput &whole = wholeOf(constant);
      const Local &to = formOf(constant);
      const Nchw &stride =
          constant.dense ? constant.dense->stride : whole.stride;
      ArrayRef<uint8_t> data = dataOf(whole.value);
      if (data.empty())
        continue;
      const int64_t width = isa::bytes(to.dtype);
      const int64_t begin =
          constant.dense ? constant.denseOffset : constant.offset;
      int64_t channels = to.everyLane ? block.lanes : to.size[1];
      // `place` is counted from the block's address.
      auto copy = [&](int64_t lane, int64_t place, int64_t source,
                      int64_t count) {
        auto part = llvm::find_if(block.parts, [&](const ImagePart &part) {
          return place >= part.begin && place < part.begin + part.bytes;
        });
        std::memcpy(bytes.data() + part->offset + lane * part->pitch + place -
                        part->begin,
                    data.data() + source * width, count * width);
      };
      for (int64_t n = 0; n < to.size[0]; ++n)
        for (int64_t c = 0; c < channels; ++c)
          for (int64_t h = 0; h < to.size[2]; ++h) {
            int64_t source = whole.begin + n * stride[0] +
                             (to.everyLane ? 0 : c * stride[1]) + h * stride[2];
            int64_t place =
                begin + (n * to.stride[0] + c / kLanes * to.stride[1] +
                         h * to.stride[2]) *
                            width;
            int64_t count = to.size[3];
            if (whole.filled > 0)
              count = std::min(count, whole.filled - h * count);
            if (stride[3] == 1)
              copy(c % kLanes, place, source, count);
            else
              for (int64_t w = 0; w < count; ++w)
                copy(c % kLanes, place + w * width, source + w * stride[3], 1);
          }
    }
}

} // namespace tpumlir::codegen
