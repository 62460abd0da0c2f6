#pragma once

#include "tpumlir/support/DType.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tpumlir {

/// A tensor of an interpreted module. No MLIR here: the facade shows it.
struct RuntimeTensor {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape; ///< row-major

  size_t bytes() const {
    size_t count = dtypeBytes(dtype);
    for (int64_t extent : shape)
      count *= size_t(extent);
    return count;
  }
};

} // namespace tpumlir
