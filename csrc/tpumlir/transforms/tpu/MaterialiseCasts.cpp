#include "tpumlir/support/Float.h"
#include "tpumlir/transforms/tpu/Precision.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"
#include "tpumlir/transforms/tpu/WindowColumns.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_MATERIALISECASTS
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

Type elementOf(Value value) { return getElementTypeOrSelf(value.getType()); }

/// "f16"
std::string textOf(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return text;
}

/// "f16", "int8"
std::string partOf(Type element) {
  return isa<FloatType>(element) ? textOf(element) : "int8";
}

/// The location of a value with a part of its name.
Location derived(Value value, StringRef part) {
  return top::partLoc(top::resultLoc(value), part);
}

/// Gives one result of an op another location.
void relocate(Value value, Location loc) {
  auto result = cast<OpResult>(value);
  Operation *op = result.getOwner();
  if (op->getNumResults() == 1)
    return op->setLoc(loc);
  SmallVector<Location> all;
  for (Value each : op->getResults())
    all.push_back(each == value ? loc : top::resultLoc(each));
  op->setLoc(FusedLoc::get(op->getContext(), all));
}

//===----------------------------------------------------------------------===//
// Casts
//===----------------------------------------------------------------------===//

/// The data of a constant in a half type.
Weight narrowed(const Weight &weight, FloatType type) {
  auto data = std::make_shared<std::vector<uint16_t>>(weight.elements());
  const auto *from = weight.as<float>(), *end = from + weight.elements();
  const DType to = *dtypeOf(type);
  if (to == DType::F16) // one loop each: a constant may be most of the model
    std::transform(from, end, data->begin(),
                   [](float value) { return support::f32ToF16(value); });
  else
    std::transform(from, end, data->begin(),
                   [](float value) { return support::f32ToBf16(value); });
  return {to, weight.shape, std::shared_ptr<const void>(data, data->data())};
}

/// A constant of f32 in a half type, with its data if there are any.
Value convertConstant(OpBuilder &builder, top::WeightOp op, FloatType type) {
  WeightStore &store = *top::weightsOf(op);
  Location loc = derived(op.getOutput(), textOf(type));
  std::string name = store.freeName(top::tensorName(loc));
  if (const Weight *weight = op.getWeight())
    store.set(name, narrowed(*weight, type));
  OperationState state(NameLoc::get(builder.getStringAttr(name)),
                       top::WeightOp::getOperationName());
  state.addTypes(op.getOutput().getType().clone(type));
  return builder.create(state)->getResult(0);
}

/// Makes casts, one per value and type.
class Casts {
public:
  Value get(Value value, FloatType type) {
    Value &known = made[{value, type}];
    if (known)
      return known;
    OpBuilder builder(value.getContext());
    builder.setInsertionPointAfterValue(value);
    auto weight = value.getDefiningOp<top::WeightOp>();
    if (weight && elementOf(value).isF32())
      return known = convertConstant(builder, weight, type);
    return known = createCast(value, type);
  }

private:
  DenseMap<std::pair<Value, Type>, Value> made;
};

/// A cast of a cast is one cast, or none.
struct MergeCasts : OpRewritePattern<tpu::CastOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tpu::CastOp op,
                                PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<tpu::CastOp>();
    if (!inner || !isFloatTensor(inner))
      return failure();
    Value source = inner.getInput();
    // Through a float between others, or between integers and floats. Two
    // roundings become one.
    const bool floats = isFloatTensor(op) && isFloatTensor(source);
    const bool toFloat = isFloatTensor(op) && isQuantized(source);
    const bool toIntegers = isQuantized(op) && isFloatTensor(source);
    if (!floats && !toFloat && !toIntegers)
      return failure();
    // From a half there is no way back to what it was rounded from.
    if (toIntegers && !elementOf(inner).isF32())
      return failure();
    if (elementOf(source) != elementOf(op)) {
      rewriter.modifyOpInPlace(op,
                               [&] { op.getInputMutable().assign(source); });
      return success();
    }
    // A model output keeps its name.
    if (llvm::any_of(op->getUsers(), llvm::IsaPred<func::ReturnOp>) &&
        top::tensorName(source) != top::tensorName(op))
      return failure();
    rewriter.replaceOp(op, source);
    return success();
  }
};

/// Whether an op reads parts of its operand: a Slice, or a convolution whose
/// windows become columns.
bool takesParts(OpOperand &use) {
  auto conv = dyn_cast<tpu::Conv2DOp>(use.getOwner());
  return isa<tpu::SliceOp>(use.getOwner()) ||
         (conv && use.getOperandNumber() == 0 && windowColumnsOf(conv));
}

/// Whether everybody reads a tensor as a filter, which is there before the
/// group of its reader begins.
bool isFilter(Value value) {
  return llvm::all_of(value.getUses(), [](OpOperand &use) {
    Operation *user = use.getOwner();
    if (isa<tpu::ReshapeOp, tpu::PermuteOp>(user))
      return isFilter(user->getResult(0));
    return isa<tpu::Conv2DOp, tpu::DeconvOp, tpu::MatMulOp>(user) &&
           use.getOperandNumber() == 1;
  });
}

/// A cast of a reshape is a reshape of the cast: what computes the tensor and
/// the cast may follow each other in local memory. So it is with a permutation,
/// which then has fewer bytes to move, if they are fewer.
template <typename MoveOp> struct CastBefore : OpRewritePattern<tpu::CastOp> {
  using OpRewritePattern<tpu::CastOp>::OpRewritePattern;

  LogicalResult matchAndRewrite(tpu::CastOp op,
                                PatternRewriter &rewriter) const override {
    auto move = op.getInput().getDefiningOp<MoveOp>();
    Operation *source = move ? move.getInput().getDefiningOp() : nullptr;
    // What is there from the start computes nothing.
    if (!source || isa<top::InputOp, top::WeightOp>(source) ||
        !isFloatTensor(op.getInput()) || !move->hasOneUse())
      return failure();
    const ElementType to = *ElementType::of(op.getOutput());
    if (!isFloatTensor(op) && (!isQuantized(op) || to.axis))
      return failure();
    // A Reshape moves no bytes by itself: integers stay beside who reads them
    // unless something in front of it does, or they are elsewhere anyway.
    if (isQuantized(op) && std::is_same_v<MoveOp, tpu::ReshapeOp> &&
        !isa<tpu::PermuteOp>(source) && !isFilter(op))
      return failure();
    // Parts of what a group computes are copied within the lanes: the cast
    // stays beside who takes them, unless a Permute has to write the tensor
    // anyway.
    if (isQuantized(op) && std::is_same_v<MoveOp, tpu::ReshapeOp> &&
        llvm::any_of(op->getUses(), takesParts))
      return failure();
    if (!std::is_same_v<MoveOp, tpu::ReshapeOp> &&
        to.bytes() >= ElementType::of(op.getInput())->bytes())
      return failure();
    Value input = move.getInput();
    auto type = cast<RankedTensorType>(input.getType()).clone(elementOf(op));
    Location loc = derived(input, partOf(elementOf(op)));
    Value narrow = tpu::CastOp::create(rewriter, loc, type, input);
    // It is the tensor of that name now; a model output keeps its own, and
    // integers are not the tensor.
    const bool isOutput =
        llvm::any_of(op->getUsers(), llvm::IsaPred<func::ReturnOp>);
    IRMapping mapping;
    mapping.map(input, narrow);
    Operation *moved = rewriter.clone(*move, mapping);
    moved->setLoc(isOutput || isQuantized(op) ? op.getLoc() : move.getLoc());
    moved->getResult(0).setType(op.getType());
    if (isQuantized(op))
      moved->removeAttr(Precision::kAttr);
    rewriter.replaceOp(op, moved->getResult(0));
    return success();
  }
};

/// A reshape of the cast of a model input is the cast of its reshape, which
/// then follows what reads it.
struct ReshapeBeforeCast : OpRewritePattern<tpu::ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tpu::ReshapeOp op,
                                PatternRewriter &rewriter) const override {
    auto cast = op.getInput().getDefiningOp<tpu::CastOp>();
    if (!cast || !cast->hasOneUse() || !isFloatTensor(op) ||
        !isFloatTensor(cast.getInput()) ||
        !isa_and_nonnull<top::InputOp>(cast.getInput().getDefiningOp()))
      return failure();
    Type element = elementOf(cast.getInput());
    auto type = mlir::cast<RankedTensorType>(op.getType()).clone(element);
    auto whole = tpu::ReshapeOp::create(rewriter, derived(op, textOf(element)),
                                        type, cast.getInput());
    rewriter.replaceOp(
        op, tpu::CastOp::create(rewriter, op.getLoc(), op.getType(), whole));
    return success();
  }
};

/// cast(move(cast(x))) is move(x) if x has the type of the whole. Every op in
/// between only moves data, and nothing else uses what it moves.
struct CastThroughMoves : OpRewritePattern<tpu::CastOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tpu::CastOp op,
                                PatternRewriter &rewriter) const override {
    Type type = elementOf(op);
    llvm::SmallSetVector<Operation *, 4> moves;
    SmallVector<OpOperand *> ends;
    if (!isFloatTensor(op) || !isFloatTensor(op.getInput()) ||
        !collect(op.getInput(), op->getOpOperand(0), type, moves, ends) ||
        moves.empty())
      return failure();
    for (OpOperand *end : ends)
      rewriter.modifyOpInPlace(end->getOwner(), [&] {
        end->set(end->get().getDefiningOp<tpu::CastOp>().getInput());
      });
    for (Operation *move : moves)
      rewriter.modifyOpInPlace(
          move, [&] { top::setElement(move->getResult(0), type); });
    Operation *last = op.getInput().getDefiningOp();
    rewriter.modifyOpInPlace(last, [&] { last->setLoc(op.getLoc()); });
    rewriter.replaceOp(op, last->getResult(0));
    return success();
  }

  /// The moves behind `value` and the operands that they start from, each of
  /// which must be a cast from `type`.
  static bool collect(Value value, OpOperand &use, Type type,
                      llvm::SmallSetVector<Operation *, 4> &moves,
                      SmallVectorImpl<OpOperand *> &ends) {
    if (auto cast = value.getDefiningOp<tpu::CastOp>()) {
      ends.push_back(&use);
      return elementOf(cast.getInput()) == type;
    }
    auto move = dyn_cast_or_null<PrecisionOpInterface>(value.getDefiningOp());
    if (!move || !move.movesData() || move->getNumResults() != 1 ||
        !llvm::all_equal(value.getUsers()))
      return false;
    if (!moves.insert(move))
      return true;
    for (OpOperand &operand : move->getOpOperands())
      if (isFloatTensor(operand.get()) &&
          !collect(operand.get(), operand, type, moves, ends))
        return false;
    return true;
  }
};

/// A product in F32 of what is turned in front of it, perhaps with arithmetic
/// on elements in between, takes the left matrix as it was: with the depth over
/// the lanes it is a convolution (docs/code-generation.md).
struct TurnedProduct : OpRewritePattern<tpu::MatMulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tpu::MatMulOp op,
                                PatternRewriter &rewriter) const override {
    Value left = op.getInput();
    llvm::SetVector<Operation *> maps, turns;
    if (op.getLeftTranspose() || top::rankOf(left) != 3 ||
        top::rankOf(op.getRight()) != 2 || !elementOf(left).isF32() ||
        !op.getRight().getDefiningOp<top::WeightOp>() ||
        !collect(left, op, maps, turns))
      return failure();
    for (Operation *map : maps)
      rewriter.modifyOpInPlace(map, [&] {
        Value result = map->getResult(0);
        result.setType(top::typeLike(result, swapped(result)));
        map->setLoc(derived(result, "turned"));
      });
    for (Operation *turn : turns)
      rewriter.replaceOp(turn, turn->getOperand(0));
    rewriter.modifyOpInPlace(op, [&] { op.setLeftTranspose(true); });
    return success();
  }

private:
  static SmallVector<int64_t> swapped(Value value) {
    SmallVector<int64_t> shape(top::shapeOf(value));
    std::swap(shape[1], shape[2]);
    return shape;
  }
  /// The Permutes that `value` is made of and the ops behind them, if nobody
  /// reads them but `reader` and each other.
  static bool collect(Value value, Operation *reader,
                      llvm::SetVector<Operation *> &maps,
                      llvm::SetVector<Operation *> &turns) {
    Operation *op = value.getDefiningOp();
    if (!op || !llvm::all_of(value.getUsers(),
                             [&](Operation *user) { return user == reader; }))
      return false;
    if (auto permute = dyn_cast<tpu::PermuteOp>(op)) {
      turns.insert(op);
      return permute.getOrder() == SmallVector<int64_t>{0, 2, 1} &&
             elementOf(permute.getInput()).isF32();
    }
    if (!isa<tpu::AddOp, tpu::SubOp, tpu::MulOp, tpu::MulConstOp,
             tpu::AddConstOp, tpu::ActiveOp, tpu::ReluOp, tpu::ClipOp>(op))
      return false;
    maps.insert(op);
    return llvm::all_of(op->getOperands(), [&](Value operand) {
      return top::shapeOf(operand) == top::shapeOf(value) &&
             collect(operand, op, maps, turns);
    });
  }
};

/// Model outputs are f32 under their own names.
void keepOutputs(func::FuncOp function, Casts &casts) {
  Operation *end = function.getBody().front().getTerminator();
  auto f32 = Float32Type::get(function.getContext());
  llvm::SmallSetVector<Value, 4> outputs;
  for (Value value : end->getOperands())
    if (isQuantized(value) ||
        (isFloatTensor(value) && !elementOf(value).isF32()))
      outputs.insert(value);
  for (Value value : outputs) {
    Value whole = casts.get(value, f32);
    relocate(whole, top::resultLoc(value));
    relocate(value, derived(value, partOf(elementOf(value))));
    for (OpOperand &operand : end->getOpOperands())
      if (operand.get() == value)
        operand.set(whole);
  }
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

struct MaterialiseCasts : impl::MaterialiseCastsBase<MaterialiseCasts> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (failed(run(function)))
        return signalPassFailure();
  }

  LogicalResult run(func::FuncOp function) {
    Casts casts;
    bool any = false;
    for (Operation &op :
         llvm::make_early_inc_range(function.getBody().front())) {
      auto precise = dyn_cast<PrecisionOpInterface>(op);
      FailureOr<std::optional<Precision>> chosen = Precision::of(&op);
      if (failed(chosen))
        return failure();
      if (!precise || !*chosen)
        continue;
      any = true;
      if (auto type = dyn_cast<FloatType>((*chosen)->type))
        assign(precise, type, casts);
      // The types say it from here on; what is not as the deploy says stays to
      // be read.
      if ((*chosen)->why.empty())
        op.removeAttr(Precision::kAttr);
    }
    if (!any)
      return success();
    keepOutputs(function, casts);
    return tidy(function);
  }

  static void assign(PrecisionOpInterface op, FloatType type, Casts &casts) {
    for (Value result : op->getResults())
      if (isFloatTensor(result))
        top::setElement(result, type);
    for (OpOperand &operand : op->getOpOperands()) {
      OperandPrecision rule = op.operandPrecision(operand.getOperandNumber());
      if (rule == OperandPrecision::Any || !isFloatTensor(operand.get()))
        continue;
      FloatType want = rule == OperandPrecision::F32
                           ? FloatType(Float32Type::get(op.getContext()))
                           : type;
      if (elementOf(operand.get()) != want)
        operand.set(casts.get(operand.get(), want));
    }
  }

  /// Removes casts that undo each other, and constants that were converted.
  LogicalResult tidy(func::FuncOp function) {
    RewritePatternSet patterns(&getContext());
    patterns.add<MergeCasts, CastThroughMoves, CastBefore<tpu::ReshapeOp>,
                 CastBefore<tpu::PermuteOp>, ReshapeBeforeCast, TurnedProduct>(
        &getContext());
    GreedyRewriteConfig config;
    config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled);
    return applyPatternsGreedily(function, std::move(patterns), config);
  }
};

} // namespace

Value createCast(Value value, Type element) {
  OpBuilder builder(value.getContext());
  builder.setInsertionPointAfterValue(value);
  return tpu::CastOp::create(
      builder, derived(value, partOf(element)),
      cast<RankedTensorType>(value.getType()).clone(element), value);
}

void castResultsToF32(func::FuncOp function) {
  Casts casts;
  keepOutputs(function, casts);
}

} // namespace tpumlir
