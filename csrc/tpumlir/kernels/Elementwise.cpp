#include "tpumlir/kernels/Elementwise.h"

#include "tpumlir/kernels/Parallel.h"
#include "tpumlir/kernels/VectorMath.h"

#include <cassert>
#include <cmath>

namespace tpumlir::kernels {

namespace {

using EltFn = void (*)(const void *, const void *, const void *, void *,
                       int64_t, double, double);

TPUMLIR_INLINE float clip(float x, float low, float high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

TPUMLIR_INLINE int32_t toInteger(float x) {
  // What does not fit is never converted: that would be an invalid operation.
  const bool large = x >= 2147483648.0f, small = x <= -2147483648.0f;
  const int32_t inside = int32_t(large || small || x != x ? 0.0f : x);
  return large   ? std::numeric_limits<int32_t>::max()
         : small ? std::numeric_limits<int32_t>::min()
                 : inside;
}

/// Remainder with the sign of the divisor (ONNX Mod with fmod = 0).
inline float floorMod(float x, float y) {
  float r = std::fmod(x, y);
  return r != 0.0f && (r < 0.0f) != (y < 0.0f) ? r + y : r;
}

TPUMLIR_INLINE int32_t wrapAdd(int32_t x, int32_t y) {
  return int32_t(uint32_t(x) + uint32_t(y));
}
TPUMLIR_INLINE int32_t wrapSub(int32_t x, int32_t y) {
  return int32_t(uint32_t(x) - uint32_t(y));
}
TPUMLIR_INLINE int32_t wrapMul(int32_t x, int32_t y) {
  return int32_t(uint32_t(x) * uint32_t(y));
}

inline int32_t quotient(int32_t x, int32_t y) {
  return y == 0 ? 0 : y == -1 ? wrapSub(0, x) : x / y;
}

inline int32_t remainder(int32_t x, int32_t y) {
  return wrapSub(x, wrapMul(quotient(x, y), y));
}

inline int32_t floorMod(int32_t x, int32_t y) {
  int32_t r = remainder(x, y);
  return y != 0 && r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

/// Below 0, the power is 1 / x^|y| cut towards zero.
inline int32_t power(int32_t x, int32_t y) {
  if (y < 0)
    return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
  int32_t result = 1;
  for (; y; y >>= 1, x = wrapMul(x, x))
    if (y & 1)
      result = wrapMul(result, x);
  return result;
}

// Inputs and output may be the same memory, but then element by element: there
// is no dependence between iterations.
#define LOOP(T, fn, arity, expr)                                               \
  TPUMLIR_VECTORISED void fn(const void *vx, [[maybe_unused]] const void *vy,  \
                             [[maybe_unused]] const void *vz, void *vout,      \
                             int64_t n, [[maybe_unused]] double pd,            \
                             [[maybe_unused]] double qd) {                     \
    const T *px = static_cast<const T *>(vx);                                  \
    [[maybe_unused]] const T *py = static_cast<const T *>(vy);                 \
    [[maybe_unused]] const T *pz = static_cast<const T *>(vz);                 \
    T *out = static_cast<T *>(vout);                                           \
    [[maybe_unused]] const T p = T(pd), q = T(qd);                             \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; ++i) {                     \
      [[maybe_unused]] const T x = px[i];                                      \
      [[maybe_unused]] const T y = arity > 1 ? py[i] : T(0);                   \
      [[maybe_unused]] const T z = arity > 2 ? pz[i] : T(0);                   \
      out[i] = expr;                                                           \
    }                                                                          \
  }
#define X(name, arity, expr) LOOP(float, run##name, arity, expr)
TPUMLIR_ELEMENTWISE_OPS(X)
#undef X
#define X(name, arity, expr) LOOP(int32_t, runInt##name, arity, expr)
TPUMLIR_INTEGER_OPS(X)
TPUMLIR_BIT_OPS(X)
#undef X
#undef LOOP

#define X(name, From, To, expr)                                                \
  TPUMLIR_VECTORISED void run##name(const void *from, const void *,            \
                                    const void *, void *to, int64_t n, double, \
                                    double) {                                  \
    const From *px = static_cast<const From *>(from);                          \
    To *out = static_cast<To *>(to);                                           \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; ++i) {                     \
      const From x = px[i];                                                    \
      out[i] = expr;                                                           \
    }                                                                          \
  }
TPUMLIR_CAST_OPS(X)
#undef X

struct EltInfo {
  const char *name;
  int arity;
  EltFn f32, i32; // null if there is none
};

struct EltTable {
  EltInfo rows[256] = {};
  EltTable() {
#define X(name, arity, expr)                                                   \
  rows[size_t(EltOp::name)] = {#name, arity, run##name, nullptr};
    TPUMLIR_ELEMENTWISE_OPS(X)
#undef X
#define X(name, arity, expr) rows[size_t(EltOp::name)].i32 = runInt##name;
    TPUMLIR_INTEGER_OPS(X)
#undef X
#define X(name, arity, expr)                                                   \
  rows[size_t(EltOp::name)] = {#name, arity, nullptr, runInt##name};
    TPUMLIR_BIT_OPS(X)
#undef X
    rows[size_t(EltOp::ToInt)] = {"ToInt", 1, runToInt, nullptr};
    rows[size_t(EltOp::ToFloat)] = {"ToFloat", 1, nullptr, runToFloat};
  }
};

const EltInfo &infoOf(EltOp op) {
  static const EltTable table;
  return table.rows[size_t(op)];
}

EltFn functionOf(const EltStep &step) {
  const EltInfo &info = infoOf(step.op);
  return step.type == DType::I32 ? info.i32 : info.f32;
}

/// Elements worked on at a time: a piece of each value stays in the first-level
/// cache.
constexpr int64_t kPiece = 512;

} // namespace

int arity(EltOp op) { return infoOf(op).arity; }
const char *eltOpName(EltOp op) { return infoOf(op).name; }

EltProgram EltProgram::of(EltOp op, double p, double q) {
  EltProgram program;
  program.inputs = arity(op);
  EltStep step{op, {-1, -1, -1}, p, q};
  for (int i = 0; i < program.inputs; ++i)
    step.operands[size_t(i)] = i;
  program.steps.push_back(step);
  return program;
}

EltProgram &EltProgram::then(EltOp op, double p, double q) {
  assert(arity(op) == 1 && "only unary steps have no operand to name");
  steps.push_back({op, {result(), -1, -1}, p, q});
  return *this;
}

int EltProgram::uses(int value) const {
  int count = 0;
  for (const EltStep &step : steps)
    count += int(std::count(step.operands.begin(), step.operands.end(), value));
  return count;
}

std::optional<DType> setTypes(EltProgram &program,
                              std::span<const DType> inputs) {
  std::vector<DType> types(inputs.begin(), inputs.end());
  for (EltStep &step : program.steps) {
    auto typeOf = [&](size_t i) { return types[size_t(step.operands[i])]; };
    step.type = typeOf(0);
    DType result = typeOf(step.op == EltOp::Select ? 1 : 0);
    for (size_t i = 1; i < size_t(arity(step.op)); ++i)
      if (typeOf(i) != result)
        return std::nullopt;
    if ((step.type != DType::F32 && step.type != DType::I32) ||
        (result != DType::F32 && result != DType::I32) || !functionOf(step))
      return std::nullopt;
    types.push_back(step.op == EltOp::ToInt     ? DType::I32
                    : step.op == EltOp::ToFloat ? DType::F32
                                                : result);
  }
  return types.back();
}

EltProgram inlineProgram(const EltProgram &producer, const EltProgram &consumer,
                         int at) {
  EltProgram merged;
  merged.inputs = producer.inputs + consumer.inputs - 1;
  auto add = [&](const EltProgram &from, auto &&rename) {
    for (EltStep step : from.steps) {
      for (int &operand : step.operands)
        if (operand >= 0)
          operand = rename(operand);
      merged.steps.push_back(step);
    }
  };
  int produced = merged.inputs + int(producer.steps.size()) - 1;
  add(producer, [&](int value) {
    return value < producer.inputs ? value
                                   : value - producer.inputs + merged.inputs;
  });
  add(consumer, [&](int value) {
    if (value == at)
      return produced;
    if (value < consumer.inputs)
      return producer.inputs + value - (value > at ? 1 : 0);
    return value - consumer.inputs + produced + 1;
  });
  return merged;
}

ElementwiseKernel::ElementwiseKernel(EltProgram program,
                                     const std::vector<TensorDesc> &inputDescs,
                                     const TensorDesc &output)
    : program(std::move(program)), inputs(inputDescs.size()) {
  // Strides of each input along the output's dims, in the output's order.
  std::vector<Dims> strides(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorDesc &desc = inputDescs[i];
    Dims own = desc.strides();
    int64_t lead = output.rank() - desc.rank();
    if (lead < 0)
      throw KernelError("expected operands of rank at most " +
                        std::to_string(output.rank()) + ", got " +
                        shapeText(desc.dims));
    for (int64_t dim : output.order) {
      int64_t at = dim - lead;
      int64_t extent = at < 0 ? 1 : desc.dims[size_t(at)];
      if (extent != 1 && extent != output.dims[size_t(dim)])
        throw KernelError("expected shapes that broadcast, got " +
                          shapeText(desc.dims) + " to " +
                          shapeText(output.dims));
      strides[i].push_back(extent == 1 ? 0 : own[size_t(at)]);
    }
  }
  // Neighbours that all inputs walk through alike become one dim.
  std::vector<Dims> kept(inputs.size());
  for (size_t d = 0; d < output.order.size(); ++d) {
    int64_t extent = output.dims[size_t(output.order[d])];
    if (extent == 1)
      continue;
    bool joins = !extents.empty();
    for (size_t i = 0; joins && i < inputs.size(); ++i)
      joins = kept[i].back() == strides[i][d] * extent;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (joins)
        kept[i].back() = strides[i][d];
      else
        kept[i].push_back(strides[i][d]);
    }
    if (joins)
      extents.back() *= extent;
    else
      extents.push_back(extent);
  }
  while (extents.size() < 2) {
    extents.insert(extents.begin(), 1);
    for (Dims &list : kept)
      list.insert(list.begin(), 0);
  }
  while (kept.size() && kept[0].size() < extents.size())
    for (Dims &list : kept)
      list.push_back(1);

  int64_t cols = extents.back();
  int64_t rows = extents[extents.size() - 2];
  colsPerPiece = std::min(cols, kPiece);
  rowsPerPiece = cols <= kPiece / 2
                     ? std::clamp<int64_t>(kPiece / std::max<int64_t>(cols, 1),
                                           1, std::max<int64_t>(rows, 1))
                     : 1;
  rowPieces = (rows + rowsPerPiece - 1) / rowsPerPiece;
  colPieces = (cols + colsPerPiece - 1) / std::max<int64_t>(colsPerPiece, 1);
  for (size_t d = 0; d + 2 < extents.size(); ++d)
    outer *= extents[d];

  for (size_t i = 0; i < inputs.size(); ++i) {
    Input &input = inputs[i];
    input.strides = kept[i];
    int64_t inner = input.strides.back();
    int64_t row = input.strides[input.strides.size() - 2];
    bool fixed = std::all_of(input.strides.begin(), input.strides.end() - 1,
                             [](int64_t s) { return s == 0; });
    if (inner == 1 && (rowsPerPiece == 1 || row == cols))
      input.access = Access::Direct;
    else if (fixed && inner == 0)
      input.access = Access::Splat;
    else if (fixed && colPieces == 1)
      input.access = Access::Once;
    else
      input.access = Access::Piece;
  }
}

std::string ElementwiseKernel::implementation() const {
  std::string text = "loop:";
  for (const EltStep &step : program.steps) {
    if (text.back() != ':')
      text += '+';
    text += eltOpName(step.op);
  }
  return text;
}

void ElementwiseKernel::fetch(const Input &input, const uint32_t *from,
                              int64_t rows, int64_t cols, uint32_t *to) const {
  int64_t inner = input.strides.back();
  int64_t row = input.strides[input.strides.size() - 2];
  for (int64_t r = 0; r < rows; ++r, from += row, to += cols) {
    if (inner == 1)
      std::copy_n(from, cols, to);
    else if (inner == 0)
      std::fill_n(to, cols, *from);
    else
      for (int64_t c = 0; c < cols; ++c)
        to[c] = from[c * inner];
  }
}

void ElementwiseKernel::run() {
  int64_t pieces = outer * rowPieces * colPieces;
  int64_t elements = outer * extents.back() * extents[extents.size() - 2];
  parallelFor(pieces, elements * int64_t(program.steps.size()),
              [this](int64_t begin, int64_t end) { runPieces(begin, end); });
}

void ElementwiseKernel::runPieces(int64_t begin, int64_t end) {
  const size_t values = inputs.size() + program.steps.size();
  const int64_t cols = extents.back();
  const int64_t rows = extents[extents.size() - 2];
  const size_t width = size_t(std::max(rowsPerPiece * colsPerPiece, kPiece));
  static thread_local std::vector<uint32_t> scratch;
  static thread_local std::vector<const uint32_t *> from;
  if (scratch.size() < values * width)
    scratch.resize(values * width);
  from.resize(values);
  for (size_t i = 0; i < inputs.size(); ++i) {
    uint32_t *buffer = scratch.data() + i * width;
    from[i] = buffer;
    if (inputs[i].access == Access::Splat)
      std::fill_n(buffer, width, *data<uint32_t>(i));
    else if (inputs[i].access == Access::Once)
      fetch(inputs[i], data<uint32_t>(i), rowsPerPiece, cols, buffer);
  }
  uint32_t *out = data<uint32_t>(inputs.size());

  for (int64_t piece = begin; piece < end; ++piece) {
    int64_t row = (piece / colPieces) % rowPieces * rowsPerPiece;
    int64_t col = piece % colPieces * colsPerPiece;
    int64_t slab = piece / (colPieces * rowPieces);
    int64_t rowCount = std::min(rowsPerPiece, rows - row);
    int64_t colCount = std::min(colsPerPiece, cols - col);
    int64_t count = rowCount * colCount;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Input &input = inputs[i];
      if (input.access == Access::Splat || input.access == Access::Once)
        continue;
      const size_t last = input.strides.size() - 1;
      int64_t offset =
          row * input.strides[last - 1] + col * input.strides[last];
      for (int64_t d = int64_t(last) - 2, rest = slab; d >= 0; --d) {
        offset += rest % extents[size_t(d)] * input.strides[size_t(d)];
        rest /= extents[size_t(d)];
      }
      const uint32_t *source = data<uint32_t>(i) + offset;
      if (input.access == Access::Direct) {
        from[i] = source;
        continue;
      }
      uint32_t *buffer = scratch.data() + i * width;
      fetch(input, source, rowCount, colCount, buffer);
      from[i] = buffer;
    }
    uint32_t *result = out + (slab * rows + row) * cols + col;
    for (size_t s = 0; s < program.steps.size(); ++s) {
      const EltStep &step = program.steps[s];
      bool last = s + 1 == program.steps.size();
      uint32_t *to =
          last ? result : scratch.data() + (inputs.size() + s) * width;
      auto operand = [&](size_t i) {
        return step.operands[i] < 0 ? nullptr : from[size_t(step.operands[i])];
      };
      functionOf(step)(operand(0), operand(1), operand(2), to, count, step.p,
                       step.q);
      from[inputs.size() + s] = to;
    }
  }
}

void ElementwiseNode::chooseOrders(std::span<TensorDesc> inputs,
                                   std::span<TensorDesc> outputs) const {
  TensorDesc &out = outputs[0];
  // The first full operand that is not row-major decides; else row-major.
  for (const TensorDesc &desc : inputs)
    if (desc.dims == out.dims && !desc.isPlain()) {
      out.order = desc.order;
      break;
    }
  for (TensorDesc &desc : inputs)
    if (desc.dims == out.dims)
      desc.order = out.order;
}

std::unique_ptr<Kernel>
ElementwiseNode::build(const BuildContext &context) const {
  return std::make_unique<ElementwiseKernel>(program, context.inputs,
                                             context.outputs[0]);
}

void ElementwiseNode::checkTypes(std::span<const TensorDesc> inputs,
                                 std::span<const TensorDesc> outputs) const {
  std::vector<DType> types;
  std::string text;
  for (const TensorDesc &desc : inputs) {
    types.push_back(desc.dtype);
    text += (text.empty() ? "" : ", ") + std::string(dtypeName(desc.dtype));
  }
  EltProgram typed = program;
  std::optional<DType> result = setTypes(typed, types);
  if (!result)
    throw KernelError("expected operands of one type that the operation "
                      "computes in, got " +
                      text);
  expectType(*result, outputs[0].dtype);
}

void TailNode::chooseTailOrders(std::span<TensorDesc> inputs,
                                const TensorDesc &output) const {
  for (size_t i = coreInputs; i < inputs.size(); ++i)
    if (inputs[i].dims == output.dims)
      inputs[i].order = output.order;
}

} // namespace tpumlir::kernels
