#pragma once

#include "tpumlir/codegen/Tiles.h"

namespace tpumlir::codegen {

/// Greatest stride and dilation that the command fields hold.
constexpr int64_t kMaxStride = 15, kMaxDilation = 15;

/// A sliding window along one axis. Convolution: `insert` is 1. Transposed
/// convolution: the input's elements stand `insert` apart, zeros between.
struct AxisWindow {
  int64_t in, out, kernel, stride, dilation, padBegin;
  int64_t insert = 1;

  int64_t reach() const { return (kernel - 1) * dilation + 1; }
  int64_t spread() const { return (in - 1) * insert + 1; }
  /// Padding behind the spread input that the last window needs.
  int64_t padEnd() const {
    return (out - 1) * stride + reach() - padBegin - spread();
  }
  /// Elements of the spread, padded input under `outputs` windows.
  int64_t span(int64_t outputs) const {
    return (outputs - 1) * stride + reach();
  }
  /// Most outputs of one command: a single window needs no stride.
  int64_t mostOutputs() const { return stride > kMaxStride ? 1 : out; }
};

/// The input elements under some windows of an axis.
struct AxisTile {
  int64_t begin, size;    ///< of the input; size 0 if all is padding
  int64_t before, behind; ///< padding, in spread elements
};

AxisTile inputUnder(const AxisWindow &axis, const Range &outputs);

/// Two axes and how padding and zeros come about.
struct WindowGeometry {
  AxisWindow h, w;
  bool rotate = false;
  float padValue = 0;
  /// The command's fields cannot hold the padding or the insertion: the tile is
  /// laid out in local memory with padding and zeros in it.
  bool explicitPads() const;
  /// Greatest local extents of the input under hT x wT outputs.
  std::pair<int64_t, int64_t> inputExtent(int64_t hT, int64_t wT) const;
};

/// What the attributes of an op say. One spatial axis counts as columns.
WindowGeometry
geometryOf(llvm::ArrayRef<int64_t> in, llvm::ArrayRef<int64_t> out,
           llvm::ArrayRef<int64_t> kernel, llvm::ArrayRef<int64_t> stride,
           llvm::ArrayRef<int64_t> dilation, llvm::ArrayRef<int64_t> pads);

/// The input under some windows, for a command that pads and inserts by itself.
struct WindowPart {
  AxisTile rows, columns; ///< at least one element each
  WindowFields fields;
  bool empty = false; ///< the windows see padding only, not what is there
};

/// Whether every row of windows has input under it, and no padding has to be
/// laid out: only then windows can be cut as one likes.
bool cutsFreely(const WindowGeometry &geometry);

/// Not for a geometry with explicit pads.
WindowPart windowPart(const WindowGeometry &geometry, const Range &h,
                      const Range &w);

/// Input of one tile: its local form, its window fields, and the load.
struct WindowTile {
  Local local;
  WindowFields fields;
  /// Loads channels of an input of shape [n, c, H, W] whose first element (of
  /// the batch and channel wanted) is `input`; strides are dense in H and W.
  std::function<void(Emitter &, const Global &input, int64_t nStride,
                     int64_t cStride)>
      load;
};

/// `addr` is the place of the local input; the tile has `n` x `c` planes of
/// elements of `type`.
WindowTile windowTile(const WindowGeometry &geometry, const Range &h,
                      const Range &w, int64_t addr, isa::DType type, int64_t n,
                      int64_t c);

} // namespace tpumlir::codegen
