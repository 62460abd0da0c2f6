#include "tpumlir/transforms/top/Patterns.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <cmath>

using namespace mlir;

namespace tpumlir::top {

bool isOutput(Value value) {
  return llvm::any_of(value.getUsers(), llvm::IsaPred<func::ReturnOp>);
}

/// Whether a Deconv takes the value as a run-time filter not reordered yet. The
/// layout of its filter would change its meaning if that became a weight.
static bool isRuntimeFilter(Value value) {
  return llvm::any_of(value.getUsers(), [&](Operation *user) {
    auto deconv = llvm::dyn_cast<DeconvOp>(user);
    return deconv && deconv.getFilter() == value &&
           !deconv.filterIsOutputMajor();
  });
}

LogicalResult replaceByEqual(PatternRewriter &rewriter, Operation *op,
                             Value equal) {
  if (isOutput(op->getResult(0)))
    return rewriter.notifyMatchFailure(op, "the model returns it by name");
  if (!sameButRange(op->getResult(0).getType(), equal.getType()))
    return rewriter.notifyMatchFailure(op, "types differ");
  if (equal.getDefiningOp<WeightOp>() && isRuntimeFilter(op->getResult(0)))
    return rewriter.notifyMatchFailure(op, "a filter that is reordered first");
  rewriter.replaceOp(op, equal);
  return success();
}

void replaceByFused(PatternRewriter &rewriter, Operation *op,
                    Operation *fresh) {
  rewriter.modifyOpInPlace(fresh, [&] {
    fresh->setLoc(op->getLoc());
    fresh->getResult(0).setType(op->getResult(0).getType());
  });
  rewriter.replaceOp(op, fresh->getResults());
}

/// The constant's elements as doubles.
static FailureOr<SmallVector<double>> constantF64s(Value value) {
  FailureOr<ArrayRef<float>> data = constantF32s(value);
  if (failed(data))
    return failure();
  return SmallVector<double>(data->begin(), data->end());
}

FailureOr<SmallVector<double>> perChannel(Value value, ArrayRef<int64_t> shape,
                                          int64_t axis) {
  FailureOr<SmallVector<double>> data = constantF64s(value);
  if (failed(data))
    return failure();
  ArrayRef<int64_t> own = shapeOf(value);
  int64_t channels = shape[axis];
  if (own.size() > shape.size())
    return failure();
  // Right-aligned: only the channel axis may be other than 1.
  for (size_t back = 1; back <= own.size(); ++back) {
    int64_t extent = own[own.size() - back];
    bool onAxis = int64_t(shape.size() - back) == axis;
    if (extent != 1 && !(onAxis && extent == channels))
      return failure();
  }
  if (data->size() == 1)
    data->assign(channels, data->front());
  return data;
}

std::optional<double> splat(Value value) {
  FailureOr<ArrayRef<float>> data = constantF32s(value);
  if (failed(data) || data->empty() || !llvm::all_equal(*data))
    return std::nullopt;
  return data->front();
}

bool isNear(double value, double want) {
  return std::abs(value - want) <= 1e-6 * std::max(1.0, std::abs(want));
}

/// Adds the factors of `value`; false if it is no product.
static bool addFactors(Value value, Product &product);

static void addLeaf(Value value, Product &product) {
  if (!value.hasOneUse() || !addFactors(value, product))
    product.factors.push_back(value);
}

static bool addFactors(Value value, Product &product) {
  Operation *op = value.getDefiningOp();
  if (!op || !hasNoRelu(op))
    return false;
  if (auto scaled = llvm::dyn_cast<MulConstOp>(op)) {
    product.factor *= scaled.getConstVal();
    addLeaf(scaled.getInput(), product);
    return true;
  }
  if (auto power = llvm::dyn_cast<PowOp>(op)) {
    double exponent = power.getExponent();
    if (exponent != 2 && exponent != 3)
      return false;
    product.factors.append(size_t(exponent), power.getInput());
    return true;
  }
  auto mul = llvm::dyn_cast<MulOp>(op);
  if (!mul || llvm::any_of(mul.getInputs(), [&](Value input) {
        return !sameButRange(input.getType(), value.getType());
      }))
    return false;
  for (Value input : mul.getInputs())
    addLeaf(input, product);
  return true;
}

Product flattenProduct(Value value) {
  Product product;
  if (!addFactors(value, product))
    product.factors.push_back(value);
  return product;
}

bool hasNoRelu(Operation *op) {
  auto relu = op->getAttrOfType<BoolAttr>("do_relu");
  return !relu || !relu.getValue();
}

Value weightFrom(OpBuilder &builder, StringRef base, ArrayRef<int64_t> shape,
                 ArrayRef<double> data) {
  return createWeight(builder, base, shape,
                      std::vector<float>(data.begin(), data.end()));
}

} // namespace tpumlir::top
