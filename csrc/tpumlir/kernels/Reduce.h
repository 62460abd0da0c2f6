#pragma once

#include "tpumlir/kernels/Kernel.h"

namespace tpumlir::kernels {

enum class ReduceMode : uint8_t {
  Sum,
  Mean,
  Max,
  Min,
  Prod,
  L1,
  L2,
  SumSquare,
  LogSum,
  LogSumExp,
};

/// Reduces the dims `axes` to extent 1; of I32 the modes that stay integers.
/// Source: ONNX Reduce*, opset 18.
class ReduceNode : public Node {
public:
  ReduceNode(ReduceMode mode, Dims axes) : mode(mode), axes(std::move(axes)) {}
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
  void checkTypes(std::span<const TensorDesc> inputs,
                  std::span<const TensorDesc> outputs) const override;

private:
  bool reduced(int64_t dim) const;

  ReduceMode mode;
  Dims axes;
};

/// Positions of the largest or smallest elements along `axis`, which gets
/// extent 1. The input is F32 or I32. Outputs: positions (F32 or I32) and, if
/// there are two, the values.
/// Of equal ones the first counts, or the last. NaN counts as extreme, as in
/// numpy.
class ArgNode : public Node {
public:
  ArgNode(int64_t axis, bool largest, bool lastIndex)
      : axis(axis), largest(largest), lastIndex(lastIndex) {}
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
  void checkTypes(std::span<const TensorDesc> inputs,
                  std::span<const TensorDesc> outputs) const override;

private:
  int64_t axis;
  bool largest, lastIndex;
};

/// Running sum (F32 or I32) along `axis`. Source: ONNX CumSum, opset 14.
class CumSumNode : public Node {
public:
  CumSumNode(int64_t axis, bool exclusive, bool reverse)
      : axis(axis), exclusive(exclusive), reverse(reverse) {}
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
  void checkTypes(std::span<const TensorDesc> inputs,
                  std::span<const TensorDesc> outputs) const override;

private:
  int64_t axis;
  bool exclusive, reverse;
};

/// exp(beta x) / sum exp(beta x) along `axis`, or its logarithm.
/// Source: ONNX Softmax, LogSoftmax, opset 13.
class SoftmaxNode : public Node {
public:
  SoftmaxNode(int64_t axis, bool log, float beta)
      : axis(axis), log(log), beta(beta) {}
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
  bool mayOverwrite(size_t) const override { return true; }

private:
  int64_t axis;
  bool log;
  float beta;
};

} // namespace tpumlir::kernels
