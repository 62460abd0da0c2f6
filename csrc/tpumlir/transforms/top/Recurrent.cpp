#include "tpumlir/transforms/top/Reading.h"

#include <cstring>

/// LSTM and GRU: one product of all inputs with W, then step by step what
/// depends on the state. The steps are unrolled: a chip program has no loops.
using namespace mlir;

namespace tpumlir::top {

//===----------------------------------------------------------------------===//
// HelperBuilder
//===----------------------------------------------------------------------===//

Location HelperBuilder::derived(StringRef kind) {
  return partLoc(op->getLoc(),
                 kind.split('.').second + "_" + std::to_string(made++));
}

Value HelperBuilder::none() {
  if (!noValue)
    noValue =
        NoneOp::create(builder, builder.getUnknownLoc(), builder.getNoneType());
  return noValue;
}

Value HelperBuilder::create(StringRef kind, ValueRange operands,
                            ArrayRef<NamedAttribute> attributes,
                            std::optional<Location> loc) {
  OperationState state(loc ? *loc : derived(kind), kind);
  state.addOperands(operands);
  state.addAttributes(attributes);
  state.addTypes(UnrankedTensorType::get(builder.getF32Type()));
  Operation *made = builder.create(state);
  SmallVector<Type> types;
  if (succeeded(inferResultTypes(made, types)))
    made->getResult(0).setType(types.front());
  return made->getResult(0);
}

Value HelperBuilder::reshape(Value value, ArrayRef<int64_t> shape,
                             std::optional<Location> loc) {
  if (!loc && shapeOf(value) == shape)
    return value;
  return create("top.Reshape", value, attr("shape", shape), loc);
}

Value HelperBuilder::slice(Value value, int64_t axis, int64_t begin,
                           int64_t count) {
  if (begin == 0 && count == shapeOf(value)[axis])
    return value;
  return create("top.Slice", {value, none(), none(), none()},
                {attr("offset", ArrayRef<int64_t>{begin}),
                 attr("steps", ArrayRef<int64_t>{1}),
                 attr("ends", ArrayRef<int64_t>{begin + count}),
                 attr("axes", ArrayRef<int64_t>{axis})});
}

Value HelperBuilder::rows(Value value, int64_t begin, int64_t count,
                          ArrayRef<int64_t> shape) {
  FailureOr<ArrayRef<float>> data = constantF32s(value);
  if (failed(data))
    return reshape(slice(value, 0, begin, count), shape);
  int64_t size = elementsOf(shape);
  ArrayRef<float> part = data->slice(begin * (size / count), size);
  return createWeight(builder, partName(tensorName(value), "rows"), shape,
                      std::vector<float>(part.begin(), part.end()));
}

//===----------------------------------------------------------------------===//
// The frame of both layers
//===----------------------------------------------------------------------===//

namespace {

/// What the steps of one direction share. `x` is X W + Wb [steps, batch, gates
/// * hidden]; `r` and `rb` have a part for each block of gates that is computed
/// at once.
struct Direction {
  Value x;
  SmallVector<Value> r, rb;
  Value h, c; ///< the state; null is 0
};

template <typename Op> class Layer {
public:
  Layer(Op op, int64_t gates, ArrayRef<int64_t> blocks)
      : op(op), b(op), gates(gates), blocks(blocks), hidden(op.getHiddenSize()),
        directions(op.getBidirectional() ? 2 : 1) {
    Value input = op.getInput();
    if (op.getBatchFirst())
      input = b.create("top.Permute", input,
                       b.attr("order", ArrayRef<int64_t>{1, 0, 2}));
    ArrayRef<int64_t> shape = shapeOf(input);
    steps = shape[0];
    batch = shape[1];
    features = shape[2];
    for (int64_t d = 0; d < directions; ++d)
      all.push_back(direction(input, d));
  }

  template <typename Step> void run(Step step) {
    SmallVector<SmallVector<Value>> rows(directions);
    for (int64_t d = 0; d < directions; ++d) {
      rows[d].resize(steps);
      for (int64_t i = 0; i < steps; ++i) {
        int64_t t = d == 0 ? i : steps - 1 - i;
        Value x =
            b.reshape(b.slice(all[d].x, 0, t, 1), {batch, gates * hidden});
        step(x, all[d]);
        rows[d][t] = all[d].h;
      }
    }
    writeSequence(rows);
    writeLast(1, [](const Direction &d) { return d.h; });
    writeLast(2, [](const Direction &d) { return d.c; });
    op->erase();
  }

  /// H R + Rb of a block of gates; null if that is 0.
  Value recur(const Direction &d, size_t block, Value h) {
    Value rb = block < d.rb.size() ? d.rb[block] : Value();
    if (!h)
      return rb;
    return b.create(
        "top.MatMul", {h, d.r[block], rb ? rb : b.none()},
        b.ops().getNamedAttr("right_transpose", b.ops().getBoolAttr(true)));
  }

  Value unary(StringRef kind, Value x) { return b.create(kind, x, {}); }
  /// Of operands that are there; one alone is itself.
  Value add(Value x, Value y) {
    return !x || !y ? (x ? x : y) : b.create("top.Add", {x, y}, {});
  }
  Value mul(Value x, Value y) { return b.create("top.Mul", {x, y}, {}); }
  Value sub(Value x, Value y) { return b.create("top.Sub", {x, y}, {}); }
  Value negated(Value x) {
    return b.create(
        "top.MulConst", x,
        b.ops().getNamedAttr("const_val", b.ops().getF64FloatAttr(-1)));
  }
  /// Gates `first` to `first + count` of [batch, ... hidden].
  Value cut(Value x, int64_t first, int64_t count) {
    return b.slice(x, 1, first * hidden, count * hidden);
  }

private:
  Direction direction(Value input, int64_t d) {
    Direction made;
    Value filter = part(op.getFilter(), d, gates * hidden, features);
    Value recurrence = part(op.getRecurrence(), d, gates * hidden, hidden);
    Value bias = b.none();
    if (!isNone(op.getBias())) {
      Value both = part(op.getBias(), d, 2 * gates, hidden);
      bias = b.rows(both, 0, gates, {gates * hidden});
      int64_t first = gates;
      for (int64_t count : blocks) {
        made.rb.push_back(b.rows(both, first, count, {count * hidden}));
        first += count;
      }
      drop(both);
    }
    int64_t first = 0;
    for (int64_t count : blocks) {
      made.r.push_back(b.rows(recurrence, first * hidden, count * hidden,
                              {count * hidden, hidden}));
      first += count;
    }
    drop(recurrence);
    made.x = b.create(
        "top.MatMul", {input, filter, bias},
        b.ops().getNamedAttr("right_transpose", b.ops().getBoolAttr(true)));
    made.h = state(op.getInitialH(), d);
    if constexpr (std::is_same_v<Op, LSTMOp>)
      made.c = state(op.getInitialC(), d);
    return made;
  }

  /// Direction `d` of an operand, as a matrix.
  Value part(Value operand, int64_t d, int64_t rows, int64_t columns) {
    Value flat = operand;
    if (!constantOf(operand))
      flat = b.reshape(operand, {directions, rows * columns});
    return b.rows(flat, d, 1, {rows, columns});
  }

  /// Removes a constant that only its parts were made of.
  static void drop(Value value) {
    if (value.use_empty() && value.getDefiningOp<WeightOp>())
      value.getDefiningOp()->erase();
  }

  Value state(Value initial, int64_t d) {
    return isNone(initial) ? Value() : part(initial, d, batch, hidden);
  }

  Value joined(ArrayRef<Value> parts, int64_t axis, ArrayRef<int64_t> shape,
               std::optional<Location> loc = std::nullopt) {
    if (parts.size() == 1)
      return b.reshape(parts.front(), shape, loc);
    SmallVector<int64_t> whole(shapeOf(parts.front()));
    whole[axis] *= int64_t(parts.size());
    bool isDone = ArrayRef(whole) == shape;
    Value value = b.create(
        "top.Concat", parts,
        b.ops().getNamedAttr("axis", b.ops().getSI32IntegerAttr(int32_t(axis))),
        isDone ? loc : std::nullopt);
    return isDone ? value : b.reshape(value, shape, loc);
  }

  void writeSequence(ArrayRef<SmallVector<Value>> rows) {
    Value result = op.getY();
    if (isNone(result))
      return;
    std::optional<Location> loc = resultLoc(result);
    std::optional<Location> last = op.getBatchFirst() ? std::nullopt : loc;
    SmallVector<Value> sequences;
    for (ArrayRef<Value> each : rows)
      sequences.push_back(joined(each, 0, {steps, 1, batch, hidden},
                                 directions == 1 ? last : std::nullopt));
    Value y = sequences.front();
    if (directions > 1)
      y = joined(sequences, 1, {steps, directions, batch, hidden}, last);
    if (op.getBatchFirst())
      y = b.create("top.Permute", y,
                   b.attr("order", ArrayRef<int64_t>{2, 0, 1, 3}), loc);
    result.replaceAllUsesWith(y);
  }

  template <typename Pick> void writeLast(unsigned index, Pick pick) {
    if (index >= op->getNumResults() || isNone(op->getResult(index)))
      return;
    SmallVector<Value> parts;
    for (const Direction &d : all)
      parts.push_back(pick(d));
    Value result = op->getResult(index);
    result.replaceAllUsesWith(
        joined(parts, 0, {directions, batch, hidden}, resultLoc(result)));
  }

  Op op;
  HelperBuilder b;
  int64_t gates;
  SmallVector<int64_t> blocks;
  int64_t hidden, directions, steps, batch, features;
  SmallVector<Direction> all;
};

} // namespace

//===----------------------------------------------------------------------===//
// The steps
//===----------------------------------------------------------------------===//

void unroll(LSTMOp op) {
  Layer<LSTMOp> l(op, 4, {4});
  l.run([&](Value x, Direction &d) {
    Value total = l.add(x, l.recur(d, 0, d.h));
    Value gates = l.unary("top.Sigmoid", l.cut(total, 0, 3));
    Value fresh =
        l.mul(l.cut(gates, 0, 1), l.unary("top.Tanh", l.cut(total, 3, 1)));
    d.c = l.add(fresh, d.c ? l.mul(l.cut(gates, 2, 1), d.c) : Value());
    d.h = l.mul(l.cut(gates, 1, 1), l.unary("top.Tanh", d.c));
  });
}

void unroll(GRUOp op) {
  bool resetsLast = op.getLinearBeforeReset();
  Layer<GRUOp> l(op, 3, {2, 1});
  l.run([&](Value x, Direction &d) {
    Value total = l.add(l.cut(x, 0, 2), l.recur(d, 0, d.h));
    Value reset = l.unary("top.Sigmoid", l.cut(total, 1, 1));
    // 1 - sigmoid(x) without the digits that the difference loses near 1.
    Value share = l.unary("top.Sigmoid", l.negated(l.cut(total, 0, 1)));
    Value inner;
    if (!resetsLast)
      inner = l.recur(d, 1, d.h ? l.mul(reset, d.h) : Value());
    else if ((inner = l.recur(d, 1, d.h)))
      inner = l.mul(reset, inner);
    Value fresh = l.unary("top.Tanh", l.add(l.cut(x, 2, 1), inner));
    // (1 - z) new + z h
    Value change = d.h ? l.sub(fresh, d.h) : fresh;
    d.h = l.add(l.mul(share, change), d.h);
  });
}

} // namespace tpumlir::top
