#include "tpumlir/dialect/tpu/Views.h"

#include "tpumlir/dialect/top/TopUtils.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace tpumlir::tpu {

/// Whether the axes with more than one element keep their order.
static bool keepsOrder(PermuteOp op) {
  ArrayRef<int64_t> input = top::shapeOf(op.getInput());
  int64_t before = -1;
  for (int64_t axis : op.getOrder()) {
    if (input[axis] == 1)
      continue;
    if (axis < before)
      return false;
    before = axis;
  }
  return true;
}

/// Axes of which one element is taken, then one of which several are taken side
/// by side, then whole ones.
static std::optional<int64_t> offsetOf(SliceOp op) {
  ArrayRef<int64_t> input = top::shapeOf(op.getInput());
  ArrayRef<int64_t> output = top::shapeOf(op.getOutput());
  auto offset = op.getOffset(), steps = op.getSteps();
  int64_t begin = 0;
  bool cut = false;
  for (size_t axis = 0; axis < input.size(); ++axis) {
    if (cut && output[axis] != input[axis])
      return std::nullopt;
    if (output[axis] > 1) {
      if (steps[axis] != 1)
        return std::nullopt;
      cut = true;
    }
    begin = begin * input[axis] + offset[axis];
  }
  return begin;
}

std::optional<View> viewOf(Operation *op) {
  return llvm::TypeSwitch<Operation *, std::optional<View>>(op)
      .Case([](ReshapeOp op) { return View{op.getInput(), 0}; })
      .Case([](PermuteOp op) -> std::optional<View> {
        if (!keepsOrder(op))
          return std::nullopt;
        return View{op.getInput(), 0};
      })
      .Case([](SliceOp op) -> std::optional<View> {
        std::optional<int64_t> offset = offsetOf(op);
        if (!offset)
          return std::nullopt;
        return View{op.getInput(), *offset};
      })
      .Default(std::nullopt);
}

bool joinsWholeParts(ConcatOp op) {
  ArrayRef<int64_t> shape = top::shapeOf(op.getOutput());
  return llvm::all_of(shape.take_front(op.getAxis()),
                      [](int64_t extent) { return extent == 1; });
}

} // namespace tpumlir::tpu
