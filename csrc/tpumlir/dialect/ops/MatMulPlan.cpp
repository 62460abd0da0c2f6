#include "tpumlir/dialect/PlanBuilder.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
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

LogicalResult tpu::MatMulOp::plan(PlanBuilder &plan) {
  int bias = PlanBuilder::has(getBias()) ? plan.of(getBias()) : -1;
  int out = matmul(plan, plan.of(getInput()), plan.of(getRight()), bias,
                   getLeftTranspose(), getRightTranspose(), false);
  return plan.set(getOutput(), plan.relu(out, getDoRelu(), getReluLimit()));
}

} // namespace tpumlir
