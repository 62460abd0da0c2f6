#pragma once

#include "tpumlir/dialect/tpu/TpuDialect.h"

#include <optional>

namespace tpumlir {

/// How the columns of a window are dealt with: `columns` of them side by side
/// are channels, and what is left are `taps` that far apart. So are the rows of
/// a window of which all columns are: all of them, or none (1).
struct WindowColumnsPlan {
  int64_t columns, taps, rows = 1;

  int64_t parts() const { return rows * columns; }
};

/// What `window-columns` makes of a convolution in its types: of bytes or
/// halves, dense, over two axes, with a constant filter. None if it takes no
/// fewer cycles.
std::optional<WindowColumnsPlan> windowColumnsOf(tpu::Conv2DOp op);

} // namespace tpumlir
