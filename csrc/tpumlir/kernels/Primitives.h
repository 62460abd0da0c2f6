#pragma once

#include "tpumlir/kernels/Dnnl.h"

#include <functional>

namespace tpumlir::kernels {

/// A oneDNN primitive of the convolution and product kind with what surrounds
/// it: the filter's packing (once for a constant, at each run otherwise), the
/// post-ops, and the steps of the tail that have no post-op, done in place on
/// the result.
class FilterKernel : public Kernel {
public:
  struct Parts {
    dnnl::primitive primitive;
    std::string implementation;
    dnnl::memory::desc source, filter, bias, destination;
    dnnl::memory::desc plainFilter; ///< as the operand lies in memory
    PostOps post;
  };
  /// Operands: source, filter, bias if `hasBias`, tail operands, output.
  FilterKernel(const Parts &parts, bool hasBias,
               const std::optional<EltProgram> &tail,
               const BuildContext &context);
  void bind(size_t operand, void *data) override;
  void run() override;
  bool mayHideNan() const override { return static_cast<bool>(makeExact); }
  void runExact() override;
  std::string implementation() const override { return name; }

private:
  size_t core; // operands before those of the tail
  size_t output;
  bool hasBias;
  std::string name;
  Primitive main;
  size_t sourceAt, filterAt, biasAt = 0, destinationAt;
  std::vector<std::pair<size_t, size_t>> postAt; // operand, argument
  std::shared_ptr<void> packed;
  bool packsEachRun = false;
  Primitive repack;
  std::unique_ptr<ElementwiseKernel> rest;

public:
  /// Makes the kernel without post-ops; empty if this one hides no NaN.
  std::function<std::unique_ptr<Kernel>()> makeExact;

private:
  std::unique_ptr<Kernel> exact; // made when it is first needed
};

/// Makes a kernel from `make`, which answers the primitive for the given
/// attributes or throws; without post-ops if only reference code has them.
template <typename Make>
std::unique_ptr<Kernel>
makeFilterKernel(const BuildContext &context, bool hasBias,
                 const std::optional<EltProgram> &tail, size_t coreInputs,
                 Make make, bool usePostOps = true) {
  PostOps post;
  if (tail && usePostOps)
    post = postOpsOf(*tail, std::span(context.inputs).subspan(coreInputs),
                     context.outputs[0]);
  for (;;) {
    dnnl::primitive_attr attr;
    attr.set_post_ops(post.ops);
    try {
      FilterKernel::Parts parts = make(attr);
      if (post.steps == 0 || !hasSlowPostOps(parts.implementation)) {
        parts.post = post;
        auto kernel =
            std::make_unique<FilterKernel>(parts, hasBias, tail, context);
        if (post.hidesNan)
          kernel->makeExact = [=] {
            return makeFilterKernel(context, hasBias, tail, coreInputs, make,
                                    false);
          };
        return kernel;
      }
    } catch (const dnnl::error &error) {
      if (post.steps == 0)
        throw KernelError(std::string("oneDNN refuses this operation: ") +
                          error.message);
    }
    post = {};
  }
}

} // namespace tpumlir::kernels
