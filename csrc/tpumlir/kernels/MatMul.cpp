#include "tpumlir/kernels/MatMul.h"

#include "tpumlir/kernels/Primitives.h"

#include <algorithm>

namespace tpumlir::kernels {

namespace {

/// oneDNN multiplies operands in which one of the last two dims is innermost.
bool isMatrix(const TensorDesc &desc) {
  const Dims strides = desc.strides();
  const size_t r = desc.dims.size();
  return strides[r - 1] == 1 || strides[r - 2] == 1;
}

/// Dims with ones in front, up to `rank`.
Dims padded(const Dims &dims, size_t rank, int64_t fill) {
  Dims list(rank - dims.size(), fill);
  list.insert(list.end(), dims.begin(), dims.end());
  return list;
}

/// `context` of a product whose batches are the rows of one matrix: what its
/// tail reads is described for that matrix. Nothing if one operand cannot be.
std::optional<BuildContext> joined(const BuildContext &context,
                                   const Dims &outDims, size_t coreInputs) {
  const Dims whole = context.outputs[0].dims;
  BuildContext flat = context;
  flat.outputs[0] = TensorDesc::plain(DType::F32, outDims);
  for (size_t i = coreInputs; i < context.inputs.size(); ++i) {
    const Dims dims = padded(context.inputs[i].dims, whole.size(), 1);
    const bool isRow = std::all_of(dims.begin(), dims.end() - 1,
                                   [](int64_t extent) { return extent == 1; });
    if (dims != whole && !isRow)
      return std::nullopt;
    flat.inputs[i] = TensorDesc::plain(
        DType::F32, dims == whole ? outDims : Dims{1, dims.back()});
  }
  return flat;
}

} // namespace

void MatMulNode::chooseOrders(std::span<TensorDesc> inputs,
                              std::span<TensorDesc> outputs) const {
  outputs[0].order = plainOrder(outputs[0].rank());
  for (size_t i = 0; i < 2; ++i)
    if (!isMatrix(inputs[i]))
      inputs[i].order = plainOrder(inputs[i].rank());
  for (size_t i = 2; i < inputs.size(); ++i)
    inputs[i].order = plainOrder(inputs[i].rank());
}

std::unique_ptr<Kernel> MatMulNode::build(const BuildContext &context) const {
  TensorDesc a = context.inputs[0];
  TensorDesc b = context.inputs[1];
  TensorDesc out = context.outputs[0];

  // Rows of all batches are one matrix if they meet one and the same `b`.
  int64_t batchesOfB = 1;
  for (int64_t d = 0; d + 2 < b.rank(); ++d)
    batchesOfB *= b.dims[size_t(d)];
  bool joins = batchesOfB == 1 && a.rank() >= 2 && a.isPlain() &&
               (out.rank() > 2 || b.rank() > 2);
  const int64_t k = b.dims[b.dims.size() - 2], n = b.dims.back();
  Dims aDims = a.dims, aStrides = a.strides();
  Dims bDims = b.dims, bStrides = b.strides();
  Dims outDims = out.dims;
  if (joins) {
    int64_t rows = 1;
    for (int64_t d = 0; d + 1 < a.rank(); ++d)
      rows *= a.dims[size_t(d)];
    aDims = {rows, k};
    aStrides = {k, 1};
    bDims = {k, n};
    bStrides = {bStrides[bStrides.size() - 2], bStrides.back()};
    outDims = {aDims[0], n};
  }
  const size_t rank = outDims.size();
  Dims outStrides = TensorDesc::plain(DType::F32, outDims).strides();
  aDims = padded(aDims, rank, 1);
  aStrides = padded(aStrides, rank, a.elements());
  bDims = padded(bDims, rank, 1);
  bStrides = padded(bStrides, rank, b.elements());
  Dims biasDims(rank, 1), biasStrides(rank, n);
  biasDims.back() = n;
  biasStrides.back() = 1;

  FilterKernel::Parts parts;
  parts.source = memoryDesc(aDims, aStrides);
  parts.plainFilter = memoryDesc(bDims, bStrides);
  parts.destination = memoryDesc(outDims, outStrides);
  if (hasBias)
    parts.bias = memoryDesc(biasDims, biasStrides);
  // A constant second operand is packed once; packing a computed one would
  // cost as much as a small product.
  dnnl::memory::desc filter =
      context.constants[1]
          ? dnnl::memory::desc(bDims, dnnl::memory::data_type::f32,
                               dnnl::memory::format_tag::any)
          : parts.plainFilter;
  auto make = [parts, filter](const dnnl::primitive_attr &attr) {
    dnnl::matmul::primitive_desc pd(cpu(), parts.source, filter, parts.bias,
                                    parts.destination, attr);
    FilterKernel::Parts made = parts;
    made.filter = pd.weights_desc();
    made.implementation = pd.impl_info_str();
    made.primitive = dnnl::matmul(pd);
    return made;
  };
  // Post-op operands are described for the output as the tail sees it: the tail
  // of a joined product runs after it if it reads anything else.
  if (tail && rank != out.dims.size()) {
    if (std::optional<BuildContext> flat = joined(context, outDims, coreInputs))
      return makeFilterKernel(*flat, hasBias, tail, coreInputs, make);
    FilterKernel::Parts plain = make({});
    return std::make_unique<FilterKernel>(plain, hasBias, tail, context);
  }
  return makeFilterKernel(context, hasBias, tail, coreInputs, make);
}

} // namespace tpumlir::kernels
