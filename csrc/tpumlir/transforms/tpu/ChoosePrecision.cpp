#include "tpumlir/support/Precisions.h"
#include "tpumlir/transforms/tpu/Precision.h"
#include "tpumlir/transforms/tpu/PrecisionRules.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_CHOOSEPRECISION
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

constexpr StringLiteral kTableAttr = "module.quantize_table";
constexpr StringLiteral kStated = "(P1) the quantize table";

/// The float type that a mode stores; null for other words.
FloatType typeOfMode(MLIRContext *ctx, StringRef mode) {
  const PrecisionInfo *precision = findPrecision(mode);
  return precision ? floatType(ctx, precision->storage) : FloatType();
}

/// What the module says: the precision of the deploy and of single tensors.
class PrecisionTable {
public:
  /// From the attributes of a module; its faults are errors there.
  static FailureOr<PrecisionTable> read(ModuleOp module) {
    PrecisionTable table;
    MLIRContext *ctx = module.getContext();
    auto mode = module->getAttrOfType<StringAttr>("module.mode");
    table.mode = mode ? typeOfMode(ctx, mode.getValue()) : FloatType();
    if (!table.mode)
      return module.emitError("expected module.mode ")
             << listPrecisions() << ", got "
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
        return module.emitError("expected ")
               << listPrecisions() << " for '" << entry.getName().getValue()
               << "' in " << kTableAttr << ", got " << entry.getValue();
      table.byName[entry.getName()] = type;
    }
    return table;
  }

  bool isF32() const { return mode.isF32() && byName.empty(); }

  /// What the table says of an op's results, or of the tensors that they are
  /// parts of; null if nothing.
  FloatType stated(Operation *op) const {
    for (Value result : op->getResults())
      for (StringRef name = top::tensorName(result); !name.empty();
           name = top::wholeOf(name))
        if (auto found = byName.find(StringAttr::get(op->getContext(), name));
            found != byName.end())
          return found->second;
    return {};
  }

  FloatType mode;

private:
  DenseMap<StringAttr, FloatType> byName;
};

struct Choice {
  FloatType type;
  std::string why;
};

class Chooser {
public:
  Chooser(const PrecisionTable &table, WideOps wide)
      : table(table), wide(std::move(wide)) {}

  Choice choose(PrecisionOpInterface op) {
    FloatType stated = table.stated(op), mode = table.mode;
    auto rule = wide.why.find(op);
    bool isRuled = rule != wide.why.end();
    if (stated) {
      std::string why = kStated.str();
      if (isRuled && !stated.isF32())
        why += ", against " + rule->second.str();
      return {stated, stated == mode && !isRuled ? "" : why};
    }
    if (isRuled)
      return {Float32Type::get(op->getContext()), rule->second.str()};
    return {followed(op), ""};
  }

  void assign(PrecisionOpInterface op, FloatType type) {
    for (Value result : op->getResults())
      if (isFloatTensor(result))
        types[result] = type;
  }

private:
  FloatType typeOf(Value value) const {
    auto found = types.find(value);
    return found != types.end()
               ? found->second
               : cast<FloatType>(getElementTypeOrSelf(value.getType()));
  }

  /// (P10) What moves data follows its operands, what answers with integers
  /// too; everything else has the precision of the deploy.
  FloatType followed(PrecisionOpInterface op) const {
    auto f32 = cast<FloatType>(Float32Type::get(op->getContext()));
    bool toWide = wide.movers.contains(op);
    FloatType operands;
    bool agree = true, constant = true;
    for (OpOperand &operand : op->getOpOperands()) {
      Value value = operand.get();
      if (!isFloatTensor(value) ||
          op.operandPrecision(operand.getOperandNumber()) !=
              OperandPrecision::Same)
        continue;
      FloatType type = typeOf(value);
      agree &= !operands || operands == type;
      operands = type;
      constant &= isa_and_nonnull<top::WeightOp>(value.getDefiningOp());
      if (op.movesData() && !toWide && !isResultOnly(op) && isBorder(value))
        return table.mode;
    }
    if (toWide && operands && (agree || constant))
      return operands;
    if (!operands || constant)
      return table.mode;
    if (op.movesData())
      return agree ? operands : table.mode;
    if (llvm::none_of(op->getResults(), isFloatTensor))
      return agree ? operands : f32;
    return table.mode;
  }

  /// A model input or a constant: it has no precision of its own.
  static bool isBorder(Value value) {
    return isa<BlockArgument>(value) ||
           isa<top::InputOp, top::WeightOp>(value.getDefiningOp());
  }

  static bool isResultOnly(Operation *op) {
    return llvm::all_of(op->getUsers(), llvm::IsaPred<func::ReturnOp>);
  }

  const PrecisionTable &table;
  WideOps wide;
  DenseMap<Value, FloatType> types;
};

struct ChoosePrecision : impl::ChoosePrecisionBase<ChoosePrecision> {
  using ChoosePrecisionBase::ChoosePrecisionBase;

  void runOnOperation() override {
    FailureOr<PrecisionTable> table = PrecisionTable::read(getOperation());
    if (failed(table))
      return signalPassFailure();
    if (table->isF32())
      return;
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      bool rules = !plain && !table->mode.isF32();
      Chooser chooser(*table,
                      rules ? findWideOps(function, table->mode) : WideOps());
      for (auto op :
           function.getBody().front().getOps<PrecisionOpInterface>()) {
        Choice choice = chooser.choose(op);
        chooser.assign(op, choice.type);
        Precision{choice.type, choice.why}.writeTo(op);
      }
    }
  }
};

} // namespace
} // namespace tpumlir
