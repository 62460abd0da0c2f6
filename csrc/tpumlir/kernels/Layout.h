#pragma once

#include "tpumlir/kernels/Kernel.h"

#include <optional>

namespace tpumlir::kernels {

/// A box of elements to copy. Strides and offsets are in elements; a source
/// stride of 0 repeats, a negative one reverses.
struct Box {
  size_t input = 0; ///< operand that is read
  Dims dims;
  Dims sourceStrides;
  Dims targetStrides;
  int64_t sourceOffset = 0;
  int64_t targetOffset = 0;
};

/// Copies boxes into one output of any 1, 2 or 4 byte type; what no box covers
/// gets `fill` (an element's bits) if there is one.
class BoxKernel : public Kernel {
public:
  BoxKernel(std::vector<Box> boxes, size_t inputs, const TensorDesc &output,
            std::optional<uint32_t> fill = {});
  void run() override;
  std::string implementation() const override { return "loop:copy"; }

private:
  template <typename T> void copy(const Box &box);

  std::vector<Box> boxes;
  size_t output;
  int64_t outputElements;
  size_t elementBytes;
  std::optional<uint32_t> fill;
};

/// A node that moves elements of any one type.
class MoveNode : public Node {
public:
  void checkTypes(std::span<const TensorDesc> inputs,
                  std::span<const TensorDesc> outputs) const override;
};

/// The same tensor in another memory order.
class ReorderNode : public MoveNode {
public:
  explicit ReorderNode(Dims order) : order(std::move(order)) {}
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;

private:
  Dims order;
};

/// Joins along `axis`.
class ConcatNode : public MoveNode {
public:
  explicit ConcatNode(int64_t axis) : axis(axis) {}
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;

private:
  int64_t axis;
};

/// Elements `offsets[d] + i * steps[d]` of each dim; a step may be negative.
class SliceNode : public MoveNode {
public:
  SliceNode(Dims offsets, Dims steps)
      : offsets(std::move(offsets)), steps(std::move(steps)) {}
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
  std::optional<size_t> viewedAt(const TensorDesc &input,
                                 const TensorDesc &output) const override;

private:
  Dims offsets, steps;
};

/// Repeats the input, dims of ones added in front, to fill the output: each
/// output extent is a multiple of the input's. Covers Tile and Expand.
class TileNode : public MoveNode {
public:
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
};

enum class PadMode : uint8_t { Constant, Reflect, Edge, Symmetric, Wrap };

/// Adds elements in front of and behind each dim; negative counts remove.
/// Source: ONNX Pad, opset 21.
class PadNode : public MoveNode {
public:
  PadNode(PadMode mode, Dims begin, float value)
      : mode(mode), begin(std::move(begin)), value(value) {}
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;

private:
  PadMode mode;
  Dims begin;
  float value;
};

/// Bytes (U8) as F32 or I32; casts between those are elementwise steps.
class CastNode : public Node {
public:
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
  void checkTypes(std::span<const TensorDesc> inputs,
                  std::span<const TensorDesc> outputs) const override;
};

/// A new description of the same bytes: no kernel.
class ViewNode : public MoveNode {
public:
  std::optional<size_t> viewedAt(const TensorDesc &,
                                 const TensorDesc &) const override {
    return 0;
  }
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
};

/// New dims over the row-major elements. Another memory order stays as it is
/// where each dim, or a few that lie in memory as one, becomes dims of its own.
class ReshapeNode : public ViewNode {
public:
  explicit ReshapeNode(Dims dims) : dims(std::move(dims)) {}
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;

private:
  TensorDesc view(const TensorDesc &input) const;
  std::optional<Dims> keptOrder(const TensorDesc &input) const;
  Dims newOrder(const TensorDesc &input) const;
  Dims dims;
};

/// Result dim i is input dim `permutation[i]`.
class PermuteNode : public ViewNode {
public:
  explicit PermuteNode(Dims permutation)
      : permutation(std::move(permutation)) {}
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;

private:
  TensorDesc view(const TensorDesc &input) const;
  Dims permutation;
};

} // namespace tpumlir::kernels
