#include "tpumlir/codegen/Places.h"

#include "tpumlir/codegen/Emitter.h"
#include "tpumlir/codegen/Values.h"
#include "tpumlir/dialect/top/TopUtils.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"

/// What `Emitter` remembers of places.
namespace tpumlir::codegen {

using isa::Engine;
using mlir::Value;

namespace {

/// Strides of axes with one element do not count; equal layouts look alike.
Nchw canonical(const Nchw &size, Nchw stride) {
  for (size_t axis = 0; axis < size.size(); ++axis)
    if (size[axis] == 1)
      stride[axis] = 0;
  return stride;
}

int64_t elementsOf(Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType()).getNumElements();
}

bool isTensor(Value value) {
  return llvm::isa<mlir::RankedTensorType>(value.getType());
}

/// Whether all elements of a piece are of its tensor.
bool isInside(const Piece &piece, const Nchw &size) {
  int64_t last = piece.begin;
  for (size_t axis = 0; axis < size.size(); ++axis) {
    if (size[axis] < 1 || (piece.stride[axis] < 0 && size[axis] > 1))
      return false;
    last += (size[axis] - 1) * piece.stride[axis];
  }
  return piece.begin >= 0 && last < elementsOf(piece.value);
}

/// The one of these tensors that has the elements at an address, and the
/// number of the first of them. Null if there is none.
template <typename Range>
Piece pieceAt(const Range &values, const Global &at, const Nchw &stride) {
  for (Value value : values) {
    if (!isTensor(value) || !tpu::placeOf(value) ||
        bytesOf(value) != int64_t(isa::bytes(at.dtype)))
      continue;
    const uint64_t begin = addressOf(value);
    const uint64_t bytes = uint64_t(elementsOf(value) * bytesOf(value));
    if (at.addr < begin || at.addr >= begin + bytes)
      continue;
    const int64_t offset = int64_t(at.addr - begin);
    if (offset % bytesOf(value) == 0)
      return {value, offset / bytesOf(value), stride, 0};
  }
  return {};
}

} // namespace

Emitter::Mark Emitter::mark() const {
  return {segments.empty() ? 0 : segments.size() - 1,
          {engines[0].nextId, engines[1].nextId}};
}

PiecePlace &Emitter::addPlace(Engine engine, const Mark &since,
                              const Piece &piece,
                              llvm::ArrayRef<size_t> reads) {
  const Mark now = mark();
  const uint64_t last = now.next[size_t(engine)] - 1;
  const uint64_t first =
      since.segment == now.segment ? since.next[size_t(engine)] : 1;
  places.push_back({op,
                    piece,
                    engine,
                    now.segment,
                    first,
                    last,
                    false,
                    0,
                    {},
                    {},
                    false,
                    {}});
  llvm::copy_if(reads, std::back_inserter(places.back().reads),
                [](size_t read) { return read != kNoPlace; });
  return places.back();
}

size_t Emitter::placed(Engine engine, const Mark &since, const Piece &piece,
                       const Local &local, llvm::ArrayRef<size_t> reads) {
  if (!records() || bytesOf(piece.value) != int64_t(isa::bytes(local.dtype)))
    return kNoPlace;
  Nchw size = local.size;
  if (local.everyLane)
    size[1] = std::min<int64_t>(size[1], isa::kLanes);
  if (!isInside(piece, size))
    return kNoPlace;
  PiecePlace &place = addPlace(engine, since, piece, reads);
  place.isLocal = true;
  place.addr = uint64_t(local.addr);
  place.size = size;
  place.everyLane = local.everyLane;
  // From row to row of a lane; no matter if there is one.
  place.stride =
      canonical({size[0], local.rows(), size[2], size[3]}, local.stride);
  place.piece.stride = canonical(size, piece.stride);
  return places.size() - 1;
}

size_t Emitter::placed(const Mark &since, const Piece &piece,
                       const Global &global, const Nchw &size,
                       llvm::ArrayRef<size_t> reads) {
  if (!records() || !isInside(piece, size))
    return kNoPlace;
  PiecePlace &place = addPlace(Engine::Gdma, since, piece, reads);
  place.addr = global.addr;
  place.size = size;
  place.piece.stride = place.stride = canonical(size, piece.stride);
  return places.size() - 1;
}

void Emitter::placedWhole(Value value, const Mark &since) {
  if (!records() || !isTensor(value) || !tpu::placeOf(value))
    return;
  const int64_t count = elementsOf(value);
  if (count > 0)
    placed(since, {value, 0, {0, 0, 0, 1}, 0}, globalOf(value),
           {1, 1, 1, count});
}

//===----------------------------------------------------------------------===//
// Ops by themselves
//===----------------------------------------------------------------------===//

void Emitter::beginAlone() {
  if (!records())
    return;
  alone = Alone{mark(), places.size(), 0, 0};
}

void Emitter::endAlone() {
  if (!alone)
    return;
  const Alone ended = *std::exchange(alone, std::nullopt);
  for (Value result : op->getResults()) {
    if (!isTensor(result))
      continue;
    // Elements that are stored twice are not final the first time.
    int64_t stored = 0, pieces = 0;
    for (size_t i = ended.places; i < places.size(); ++i)
      if (places[i].piece.value == result && !places[i].isLocal) {
        stored += product(places[i].size);
        ++pieces;
      }
    const bool isWhole = stored == elementsOf(result);
    for (size_t i = ended.places; i < places.size() && !isWhole; ++i)
      places[i].isDropped |= places[i].piece.value == result;
    if (!isWhole || pieces != 1)
      placedWhole(result, ended.since);
  }
}

void Emitter::noteLoad(const Global &from, const Nchw &stride,
                       const Local &local) {
  if (!alone || !alone->sees())
    return;
  Piece piece = pieceAt(op->getOperands(), from, stride);
  if (!piece.value)
    return;
  if (local.everyLane)
    piece.stride[1] = 0;
  Mark since = mark();
  --since.next[size_t(Engine::Gdma)];
  piece.slice = alone->tile;
  placed(Engine::Gdma, since, piece, local);
}

void Emitter::noteStore(const Local &local, const Nchw &localElements,
                        const Global &to, const Nchw &stride,
                        const Nchw &size) {
  if (!alone || !alone->sees())
    return;
  Piece piece = pieceAt(op->getResults(), to, stride);
  if (!piece.value)
    return;
  piece.slice = alone->tile++;
  size_t read = kNoPlace;
  const Mark now = mark();
  const bool computes =
      now.segment == alone->since.segment &&
      now.next[size_t(Engine::Tiu)] > alone->since.next[size_t(Engine::Tiu)];
  if (computes) {
    Piece held = piece;
    held.stride = localElements;
    read = placed(Engine::Tiu, alone->since, held, local);
  }
  Mark since = now;
  --since.next[size_t(Engine::Gdma)];
  placed(since, piece, to, size, {read});
}

} // namespace tpumlir::codegen
