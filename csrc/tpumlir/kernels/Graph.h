#pragma once

#include "tpumlir/kernels/Dnnl.h"

namespace tpumlir::kernels {

/// A failure with the op it happened in.
class GraphError : public std::runtime_error {
public:
  GraphError(std::string op, std::string name, const std::string &message)
      : std::runtime_error(message), op(std::move(op)), name(std::move(name)) {}
  std::string op;
  std::string name;
};

/// A compiled graph: kernels in order over one arena.
class Executable {
public:
  struct Step {
    std::string op;
    std::string name;
    std::unique_ptr<Kernel> kernel;
    bool alone = false; ///< too small for a team of threads
  };

  /// `inputs` in the order they were added, `outputs` in the order of the
  /// requests, all row-major. Writes the seconds that each step takes, if
  /// there are as many `seconds` as steps.
  void run(std::span<const void *const> inputs, std::span<void *const> outputs,
           std::span<double> seconds = {});
  const std::vector<Step> &steps() const { return list; }
  size_t arenaBytes() const { return arenaSize; }

private:
  friend class Compiler;
  void runAll(void (Kernel::*method)(), std::span<double> seconds);
  struct External {
    Kernel *kernel;
    size_t operand;
    size_t index;
    size_t offset = 0; ///< bytes
  };
  std::vector<Step> list;
  std::vector<External> inputUses, outputUses;
  std::vector<const void *> lastInputs;
  std::vector<void *> lastOutputs;
  std::vector<std::shared_ptr<void>> owned; ///< folded and reordered constants
  std::shared_ptr<void> arena;
  size_t arenaSize = 0;
  bool hidesNan = false;
  bool hidesNanInTeam = false;
};

/// Tensors and the nodes that make them, in the order of computation. Consumed
/// by compiling.
class Graph {
public:
  int addInput(TensorDesc desc);
  /// Row-major data that outlive the executable and the packs.
  int addConstant(TensorDesc desc, const void *data);
  /// A constant that the graph owns.
  int addConstant(TensorDesc desc, std::shared_ptr<void> data);
  /// Adds a node; answers its first result.
  int add(std::unique_ptr<Node> node, std::string op, std::string name,
          std::vector<int> inputs, std::vector<TensorDesc> results);
  /// Asks for a tensor, row-major, as the next output.
  void request(int tensor);

  const TensorDesc &desc(int tensor) const {
    return tensors[size_t(tensor)].desc;
  }
  /// Data of a constant, row-major; null for a computed tensor.
  const void *constant(int tensor) const {
    return tensors[size_t(tensor)].constant;
  }

  /// Fuses, chooses memory orders, assigns memory, makes the kernels.
  /// Throws: GraphError.
  std::unique_ptr<Executable> compile(PackCache &packs) &&;

private:
  friend class Compiler;
  struct Tensor {
    TensorDesc desc;
    const void *constant = nullptr;
    int input = -1; ///< position among the inputs
    bool requested = false;
    bool lasting = false; ///< a constant that outlives the executable
  };
  std::vector<Tensor> tensors;
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<int> requests;
  std::vector<std::shared_ptr<void>> owned;
  int inputs = 0;
};

} // namespace tpumlir::kernels
