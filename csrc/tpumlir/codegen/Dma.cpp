#include "tpumlir/codegen/Dma.h"

#include "llvm/ADT/STLExtras.h"

#include <optional>

using namespace mlir;

namespace tpumlir::codegen {

namespace {

/// A row of a long contiguous copy.
constexpr int64_t kLongRow = 32768;

/// The copy of a part of one axis.
DmaCopy part(const DmaCopy &copy, size_t axis, Range range) {
  DmaCopy out = copy;
  out.size[axis] = range.size;
  out.src = copy.src + range.begin * copy.srcStride[axis];
  out.dst = copy.dst + range.begin * copy.dstStride[axis];
  return out;
}

DmaCopy without(DmaCopy copy, size_t axis) {
  for (auto *list : {&copy.size, &copy.srcStride, &copy.dstStride})
    list->erase(list->begin() + axis);
  return copy;
}

/// Merged; every size fits its field; the innermost axis is contiguous on both
/// sides or of size 1.
void emitMerged(Emitter &em, const DmaCopy &copy) {
  size_t rank = copy.size.size();
  if (rank > 4) {
    for (int64_t i = 0; i < copy.size[0]; ++i) {
      emitMerged(em, without(part(copy, 0, {i, 1}), 0));
    }
    return;
  }
  Nchw size{1, 1, 1, 1}, src{1, 1, 1, 1}, dst{1, 1, 1, 1};
  for (size_t i = 0; i < rank; ++i) {
    size[4 - rank + i] = copy.size[i];
    src[4 - rank + i] = copy.srcStride[i];
    dst[4 - rank + i] = copy.dstStride[i];
  }
  em.copy(copy.src, src, copy.dst, dst, size);
}

/// The axis of stride 1, if there is one.
std::optional<size_t> contiguousAxis(ArrayRef<int64_t> stride) {
  const int64_t *found = llvm::find(stride, 1);
  if (found == stride.end())
    return std::nullopt;
  return size_t(found - stride.begin());
}

/// Merged; the elements of axis `from` are contiguous in the source, those of
/// another axis, `to`, in the destination: GDMA exchanges the two.
void emitTransposed(Emitter &em, const DmaCopy &copy, size_t from, size_t to) {
  SmallVector<size_t> others;
  for (size_t axis = 0; axis < copy.size.size(); ++axis) {
    if (copy.size[axis] > kMaxField) {
      for (Range range : cut(copy.size[axis], kMaxField))
        emitTransposed(em, part(copy, axis, range), from, to);
      return;
    }
    if (axis != from && axis != to)
      others.push_back(axis);
  }
  if (others.size() > 2) {
    size_t axis = *llvm::min_element(others, [&](size_t a, size_t b) {
      return copy.size[a] < copy.size[b];
    });
    for (int64_t i = 0; i < copy.size[axis]; ++i)
      emitTransposed(em, without(part(copy, axis, {i, 1}), axis),
                     from - (axis < from), to - (axis < to));
    return;
  }
  Nchw size{1, copy.size[to], 1, copy.size[from]};
  Nchw src{1, copy.srcStride[to], 1, 1}, dst{1, copy.dstStride[from], 1, 1};
  for (auto [place, axis] : llvm::zip(std::array{0, 2}, others)) {
    size[place] = copy.size[axis];
    src[place] = copy.srcStride[axis];
    dst[place] = copy.dstStride[axis];
  }
  em.transpose(copy.src, src, copy.dst, dst, size);
}

void cutAxes(Emitter &em, const DmaCopy &copy) {
  for (size_t axis = 0; axis < copy.size.size(); ++axis) {
    if (copy.size[axis] <= kMaxField)
      continue;
    bool contiguous = axis + 1 == copy.size.size() &&
                      copy.srcStride[axis] == 1 && copy.dstStride[axis] == 1;
    int64_t rows = copy.size[axis] / kLongRow;
    if (contiguous && rows > 1) { // rows of a plane, and the rest
      DmaCopy plane = part(copy, axis, {0, rows * kLongRow});
      plane.size[axis] = rows;
      plane.srcStride[axis] = plane.dstStride[axis] = kLongRow;
      plane.size.push_back(kLongRow);
      plane.srcStride.push_back(1);
      plane.dstStride.push_back(1);
      cutAxes(em, plane);
      if (int64_t rest = copy.size[axis] % kLongRow)
        cutAxes(em, part(copy, axis, {rows * kLongRow, rest}));
      return;
    }
    for (Range range : cut(copy.size[axis], kMaxField))
      cutAxes(em, part(copy, axis, range));
    return;
  }
  emitMerged(em, copy);
}

} // namespace

void mergeAxes(SmallVectorImpl<int64_t> &size,
               ArrayRef<SmallVectorImpl<int64_t> *> strides) {
  size_t kept = 0;
  for (size_t axis = 0; axis < size.size(); ++axis) {
    int64_t extent = size[axis];
    if (extent == 1)
      continue;
    if (kept > 0 && llvm::all_of(strides, [&](const auto *stride) {
          return (*stride)[kept - 1] == (*stride)[axis] * extent;
        }))
      extent *= size[--kept];
    size[kept] = extent;
    for (auto *stride : strides)
      (*stride)[kept] = (*stride)[axis];
    ++kept;
  }
  size.truncate(kept);
  for (auto *stride : strides)
    stride->truncate(kept);
}

SmallVector<int64_t> rowMajor(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> stride(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    stride[i] = step;
    step *= shape[i];
  }
  return stride;
}

void emitCopy(Emitter &em, DmaCopy copy) {
  mergeAxes(copy.size, {&copy.srcStride, &copy.dstStride});
  auto from = contiguousAxis(copy.srcStride);
  auto to = contiguousAxis(copy.dstStride);
  if (from && to && from != to)
    return emitTransposed(em, copy, *from, *to);
  // Columns are contiguous in every command that we emit: elements that lie
  // apart are rows of one column.
  if (copy.size.empty() || copy.srcStride.back() != 1 ||
      copy.dstStride.back() != 1) {
    copy.size.push_back(1);
    copy.srcStride.push_back(1);
    copy.dstStride.push_back(1);
  }
  cutAxes(em, copy);
}

void emitFill(Emitter &em, const Global &dst, int64_t elements, double number) {
  for (Range range : cut(elements, kLongRow * kMaxField)) {
    Global at = dst + range.begin;
    int64_t rows = range.size / kLongRow, rest = range.size % kLongRow;
    if (rows > 0)
      em.fill(at, {rows * kLongRow, rows * kLongRow, kLongRow, 1},
              {1, 1, rows, kLongRow}, number);
    if (rest > 0)
      em.fill(at + rows * kLongRow, {rest, rest, rest, 1}, {1, 1, 1, rest},
              number);
  }
}

} // namespace tpumlir::codegen
