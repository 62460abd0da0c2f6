#pragma once

#include "tpumlir/kernels/Tensor.h"

#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace tpumlir::kernels {

/// A computation that cannot be done as asked: the message says what was
/// expected and what came. The graph adds the name of the op.
class KernelError : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// One prepared computation on fixed shapes: everything that does not depend on
/// the values (primitives, packed constants, loop bounds) is settled when it is
/// made.
class Kernel {
public:
  virtual ~Kernel();
  /// Gives the address of an operand: inputs first, then outputs. Each operand
  /// is bound before the first run; binding again moves it.
  virtual void bind(size_t operand, void *data);
  virtual void run() = 0;
  /// Whether `run` may turn a NaN into a number, which the processor then notes
  /// as an invalid operation; `runExact` does not.
  virtual bool mayHideNan() const { return false; }
  virtual void runExact() { run(); }
  /// Name of the code that runs: oneDNN's own name of it, or "loop:...".
  virtual std::string implementation() const = 0;

protected:
  template <typename T> T *data(size_t operand) const {
    return static_cast<T *>(addresses[operand]);
  }
  std::vector<void *> addresses;
};

class PackCache;

/// Throws KernelError unless the types are the same.
void expectType(DType want, DType got);

/// What a node sees when it makes its kernel: orders are settled, constants are
/// known.
struct BuildContext {
  std::vector<TensorDesc> inputs;
  std::vector<TensorDesc> outputs;
  std::vector<const void *> constants; ///< per input; null if it is run-time
  std::vector<bool> lasting; ///< per input: a constant that outlives the packs
  PackCache &packs;
};

/// One operation of a graph, before its kernel is made.
class Node {
public:
  virtual ~Node();

  /// Settles the memory order of the operands. On entry `inputs` has what the
  /// producers give and `outputs` is row-major; on return both have what the
  /// kernel will read and write. The default asks for row-major everywhere.
  virtual void chooseOrders(std::span<TensorDesc> inputs,
                            std::span<TensorDesc> outputs) const;
  virtual std::unique_ptr<Kernel> build(const BuildContext &context) const = 0;
  /// Throws KernelError for element types that the kernel does not compute in.
  /// The default allows F32 only.
  virtual void checkTypes(std::span<const TensorDesc> inputs,
                          std::span<const TensorDesc> outputs) const;
  /// Bytes into the input at which the result lies as it is, if it does: then
  /// no kernel is made. Orders are settled.
  virtual std::optional<size_t> viewedAt(const TensorDesc &input,
                                         const TensorDesc &output) const {
    return std::nullopt;
  }
  /// Multiplications that a run takes, if oneDNN does them; 0 for our own
  /// loops, which choose their threads themselves.
  virtual int64_t products(std::span<const TensorDesc> inputs,
                           std::span<const TensorDesc> outputs) const {
    return 0;
  }
  /// Whether output 0 may be written over input `index`, given equal order and
  /// size.
  virtual bool mayOverwrite(size_t index) const { return false; }

  std::string op;   ///< "top.Conv"
  std::string name; ///< tensor or node name for messages
  std::vector<int> inputs;
  std::vector<int> outputs;
};

} // namespace tpumlir::kernels
