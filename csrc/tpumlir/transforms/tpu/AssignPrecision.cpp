#include "tpumlir/support/Float.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_ASSIGNPRECISION
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

constexpr StringLiteral kTableAttr = "module.quantize_table";

/// The float type that a mode computes in; null for other words.
FloatType typeOfMode(MLIRContext *ctx, StringRef mode) {
  if (mode == "F32")
    return Float32Type::get(ctx);
  if (mode == "F16")
    return Float16Type::get(ctx);
  if (mode == "BF16")
    return BFloat16Type::get(ctx);
  return {};
}

Type elementOf(Value value) { return getElementTypeOrSelf(value.getType()); }

void setElement(Value value, Type element) {
  value.setType(cast<RankedTensorType>(value.getType()).clone(element));
}

/// "f16"
std::string textOf(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return text;
}

/// The location of a value, its name `name::suffix`; as it is if it has none.
Location derived(Value value, StringRef suffix) {
  Location loc = top::resultLoc(value);
  StringRef name = top::tensorName(loc);
  if (name.empty())
    return loc;
  MLIRContext *ctx = value.getContext();
  return NameLoc::get(StringAttr::get(ctx, (name + "::" + suffix).str()),
                      NameLoc::get(StringAttr::get(ctx, top::nodeName(loc))));
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

/// What precision each op has.
class PrecisionTable {
public:
  /// From the attributes of a module; its faults are errors there.
  static FailureOr<PrecisionTable> read(ModuleOp module) {
    PrecisionTable table;
    MLIRContext *ctx = module.getContext();
    auto mode = module->getAttrOfType<StringAttr>("module.mode");
    table.mode = mode ? typeOfMode(ctx, mode.getValue()) : FloatType();
    if (!table.mode)
      return module.emitError("expected module.mode F32, F16 or BF16, got ")
             << (mode ? mode.getValue() : "none")
             << " (run processor-assign first)";
    Attribute attr = module->getAttr(kTableAttr);
    auto entries = dyn_cast_or_null<DictionaryAttr>(attr);
    if (attr && !entries)
      return module.emitError("expected ")
             << kTableAttr << " to be a dictionary, got " << attr;
    if (!entries)
      return table;
    for (NamedAttribute entry : entries) {
      auto word = dyn_cast<StringAttr>(entry.getValue());
      FloatType type = word ? typeOfMode(ctx, word.getValue()) : FloatType();
      if (!type)
        return module.emitError("expected F32, F16 or BF16 for '")
               << entry.getName().getValue() << "' in " << kTableAttr
               << ", got " << entry.getValue();
      table.byName[entry.getName()] = type;
    }
    return table;
  }

  bool isF32() const { return mode.isF32() && byName.empty(); }

  /// Looks for model nodes that compute integers on the way, such as the rows
  /// that GridSample gathers: rounding those would give other rows.
  void notePlaces(func::FuncOp function) {
    function.walk([&](tpu::CastOp op) {
      StringRef node = top::nodeName(op.getLoc());
      if (isFloatTensor(op.getInput()) && !isFloatTensor(op.getOutput()) &&
          !node.empty())
        placeNodes.insert(node);
    });
  }

  FloatType of(PrecisionOpInterface op) const {
    for (Value result : op->getResults())
      if (FloatType type = stated(top::tensorName(result)))
        return type;
    FloatType operands;
    bool agree = true, constant = true;
    for (OpOperand &operand : op->getOpOperands()) {
      Value value = operand.get();
      if (!isFloatTensor(value) ||
          op.operandPrecision(operand.getOperandNumber()) !=
              OperandPrecision::Same)
        continue;
      auto type = cast<FloatType>(elementOf(value));
      agree &= !operands || operands == type;
      operands = type;
      constant &= isa_and_nonnull<top::WeightOp>(value.getDefiningOp());
      if (op.movesData() && !computesPlaces(op) && !isResultOnly(op) &&
          isBorder(value))
        return mode;
    }
    if (computesPlaces(op)) {
      bool follows = op.movesData() && operands && agree && !constant;
      return follows ? operands
                     : cast<FloatType>(Float32Type::get(op.getContext()));
    }
    if (!operands || constant)
      return mode;
    if (op.movesData())
      return agree ? operands : mode;
    if (llvm::none_of(op->getResults(), isFloatTensor))
      return agree ? operands
                   : cast<FloatType>(Float32Type::get(op.getContext()));
    return mode;
  }

private:
  /// What the table says of a tensor, or of the one that a derived name starts
  /// with; null if nothing.
  FloatType stated(StringRef name) const {
    for (size_t end = name.size(); end != StringRef::npos && end != 0;
         end = name.take_front(end).rfind("::")) {
      auto found =
          byName.find(StringAttr::get(mode.getContext(), name.take_front(end)));
      if (found != byName.end())
        return found->second;
    }
    return {};
  }

  /// Arithmetic of a node that makes integers: the places of a sampling, the
  /// sums of a quantised product.
  bool computesPlaces(Operation *op) const {
    return placeNodes.contains(top::nodeName(op->getLoc()));
  }

  /// A model input or a constant: it has no precision of its own.
  static bool isBorder(Value value) {
    return isa<BlockArgument>(value) ||
           isa<top::InputOp, top::WeightOp>(value.getDefiningOp());
  }

  static bool isResultOnly(Operation *op) {
    return llvm::all_of(op->getUsers(), llvm::IsaPred<func::ReturnOp>);
  }

  FloatType mode;
  DenseMap<StringAttr, FloatType> byName;
  llvm::StringSet<> placeNodes;
};

//===----------------------------------------------------------------------===//
// Casts
//===----------------------------------------------------------------------===//

/// The data of a constant in a half type.
Weight narrowed(const Weight &weight, FloatType type) {
  auto data = std::make_shared<std::vector<uint16_t>>(weight.elements());
  const auto *from = weight.as<float>();
  for (size_t i = 0; i < data->size(); ++i)
    (*data)[i] =
        type.isF16() ? support::f32ToF16(from[i]) : support::f32ToBf16(from[i]);
  return {type.isF16() ? DType::F16 : DType::BF16, weight.shape,
          std::shared_ptr<const void>(data, data->data())};
}

/// A constant of f32 in a half type, with its data if there are any.
Value convertConstant(OpBuilder &builder, top::WeightOp op, FloatType type) {
  WeightStore &store =
      builder.getContext()->getLoadedDialect<top::TopDialect>()->weights();
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
    if (!inner || !isFloatTensor(op) || !isFloatTensor(inner) ||
        !isFloatTensor(inner.getInput()))
      return failure();
    Value source = inner.getInput();
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
      rewriter.modifyOpInPlace(move,
                               [&] { setElement(move->getResult(0), type); });
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

/// Model outputs are f32 under their own names.
void keepOutputs(func::FuncOp function, Casts &casts) {
  Operation *end = function.getBody().front().getTerminator();
  auto f32 = Float32Type::get(function.getContext());
  llvm::SmallSetVector<Value, 4> outputs;
  for (Value value : end->getOperands())
    if (isFloatTensor(value) && !elementOf(value).isF32())
      outputs.insert(value);
  for (Value value : outputs) {
    Value whole = casts.get(value, f32);
    relocate(whole, top::resultLoc(value));
    relocate(value, derived(value, textOf(elementOf(value))));
    for (OpOperand &operand : end->getOpOperands())
      if (operand.get() == value)
        operand.set(whole);
  }
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

struct AssignPrecision : impl::AssignPrecisionBase<AssignPrecision> {
  void runOnOperation() override {
    FailureOr<PrecisionTable> table = PrecisionTable::read(getOperation());
    if (failed(table))
      return signalPassFailure();
    if (table->isF32())
      return;
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      table->notePlaces(function);
      Casts casts;
      for (Operation &op :
           llvm::make_early_inc_range(function.getBody().front()))
        if (auto precise = dyn_cast<PrecisionOpInterface>(op))
          assign(precise, table->of(precise), casts);
      keepOutputs(function, casts);
      if (failed(tidy(function)))
        return signalPassFailure();
    }
  }

  static void assign(PrecisionOpInterface op, FloatType type, Casts &casts) {
    for (Value result : op->getResults())
      if (isFloatTensor(result))
        setElement(result, type);
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
    patterns.add<MergeCasts, CastThroughMoves>(&getContext());
    GreedyRewriteConfig config;
    config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled);
    return applyPatternsGreedily(function, std::move(patterns), config);
  }
};

} // namespace

Value createCast(Value value, FloatType type) {
  OpBuilder builder(value.getContext());
  builder.setInsertionPointAfterValue(value);
  return tpu::CastOp::create(
      builder, derived(value, textOf(type)),
      cast<RankedTensorType>(value.getType()).clone(type), value);
}

void castResultsToF32(func::FuncOp function) {
  Casts casts;
  keepOutputs(function, casts);
}

} // namespace tpumlir
