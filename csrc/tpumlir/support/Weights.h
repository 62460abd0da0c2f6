#pragma once

#include "tpumlir/support/DType.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tpumlir {

/// Constant data of one `top.Weight`. The bytes never change once they stand
/// here, so modules share them.
struct Weight {
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  /// Row-major elements; the pointer keeps its owner (a numpy array, a file
  /// mapping) alive.
  std::shared_ptr<const void> data;

  int64_t elements() const {
    int64_t n = 1;
    for (int64_t dim : shape)
      n *= dim;
    return n;
  }
  size_t bytes() const { return size_t(elements()) * dtypeBytes(dtype); }
  template <typename T> const T *as() const {
    return static_cast<const T *>(data.get());
  }
};

/// All weights of a module by location name; the key in the npz that
/// `module.weight_file` names is the same.
class WeightStore {
public:
  /// Null if there is none of that name.
  const Weight *find(std::string_view name) const {
    auto it = weights.find(name);
    return it == weights.end() ? nullptr : &it->second;
  }
  /// Adds or replaces.
  void set(std::string name, Weight weight) {
    weights.insert_or_assign(std::move(name), std::move(weight));
  }
  void erase(std::string_view name) {
    if (auto it = weights.find(name); it != weights.end())
      weights.erase(it);
  }
  /// `base`, or `base_1`, `base_2`, ... the first that is free.
  std::string freeName(std::string_view base) const {
    std::string name(base);
    for (int i = 1; weights.contains(name); ++i)
      name = std::string(base) + "_" + std::to_string(i);
    return name;
  }
  auto begin() const { return weights.begin(); }
  auto end() const { return weights.end(); }
  size_t size() const { return weights.size(); }

private:
  std::map<std::string, Weight, std::less<>> weights;
};

} // namespace tpumlir
