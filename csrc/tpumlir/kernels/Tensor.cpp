#include "tpumlir/kernels/Tensor.h"

#include <cassert>
#include <numeric>

namespace tpumlir::kernels {

Dims plainOrder(int64_t rank) {
  Dims order(static_cast<size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

Dims channelsLastOrder(int64_t rank) {
  Dims order = plainOrder(rank);
  if (rank < 3)
    return order;
  order.erase(order.begin() + 1);
  order.push_back(1);
  return order;
}

TensorDesc TensorDesc::plain(DType dtype, Dims dims) {
  Dims order = plainOrder(int64_t(dims.size()));
  return {dtype, std::move(dims), std::move(order)};
}

int64_t TensorDesc::elements() const {
  return std::accumulate(dims.begin(), dims.end(), int64_t(1),
                         std::multiplies<>());
}

Dims TensorDesc::strides() const {
  assert(order.size() == dims.size() && "order must name each dim once");
  Dims strides(dims.size());
  int64_t step = 1;
  for (size_t i = order.size(); i-- > 0;) {
    strides[size_t(order[i])] = step;
    step *= dims[size_t(order[i])];
  }
  return strides;
}

bool TensorDesc::sameOrder(const TensorDesc &other) const {
  assert(dims == other.dims && "only the order may differ");
  auto significant = [](const TensorDesc &desc) {
    Dims list;
    for (int64_t dim : desc.order)
      if (desc.dims[size_t(dim)] != 1)
        list.push_back(dim);
    return list;
  };
  return significant(*this) == significant(other);
}

bool TensorDesc::isPlain() const { return sameOrder(in(plainOrder(rank()))); }

TensorDesc TensorDesc::in(Dims newOrder) const {
  return {dtype, dims, std::move(newOrder)};
}

std::string shapeText(const Dims &dims) {
  std::string text;
  for (int64_t dim : dims) {
    if (!text.empty())
      text += 'x';
    text += std::to_string(dim);
  }
  return text.empty() ? "scalar" : text;
}

} // namespace tpumlir::kernels
