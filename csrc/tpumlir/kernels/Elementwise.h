#pragma once

#include "tpumlir/kernels/Kernel.h"

#include <array>
#include <optional>

namespace tpumlir::kernels {

/// X(name, operands, expression of x, y, z and the immediates p, q).
///
/// NaN passes through every comparison-like operation, as ONNX asks. Results of
/// predicates are 1 and 0.
#define TPUMLIR_ELEMENTWISE_OPS(X)                                             \
  X(Copy, 1, x)                                                                \
  X(Abs, 1, std::fabs(x))                                                      \
  X(Neg, 1, -x)                                                                \
  X(Sign, 1, x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x)                           \
  X(Ceil, 1, std::ceil(x))                                                     \
  X(Floor, 1, std::floor(x))                                                   \
  X(RoundEven, 1, std::nearbyint(x))                                           \
  X(RoundAway, 1, std::round(x))                                               \
  X(Trunc, 1, std::trunc(x))                                                   \
  X(Sqrt, 1, std::sqrt(x))                                                     \
  X(Rsqrt, 1, 1.0f / std::sqrt(x))                                             \
  X(Square, 1, x *x)                                                           \
  X(Exp, 1, vec::exp(x))                                                       \
  X(Log, 1, vec::log(x))                                                       \
  X(Log2, 1, std::log2(x))                                                     \
  X(Erf, 1, vec::erf(x))                                                       \
  X(Sin, 1, std::sin(x))                                                       \
  X(Cos, 1, std::cos(x))                                                       \
  X(Tan, 1, std::tan(x))                                                       \
  X(Sinh, 1, std::sinh(x))                                                     \
  X(Cosh, 1, std::cosh(x))                                                     \
  X(Tanh, 1, vec::tanh(x))                                                     \
  X(Asin, 1, std::asin(x))                                                     \
  X(Acos, 1, std::acos(x))                                                     \
  X(Atan, 1, std::atan(x))                                                     \
  X(Asinh, 1, std::asinh(x))                                                   \
  X(Acosh, 1, std::acosh(x))                                                   \
  X(Atanh, 1, std::atanh(x))                                                   \
  X(Sigmoid, 1, vec::sigmoid(x))                                               \
  X(LogSigmoid, 1, -vec::softplus(-x))                                         \
  X(Swish, 1, x *vec::sigmoid(p *x))                                           \
  X(HardSigmoid, 1, clip(p *x + q, 0.0f, 1.0f))                                \
  X(HardSwish, 1, x *clip(x / 6.0f + 0.5f, 0.0f, 1.0f))                        \
  X(GeluErf, 1, 0.5f * x * (1.0f + vec::erf(x * 0.70710678f)))                 \
  X(GeluTanh, 1,                                                               \
    0.5f * x * (1.0f + vec::tanh(0.79788456f * (x + 0.044715f * x * x * x))))  \
  X(Mish, 1, x *vec::tanh(vec::softplus(x)))                                   \
  X(Softplus, 1, vec::softplus(x))                                             \
  X(Softsign, 1, x / (1.0f + std::fabs(x)))                                    \
  X(Elu, 1, x > 0.0f ? x : p * std::expm1(x))                                  \
  X(LeakyRelu, 1, x > 0.0f ? x : p * x)                                        \
  X(Relu, 1, x < 0.0f ? 0.0f : x)                                              \
  X(Clip, 1, clip(x, p, q))                                                    \
  X(AddConst, 1, x + p)                                                        \
  X(MulConst, 1, x *p)                                                         \
  X(RsubConst, 1, p - x)                                                       \
  X(DivConst, 1, x / p)                                                        \
  X(RdivConst, 1, p / x)                                                       \
  X(PowConst, 1, std::pow(x, p))                                               \
  X(ConstPow, 1, std::pow(p, x))                                               \
  X(MaxConst, 1, x < p ? p : x)                                                \
  X(MinConst, 1, x > p ? p : x)                                                \
  X(RoundF16, 1, vec::roundToF16(x))                                           \
  X(RoundBF16, 1, vec::roundToBf16(x))                                         \
  X(IsZero, 1, x == 0.0f ? 1.0f : 0.0f)                                        \
  X(EqualConst, 1, x == p ? 1.0f : 0.0f)                                       \
  X(NotEqualConst, 1, x != p ? 1.0f : 0.0f)                                    \
  X(GreaterConst, 1, x > p ? 1.0f : 0.0f)                                      \
  X(GreaterEqualConst, 1, x >= p ? 1.0f : 0.0f)                                \
  X(LessConst, 1, x < p ? 1.0f : 0.0f)                                         \
  X(LessEqualConst, 1, x <= p ? 1.0f : 0.0f)                                   \
  X(Add, 2, x + y)                                                             \
  X(Sub, 2, x - y)                                                             \
  X(Mul, 2, x *y)                                                              \
  X(Div, 2, x / y)                                                             \
  X(Max, 2, (x > y || x != x) ? x : y)                                         \
  X(Min, 2, (x < y || x != x) ? x : y)                                         \
  X(Pow, 2, std::pow(x, y))                                                    \
  X(Fmod, 2, std::fmod(x, y))                                                  \
  X(Mod, 2, floorMod(x, y))                                                    \
  X(Equal, 2, x == y ? 1.0f : 0.0f)                                            \
  X(NotEqual, 2, x != y ? 1.0f : 0.0f)                                         \
  X(Greater, 2, x > y ? 1.0f : 0.0f)                                           \
  X(GreaterEqual, 2, x >= y ? 1.0f : 0.0f)                                     \
  X(Less, 2, x < y ? 1.0f : 0.0f)                                              \
  X(LessEqual, 2, x <= y ? 1.0f : 0.0f)                                        \
  X(And, 2, (x != 0.0f) & (y != 0.0f) ? 1.0f : 0.0f)                           \
  X(Or, 2, (x != 0.0f) | (y != 0.0f) ? 1.0f : 0.0f)                            \
  X(Xor, 2, (x != 0.0f) != (y != 0.0f) ? 1.0f : 0.0f)                          \
  X(PRelu, 2, x > 0.0f ? x : y * x)                                            \
  X(Select, 3, x != 0.0f ? y : z)

enum class EltOp : uint8_t {
#define X(name, arity, expr) name,
  TPUMLIR_ELEMENTWISE_OPS(X)
#undef X
};

/// Operands that `op` takes.
int arity(EltOp op);
const char *eltOpName(EltOp op);

/// One step of an elementwise program. Operands number the program's inputs
/// first, then the results of earlier steps.
struct EltStep {
  EltOp op;
  std::array<int, 3> operands{-1, -1, -1};
  float p = 0.0f;
  float q = 0.0f;
};

/// Steps that are done together on one piece of the tensors after another; the
/// last step's result is the program's.
struct EltProgram {
  int inputs = 1;
  std::vector<EltStep> steps;

  /// A single step over the program's inputs in order.
  static EltProgram of(EltOp op, float p = 0.0f, float q = 0.0f);
  /// Appends a unary step on the result so far.
  EltProgram &then(EltOp op, float p = 0.0f, float q = 0.0f);
  int result() const { return inputs + int(steps.size()) - 1; }
  int uses(int value) const;
};

/// `consumer` with its input `at` replaced by `producer`; inputs are those of
/// the producer, then the others of the consumer in order.
EltProgram inlineProgram(const EltProgram &producer, const EltProgram &consumer,
                         int at);

/// Broadcasts each input to the output as numpy does and runs a program over
/// them. All tensors are F32. Output 0 may share memory with any input of the
/// same shape and order.
class ElementwiseKernel : public Kernel {
public:
  ElementwiseKernel(EltProgram program, const std::vector<TensorDesc> &inputs,
                    const TensorDesc &output);
  void run() override;
  std::string implementation() const override;

private:
  enum class Access { Direct, Splat, Once, Piece };
  struct Input {
    Dims strides; // per collapsed dim
    Access access;
  };
  void runPieces(int64_t begin, int64_t end);
  void fetch(const Input &input, const float *from, int64_t rows, int64_t cols,
             float *to) const;

  EltProgram program;
  Dims extents; // collapsed, innermost last, at least two
  std::vector<Input> inputs;
  int64_t rowsPerPiece = 1;
  int64_t colsPerPiece = 1;
  int64_t rowPieces = 1;
  int64_t colPieces = 1;
  int64_t outer = 1;
};

/// Elementwise operation of any number of tensors.
class ElementwiseNode : public Node {
public:
  explicit ElementwiseNode(EltProgram program) : program(std::move(program)) {}
  void chooseOrders(std::span<TensorDesc> inputs,
                    std::span<TensorDesc> outputs) const override;
  std::unique_ptr<Kernel> build(const BuildContext &context) const override;
  bool mayOverwrite(size_t) const override { return true; }

  EltProgram program;
};

/// A node whose first result passes an elementwise program before it is stored:
/// what the graph fuses into convolutions and the like. Program input 0 is the
/// result, the others are the node's inputs from `coreInputs` on.
class TailNode : public Node {
public:
  std::optional<EltProgram> tail;
  size_t coreInputs = 0;

protected:
  /// Asks for tail operands of the output's shape in the output's order.
  void chooseTailOrders(std::span<TensorDesc> inputs,
                        const TensorDesc &output) const;
};

} // namespace tpumlir::kernels
