#include "tpumlir/codegen/Math.h"

#include <cmath>
#include <limits>

using namespace mlir;

namespace tpumlir::codegen {

using isa::ArOp;
using isa::CmpOp;
using isa::DType;
using support::Rounding;

namespace {

constexpr float kTiny = std::numeric_limits<float>::min();

// ln 2 in two parts: k * kLn2Hi is exact for |k| < 512.
constexpr float kLn2Hi = 0x1.62e4p-1f;
constexpr float kLn2Lo = 0x1.7f7d1cp-20f;
constexpr float kLog2E = 1.44269504f;

/// Bits of sqrt(1/2): where the mantissa of log is cut.
constexpr int32_t kSqrtHalfBits = 0x3f3504f3;

/// Below this, tanh, erf and expm1 come from their own series, because the
/// general way loses digits.
constexpr float kSmallTanh = 0.35f;
constexpr float kSmallErf = 0.5f;
constexpr float kSmallExpm1 = 0.35f;

/// Offsets of tables in static memory. Source: docs/hardware.md.
constexpr uint64_t kStaticExp = isa::kStaticMemory.begin + 0x400;
constexpr uint64_t kStaticErfc = isa::kStaticMemory.begin + 0x580;

/// A table: words of static memory, or numbers written one by one.
struct TableSource {
  int64_t terms;
  uint64_t address;
  SmallVector<float> numbers;
};

TableSource sourceOf(Table name) {
  TableSource source{0, 0, {}};
  auto &numbers = source.numbers;
  switch (name) {
  case Table::Exp: // x < ln 2: the rest is below 5e-10
    return {11, kStaticExp, {}};
  case Table::Erfc: // fits erfc to 1.2e-7
    return {10, kStaticErfc, {}};
  case Table::Tanh: // coefficients of the Taylor series, x^2 < 0.13
    numbers = {1.0f,
               float(-1.0 / 3),
               float(2.0 / 15),
               float(-17.0 / 315),
               float(62.0 / 2835),
               float(-1382.0 / 155925),
               float(21844.0 / 6081075)};
    break;
  case Table::Erf: { // 2 / sqrt(pi) (-1)^k / (k! (2k + 1)), x^2 < 0.25
    double factorial = 1;
    for (int k = 0; k < 8; ++k) {
      factorial *= k ? k : 1;
      numbers.push_back(float((k % 2 ? -1 : 1) * 2 / std::sqrt(M_PI) /
                              (factorial * (2 * k + 1))));
    }
    break;
  }
  case Table::Atanh: // 1 / (2k + 1), s^2 <= 1/9
    for (int k = 0; k < 9; ++k)
      numbers.push_back(float(1.0 / (2 * k + 1)));
    break;
  case Table::Sin:
  case Table::Cos:
  case Table::Sinh: { // 1 / (2k + 1)! and 1 / (2k)!, x^2 < 0.62
    bool even = name == Table::Cos, alternates = name != Table::Sinh;
    double term = 1;
    for (int k = 0; k < 7; ++k) {
      numbers.push_back(float(term));
      int n = 2 * k + (even ? 1 : 2);
      term *= (alternates ? -1.0 : 1.0) / (n * (n + 1));
    }
    break;
  }
  case Table::Asin: { // (2k)! / (4^k k!^2 (2k + 1)), x^2 <= 1/4
    double factor = 1;
    for (int k = 0; k < 13; ++k) {
      numbers.push_back(float(factor / (2 * k + 1)));
      factor *= (2 * k + 1.0) / (2 * k + 2.0);
    }
    break;
  }
  case Table::Atan: // (-1)^k / (2k + 1), x^2 < 0.172
    for (int k = 0; k < 11; ++k)
      numbers.push_back(float((k % 2 ? -1.0 : 1.0) / (2 * k + 1)));
    break;
  case Table::Expm1: { // 1 / (k + 1)!, |x| < 0.35
    double factorial = 1;
    for (int k = 0; k < 8; ++k)
      numbers.push_back(float(1 / (factorial *= k + 1)));
    break;
  }
  }
  source.terms = int64_t(numbers.size());
  return source;
}

} // namespace

void Math::prepare(LaneMemory &memory, ArrayRef<Table> names) {
  for (Table name : names) {
    TableSource source = sourceOf(name);
    Local &table = tables[size_t(name)];
    table = aligned(memory.take(4 * source.terms),
                    {1, isa::kLanes, 1, source.terms});
    if (source.address) {
      em.broadcastStatic(table, source.address);
      continue;
    }
    for (auto [i, number] : llvm::enumerate(source.numbers)) {
      Local word = table;
      word.addr += 4 * int64_t(i);
      word.size[3] = 1;
      word.layout = isa::Layout::Strided;
      em.copyLocal(word, number);
    }
  }
}

void Math::roundsTo(isa::DType type) {
  isRough = type == DType::F16 || type == DType::BF16;
}

void Math::polynomial(const Local &y, const Local &x, Table name) {
  const Local &table = tables[size_t(name)];
  assert(table.size[1] == isa::kLanes && "the table was not prepared");
  // e^x for x < ln 2: the rest behind seven terms is below 1.5e-5.
  constexpr int64_t kRoughTerms = 7;
  em.taylor(y, x, table,
            isRough && name == Table::Exp ? kRoughTerms : table.size[3]);
}

void Math::clamp(const Local &y, const Local &x, float lo, float hi) {
  atLeast(em, y, x, lo);
  atMost(em, y, y, hi);
}

void Math::exp(const Local &y, const Local &x, const Local &t0, const Local &t1,
               float lo, float hi) {
  // x = k ln 2 + r with 0 <= r < ln 2; e^x = 2^k e^r. A command takes twice as
  // long where its result lies over an operand.
  atLeast(em, t0, x, lo);
  atMost(em, y, t0, hi);
  em.ar(ArOp::Mul, t0, y, kLog2E);
  em.cast(t1, t0, Rounding::Floor);
  em.ar(ArOp::Mul, t0, t1, kLn2Hi);
  em.ar(ArOp::Sub, y, y, t0);
  em.ar(ArOp::Mul, t0, t1, kLn2Lo);
  em.ar(ArOp::Sub, y, y, t0);
  // 2^k: k + 127 where the exponent stands. -127 gives 0 and 128 infinity.
  Local k = aligned(t0.addr, y.size, DType::I16);
  em.cast(k, t1, Rounding::HalfAwayFromZero);
  em.addShift(t1.as(DType::I32), k, Operand::integer(127), 23, Rounding::Floor);
  polynomial(t0, y, Table::Exp);
  em.ar(ArOp::Mul, y, t0, t1);
}

void Math::quotient(const Local &y, const Operand &a, const Operand &b) {
  em.div(y, a, b, isRough ? 2 : 3);
}

void Math::sigmoid(const Local &y, const Local &x, const Local &t0,
                   const Local &t1, float factor) {
  em.ar(ArOp::Mul, y, x, -factor);
  // e^87 is the greatest whose reciprocal the division still gets.
  exp(y, y, t0, t1, -88, 87);
  em.ar(ArOp::Add, t0, y, 1.0f);
  quotient(y, 1.0f, t0);
}

void Math::tanh(const Local &y, const Local &x, const Local &t0,
                const Local &t1) {
  // 1 - 2 / (1 + e^2x)
  em.ar(ArOp::Mul, y, x, 2.0f);
  exp(y, y, t0, t1, -20, 20);
  em.ar(ArOp::Add, t0, y, 1.0f);
  quotient(y, 2.0f, t0);
  em.ar(ArOp::Sub, t1, 1.0f, y);
  em.ar(ArOp::Mul, t0, x, x);
  polynomial(y, t0, Table::Tanh);
  em.ar(ArOp::Mul, t0, y, x);
  em.abs(y, x);
  em.select(CmpOp::SelLt, y, y, kSmallTanh, t0, t1);
}

void Math::sqrt(const Local &y, const Local &x, const Local &t0) {
  atMost(em, t0, x, kMax);
  em.rsqrt(t0, t0);
  em.ar(ArOp::Mul, y, x, t0);
  em.select(CmpOp::SelLt, y, x, 0.0f, kNaN, y);
}

void Math::rsqrt(const Local &y, const Local &x, const Local &t0) {
  atMost(em, t0, x, kMax);
  em.rsqrt(y, t0);
  em.select(CmpOp::SelLt, y, x, 0.0f, kNaN, y);
  em.abs(t0, x);
  em.select(CmpOp::SelLt, y, t0, kTiny, kInf, y);
}

void Math::divide(const Local &y, const Operand &a, const Local &b,
                  const Local &t0, const Local &t1) {
  // The reciprocal of a great divisor would be less than the least number, and
  // half of a tiny one is: both operands are moved to where neither happens.
  em.abs(t1, b);
  em.select(CmpOp::SelGt, t0, t1, 0x1p100f, 0x1p-32f, 1.0f);
  em.select(CmpOp::SelLt, t1, t1, 0x1p-100f, 0x1p32f, t0);
  em.ar(ArOp::Mul, t0, b, t1);
  em.ar(ArOp::Mul, t1, a, t1);
  atMost(em, t0, t0, kMax);
  atLeast(em, t0, t0, -kMax);
  quotient(y, t1, t0);
}

void Math::reciprocal(const Local &y, float number, const Local &b,
                      const Local &t0) {
  atMost(em, t0, b, kMax);
  atLeast(em, t0, t0, -kMax);
  quotient(y, number, t0);
}

void Math::log(const Local &y, const Local &x, const Local &t0, const Local &t1,
               const Local &t2) {
  // x = 2^e m with sqrt(1/2) <= m < sqrt(2).
  Local bits = x.as(DType::I32), e = t0.as(DType::I32), m = t1.as(DType::I32);
  em.addShift(e, bits, Operand::integer(-kSqrtHalfBits), -23, Rounding::Floor);
  em.addShift(m, e, Operand::integer(0), 23, Rounding::Floor);
  em.ar(ArOp::Sub, m, bits, m);
  em.cast(t0, e, Rounding::HalfToEven);
  // ln m = 2 atanh(s), s = (m - 1) / (m + 1).
  em.ar(ArOp::Sub, t2, t1, 1.0f);
  em.ar(ArOp::Add, y, t1, 1.0f);
  quotient(t2, t2, y);
  em.ar(ArOp::Mul, y, t2, t2);
  polynomial(t1, y, Table::Atanh);
  em.ar(ArOp::Mul, t1, t1, t2);
  em.ar(ArOp::Mul, t1, t1, 2.0f);
  em.ar(ArOp::Mul, y, t0, kLn2Lo);
  em.ar(ArOp::Add, y, y, t1);
  em.ar(ArOp::Mul, t0, t0, kLn2Hi);
  em.ar(ArOp::Add, y, y, t0);
  // NaN for NaN (and infinity, mended next), -inf at 0, NaN below.
  em.ar(ArOp::Mul, t2, x, 0.0f);
  em.ar(ArOp::Add, y, y, t2);
  em.select(CmpOp::SelEq, y, x, kInf, kInf, y);
  em.select(CmpOp::SelLt, y, x, kTiny, -kInf, y);
  em.select(CmpOp::SelLt, y, x, 0.0f, kNaN, y);
}

void Math::softplus(const Local &y, const Local &x, const Local &t0,
                    const Local &t1) {
  // max(x, 0) + ln(1 + u), u = e^-|x|; ln(1 + u) = 2 atanh(u / (u + 2)).
  em.abs(y, x);
  em.ar(ArOp::Mul, y, y, -1.0f);
  exp(y, y, t0, t1);
  em.ar(ArOp::Add, t0, y, 2.0f);
  quotient(t0, y, t0);
  em.ar(ArOp::Mul, t1, t0, t0);
  polynomial(y, t1, Table::Atanh);
  em.ar(ArOp::Mul, y, y, t0);
  em.ar(ArOp::Mul, y, y, 2.0f);
  atLeast(em, t0, x, 0);
  em.ar(ArOp::Add, y, y, t0);
}

void Math::erf(const Local &y, const Local &x, const Local &t0, const Local &t1,
               const Local &t2) {
  // erfc(z) = t e^(P(t) - z^2) for z = |x|, t = 1 / (1 + z / 2). Source:
  // W. Press et al., Numerical Recipes, section 6.2.
  em.abs(t0, x);
  em.ar(ArOp::Mul, t1, t0, 0.5f);
  em.ar(ArOp::Add, t2, t1, 1.0f);
  // A great |x| squares to infinity, and the division wants finite numbers.
  atMost(em, t1, t2, 1e18f);
  atMost(em, t2, t0, 1e18f);
  quotient(t0, 1.0f, t1);
  polynomial(y, t0, Table::Erfc);
  em.ar(ArOp::Mul, t1, t2, t2);
  em.ar(ArOp::Sub, t2, y, t1);
  exp(y, t2, t1, t2);
  em.ar(ArOp::Mul, t1, y, t0);
  em.ar(ArOp::Sub, y, 1.0f, t1);
  em.ar(ArOp::Mul, t0, y, -1.0f);
  em.select(CmpOp::SelLt, y, x, 0.0f, t0, y);
  em.ar(ArOp::Mul, t0, x, x);
  polynomial(t1, t0, Table::Erf);
  em.ar(ArOp::Mul, t2, t1, x);
  em.abs(t0, x);
  em.select(CmpOp::SelLt, y, t0, kSmallErf, t2, y);
}

void Math::expm1(const Local &y, const Local &x, const Local &t0,
                 const Local &t1) {
  exp(y, x, t0, t1);
  em.ar(ArOp::Sub, y, y, 1.0f);
  polynomial(t0, x, Table::Expm1);
  em.ar(ArOp::Mul, t0, t0, x);
  em.abs(t1, x);
  em.select(CmpOp::SelLt, y, t1, kSmallExpm1, t0, y);
}

//===----------------------------------------------------------------------===//
// tpu.Active
//===----------------------------------------------------------------------===//

using tpu::ActiveMode;

ActiveNeeds needsOf(ActiveMode mode) {
  switch (mode) {
#define ACTIVE_MODE(name, scratch, tables, mayBeRough)                         \
  case ActiveMode::name:                                                       \
    return {scratch, tables, mayBeRough};
#include "tpumlir/codegen/ActiveModes.def"
  }
  llvm_unreachable("a mode without a case");
}

void emitActive(Emitter &em, Math &math, ActiveMode mode,
                ArrayRef<double> coeffs, const Local &y, const Local &x,
                ArrayRef<Local> t) {
  switch (mode) {
  case ActiveMode::ABSVAL:
    return em.abs(y, x);
  case ActiveMode::CEIL:
    return em.cast(y, x, Rounding::Ceil);
  case ActiveMode::FLOOR:
    return em.cast(y, x, Rounding::Floor);
  case ActiveMode::ROUND:
    return em.cast(y, x, Rounding::HalfToEven);
  case ActiveMode::SQUARE:
    return em.ar(ArOp::Mul, y, x, x);
  case ActiveMode::HSIGMOID:
    em.ar(ArOp::Mul, t[0], x, float(coeffs[0]));
    em.ar(ArOp::Add, y, t[0], float(coeffs[1]));
    atLeast(em, t[0], y, 0);
    return atMost(em, y, t[0], 1);
  case ActiveMode::HSWISH: // x * clamp(x + 3, 0, 6) / 6
    em.ar(ArOp::Add, y, x, 3.0f);
    atLeast(em, t[0], y, 0);
    atMost(em, y, t[0], 6);
    em.ar(ArOp::Mul, t[0], y, x);
    return em.ar(ArOp::Mul, y, t[0], float(1.0 / 6));
  case ActiveMode::RSQRT:
    return math.rsqrt(y, x, t[0]);
  case ActiveMode::SIGN:
    em.select(CmpOp::SelLt, t[0], x, 0.0f, 1.0f, 0.0f);
    em.select(CmpOp::SelGt, y, x, 0.0f, 1.0f, 0.0f);
    em.ar(ArOp::Sub, y, y, t[0]);
    // 0 for numbers, NaN for NaN
    math.clamp(t[0], x, -1, 1);
    em.ar(ArOp::Mul, t[0], t[0], 0.0f);
    return em.ar(ArOp::Add, y, y, t[0]);
  case ActiveMode::SQRT:
    return math.sqrt(y, x, t[0]);
  case ActiveMode::SOFT_SIGN:
    em.abs(t[0], x);
    em.ar(ArOp::Add, t[0], t[0], 1.0f);
    return math.divide(y, x, t[0], t[1], t[2]);
  case ActiveMode::EXP:
    return math.exp(y, x, t[0], t[1]);
  case ActiveMode::MISH: // x n / (n + 2), n = u^2 + 2u, u = e^x
    math.exp(y, x, t[0], t[1], -88, 20);
    em.ar(ArOp::Add, t[0], y, 2.0f);
    em.ar(ArOp::Mul, y, y, t[0]);
    em.ar(ArOp::Add, t[0], y, 2.0f);
    math.quotient(y, y, t[0]);
    return em.ar(ArOp::Mul, y, y, x);
  case ActiveMode::SIGMOID:
    return math.sigmoid(y, x, t[0], t[1]);
  case ActiveMode::QGELU:
    math.sigmoid(t[0], x, y, t[1], 1.702f);
    return em.ar(ArOp::Mul, y, t[0], x);
  case ActiveMode::SILU:
  case ActiveMode::SWISH:
    math.sigmoid(t[0], x, y, t[1],
                 mode == ActiveMode::SWISH ? float(coeffs[0]) : 1.0f);
    return em.ar(ArOp::Mul, y, t[0], x);
  case ActiveMode::TO_BF16:
  case ActiveMode::TO_F16: { // what a cast of the model rounds to
    Local half = aligned(t[0].addr, x.size,
                         mode == ActiveMode::TO_F16 ? DType::F16 : DType::BF16);
    em.cast(half, x, Rounding::HalfToEven);
    return em.cast(y, half, Rounding::HalfToEven);
  }
  case ActiveMode::TANH:
    return math.tanh(y, x, t[0], t[1]);
  case ActiveMode::TGELU: // x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
    em.ar(ArOp::Mul, t[0], x, x);
    em.ar(ArOp::Mul, t[1], t[0], float(0.044715 * 0.7978845608028654));
    em.ar(ArOp::Add, t[0], t[1], 0.79788456f);
    em.ar(ArOp::Mul, t[2], t[0], x);
    math.tanh(y, t[2], t[0], t[1]);
    em.ar(ArOp::Add, t[0], y, 1.0f);
    em.ar(ArOp::Mul, t[1], t[0], x);
    return em.ar(ArOp::Mul, y, t[1], 0.5f);
  case ActiveMode::SIN:
    return math.sin(y, x, t);
  case ActiveMode::COS:
    return math.cos(y, x, t);
  case ActiveMode::TAN:
    return math.tan(y, x, t);
  case ActiveMode::ARCSIN:
    return math.asin(y, x, t);
  case ActiveMode::ARCCOS:
    return math.acos(y, x, t);
  case ActiveMode::ARCTAN:
    return math.atan(y, x, t);
  case ActiveMode::SINH:
    return math.sinh(y, x, t);
  case ActiveMode::COSH:
    return math.cosh(y, x, t);
  case ActiveMode::ARCSINH:
    return math.asinh(y, x, t);
  case ActiveMode::ARCCOSH:
    return math.acosh(y, x, t);
  case ActiveMode::ARCTANH:
    return math.atanh(y, x, t);
  case ActiveMode::ELU:
    math.expm1(y, x, t[0], t[1]);
    em.ar(ArOp::Mul, y, y, float(coeffs[0]));
    return em.select(CmpOp::SelLt, y, x, 0.0f, y, x);
  case ActiveMode::SOFT_PLUS:
    return math.softplus(y, x, t[0], t[1]);
  case ActiveMode::LOG_SIGMOID: // -ln(1 + e^-x)
    em.ar(ArOp::Mul, t[2], x, -1.0f);
    math.softplus(y, t[2], t[0], t[1]);
    return em.ar(ArOp::Mul, y, y, -1.0f);
  case ActiveMode::LN:
    return math.log(y, x, t[0], t[1], t[2]);
  case ActiveMode::ERF:
    return math.erf(y, x, t[0], t[1], t[2]);
  case ActiveMode::GELU: // x / 2 (1 + erf(x / sqrt(2)))
    em.ar(ArOp::Mul, t[3], x, float(M_SQRT1_2));
    math.erf(y, t[3], t[0], t[1], t[2]);
    em.ar(ArOp::Add, t[0], y, 1.0f);
    em.ar(ArOp::Mul, t[1], t[0], x);
    return em.ar(ArOp::Mul, y, t[1], 0.5f);
  }
  llvm_unreachable("a mode without a case");
}

} // namespace tpumlir::codegen
