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

/// oneDNN's kernels work along the last axis, and take the others apart into
/// rows. What has trailing axes of one element, input and output alike, is
/// given to them with its last longer axis behind those: the same memory, and
/// one long row instead of many of one element.
class Turn {
public:
  Turn(const TensorDesc &x, const TensorDesc &out) : rank(x.rank()) {
    int64_t last = rank - 1;
    while (last > 1 && x.dims[size_t(last)] == 1 && out.dims[size_t(last)] == 1)
      --last;
    if (last > 1)
      back = size_t(rank - 1 - last);
  }

  /// A list with an entry per spatial axis at its end.
  Dims of(Dims list) const {
    std::swap(list.end()[-1], list.end()[-1 - int64_t(back)]);
    return list;
  }
  /// An operand, or one that broadcasts to the output.
  TensorDesc of(TensorDesc desc) const {
    if (back == 0)
      return desc;
    const int64_t lead = rank - desc.rank();
    for (int64_t &dim : desc.order)
      dim += lead;
    for (int64_t dim = lead; dim-- > 0;) {
      desc.dims.insert(desc.dims.begin(), 1);
      desc.order.insert(desc.order.begin(), dim);
    }
    desc.dims = of(std::move(desc.dims));
    const int64_t a = rank - 1, b = a - int64_t(back);
    for (int64_t &dim : desc.order)
      dim = dim == a ? b : dim == b ? a : dim;
    const TensorDesc channelsLast = desc.in(channelsLastOrder(rank));
    return desc.sameOrder(channelsLast) ? channelsLast : desc;
  }
  ConvGeometry of(ConvGeometry geometry) const {
    for (Dims *list : {&geometry.strides, &geometry.dilations,
                       &geometry.padsBegin, &geometry.padsEnd})
      *list = of(std::move(*list));
    return geometry;
  }
  /// All operands but the filter and the bias.
  BuildContext of(BuildContext context, size_t coreInputs) const {
    context.inputs[0] = of(context.inputs[0]);
    for (size_t i = coreInputs; i < context.inputs.size(); ++i)
      context.inputs[i] = of(context.inputs[i]);
    context.outputs[0] = of(context.outputs[0]);
    return context;
  }

private:
  int64_t rank;
  size_t back = 0; ///< axes behind the one that becomes the last
};

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

std::unique_ptr<Kernel> ConvNode::build(const BuildContext &given) const {
  expectRank(given.inputs[0]);
  const Turn turn(given.inputs[0], given.outputs[0]);
  const BuildContext context = turn.of(given, coreInputs);
  const TensorDesc &w = context.inputs[1];
  const int64_t g = geometry.groups;

  Dims dims = w.dims;
  if (g != 1) {
    dims[0] /= g;
    dims.insert(dims.begin(), g);
  }
  const Dims strides = turn.of(TensorDesc::plain(DType::F32, dims).strides());
  dims = turn.of(std::move(dims));
  FilterKernel::Parts parts;
  parts.source = memoryDesc(context.inputs[0]);
  parts.bias = biasDesc(hasBias, w.dims[0]);
  parts.destination = memoryDesc(context.outputs[0]);
  parts.plainFilter = memoryDesc(dims, strides);
  return makeFilterKernel(context, hasBias, tail, coreInputs,
                          [parts, dims, geometry = turn.of(geometry)](
                              const dnnl::primitive_attr &attr) {
                            // oneDNN counts the gaps between taps, ONNX the
                            // distance.
                            dnnl::convolution_forward::primitive_desc pd(
                                cpu(), dnnl::prop_kind::forward_inference,
                                dnnl::algorithm::convolution_direct,
                                parts.source, anyLayout(dims), parts.bias,
                                parts.destination, geometry.strides,
                                minusOne(geometry.dilations),
                                geometry.padsBegin, geometry.padsEnd, attr);
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

std::unique_ptr<Kernel> DeconvNode::build(const BuildContext &given) const {
  const TensorDesc &x = given.inputs[0];
  const TensorDesc &w = given.inputs[1];
  const TensorDesc &out = given.outputs[0];
  expectRank(x);
  const Turn turn(x, out);
  const BuildContext context = turn.of(given, coreInputs);
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

  dims = turn.of(std::move(dims));
  FilterKernel::Parts parts;
  parts.source = memoryDesc(context.inputs[0]);
  parts.bias = biasDesc(hasBias, oc);
  parts.destination = memoryDesc(context.outputs[0]);
  parts.plainFilter = memoryDesc(dims, turn.of(std::move(strides)));
  return makeFilterKernel(
      context, hasBias, tail, coreInputs,
      [parts, dims, padsEnd = turn.of(std::move(padsEnd)),
       geometry = turn.of(geometry)](const dnnl::primitive_attr &attr) {
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
