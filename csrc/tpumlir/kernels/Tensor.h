#pragma once

#include "tpumlir/support/DType.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tpumlir::kernels {

using Dims = std::vector<int64_t>;

/// Type, shape and memory layout of a dense tensor.
///
/// `order` lists the logical dims from the outermost in memory to the
/// innermost: 0, 1, 2, 3 is row-major, 0, 2, 3, 1 of an [n, c, h, w] is
/// channels-last. A permutation is therefore a change of the description and
/// moves no byte.
struct TensorDesc {
  DType dtype = DType::F32;
  Dims dims;
  Dims order;

  /// Row-major description.
  static TensorDesc plain(DType dtype, Dims dims);

  int64_t rank() const { return int64_t(dims.size()); }
  int64_t elements() const;
  size_t bytes() const { return size_t(elements()) * dtypeBytes(dtype); }
  /// Distance in elements between neighbours, per logical dim.
  Dims strides() const;
  /// Whether the bytes lie as `other` describes them; dims of extent 1 may
  /// stand anywhere.
  bool sameOrder(const TensorDesc &other) const;
  bool isPlain() const;
  /// The same tensor in another order.
  TensorDesc in(Dims newOrder) const;
};

/// 0, 1, 2, ...
Dims plainOrder(int64_t rank);
/// 0, 2, 3, ..., 1; row-major below rank 3.
Dims channelsLastOrder(int64_t rank);
/// "2x3x4"
std::string shapeText(const Dims &dims);

} // namespace tpumlir::kernels
