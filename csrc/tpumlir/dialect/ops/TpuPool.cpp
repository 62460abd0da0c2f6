#include "tpumlir/dialect/ops/TpuVerify.h"

using namespace mlir;

namespace tpumlir::tpu {

template <typename OpTy> static LogicalResult verifyPool(OpTy op, size_t axes) {
  ArrayRef<int64_t> input = top::shapeOf(op.getInput());
  auto kernel = op.getKernelShape(), stride = op.getStrides(),
       pads = op.getPads();
  auto dilation = op.getDilations().value_or(SmallVector<int64_t>(axes, 1));
  if (input.size() != axes + 2)
    return op.emitOpError("expected an input of rank ")
           << axes + 2 << ", got " << input.size();
  if (failed(checkCount(op, "kernel_shape", kernel.size(), axes)) || // (C2)
      failed(checkCount(op, "strides", stride.size(), axes)) ||
      failed(checkCount(op, "dilations", dilation.size(), axes)) ||
      failed(checkCount(op, "pads", pads.size(), 2 * axes)))
    return failure();
  bool padded = llvm::any_of(pads, [](int64_t pad) { return pad != 0; });
  if (op.getPoolMode() == PoolMode::Avg && padded && !op.getCountIncludePad())
    return op.emitOpError( // (C3)
        "expected count_include_pad for a mean with padding, got false");
  SmallVector<int64_t> shape{input[0], input[1]};
  for (size_t i = 0; i < axes; ++i) {
    int64_t reach = (kernel[i] - 1) * dilation[i] + 1;
    int64_t room = input[i + 2] + pads[i] + pads[i + axes] - reach;
    shape.push_back(room < 0 || stride[i] < 1 ? -1 : room / stride[i] + 1);
  }
  return checkShape(op, shape); // (C1)
}

LogicalResult Pool1DOp::verify() { return verifyPool(*this, 1); }
LogicalResult Pool2DOp::verify() { return verifyPool(*this, 2); }

} // namespace tpumlir::tpu
