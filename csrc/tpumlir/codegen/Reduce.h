#pragma once

#include "tpumlir/codegen/Context.h"

namespace tpumlir::codegen {

/// A tensor as [outer, depth, inner]: the middle is reduced.
struct Middle {
  int64_t outer, depth, inner;
};

enum class Reduction { Min, Max, Mean, Sum };

struct MiddleReduction {
  Middle shape;
  Reduction kind;
  Global input, output; ///< the first elements
  bool relu = false;
  double limit = -1;
};

/// Tiles and emits a reduction of any size.
void emitMiddleReduction(Emitter &em, const MiddleReduction &reduction);

} // namespace tpumlir::codegen
