#pragma once

#include "tpumlir/support/DType.h"

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
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
///
/// A copy costs nothing: copies share one table until one of them changes,
/// which then takes a table of its own. The bytes are shared even then. Two
/// threads may use two copies at once.
class WeightStore {
public:
  /// Null if there is none of that name. Holds until this one changes; if it
  /// was `unshare`d before, until the weight itself does.
  const Weight *find(std::string_view name) const {
    auto it = table->find(name);
    return it == table->end() ? nullptr : &it->second;
  }
  /// Adds or replaces.
  void set(std::string name, Weight weight) {
    unshare();
    table->insert_or_assign(std::move(name), std::move(weight));
  }
  void erase(std::string_view name) {
    if (!table->contains(name))
      return;
    unshare();
    table->erase(table->find(name));
  }
  /// Takes a table of its own if others have it too: for code that holds what
  /// `find` gave while it adds more.
  void unshare() {
    if (table.use_count() > 1)
      table = std::make_shared<Table>(*table);
    else // what the last other owner read, it read before this one writes
      std::atomic_thread_fence(std::memory_order_acquire);
  }
  /// `base`, or `base_1`, `base_2`, ... the first that is free.
  std::string freeName(std::string_view base) const {
    std::string name(base);
    for (int i = 1; table->contains(name); ++i)
      name = std::string(base) + "_" + std::to_string(i);
    return name;
  }
  auto begin() const { return std::as_const(*table).begin(); }
  auto end() const { return std::as_const(*table).end(); }
  size_t size() const { return table->size(); }

private:
  using Table = std::map<std::string, Weight, std::less<>>;
  std::shared_ptr<Table> table = std::make_shared<Table>(); // never null
};

} // namespace tpumlir
