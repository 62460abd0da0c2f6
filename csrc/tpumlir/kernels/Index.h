#pragma once

#include "tpumlir/kernels/Kernel.h"

namespace tpumlir::kernels {

/// A node with a tensor of indices (F32 or I32) at input `indicesAt`; the other
/// operands have one type. Negative indices count from the end; one outside of
/// the extent is a KernelError when the kernel runs.
class IndexNode : public Node {
public:
  explicit IndexNode(size_t indicesAt = 1) : indicesAt(indicesAt) {}
  void checkTypes(std::span<const TensorDesc> inputs,
                  std::span<const TensorDesc> outputs) const override;

private:
  size_t indicesAt;
};

/// The slices of input 0 along `axis` that input 1 lists. Source: ONNX Gather,
/// opset 13.
class GatherNode : public IndexNode {
public:
  explicit GatherNode(int64_t axis) : axis(axis) {}
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;

private:
  int64_t axis;
};

/// Source: ONNX GatherElements, opset 13.
class GatherElementsNode : public IndexNode {
public:
  explicit GatherElementsNode(int64_t axis) : axis(axis) {}
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;

private:
  int64_t axis;
};

/// Source: ONNX GatherND, opset 13.
class GatherNDNode : public IndexNode {
public:
  explicit GatherNDNode(int64_t batchDims) : batchDims(batchDims) {}
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;

private:
  int64_t batchDims;
};

enum class ScatterMode : uint8_t { Replace, Add, Mul, Max, Min };

/// Input 0 with input 2 at the places of input 1. Source: ONNX ScatterElements,
/// opset 18.
class ScatterElementsNode : public IndexNode {
public:
  ScatterElementsNode(int64_t axis, ScatterMode mode)
      : axis(axis), mode(mode) {}
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;

private:
  int64_t axis;
  ScatterMode mode;
};

/// Source: ONNX ScatterND, opset 18.
class ScatterNDNode : public IndexNode {
public:
  explicit ScatterNDNode(ScatterMode mode) : mode(mode) {}
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;

private:
  ScatterMode mode;
};

/// The k largest or smallest elements (F32 or I32) along `axis`, best first, of
/// equal ones the first; NaN is larger than all. Outputs: values, then
/// positions. Source: ONNX TopK, opset 11.
class TopKNode : public Node {
public:
  TopKNode(int64_t axis, bool largest, int64_t firstIndex = 0)
      : axis(axis), largest(largest), firstIndex(firstIndex) {}
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
  void checkTypes(std::span<const TensorDesc> inputs,
                  std::span<const TensorDesc> outputs) const override;

private:
  int64_t axis;
  bool largest;
  int64_t firstIndex;
};

/// Elements of the last two dims with column - row >= diagonal if `upper`, else
/// <= diagonal; 0 elsewhere. Source: ONNX Trilu, opset 14.
class TriluNode : public Node {
public:
  TriluNode(bool upper, int64_t diagonal) : upper(upper), diagonal(diagonal) {}
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
  void checkTypes(std::span<const TensorDesc> inputs,
                  std::span<const TensorDesc> outputs) const override;
  bool mayOverwrite(size_t) const override { return true; }

private:
  bool upper;
  int64_t diagonal;
};

/// The place of each tuple of indices (the last dim) in a row-major tensor of
/// `extents`.
class FlatIndicesNode : public Node {
public:
  explicit FlatIndicesNode(Dims extents) : extents(std::move(extents)) {}
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
  void checkTypes(std::span<const TensorDesc> inputs,
                  std::span<const TensorDesc> outputs) const override;

private:
  Dims extents;
};

} // namespace tpumlir::kernels
