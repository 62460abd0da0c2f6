#include "tpumlir/transforms/top/Reading.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/SetVector.h"

#include <cmath>

/// Integers that the vendor's text carries as f32: inputs, indices and what is
/// moved of them. As i32 no half precision rounds them.
using namespace mlir;

namespace tpumlir::top {
namespace {

bool isF32(Value value) { return dtypeOf(value) == DType::F32; }

bool isConstant(Value value) {
  return llvm::isa_and_nonnull<WeightOp>(value.getDefiningOp());
}

/// The operands that an op takes its results' elements from as they are.
SmallVector<unsigned> movedOperands(Operation *op) {
  if (llvm::isa<ReshapeOp, FlattenOp, SqueezeOp, UnsqueezeOp, PermuteOp,
                TransposeOp, SliceOp, SplitOp, TileOp, ExpandOp, ReverseOp,
                GatherOp, GatherElementsOp, GatherNDOp>(op))
    return {0};
  if (llvm::isa<ScatterElementsOp, ScatterNDOp>(op))
    return {0, 2};
  if (llvm::isa<ConcatOp>(op))
    return llvm::to_vector(llvm::seq<unsigned>(0, op->getNumOperands()));
  return {};
}

bool takesIndices(Operation *op) {
  return llvm::isa<GatherOp, GatherElementsOp, GatherNDOp, ScatterElementsOp,
                   ScatterNDOp>(op);
}

/// A constant of integers.
bool isWhole(Value value) {
  FailureOr<ArrayRef<float>> data = constantF32s(value);
  return succeeded(data) && llvm::all_of(*data, [](float number) {
           return std::nearbyint(number) == number &&
                  std::abs(number) < 2147483648.0f;
         });
}

/// What `fuse-preprocess` made: the bytes of a picture stay bytes.
bool isFrame(Operation *op) {
  return op->hasAttr("customization_format") &&
         getElementTypeOrSelf(op->getResult(0).getType()).isUnsignedInteger(8);
}

class Integers {
public:
  explicit Integers(MLIRContext *ctx)
      : i32(IntegerType::get(ctx, 32)), f32(Float32Type::get(ctx)) {}

  void visit(Operation *op) {
    size_t operands = op->getNumOperands(), results = op->getNumResults();
    if (llvm::isa<InputOp>(op)) {
      if (operands == 1 && results == 1 && !isFrame(op))
        readInput(op->getOperand(0), op->getResult(0));
      return;
    }
    if (auto cast = llvm::dyn_cast<CastOp>(op)) {
      if (operands == 1 && results == 1)
        readCast(cast);
      return;
    }
    if (takesIndices(op) && operands > 1)
      indicesToInteger(op->getOpOperand(1));
    SmallVector<unsigned> moved = movedOperands(op);
    if (!moved.empty()) {
      if (moved.back() < operands)
        move(op, moved);
      return;
    }
    if (llvm::isa<DequantizeLinearOp>(op)) // it takes either
      return;
    for (OpOperand &operand : op->getOpOperands())
      toFloat(operand);
    if (llvm::isa<QuantizeLinearOp>(op) && results == 1)
      turn(op->getResult(0));
    if (llvm::isa<ArgOp, TopKOp>(op) && results == 2)
      turn(op->getResult(llvm::isa<ArgOp>(op) ? 0 : 1));
  }

private:
  /// Gives a tensor of f32 its true type. Who read it as f32 is visited later.
  void turn(Value value) {
    if (!isF32(value))
      return;
    setElement(value, i32);
    turned.insert(value);
  }

  /// A model input of integers, of which the vendor's op makes f32.
  void readInput(Value argument, Value input) {
    auto isNarrow = [](Type type) {
      auto integer = llvm::dyn_cast<IntegerType>(type);
      return integer && (integer.getWidth() < 32 ||
                         (integer.getWidth() == 32 && !integer.isUnsigned()));
    };
    Type element = getElementTypeOrSelf(input.getType());
    if (!isNarrow(getElementTypeOrSelf(argument.getType())) ||
        !(element.isF32() || isNarrow(element)))
      return;
    setElement(argument, i32);
    if (!element.isF32())
      setElement(input, i32);
    turn(input);
  }

  /// To INT32 is a cast of the type; the empty word keeps it.
  void readCast(CastOp op) {
    if (op.getTo() == "INT32" ||
        (op.getTo().empty() && turned.contains(op.getInput())))
      turn(op.getOutput());
  }

  void indicesToInteger(OpOperand &operand) {
    Value value = operand.get();
    // Constants are read as they stand.
    if (!isF32(value) || isConstant(value))
      return;
    joinNodes(value);
    operand.set(cast(value, i32, "INT32"));
  }

  /// What computes indices from integers is one node with the cast that ends
  /// it: a node that makes integers computes in F32 throughout.
  void joinNodes(Value value) {
    SetVector<Operation *> chain;
    if (!comesFromIntegers(value, chain))
      return;
    MLIRContext *ctx = value.getContext();
    Location node =
        NameLoc::get(StringAttr::get(ctx, nodeName(resultLoc(value))));
    for (Operation *op : chain)
      op->setLoc(
          NameLoc::get(StringAttr::get(ctx, tensorName(op->getLoc())), node));
  }

  /// Collects the ops of one result between integers and `value`.
  bool comesFromIntegers(Value value, SetVector<Operation *> &chain) {
    Operation *op = value.getDefiningOp();
    if (!op || turned.contains(value) || isConstant(value) ||
        llvm::isa<NoneType>(value.getType()))
      return op != nullptr;
    if (chain.contains(op))
      return true;
    if (op->getNumResults() != 1 || !isF32(value) || llvm::isa<InputOp>(op) ||
        tensorName(op->getLoc()).empty() ||
        !llvm::all_of(op->getOperands(), [&](Value operand) {
          return comesFromIntegers(operand, chain);
        }))
      return false;
    chain.insert(op);
    return true;
  }

  void move(Operation *op, ArrayRef<unsigned> moved) {
    auto any = [&](auto predicate) {
      return llvm::any_of(
          moved, [&](unsigned i) { return predicate(op->getOperand(i)); });
    };
    if (!any([&](Value value) { return turned.contains(value); }))
      return;
    bool whole =
        !any([&](Value value) { return isF32(value) && !isWhole(value); });
    for (unsigned i : moved) {
      OpOperand &operand = op->getOpOperand(i);
      if (!whole)
        toFloat(operand);
      else if (isF32(operand.get()))
        operand.set(constant(op, operand.get()));
    }
    if (whole)
      for (Value result : op->getResults())
        turn(result);
  }

  Value constant(Operation *op, Value value) {
    ArrayRef<float> from = *constantF32s(value);
    OpBuilder b(op);
    return createIndexWeight(b, partName(tensorName(value), "i32"),
                             SmallVector<int64_t>(shapeOf(value)),
                             std::vector<int32_t>(from.begin(), from.end()));
  }

  void toFloat(OpOperand &operand) {
    if (turned.contains(operand.get()))
      operand.set(cast(operand.get(), f32, "F32"));
  }

  /// One cast per value and type, beside the op that computes it.
  Value cast(Value value, Type element, StringRef to) {
    Value &known = made[{value, element}];
    if (known)
      return known;
    OpBuilder b(value.getContext());
    b.setInsertionPointAfterValue(value);
    OperationState state(
        partLoc(resultLoc(value), element == f32 ? "f32" : "i32"),
        CastOp::getOperationName());
    state.addOperands(value);
    state.addTypes(llvm::cast<TensorType>(value.getType()).clone(element));
    state.addAttribute("to", b.getStringAttr(to));
    return known = b.create(state)->getResult(0);
  }

  Type i32, f32;
  DenseSet<Value> turned;
  DenseMap<std::pair<Value, Type>, Value> made;
};

} // namespace

void adoptIntegers(Block &body) {
  Integers integers(body.getParentOp()->getContext());
  for (Operation &op : llvm::make_early_inc_range(body))
    if (op.isRegistered() && llvm::isa_and_nonnull<TopDialect>(op.getDialect()))
      integers.visit(&op);
}

} // namespace tpumlir::top
