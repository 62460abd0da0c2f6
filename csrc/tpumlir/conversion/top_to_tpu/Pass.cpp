#include "tpumlir/conversion/top_to_tpu/Lowered.h"
#include "tpumlir/conversion/top_to_tpu/Lowering.h"
#include "tpumlir/transforms/top/Passes.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "mlir/Transforms/WalkPatternRewriteDriver.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_CONVERTTOPTOTPU
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

/// Remembers why patterns refused an op: every reason, in the order of the
/// patterns.
struct RefusalListener : RewriterBase::Listener {
  void
  notifyMatchFailure(Location loc,
                     function_ref<void(Diagnostic &)> reasonCallback) override {
    Diagnostic reason(loc, DiagnosticSeverity::Remark);
    reasonCallback(reason);
    SmallVector<std::string> &known = reasons[loc];
    if (!llvm::is_contained(known, reason.str()))
      known.push_back(reason.str());
  }
  DenseMap<Location, SmallVector<std::string>> reasons;
};

void populateLowering(RewritePatternSet &patterns,
                      const LoweringContext &context) {
  populateConvLowering(patterns, context);
  populateMatMulLowering(patterns, context);
  populatePoolLowering(patterns, context);
  populateElementwiseLowering(patterns, context);
  populateActivationLowering(patterns, context);
  populateNormLowering(patterns, context);
  populateReduceLowering(patterns, context);
  populateLayoutLowering(patterns, context);
  populateIndexLowering(patterns, context);
  populateResizeLowering(patterns, context);
  populateQuantizeLowering(patterns, context);
}

/// Ops that compute in floats only: they would take integers for bits.
bool needsFloats(Operation *op) {
  return isa<tpu::Conv2DOp, tpu::DeconvOp, tpu::MatMulOp, tpu::Pool1DOp,
             tpu::Pool2DOp, tpu::SoftmaxOp, tpu::ActiveOp, tpu::LeakyReluOp,
             tpu::PReluOp, tpu::ClipOp, tpu::ScaleOp, tpu::ReciprocalOp>(op);
}

struct ConvertTopToTpu : impl::ConvertTopToTpuBase<ConvertTopToTpu> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (!module->getAttrOfType<StringAttr>("module.mode")) {
      module.emitError()
          << "expected module.mode, got none (run processor-assign first)";
      return signalPassFailure();
    }
    for (auto function : module.getOps<func::FuncOp>())
      if (failed(convert(function)))
        signalPassFailure();
    module->setAttr("module.state",
                    StringAttr::get(&getContext(), "TPU_LOWERED"));
  }

  LogicalResult convert(func::FuncOp function) {
    if (failed(checkTypes(function)))
      return failure();
    dropRanges(function);
    Block &body = function.getBody().front();
    SmallVector<Location> names = llvm::map_to_vector(
        body.getTerminator()->getOperands(), top::resultLoc);
    OpBuilder builder(&getContext());
    builder.setInsertionPointToStart(&body);
    auto none = top::NoneOp::create(builder, UnknownLoc::get(&getContext()),
                                    builder.getNoneType());
    LoweringContext context{none};

    RewritePatternSet patterns(&getContext());
    populateLowering(patterns, context);
    RefusalListener listener;
    walkAndApplyPatterns(function, std::move(patterns), &listener);

    LogicalResult result = success();
    for (Operation &op : llvm::make_early_inc_range(body)) {
      if (!isa<top::TopDialect>(op.getDialect()) || isa<top::InputOp>(op))
        continue;
      if (isa<top::NoneOp, top::WeightOp>(op)) {
        if (op.use_empty())
          op.erase();
        else if (failed(checkType(&op)))
          result = failure();
        continue;
      }
      SmallVector<std::string> reasons = listener.reasons.lookup(op.getLoc());
      op.emitError() << op.getName() << " is not supported in F32: "
                     << (reasons.empty()
                             ? std::string("expected an op with a lowering")
                             : llvm::join(reasons, "; "));
      result = failure();
    }
    if (succeeded(result))
      result = checkIntegers(function);
    if (succeeded(result)) {
      keepResultNames(body, names);
      copyUnwrittenResults(function);
    }
    return result;
  }

  /// What a calibration saw is for precisions that need it; in the text of Tpu
  /// a type is the precision.
  void dropRanges(func::FuncOp function) {
    Block &body = function.getBody().front();
    auto drop = [](Value value) {
      value.setType(withoutRange(value.getType()));
    };
    llvm::for_each(body.getArguments(), drop);
    for (Operation &op : body)
      llvm::for_each(op.getResults(), drop);
    adoptBodyTypes(function);
  }

  /// An op that comes to nothing, such as a sum over no axis, is replaced by
  /// its operand; where it was a result of the model, its name must stay.
  void keepResultNames(Block &body, ArrayRef<Location> names) {
    for (auto [operand, loc] :
         llvm::zip_equal(body.getTerminator()->getOpOperands(), names)) {
      Value value = operand.get();
      if (top::tensorName(value) == top::tensorName(loc))
        continue;
      OpBuilder builder(body.getTerminator());
      operand.set(tpu::ReshapeOp::create(builder, loc, value.getType(), value));
    }
  }

  LogicalResult checkIntegers(func::FuncOp function) {
    LogicalResult result = success();
    function.walk([&](Operation *op) {
      if (!needsFloats(op))
        return;
      for (Value operand : op->getOperands())
        if (isIntegerTensor(operand)) {
          op->emitError() << op->getName()
                          << " is not supported on integers: expected floats, "
                             "got "
                          << operand.getType()
                          << " (cast to float32 before it: exact up to 2^24)";
          result = failure();
          return;
        }
    });
    return result;
  }

  /// Top speaks f32 and i32. Constants are looked at when the lowering is done:
  /// those that were read on the way, such as indices, are gone then.
  LogicalResult checkTypes(func::FuncOp function) {
    LogicalResult result = success();
    function.walk([&](Operation *op) {
      if (!isa<top::WeightOp>(op) && failed(checkType(op)))
        result = failure();
    });
    return result;
  }

  LogicalResult checkType(Operation *op) {
    // What `qdq-to-casts` made is of Tpu already.
    if (isa<tpu::CastOp>(op))
      return success();
    // Frames of bytes are moved, then cast.
    bool moves = isa<top::InputOp, top::ReshapeOp, top::SliceOp>(op);
    for (Value operand : op->getOperands())
      if (dtypeOf(operand) == DType::U8 && !moves && !isa<top::CastOp>(op))
        return op->emitError() << "expected elements of ui8 to be moved or "
                                  "cast only, got them as an operand of "
                               << op->getName();
    if (moves && dtypeOf(op->getResult(0)) == DType::U8 &&
        cast<RankedTensorType>(op->getResult(0).getType()).hasStaticShape())
      return success();
    for (Value value : op->getResults()) {
      if (isa<NoneType>(value.getType()))
        continue;
      auto type = dyn_cast<RankedTensorType>(value.getType());
      if (!type || !type.hasStaticShape() ||
          !(isa<Float32Type>(withoutRange(type.getElementType())) ||
            type.getElementType().isSignlessInteger(32)))
        return op->emitError() << "expected a static tensor of f32 or i32, got "
                               << value.getType();
    }
    return success();
  }
};

} // namespace

llvm::StringSet<> loweredOperations(MLIRContext *ctx) {
  RewritePatternSet patterns(ctx);
  LoweringContext context{}; // no pattern runs
  populateLowering(patterns, context);
  llvm::StringSet<> names;
  for (const auto &pattern : patterns.getNativePatterns())
    if (std::optional<OperationName> root = pattern->getRootKind())
      names.insert(root->getStringRef());
  return names;
}

} // namespace tpumlir
