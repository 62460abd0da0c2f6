#include "tpumlir/support/Precisions.h"
#include "tpumlir/transforms/tpu/Int8.h"
#include "tpumlir/transforms/tpu/Precision.h"
#include "tpumlir/transforms/tpu/PrecisionRules.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "mlir/IR/TypeUtilities.h"

#include <cmath>

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_CHOOSEPRECISION
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

constexpr StringLiteral kTableAttr = "module.quantize_table";
constexpr StringLiteral kStated = "(P1) the quantize table";

/// What the module says: the precision of the deploy and of single tensors.
class PrecisionTable {
public:
  /// From the attributes of a module; its faults are errors there.
  static FailureOr<PrecisionTable> read(ModuleOp module) {
    PrecisionTable table;
    MLIRContext *ctx = module.getContext();
    auto mode = module->getAttrOfType<StringAttr>("module.mode");
    table.mode = mode ? Precision::ofMode(ctx, mode.getValue()) : Type();
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
      Type type = word ? Precision::ofMode(ctx, word.getValue()) : Type();
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
  Type stated(Operation *op) const {
    for (Value result : op->getResults())
      for (StringRef name = top::tensorName(result); !name.empty();
           name = top::wholeOf(name))
        if (auto found = byName.find(StringAttr::get(op->getContext(), name));
            found != byName.end())
          return found->second;
    return {};
  }

  /// Whether the table has a row for a result itself.
  bool names(Operation *op) const {
    return llvm::any_of(op->getResults(), [&](Value result) {
      return byName.contains(
          StringAttr::get(op->getContext(), top::tensorName(result)));
    });
  }

  /// What is float where the mode is not.
  FloatType floats() const {
    auto type = dyn_cast<FloatType>(mode);
    return type ? type : FloatType(Float16Type::get(mode.getContext()));
  }
  /// Whether some op may be computed in integers.
  bool isQuantized() const {
    return !isa<FloatType>(mode) || llvm::any_of(byName, [](const auto &entry) {
      return !isa<FloatType>(entry.second);
    });
  }

  Type mode;

private:
  DenseMap<StringAttr, Type> byName;
};

struct Choice {
  Type type;
  std::string why;

  bool keepsSums() const { return Precision{type, why}.keepsSums(); }
};

class Chooser {
public:
  Chooser(const PrecisionTable &table, const CalibrationTable &ranges,
          WideOps wide, WideOps wideForIntegers)
      : table(table), ranges(ranges),
        forms(ranges, [this](Operation *op) { return wants(op); }),
        wide(std::move(wide)), wideForIntegers(std::move(wideForIntegers)) {}

  Choice choose(PrecisionOpInterface op) {
    Type stated = table.stated(op);
    const bool named = table.names(op);
    std::string reason;
    if (wants(op)) {
      auto typeOf = [&](Value value) -> std::optional<Quantization> {
        if (auto found = quantized.find(value); found != quantized.end())
          return found->second;
        // What comes in integers is read as such.
        if (auto cast = value.getDefiningOp<tpu::CastOp>())
          if (auto type = Quantization::of(cast.getInput()))
            return type;
        // What the table names takes floats, too: they become integers.
        return named && !Int8Forms::startsFromFloats(op) ? ranges.of(value)
                                                         : std::nullopt;
      };
      if (auto type = forms.resultOf(op, typeOf, reason)) {
        // What a logarithm reads has no steps of one size.
        if (isa<tpu::Conv2DOp>(op) && isUnderLogarithm(op))
          return {IntegerType::get(op.getContext(), 8), Precision::kSums.str()};
        quantized[op->getResult(0)] = *type;
        return {IntegerType::get(op.getContext(), 8),
                stated && stated != table.mode ? kStated.str() : ""};
      }
      if (!reason.empty())
        reason = "(P11) " + reason;
    }
    Choice choice = chooseFloat(op, dyn_cast_or_null<FloatType>(stated));
    // Of floats among integers the calibration knows the range, too.
    constexpr double kMargin = 2;
    auto leaves = [&](Value value) {
      return ranges.largest(value) * kMargin > precisionOf(DType::F16)->largest;
    };
    if (!isa<FloatType>(table.mode) && choice.type.isF16() && !stated &&
        (llvm::any_of(op->getResults(), leaves) ||
         llvm::any_of(op->getOperands(), leaves)))
      return {Float32Type::get(op.getContext()),
              "(P7) numbers beyond the half's range in the calibration table"};
    if (choice.why.empty())
      choice.why = reason;
    return choice;
  }

  /// (P9) Stores a filter of tiny numbers times a power of two, if the op is
  /// computed in F16.
  void shiftFilter(Operation *op, Choice &choice) const {
    auto found = wide.shifted.find(op);
    if (found == wide.shifted.end() || !choice.type.isF16())
      return;
    auto conv = cast<tpu::Conv2DOp>(op);
    ArrayRef<float> numbers = *top::constantF32s(conv.getFilter());
    std::vector<float> shifted;
    shifted.reserve(numbers.size());
    for (float number : numbers)
      shifted.push_back(std::ldexp(number, found->second));
    OpBuilder builder(op);
    conv.getFilterMutable().assign(top::createWeight(
        builder, top::partName(top::tensorName(conv.getFilter()), "shifted"),
        top::shapeOf(conv.getFilter()), std::move(shifted)));
    conv.setFilterShift(found->second);
    if (choice.why.empty())
      choice.why = "(P9) a filter of tiny numbers, times a power of two";
  }

private:
  /// Integers where they can be, unless something speaks for a float. A row of
  /// the table goes before the rules for the op that it names, not for all that
  /// is part of it.
  bool wants(Operation *op) const {
    Type stated = table.stated(op);
    return !isa<FloatType>(stated ? stated : table.mode) &&
           (table.names(op) || !isWideForIntegers(op));
  }

  /// Whether a rule speaks against integers. Those about the range of a half do
  /// not: a tensor of integers has a range of its own.
  bool isWideForIntegers(Operation *op) const {
    auto rule = wideForIntegers.why.find(op);
    return rule != wideForIntegers.why.end() &&
           !rule->second.starts_with("(P7)") &&
           !rule->second.starts_with("(P9)");
  }

  bool isUnderLogarithm(Operation *op) const {
    auto rule = wideForIntegers.why.find(op);
    return rule != wideForIntegers.why.end() &&
           rule->second.starts_with("(P6)");
  }

  Choice chooseFloat(PrecisionOpInterface op, FloatType stated) {
    FloatType mode = table.floats();
    auto rule = wide.why.find(op);
    bool isRuled = rule != wide.why.end();
    if (stated) {
      std::string why = kStated.str();
      if (isRuled && !stated.isF32())
        why += ", against " + rule->second.str();
      return {stated, stated == table.mode && !isRuled ? "" : why};
    }
    if (isRuled)
      return {Float32Type::get(op->getContext()), rule->second.str()};
    return {followed(op), ""};
  }

public:
  void assign(PrecisionOpInterface op, const Choice &choice) {
    for (Value result : op->getResults())
      if (isFloatTensor(result))
        types[result] =
            choice.keepsSums() ? FloatType(Float32Type::get(op->getContext()))
            : isa<FloatType>(choice.type) ? cast<FloatType>(choice.type)
                                          : table.floats();
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
        return table.floats();
    }
    if (toWide && operands && (agree || constant))
      return operands;
    if (!operands || constant)
      return table.floats();
    if (op.movesData())
      return agree ? operands : table.floats();
    if (llvm::none_of(op->getResults(), isFloatTensor))
      return agree ? operands : f32;
    return table.floats();
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
  const CalibrationTable &ranges;
  Int8Forms forms;
  WideOps wide, wideForIntegers;
  DenseMap<Value, FloatType> types;
  DenseMap<Value, Quantization> quantized;
};

/// Whether the model says itself what some tensor is quantised to.
bool comesQuantized(ModuleOp module) {
  return module
      .walk([](tpu::CastOp op) {
        return isQuantized(op.getResult()) ? WalkResult::interrupt()
                                           : WalkResult::advance();
      })
      .wasInterrupted();
}

struct ChoosePrecision : impl::ChoosePrecisionBase<ChoosePrecision> {
  using ChoosePrecisionBase::ChoosePrecisionBase;

  void runOnOperation() override {
    FailureOr<PrecisionTable> table = PrecisionTable::read(getOperation());
    if (failed(table))
      return signalPassFailure();
    FailureOr<CalibrationTable> ranges = CalibrationTable::read(getOperation());
    if (failed(ranges))
      return signalPassFailure();
    if (table->isQuantized() &&
        !getOperation()->hasAttr(CalibrationTable::kAttr) &&
        !comesQuantized(getOperation())) {
      getOperation().emitError("expected ")
          << CalibrationTable::kAttr
          << " for INT8, got none (run run_calibration and give its table with "
             "--calibration_table), nor does the model quantise a tensor to 8 "
             "bits itself";
      return signalPassFailure();
    }
    if (table->isF32())
      return;
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      bool rules = !plain && !table->mode.isF32();
      Chooser chooser(
          *table, *ranges,
          rules ? findWideOps(function, table->floats()) : WideOps(),
          table->isQuantized()
              ? findWideOps(function, table->floats(), /*forIntegers=*/true)
              : WideOps());
      for (auto op :
           function.getBody().front().getOps<PrecisionOpInterface>()) {
        Choice choice = chooser.choose(op);
        chooser.shiftFilter(op, choice);
        chooser.assign(op, choice);
        Precision{choice.type, choice.why}.writeTo(op);
      }
    }
  }
};

} // namespace
} // namespace tpumlir
