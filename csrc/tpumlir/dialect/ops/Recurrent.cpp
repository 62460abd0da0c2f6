#include "tpumlir/dialect/top/Recurrent.h"

using namespace mlir;

#define GET_OP_CLASSES
#include "tpumlir/dialect/top/Recurrent.cpp.inc"

namespace tpumlir::top {

/// (C1) and (C2): operands of a layer of `gates` gates; the types of Y and the
/// last states.
template <typename Op>
static LogicalResult inferRecurrent(Op op, int64_t gates, ValueRange states,
                                    SmallVectorImpl<Type> &types) {
  ArrayRef<int64_t> input = shapeOf(op.getInput());
  int64_t hidden = op.getHiddenSize();
  if (input.size() != 3 || hidden < 1) // (C1)
    return op.emitOpError("expected an input of rank 3 and a positive "
                          "hidden_size, got ")
           << input.size() << " and " << hidden;
  int64_t directions = op.getBidirectional() ? 2 : 1;
  int64_t steps = input[op.getBatchFirst() ? 1 : 0];
  int64_t batch = input[op.getBatchFirst() ? 0 : 1];
  struct Want {
    Value operand;
    StringRef name;
    SmallVector<int64_t> shape;
  };
  SmallVector<Want> wants{
      {op.getFilter(), "filter", {directions, gates * hidden, input[2]}},
      {op.getRecurrence(), "recurrence", {directions, gates * hidden, hidden}},
      {op.getBias(), "bias", {directions, 2 * gates * hidden}}};
  for (Value state : states)
    wants.push_back({state, "an initial state", {directions, batch, hidden}});
  for (const Want &want : wants) // (C2)
    if (!isNone(want.operand) &&
        elementsOf(shapeOf(want.operand)) != elementsOf(want.shape))
      return op.emitOpError("expected ")
             << want.name << " of shape [" << ArrayRef(want.shape)
             << "] for hidden_size " << hidden << ", got ["
             << shapeOf(want.operand) << "]";
  SmallVector<int64_t> sequence{steps, directions, batch, hidden};
  if (op.getBatchFirst())
    sequence = {batch, steps, directions, hidden};
  for (auto [index, result] : llvm::enumerate(op->getResults())) {
    if (isNone(result))
      types.push_back(result.getType());
    else
      types.push_back(
          typeLike(op.getInput(),
                   index == 0 ? ArrayRef<int64_t>(sequence)
                              : ArrayRef<int64_t>{directions, batch, hidden}));
  }
  return success();
}

LogicalResult LSTMOp::inferTypes(SmallVectorImpl<Type> &types) {
  if (!isNone(getCont())) // (C3)
    return emitOpError("expected no cont (write each sequence as one of the "
                       "batch), got ")
           << getCont().getType();
  return inferRecurrent(*this, 4, {getInitialH(), getInitialC()}, types);
}

LogicalResult GRUOp::inferTypes(SmallVectorImpl<Type> &types) {
  return inferRecurrent(*this, 3, getInitialH(), types);
}

} // namespace tpumlir::top
