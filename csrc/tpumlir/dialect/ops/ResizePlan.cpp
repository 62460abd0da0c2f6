#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/kernels/Resize.h"

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

static int resize(PlanBuilder &plan, int in, ResizeGeometry geometry,
                  Value result) {
  ArrayRef<int64_t> shape = top::shapeOf(result);
  geometry.spatialExtents.assign(shape.begin() + 2, shape.end());
  return plan.add(std::make_unique<ResizeNode>(std::move(geometry)), in,
                  Dims(shape.begin(), shape.end()));
}

LogicalResult top::InterpOp::plan(PlanBuilder &plan) {
  int in = plan.of(getInput());
  ResizeGeometry geometry;
  geometry.linear = getMode() == InterpMode::linear;
  switch (getCoordMode()) {
  case CoordMode::align_corners:
    geometry.coord = ResizeCoord::AlignCorners;
    break;
  case CoordMode::half_pixel:
    geometry.coord = ResizeCoord::HalfPixel;
    break;
  case CoordMode::pytorch_half_pixel:
    geometry.coord = ResizeCoord::PytorchHalfPixel;
    break;
  case CoordMode::asymmetric:
    geometry.coord = ResizeCoord::Asymmetric;
    break;
  }
  // A scale that was given counts as it stands: the extent is its floor.
  ArrayRef<int64_t> shape = shapeOf(getOutput());
  bool given = !PlanBuilder::has(getTargetShape());
  const double scales[] = {getScaleH(), getScaleW()};
  for (size_t d = 0; d < 2; ++d)
    geometry.scales.push_back(given ? scales[d]
                                    : double(shape[d + 2]) /
                                          double(plan.dims(in)[d + 2]));
  return plan.set(getOutput(),
                  resize(plan, in, std::move(geometry), getOutput()));
}

/// Each element repeated.
template <typename Op> static int upsample(Op op, PlanBuilder &plan) {
  ResizeGeometry geometry;
  geometry.coord = ResizeCoord::Asymmetric;
  geometry.scales = {double(op.getScaleH()), double(op.getScaleW())};
  return resize(plan, plan.of(op.getInput()), std::move(geometry),
                op.getOutput());
}

LogicalResult top::UpsampleOp::plan(PlanBuilder &plan) {
  return plan.set(getOutput(), plan.relu(upsample(*this, plan), getDoRelu(),
                                         getReluLimit()));
}
LogicalResult tpu::UpsampleOp::plan(PlanBuilder &plan) {
  return plan.set(getOutput(), upsample(*this, plan));
}

} // namespace tpumlir
