#include "tpumlir/kernels/MatMul.h"

#include "tpumlir/kernels/Primitives.h"

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
    aDims = {a.elements() / k, k};
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
  // Post-op operands are described for the output as the tail sees it; a
  // joined product has other dims, so its tail runs after it.
  if (tail && rank != out.dims.size()) {
    FilterKernel::Parts plain = make({});
    return std::make_unique<FilterKernel>(plain, hasBias, tail, context);
  }
  return makeFilterKernel(context, hasBias, tail, coreInputs, make);
}

} // namespace tpumlir::kernels
