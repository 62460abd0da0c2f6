#pragma once

#include "tpumlir/kernels/Kernel.h"

#include <array>
#include <optional>
#include <string_view>

namespace tpumlir::kernels {

/// X(name, operands, expression of x, y, z and the immediates p, q) for F32.
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

/// The same for I32, of those that have a meaning there. Two's complement: what
/// leaves 32 bits wraps around. A quotient is cut towards zero; x / 0 is 0, so
/// that its remainder is x. Predicates and immediates are integers.
#define TPUMLIR_INTEGER_OPS(X)                                                 \
  X(Copy, 1, x)                                                                \
  X(Abs, 1, x < 0 ? wrapSub(0, x) : x)                                         \
  X(Neg, 1, wrapSub(0, x))                                                     \
  X(Sign, 1, int(x > 0) - int(x < 0))                                          \
  X(Square, 1, wrapMul(x, x))                                                  \
  X(Relu, 1, x < 0 ? 0 : x)                                                    \
  X(LeakyRelu, 1, x > 0 ? x : wrapMul(p, x))                                   \
  X(Clip, 1, std::min(std::max(x, p), q))                                      \
  X(AddConst, 1, wrapAdd(x, p))                                                \
  X(MulConst, 1, wrapMul(x, p))                                                \
  X(RsubConst, 1, wrapSub(p, x))                                               \
  X(DivConst, 1, quotient(x, p))                                               \
  X(RdivConst, 1, quotient(p, x))                                              \
  X(PowConst, 1, power(x, p))                                                  \
  X(ConstPow, 1, power(p, x))                                                  \
  X(MaxConst, 1, std::max(x, p))                                               \
  X(MinConst, 1, std::min(x, p))                                               \
  X(IsZero, 1, x == 0)                                                         \
  X(EqualConst, 1, x == p)                                                     \
  X(NotEqualConst, 1, x != p)                                                  \
  X(GreaterConst, 1, x > p)                                                    \
  X(GreaterEqualConst, 1, x >= p)                                              \
  X(LessConst, 1, x < p)                                                       \
  X(LessEqualConst, 1, x <= p)                                                 \
  X(Add, 2, wrapAdd(x, y))                                                     \
  X(Sub, 2, wrapSub(x, y))                                                     \
  X(Mul, 2, wrapMul(x, y))                                                     \
  X(Div, 2, quotient(x, y))                                                    \
  X(Max, 2, std::max(x, y))                                                    \
  X(Min, 2, std::min(x, y))                                                    \
  X(Pow, 2, power(x, y))                                                       \
  X(Fmod, 2, remainder(x, y))                                                  \
  X(Mod, 2, floorMod(x, y))                                                    \
  X(Equal, 2, x == y)                                                          \
  X(NotEqual, 2, x != y)                                                       \
  X(Greater, 2, x > y)                                                         \
  X(GreaterEqual, 2, x >= y)                                                   \
  X(Less, 2, x < y)                                                            \
  X(LessEqual, 2, x <= y)                                                      \
  X(And, 2, (x != 0) & (y != 0))                                               \
  X(Or, 2, (x != 0) | (y != 0))                                                \
  X(Xor, 2, (x != 0) != (y != 0))                                              \
  X(PRelu, 2, x > 0 ? x : wrapMul(y, x))                                       \
  X(Select, 3, x != 0 ? y : z)

/// I32 only. Shifts by less than 0 or more than 31 bits shift everything out.
#define TPUMLIR_BIT_OPS(X)                                                     \
  X(BitAnd, 2, x &y)                                                           \
  X(BitOr, 2, x | y)                                                           \
  X(BitXor, 2, x ^ y)                                                          \
  X(ShiftLeft, 2, uint32_t(y) > 31 ? 0 : int32_t(uint32_t(x) << y))            \
  X(ShiftRight, 2, uint32_t(y) > 31 ? 0 : int32_t(uint32_t(x) >> y))           \
  X(ShiftRightSigned, 2, x >> (uint32_t(y) > 31 ? 31 : y))

/// X(name, type of x, type of the result, expression): F32 to I32 drops the
/// fraction and saturates (NaN becomes 0), I32 to F32 rounds to nearest.
#define TPUMLIR_CAST_OPS(X)                                                    \
  X(ToInt, float, int32_t, toInteger(x))                                       \
  X(ToFloat, int32_t, float, float(x))

enum class EltOp : uint8_t {
#define X(name, arity, expr) name,
  TPUMLIR_ELEMENTWISE_OPS(X) TPUMLIR_BIT_OPS(X)
#undef X
#define X(name, from, to, expr) name,
      TPUMLIR_CAST_OPS(X)
#undef X
};

/// The operation of this name.
constexpr std::optional<EltOp> findEltOp(std::string_view name) {
#define X(op, arity, expr)                                                     \
  if (name == #op)                                                             \
    return EltOp::op;
  TPUMLIR_ELEMENTWISE_OPS(X)
  TPUMLIR_BIT_OPS(X)
#undef X
  return std::nullopt;
}

/// Operands that `op` takes.
int arity(EltOp op);
const char *eltOpName(EltOp op);

/// One step of an elementwise program. Operands number the program's inputs
/// first, then the results of earlier steps.
struct EltStep {
  EltOp op;
  std::array<int, 3> operands{-1, -1, -1};
  double p = 0.0;
  double q = 0.0;
  /// That of the first operand, see setTypes. Select takes branches of either
  /// type; the operands of every other operation have one type. The result has
  /// that of the branches, the one that a cast names, or the operands'.
  DType type = DType::F32;
};

/// Steps that are done together on one piece of the tensors after another; the
/// last step's result is the program's.
struct EltProgram {
  int inputs = 1;
  std::vector<EltStep> steps;

  /// A single step over the program's inputs in order.
  static EltProgram of(EltOp op, double p = 0.0, double q = 0.0);
  /// Appends a unary step on the result so far.
  EltProgram &then(EltOp op, double p = 0.0, double q = 0.0);
  int result() const { return inputs + int(steps.size()) - 1; }
  int uses(int value) const;
};

/// Settles the type of every step. Returns that of the result, or nothing if a
/// step has operands of types that it does not take.
std::optional<DType> setTypes(EltProgram &program,
                              std::span<const DType> inputs);

/// `consumer` with its input `at` replaced by `producer`; inputs are those of
/// the producer, then the others of the consumer in order.
EltProgram inlineProgram(const EltProgram &producer, const EltProgram &consumer,
                         int at);

/// Broadcasts each input to the output as numpy does and runs a program over
/// them. Tensors are F32 or I32. Output 0 may share memory with any input of
/// the same shape and order.
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
  void fetch(const Input &input, const uint32_t *from, int64_t rows,
             int64_t cols, uint32_t *to) const;

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
  void checkTypes(std::span<const TensorDesc> inputs,
                  std::span<const TensorDesc> outputs) const override;

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
