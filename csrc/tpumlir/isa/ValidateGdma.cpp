#include "tpumlir/isa/Checker.h"

namespace tpumlir::isa::detail {
namespace {

enum class Region { Local, Static, L2, Global };

struct Place {
  Region region;
  AddressRange range;
};

std::optional<Place> placeOf(uint64_t addr) {
  if (kLocalMemory.contains(addr))
    return Place{Region::Local, kLocalMemory};
  if (kStaticMemory.contains(addr))
    return Place{Region::Static, kStaticMemory};
  if (kL2Memory.contains(addr))
    return Place{Region::L2, kL2Memory};
  if (kGlobalMemory.contains(addr))
    return Place{Region::Global, kGlobalMemory};
  return std::nullopt;
}

/// Checks GDMA operands: the region, its end, the program's parts of it.
class DmaChecker {
public:
  explicit DmaChecker(Checker &checker) : c(checker) {}

  std::optional<Place> start(const DmaOperand &side, uint64_t elementBytes) {
    std::optional<Place> place = placeOf(side.addr);
    if (place && place->region == Region::Global)
      c.accesses.push_back({side.prefix, side.role, side.addr, std::nullopt});
    if (!place) { // (L3)
      c.add(side.addrField, side.addr,
            "an address of local, static, L2 or global memory");
      return place;
    }
    if (side.role == Role::Write && place->region == Region::Static)
      c.add(side.addrField, side.addr, "a destination that can be written");
    if (side.addr % elementBytes != 0) // (L1)
      c.add(side.addrField, side.addr,
            "a multiple of the element size (" + std::to_string(elementBytes) +
                ")");
    return place;
  }

  /// Bytes [addr, addr + bytes) of one region.
  void linear(const DmaOperand &side, uint64_t bytes, uint64_t elementBytes) {
    std::optional<Place> place = start(side, elementBytes);
    if (place)
      span(side, *place, bytes);
  }

  /// A tensor with strides in elements; in local memory channels run over the
  /// lanes and the c stride leads to the next row of channels.
  void tensor(const DmaOperand &side, Extents sizes, Extents strides,
              uint64_t elementBytes) {
    std::optional<Place> place = start(side, elementBytes);
    if (!place || sizes.n == 0 || sizes.c == 0 || sizes.h == 0 || sizes.w == 0)
      return;
    if (place->region == Region::Local) {
      LocalOperand operand{};
      operand.addrField = side.addrField;
      operand.addr = side.addr - kLocalMemory.begin;
      c.local(operand, elementBytes, sizes, strides, elementBytes);
      return;
    }
    uint64_t last = mulAdd(sizes.n - 1, strides.n, 0);
    last = mulAdd(sizes.c - 1, strides.c, last);
    last = mulAdd(sizes.h - 1, strides.h, last);
    last = mulAdd(sizes.w - 1, strides.w, last);
    span(side, *place, mulAdd(last, elementBytes, elementBytes));
  }

private:
  void span(const DmaOperand &side, const Place &place, uint64_t bytes) {
    if (!place.range.contains(side.addr, bytes)) { // (L3)
      c.add(side.addrField, side.addr,
            "an access that ends inside its memory (" + hex(place.range.end) +
                "); this one has " + std::to_string(bytes) + " bytes");
      return;
    }
    if (place.region != Region::Global)
      return;
    c.accesses.back().bytes = bytes; // start() has added it
    if (!c.memory)
      return;
    // (L12) The runtime moves weights and activations separately and loads
    // the weights once.
    const ProgramMemory &memory = *c.memory;
    if (memory.ctx.contains(side.addr, bytes))
      return;
    if (side.role == Role::Read && memory.coeff.contains(side.addr, bytes))
      return;
    bool touchesCoeff =
        side.addr < memory.coeff.end && memory.coeff.begin < side.addr + bytes;
    std::string ctx = "activations (" + hex(memory.ctx.begin) + ".." +
                      hex(memory.ctx.end) + ")";
    std::string size = "; this one has " + std::to_string(bytes) + " bytes";
    if (side.role == Role::Write)
      c.add(side.addrField, side.addr,
            (touchesCoeff ? "a destination outside the weights, inside the "
                          : "a destination inside the ") +
                ctx + size);
    else
      c.add(side.addrField, side.addr,
            "a source inside the weights (" + hex(memory.coeff.begin) + ".." +
                hex(memory.coeff.end) + ") or the " + ctx + size);
  }

  Checker &c;
};

constexpr Extents denseStrides(Extents sizes) {
  return {sizes.c * sizes.h * sizes.w, sizes.h * sizes.w, sizes.w, 1};
}

template <class T> bool sourceSizes(Checker &c, const T &t) {
  bool ok = c.between("src_nsize", t.src_nsize, 1, kMaxSize);
  ok &= c.between("src_csize", t.src_csize, 1, kMaxSize);
  ok &= c.between("src_hsize", t.src_hsize, 1, kMaxSize);
  ok &= c.between("src_wsize", t.src_wsize, 1, kMaxSize);
  return ok;
}
/// All but the channels, which a broadcast does not read.
template <class T> bool sourceRows(Checker &c, const T &t) {
  bool ok = !c.own() || c.between("src_csize", t.src_csize, 1, kMaxSize);
  ok &= c.between("src_nsize", t.src_nsize, 1, kMaxSize);
  ok &= c.between("src_hsize", t.src_hsize, 1, kMaxSize);
  ok &= c.between("src_wsize", t.src_wsize, 1, kMaxSize);
  return ok;
}
template <class T> bool destinationSizes(Checker &c, const T &t) {
  bool ok = c.between("dst_nsize", t.dst_nsize, 1, kMaxSize);
  ok &= c.between("dst_csize", t.dst_csize, 1, kMaxSize);
  ok &= c.between("dst_hsize", t.dst_hsize, 1, kMaxSize);
  ok &= c.between("dst_wsize", t.dst_wsize, 1, kMaxSize);
  return ok;
}

template <class T> Extents sourceDims(const T &t) {
  return {t.src_nsize, t.src_csize, t.src_hsize, t.src_wsize};
}
template <class T> Extents destinationDims(const T &t) {
  return {t.dst_nsize, t.dst_csize, t.dst_hsize, t.dst_wsize};
}
/// The transposing and broadcasting copies step through a row by 1 (H13).
template <class T> bool stepsByOne(const T &t) {
  if constexpr (T::kKind == Kind::DmaTensor)
    return DmaTensorOp(t.cmd_special_function) != DmaTensorOp::Copy;
  else
    return T::kKind == Kind::DmaCwTranspose;
}
template <class T> Extents sourceStrides(const T &t, Extents sizes) {
  if (!t.stride_enable)
    return denseStrides(sizes);
  return {t.src_nstride, t.src_cstride, t.src_hstride,
          stepsByOne(t) ? 1 : uint64_t(t.src_wstride)};
}
template <class T> Extents destinationStrides(const T &t, Extents sizes) {
  if (!t.stride_enable)
    return denseStrides(sizes);
  return {t.dst_nstride, t.dst_cstride, t.dst_hstride,
          stepsByOne(t) ? 1 : uint64_t(t.dst_wstride)};
}

/// Column strides of the instructions that take 1 whatever these say: foreign
/// files have 0.
template <class T> void denseColumns(Checker &c, const T &t) {
  if (!c.own() || !t.stride_enable)
    return;
  if (!t.fill_constant_en)
    c.require(t.src_wstride == 1, "src_wstride", t.src_wstride, "1");
  c.require(t.dst_wstride == 1, "dst_wstride", t.dst_wstride, "1");
}

void check(Checker &c, const DmaTensor &t, uint64_t size) {
  DmaChecker dma(c);
  auto op = DmaTensorOp(t.cmd_special_function);
  if (op != DmaTensorOp::Copy && op != DmaTensorOp::Transpose &&
      op != DmaTensorOp::Broadcast) {
    // Only the start of the others is known.
    dma.start(source(t), size);
    dma.start(destination(t), size);
    return;
  }
  bool fill = t.fill_constant_en;
  bool ownShape = op == DmaTensorOp::Copy && !t.nchw_copy;
  // These do not look at the column strides (H13).
  if (op != DmaTensorOp::Copy)
    denseColumns(c, t);
  bool ok = true;
  if (op == DmaTensorOp::Broadcast)
    ok &= sourceRows(c, t);
  else if (!fill || !ownShape)
    ok &= sourceSizes(c, t);
  if (ownShape)
    ok &= destinationSizes(c, t);
  if (op == DmaTensorOp::Broadcast)
    ok &= c.between("dst_csize", t.dst_csize, 1, kMaxSize);
  // Without nchw_copy these read sizes of both sides; unequal ones end the
  // vendor's simulator or copy in an order that is not known.
  if (op != DmaTensorOp::Copy && !t.nchw_copy && !fill) {
    if (op == DmaTensorOp::Broadcast)
      c.require(t.dst_nsize == t.src_nsize, "dst_nsize", t.dst_nsize,
                "src_nsize, or nchw_copy");
    c.require(t.dst_hsize == t.src_hsize, "dst_hsize", t.dst_hsize,
              "src_hsize, or nchw_copy");
    c.require(t.dst_wsize == t.src_wsize, "dst_wsize", t.dst_wsize,
              "src_wsize, or nchw_copy");
  }
  if (!ok)
    return;
  Extents from = sourceDims(t);
  Extents to = ownShape ? destinationDims(t) : from;
  if (op == DmaTensorOp::Transpose)
    to = {from.c, from.n, from.h, from.w};
  if (op == DmaTensorOp::Broadcast) {
    // The channels of the source are not read.
    if (c.own())
      c.require(from.c == 1, "src_csize", from.c, "1 channel to broadcast");
    from.c = 1;
    to = {from.n, t.dst_csize, from.h, from.w};
  }
  if (ownShape && !fill) {
    uint64_t have = from.n * from.c * from.h * from.w;
    uint64_t want = to.n * to.c * to.h * to.w;
    if (have != want)
      c.add("dst_nsize", to.n,
            "a destination of as many elements as the source (" +
                std::to_string(have) + " and " + std::to_string(want) + ")");
  }
  if (!fill)
    dma.tensor(source(t), from, sourceStrides(t, from), size);
  dma.tensor(destination(t), to, destinationStrides(t, to), size);
}

void check(Checker &c, const DmaCwTranspose &t, uint64_t size) {
  if (!sourceSizes(c, t))
    return;
  DmaChecker dma(c);
  // The vendor's simulator ends in a fault.
  c.require(t.fill_constant_en == 0, "fill_constant_en", t.fill_constant_en,
            "0, this copy does not fill");
  denseColumns(c, t);
  Extents from = sourceDims(t);
  Extents to{from.n, from.w, from.h, from.c};
  dma.tensor(source(t), from, sourceStrides(t, from), size);
  dma.tensor(destination(t), to, destinationStrides(t, to), size);
}

void check(Checker &c, const DmaMatrix &t, uint64_t size) {
  DmaChecker dma(c);
  // The vendor's simulator ends in a fault.
  c.require(t.fill_constant_en == 0, "fill_constant_en", t.fill_constant_en,
            "0, this copy does not fill");
  DmaOperand src = source(t);
  DmaOperand dst = destination(t);
  bool toLocal = kLocalMemory.contains(dst.addr);
  if (kLocalMemory.contains(src.addr) == toLocal) {
    c.add(src.addrField, src.addr,
          "a copy between local memory and a memory outside (destination " +
              hex(dst.addr) + ")");
    return;
  }
  // One side is [rows, columns], the other rows of pieces over the lanes.
  const char *rowsField = toLocal ? "src_hsize" : "dst_hsize";
  const char *colsField = toLocal ? "src_wsize" : "dst_wsize";
  uint64_t rows = toLocal ? t.src_hsize : t.dst_hsize;
  uint64_t cols = toLocal ? t.src_wsize : t.dst_wsize;
  Extents pieces = toLocal ? Extents{t.dst_nsize, t.dst_csize, 1, t.dst_wsize}
                           : Extents{t.src_nsize, t.src_csize, 1, t.src_wsize};
  bool ok = c.between(rowsField, rows, 1, kMaxSize);
  ok &= c.between(colsField, cols, 1, kMaxSize);
  ok &= c.between(toLocal ? "dst_nsize" : "src_nsize", pieces.n, 1, kMaxSize);
  ok &= c.between(toLocal ? "dst_csize" : "src_csize", pieces.c, 1, kMaxSize);
  ok &= c.between(toLocal ? "dst_wsize" : "src_wsize", pieces.w, 1, kMaxSize);
  if (!ok)
    return;
  bool transposed =
      DmaMatrixOp(t.cmd_special_function) == DmaMatrixOp::Transpose;
  uint64_t localRows = transposed ? cols : rows;
  uint64_t localCols = transposed ? rows : cols;
  c.require(pieces.n == localRows, toLocal ? "dst_nsize" : "src_nsize",
            pieces.n, "the rows of the other matrix");
  if ((pieces.c - 1) * pieces.w >= localCols || pieces.c * pieces.w < localCols)
    c.add(toLocal ? "dst_csize" : "src_csize", pieces.c,
          "as many pieces of " + std::to_string(pieces.w) + " as cover " +
              std::to_string(localCols) + " columns");

  uint64_t hstride = toLocal ? t.src_hstride : t.dst_hstride;
  uint64_t nstride = toLocal ? t.dst_nstride : t.src_nstride;
  uint64_t cstride = toLocal ? t.dst_cstride : t.src_cstride;
  if (!t.stride_enable) {
    hstride = cols;
    cstride = pieces.w;
    nstride = pieces.w * divUp(pieces.c, kLanes);
  }
  dma.tensor(toLocal ? src : dst, {1, 1, rows, cols}, {0, 0, hstride, 1}, size);
  dma.tensor(toLocal ? dst : src, pieces, {nstride, cstride, 0, 1}, size);
}

void check(Checker &c, const DmaGeneral &t, uint64_t size) {
  DmaChecker dma(c);
  if (!c.require(t.src_cstride_or_length != 0, "src_cstride_or_length", 0,
                 "at least 1 element"))
    return;
  uint64_t count = mulAdd(t.src_cstride_or_length, size, 0);
  if (!t.fill_constant_en)
    dma.linear(source(t), count, size);
  if (DmaGeneralOp(t.cmd_special_function) == DmaGeneralOp::Copy) {
    dma.linear(destination(t), count, size);
    return;
  }
  // The same bytes at the same offset of dst_csize lanes.
  DmaOperand dst = destination(t);
  if (!c.between("dst_csize", t.dst_csize, 1, kLanes))
    return;
  if (!kLocalMemory.contains(dst.addr)) {
    c.add(dst.addrField, dst.addr, "an address in local memory");
    return;
  }
  dma.tensor(dst, {1, t.dst_csize, 1, t.src_cstride_or_length},
             {0, t.src_cstride_or_length, 0, 1}, size);
}

template <class T> void checkRows(Checker &c, const T &t, uint64_t size) {
  DmaChecker dma(c);
  bool ok = c.between("src_csize", t.src_csize, 1, kMaxSize);
  ok &= c.between("index_csize", t.index_csize, 1, kMaxSize);
  ok &= c.between("src_wsize", t.src_wsize, 1, kMaxSize);
  ok &= c.require(t.src_hsize != 0, "src_hsize", 0, "at least 1 row");
  ok &= c.require(t.dst_hsize != 0, "dst_hsize", 0, "at least 1 row");
  if (!ok)
    return;
  // Gather reads indexed rows of the source, scatter writes indexed rows of
  // the destination; the other side has one row per index. How many there are,
  // and how many channels, the index and the destination do not say (H14).
  constexpr bool gather = T::kKind == Kind::DmaGather;
  uint64_t count = gather ? t.dst_hsize : t.src_hsize;
  uint64_t channels = std::max<uint64_t>(t.src_csize, t.index_csize);
  if (c.own()) {
    c.require(t.index_hsize == count, "index_hsize", t.index_hsize,
              gather ? "dst_hsize" : "src_hsize");
    c.require(t.dst_csize == channels, "dst_csize", t.dst_csize,
              "the channels of source and index");
  }
  auto onceOrEach = [&](const char *field, uint64_t have) {
    c.require(have == 1 || have == channels, field, have,
              "1 or the channels of the other");
  };
  onceOrEach("src_csize", t.src_csize);
  onceOrEach("index_csize", t.index_csize);
  dma.tensor(source(t), {1, t.src_csize, t.src_hsize, t.src_wsize},
             {0, t.src_cstride, t.src_hstride, 1}, size);
  dma.tensor(destination(t), {1, channels, t.dst_hsize, t.src_wsize},
             {0, t.dst_cstride, t.dst_hstride, 1}, size);
  DmaOperand indices = index(t);
  dma.tensor(indices, {1, t.index_csize, count, 1},
             {0, t.index_cstride, t.index_hstride, 1}, bytes(DType::I32));
}
void check(Checker &c, const DmaGather &t, uint64_t size) {
  checkRows(c, t, size);
}
void check(Checker &c, const DmaScatter &t, uint64_t size) {
  checkRows(c, t, size);
}

void check(Checker &c, const DmaMaskedSelect &t, uint64_t size) {
  DmaChecker dma(c);
  DType maskType{};
  bool ok = c.dtype("mask_data_format", t.mask_data_format, maskType);
  if (!sourceSizes(c, t) || !ok)
    return;
  Extents dims = sourceDims(t);
  dma.tensor(source(t), dims, sourceStrides(t, dims), size);
  dma.start(mask(t), bytes(maskType));
  // How many elements are written depends on the mask: at most all.
  dma.linear(destination(t), dims.n * dims.c * dims.h * dims.w * size, size);
}

void check(Checker &c, const DmaNonzero &t, uint64_t size) {
  DmaChecker dma(c);
  DType index{};
  bool ok = c.dtype("index_data_format", t.index_data_format, index);
  if (!sourceSizes(c, t) || !ok)
    return;
  Extents dims = sourceDims(t);
  dma.tensor(source(t), dims, sourceStrides(t, dims), size);
  dma.linear(destination(t), dims.n * dims.c * dims.h * dims.w * bytes(index),
             bytes(index));
}

void check(Checker &c, const DmaSys &t, uint64_t) {
  // The runtime steps over 96 bytes for all but the last command.
  c.require(isEnd(t), "cmd_special_function", t.cmd_special_function,
            "0 (end); other control commands have a length that the runtime "
            "does not know");
}

} // namespace

void checkGdma(Checker &checker) {
  std::visit(
      [&]<class T>(const T &t) {
        if constexpr (engineOf(T::kKind) == Engine::Gdma) {
          if constexpr (T::kKind != Kind::DmaSys) {
            checker.require(t.cmd_id_en & 1, "cmd_id_en", t.cmd_id_en,
                            "bit 0 set"); // (L8)
            checker.require(t.cmd_short == 0, "cmd_short", t.cmd_short,
                            "0, the long form that the runtime steps over");
            checker.require(t.decompress_enable == 0, "decompress_enable",
                            t.decompress_enable, "0");
            DType type{};
            if (!checker.dtype("src_data_format", t.src_data_format, type))
              return;
            check(checker, t, bytes(type));
          } else {
            if (t.cmd_id_dep != 0)
              checker.require(t.cmd_id_en & 1, "cmd_id_en", t.cmd_id_en,
                              "bit 0 set"); // (L8)
            check(checker, t, 1);
          }
        }
      },
      checker.command);
}

} // namespace tpumlir::isa::detail
