#include "tpumlir/dialect/ops/QuantPlan.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/kernels/Layout.h"
#include "tpumlir/kernels/MatMul.h"

#include <numeric>

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

static int swapLastTwo(PlanBuilder &plan, int id) {
  Dims permutation(plan.dims(id).size());
  std::iota(permutation.begin(), permutation.end(), 0);
  std::swap(permutation.end()[-1], permutation.end()[-2]);
  return plan.permute(id, std::move(permutation));
}

/// The product of two tensors of rank 1 or more, as numpy.matmul has it, with a
/// bias that broadcasts to the result (-1 for none).
static int matmul(PlanBuilder &plan, int left, int right, int bias,
                  bool leftTranspose, bool rightTranspose,
                  bool outputTranspose) {
  bool row = plan.dims(left).size() == 1, column = plan.dims(right).size() == 1;
  if (row)
    left = plan.reshape(left, {1, plan.dims(left)[0]});
  else if (leftTranspose)
    left = swapLastTwo(plan, left);
  if (column)
    right = plan.reshape(right, {plan.dims(right)[0], 1});
  else if (rightTranspose)
    right = swapLastTwo(plan, right);

  const Dims &a = plan.dims(left), &b = plan.dims(right);
  const int64_t m = a.end()[-2], n = b.end()[-1];
  Dims shape(std::max(a.size(), b.size()) - 2, 1);
  for (size_t back = 1; back <= shape.size(); ++back) {
    int64_t l = back + 2 <= a.size() ? a[a.size() - 2 - back] : 1;
    int64_t r = back + 2 <= b.size() ? b[b.size() - 2 - back] : 1;
    shape[shape.size() - back] = l == 1 ? r : l;
  }
  shape.insert(shape.end(), {m, n});

  // oneDNN adds a vector along the columns; any other bias is added after.
  bool vector = bias >= 0 && !row && !column && !outputTranspose &&
                plan.dims(bias).size() >= 1 && plan.dims(bias).back() == n &&
                plan.desc(bias).elements() == n;
  SmallVector<int> inputs{left, right};
  if (vector)
    inputs.push_back(plan.reshape(bias, {n}));
  Dims result = shape;
  int out = plan.add(std::make_unique<MatMulNode>(vector), inputs, shape);
  if (outputTranspose && !row && !column)
    out = swapLastTwo(plan, out);
  if (row || column) {
    result.resize(result.size() - 2);
    if (!row)
      result.push_back(m);
    if (!column)
      result.push_back(n);
    out = plan.reshape(out, result);
  }
  if (bias >= 0 && !vector)
    out = plan.elementwise(EltOp::Add, {out, bias});
  return out;
}

LogicalResult top::MatMulOp::plan(PlanBuilder &plan) {
  int bias = PlanBuilder::has(getBias()) ? plan.of(getBias()) : -1;
  int out =
      matmul(plan, plan.of(getInput()), plan.of(getRight()), bias,
             getLeftTranspose(), getRightTranspose(), getOutputTranspose());
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
}

/// A product of integers (C4). What the sums can be at most is that of any
/// numbers where a matrix is computed.
static LogicalResult planQuantized(PlanBuilder &plan, tpu::MatMulOp op) {
  Quantization in = *Quantization::of(op.getInput());
  int x = centred(plan, plan.of(op.getInput()), in);
  auto rightType = Quantization::of(op.getRight());
  int right = plan.of(op.getRight());
  if (rightType)
    right = centred(plan, right, *rightType);
  const bool leftTranspose = op.getLeftTranspose() && plan.dims(x).size() > 1;
  const bool rightTranspose =
      op.getRightTranspose() && plan.dims(right).size() > 1;
  const size_t leftAxis = plan.dims(x).size() - (leftTranspose ? 2 : 1);
  const size_t rightRank = plan.dims(right).size();
  const size_t rightAxis =
      rightRank == 1 ? 0 : rightRank - (rightTranspose ? 1 : 2);
  const int64_t depth = plan.dims(x)[leftAxis];
  const int64_t columns = top::elementsOf(top::shapeOf(op.getMulti())) / 2;
  // Sums of the columns, and the largest of magnitudes.
  SmallVector<int64_t> sums(columns, 0);
  ArrayRef<int8_t> data = constantBytes(op.getRight());
  auto at = [&](int64_t k, int64_t n) {
    return int64_t(data[rightTranspose ? n * depth + k : k * columns + n]);
  };
  const int64_t largest = largestOf(in);
  const int64_t any = rightType ? largestOf(*rightType) : 128;
  SmallVector<int64_t> begins{0}, reached(columns, 0);
  for (int64_t k = 0; k < depth; ++k) {
    bool fits = true;
    for (int64_t n = 0; n < columns; ++n) {
      int64_t number = data.empty() ? any : at(k, n);
      sums[n] += data.empty() ? 0 : number;
      fits &= (reached[n] + std::abs(number)) * largest < kExactF32;
    }
    if (!fits) {
      begins.push_back(k);
      reached.assign(columns, 0);
    }
    for (int64_t n = 0; n < columns; ++n)
      reached[n] += std::abs(data.empty() ? any : at(k, n));
  }
  auto slice = [&](int id, size_t axis, int64_t begin, int64_t end) {
    Dims shape = plan.dims(id), offsets(shape.size(), 0),
         steps(shape.size(), 1);
    if (shape[axis] == end - begin)
      return id;
    shape[axis] = end - begin;
    offsets[axis] = begin;
    return plan.add(
        std::make_unique<SliceNode>(std::move(offsets), std::move(steps)), id,
        std::move(shape));
  };
  SmallVector<int> parts;
  for (auto [i, begin] : llvm::enumerate(begins)) {
    int64_t end = i + 1 < begins.size() ? begins[i + 1] : depth;
    parts.push_back(matmul(plan, slice(x, leftAxis, begin, end),
                           slice(right, rightAxis, begin, end), -1,
                           leftTranspose, rightTranspose, false));
  }
  for (int64_t &sum : sums)
    sum *= in.zeroPoint;
  const int64_t axis = int64_t(plan.dims(parts[0]).size()) - 1;
  int y = requantized(
      plan, wholeSum(plan, parts, sums, axis), plan.of(op.getMulti()), axis,
      *Quantization::of(op.getOutput()), op.getDoRelu(), op.getReluLimit());
  return plan.set(op.getOutput(), y);
}

LogicalResult tpu::MatMulOp::plan(PlanBuilder &plan) {
  if (isQuantized(getInput()))
    return planQuantized(plan, *this);
  int bias = PlanBuilder::has(getBias()) ? plan.of(getBias()) : -1;
  int out = matmul(plan, plan.of(getInput()), plan.of(getRight()), bias,
                   getLeftTranspose(), getRightTranspose(), false);
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
}

} // namespace tpumlir
