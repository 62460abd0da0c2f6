#pragma once

#include "tpumlir/kernels/Elementwise.h"

#include <dnnl.hpp>

#include <map>
#include <mutex>

namespace tpumlir::kernels {

/// The CPU; made at the first use.
const dnnl::engine &cpu();

/// F32 tensor of these dims in this order.
dnnl::memory::desc memoryDesc(const TensorDesc &desc);
dnnl::memory::desc memoryDesc(const Dims &dims, const Dims &strides);

/// Constants in the layouts that primitives asked for. Each is packed once,
/// however many plans of a model use it.
class PackCache {
public:
  /// `data`, which lies as `from` says, in the layout `to`. Kept for others
  /// only if the data are `lasting`: the address of shorter-lived ones may come
  /// to mean something else.
  std::shared_ptr<void> pack(const void *data, const dnnl::memory::desc &from,
                             const dnnl::memory::desc &to, bool lasting);

private:
  struct Entry {
    dnnl::memory::desc from, to;
    std::shared_ptr<void> packed;
  };
  std::mutex mutex;
  std::multimap<const void *, Entry> entries;
};

/// 64-byte aligned memory.
std::shared_ptr<void> allocate(size_t bytes);

/// A primitive with its arguments: executing it looks nothing up.
class Primitive {
public:
  Primitive() = default;
  explicit Primitive(const dnnl::primitive &primitive) : primitive(primitive) {}
  /// Adds an argument whose address is given later; answers its position.
  size_t add(int index, const dnnl::memory::desc &desc, void *data = nullptr);
  void bind(size_t position, void *data) {
    memories[position].set_data_handle(data);
  }
  void execute() const;

private:
  dnnl::primitive primitive;
  std::vector<dnnl::memory> memories;
  std::vector<dnnl_exec_arg_t> arguments;
};

/// The leading steps of a tail as oneDNN post-ops.
struct PostOps {
  dnnl::post_ops ops;
  struct Operand {
    int post;      ///< position among the post-ops
    int tailInput; ///< program input, from 1
    bool slope;    ///< of a parametric relu, not a binary operand
    dnnl::memory::desc desc;
  };
  std::vector<Operand> operands;
  size_t steps = 0;      ///< how many steps of the tail they stand for
  bool hidesNan = false; ///< some of them clamp
};

/// Translates as many steps of `tail` as there are exact counterparts for.
/// `inputs` are the tail's operands without the first.
PostOps postOpsOf(const EltProgram &tail, std::span<const TensorDesc> inputs,
                  const TensorDesc &output);

/// What is left of `tail` after its first `steps`.
std::optional<EltProgram> remainder(const EltProgram &tail, size_t steps);

/// Whether oneDNN has nothing better than its scalar reference code for what is
/// asked, or for the post-ops behind it.
bool hasSlowPostOps(const std::string &implementation);

} // namespace tpumlir::kernels
