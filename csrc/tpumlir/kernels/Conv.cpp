#include "tpumlir/kernels/Conv.h"

#include "tpumlir/kernels/Primitives.h"

namespace tpumlir::kernels {

namespace {

using dnnl::memory;

memory::desc anyLayout(const Dims &dims) {
  return {dims, memory::data_type::f32, memory::format_tag::any};
}

Dims minusOne(Dims list) {
  for (int64_t &value : list)
    --value;
  return list;
}

void expectRank(const TensorDesc &x) {
  if (x.rank() < 3 || x.rank() > 5)
    throw KernelError("expected 1 to 3 spatial dims, got the shape " +
                      shapeText(x.dims));
}

memory::desc biasDesc(bool hasBias, int64_t channels) {
  return hasBias ? memoryDesc({channels}, {1}) : memory::desc();
}

} // namespace

void ConvNode::chooseOrders(std::span<TensorDesc> inputs,
                            std::span<TensorDesc> outputs) const {
  Node::chooseOrders(inputs.subspan(1), outputs);
  inputs[0].order = channelsLastOrder(inputs[0].rank());
  outputs[0].order = channelsLastOrder(outputs[0].rank());
  chooseTailOrders(inputs, outputs[0]);
}

std::unique_ptr<Kernel> ConvNode::build(const BuildContext &context) const {
  const TensorDesc &x = context.inputs[0];
  const TensorDesc &w = context.inputs[1];
  const TensorDesc &out = context.outputs[0];
  expectRank(x);
  const int64_t g = geometry.groups;

  Dims dims = w.dims;
  if (g != 1) {
    dims[0] /= g;
    dims.insert(dims.begin(), g);
  }
  FilterKernel::Parts parts;
  parts.source = memoryDesc(x);
  parts.bias = biasDesc(hasBias, w.dims[0]);
  parts.destination = memoryDesc(out);
  parts.plainFilter = memoryDesc(TensorDesc::plain(DType::F32, dims));
  return makeFilterKernel(
      context, hasBias, tail, coreInputs,
      [parts, dims, geometry = geometry](const dnnl::primitive_attr &attr) {
        // oneDNN counts the gaps between taps, ONNX the distance.
        dnnl::convolution_forward::primitive_desc pd(
            cpu(), dnnl::prop_kind::forward_inference,
            dnnl::algorithm::convolution_direct, parts.source, anyLayout(dims),
            parts.bias, parts.destination, geometry.strides,
            minusOne(geometry.dilations), geometry.padsBegin, geometry.padsEnd,
            attr);
        FilterKernel::Parts made = parts;
        made.filter = pd.weights_desc();
        made.implementation = pd.impl_info_str();
        made.primitive = dnnl::convolution_forward(pd);
        return made;
      });
}

int64_t ConvNode::products(std::span<const TensorDesc> inputs,
                           std::span<const TensorDesc> outputs) const {
  const TensorDesc &w = inputs[1];
  return outputs[0].elements() * (w.elements() / w.dims[0]);
}

int64_t DeconvNode::products(std::span<const TensorDesc> inputs,
                             std::span<const TensorDesc> outputs) const {
  return inputs[0].elements() * (inputs[1].elements() / inputs[0].dims[1]);
}

void DeconvNode::chooseOrders(std::span<TensorDesc> inputs,
                              std::span<TensorDesc> outputs) const {
  Node::chooseOrders(inputs.subspan(1), outputs);
  inputs[0].order = channelsLastOrder(inputs[0].rank());
  outputs[0].order = channelsLastOrder(outputs[0].rank());
  chooseTailOrders(inputs, outputs[0]);
}

std::unique_ptr<Kernel> DeconvNode::build(const BuildContext &context) const {
  const TensorDesc &x = context.inputs[0];
  const TensorDesc &w = context.inputs[1];
  const TensorDesc &out = context.outputs[0];
  expectRank(x);
  const int64_t g = geometry.groups;
  const int64_t c = x.dims[1];
  const int64_t oc = out.dims[1];

  // oneDNN's logical filter: [g, oc / g, c / g, taps]; the strides say which
  // of the two source orders it has.
  int64_t taps = 1;
  Dims dims{g, oc / g, c / g};
  for (size_t d = 2; d < w.dims.size(); ++d) {
    dims.push_back(w.dims[d]);
    taps *= w.dims[d];
  }
  Dims strides = TensorDesc::plain(DType::F32, dims).strides();
  if (outputFirst) {
    strides[0] = c / g * taps;
    strides[1] = c * taps;
    strides[2] = taps;
  } else {
    strides[0] = c / g * (oc / g) * taps;
    strides[1] = taps;
    strides[2] = oc / g * taps;
  }
  if (g == 1) {
    dims.erase(dims.begin());
    strides.erase(strides.begin());
  }
  // Padding at the end follows from the size asked for: output padding makes
  // it smaller.
  Dims padsEnd;
  for (size_t d = 0; d < geometry.strides.size(); ++d)
    padsEnd.push_back((x.dims[d + 2] - 1) * geometry.strides[d] +
                      (w.dims[d + 2] - 1) * geometry.dilations[d] + 1 -
                      geometry.padsBegin[d] - out.dims[d + 2]);

  FilterKernel::Parts parts;
  parts.source = memoryDesc(x);
  parts.bias = biasDesc(hasBias, oc);
  parts.destination = memoryDesc(out);
  parts.plainFilter = memoryDesc(dims, strides);
  return makeFilterKernel(
      context, hasBias, tail, coreInputs,
      [parts, dims, padsEnd,
       geometry = geometry](const dnnl::primitive_attr &attr) {
        dnnl::deconvolution_forward::primitive_desc pd(
            cpu(), dnnl::prop_kind::forward_inference,
            dnnl::algorithm::deconvolution_direct, parts.source,
            anyLayout(dims), parts.bias, parts.destination, geometry.strides,
            minusOne(geometry.dilations), geometry.padsBegin, padsEnd, attr);
        FilterKernel::Parts made = parts;
        made.filter = pd.weights_desc();
        made.implementation = pd.impl_info_str();
        made.primitive = dnnl::deconvolution_forward(pd);
        return made;
      });
}

} // namespace tpumlir::kernels
