#include "tpumlir/api/ModuleImpl.h"

#include "tpumlir/conversion/top_to_tpu/Lowered.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/transforms/top/Reading.h"
#include "tpumlir/transforms/tpu/Precision.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Quant/IR/Quant.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassInstrumentation.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace tpumlir {

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

static std::string
printed(llvm::function_ref<void(llvm::raw_ostream &)> print) {
  std::string text;
  llvm::raw_string_ostream os(text);
  print(os);
  return text;
}

/// Gives the stored data the type that the op states, or reports why not.
static void bindWeight(top::WeightOp op, WeightStore &store) {
  std::string name = top::tensorName(op.getLoc()).str();
  const Weight *found = store.find(name);
  if (!found) {
    op.emitError("expected data for this weight, got none (is the weight file "
                 "the one of this text?)");
    return;
  }
  auto type = op.getOutput().getType();
  std::optional<ElementType> element = ElementType::of(type);
  if (found->elements() != type.getNumElements() || !element ||
      dtypeBytes(found->dtype) != element->bytes()) {
    op.emitError("expected data of type ")
        << type << ", got " << found->elements() << " elements of "
        << dtypeName(found->dtype).data();
    return;
  }
  Weight bound = *found;
  bound.shape.assign(type.getShape().begin(), type.getShape().end());
  // npz files carry 16-bit floats as integers.
  if (isFloat(element->storage) && element->bytes() == 2)
    bound.dtype = element->storage;
  store.set(name, std::move(bound));
}

/// MLIR takes an operation "top" without a mnemonic for one of the dialect and
/// then aborts.
static std::string bareDialectName(StringRef text) {
  for (StringRef dialect : {"top", "top.", "tpu", "tpu.", "func", "func.",
                            "quant", "quant.", "builtin", "builtin."}) {
    std::string quoted = ("\"" + dialect + "\"").str();
    for (size_t at = text.find(quoted); at != StringRef::npos;
         at = text.find(quoted, at + 1)) {
      StringRef before = text.take_front(at).rtrim();
      StringRef after = text.drop_front(at + quoted.size()).ltrim();
      // loc("top"(...)) and fused["top"(...)] are names, no operations.
      bool isName = before.ends_with("(") || before.ends_with("[") ||
                    before.ends_with(",");
      if (after.starts_with("(") && !isName)
        return "expected an operation such as \"top.Conv\", got " + quoted;
    }
  }
  return "";
}

std::string deadlyText(StringRef text) {
  // MLIR makes room for as many results as `%x#7` and `%x:7` speak of, adding
  // one in 32 bits, and its parser calls itself for what is in brackets.
  constexpr uint64_t kResults = 1 << 16;
  constexpr int kDepth = 1000;
  int depth = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    char c = text[at];
    if (c == '"') {
      for (++at; at < text.size() && text[at] != '"'; ++at)
        at += text[at] == '\\';
    } else if (c == '/' && text.substr(at).starts_with("//")) {
      at = std::min(text.find('\n', at), text.size());
    } else if (c == '%') {
      StringRef name = text.substr(at).take_while([](char d) {
        return llvm::isAlnum(d) || StringRef("%$._-").contains(d);
      });
      StringRef rest = text.drop_front(at + name.size());
      uint64_t number = 0;
      at += name.size() - 1;
      if (!rest.consume_front("#") && !rest.consume_front(":"))
        continue;
      StringRef digits = rest.ltrim().take_while(llvm::isDigit);
      if (!digits.empty() &&
          (digits.getAsInteger(10, number) || number > kResults))
        return ("expected at most " + llvm::Twine(kResults) +
                " results of an operation, got " + digits)
            .str();
    } else if (StringRef("([{<").contains(c)) {
      if (++depth > kDepth)
        return ("expected brackets in at most " + llvm::Twine(kDepth) +
                " brackets, got more")
            .str();
    } else if (StringRef(")]}>").contains(c) &&
               !(c == '>' && at && text[at - 1] == '-')) {
      depth = std::max(depth - 1, 0);
    }
  }
  return bareDialectName(text);
}

std::string closedTypes(StringRef text) {
  std::string out;
  out.reserve(text.size());
  bool inString = false, inType = false;
  for (size_t at = 0; at < text.size(); ++at) {
    char c = text[at];
    if (inString) {
      inString = c != '"';
      if (c == '\\' && at + 1 < text.size())
        out += text[at++];
    } else if (c == '"') {
      inString = true;
    } else if (text.substr(at).starts_with("tensor<")) {
      inType = true;
    } else if (c == '>') {
      inType = false;
    } else if (inType && text.substr(at).starts_with("-1x") &&
               (out.back() == '<' || out.back() == 'x')) {
      out += '?';
      ++at;
      continue;
    }
    out += text[at];
  }
  return out;
}

bool adoptText(ModuleOp module, llvm::SmallPtrSetImpl<Operation *> &refused) {
  bool known = top::refuseUnknownOps(module);
  top::adoptSpelling(module, refused);
  return known;
}

/// Says all that is wrong: MLIR stops at the first error.
static void explain(ModuleOp module,
                    const llvm::SmallPtrSetImpl<Operation *> &refused) {
  module.walk([&](Operation *op) {
    if (op->isRegistered() && !refused.contains(op) &&
        llvm::isa_and_nonnull<top::TopDialect>(op->getDialect()))
      (void)op->getName().verifyInvariants(op);
  });
}

Module Module::parse(std::string_view text, std::optional<WeightStore> weights,
                     std::string_view fileName) {
  if (std::string reason = deadlyText(text); !reason.empty())
    throw CompileError(CompileError::Kind::Parse, {{reason, "", {}}});
  auto impl = std::make_shared<ModuleImpl>();
  MLIRContext &ctx = impl->context();
  DiagnosticCapture capture(ctx);
  impl->hasWeights = weights.has_value();
  if (weights)
    impl->weights = std::move(*weights);
  // Verified below: a rule that is broken is no error of the syntax.
  ParserConfig config(&ctx, /*verifyAfterParse=*/false);
  OwningOpRef<ModuleOp> parsed =
      parseSourceString<ModuleOp>(closedTypes(text), config, fileName);
  if (!parsed)
    capture.raise(CompileError::Kind::Parse, "expected a module");
  impl->adopt(std::move(parsed));
  ModuleOp module = impl->module();
  if (impl->hasWeights)
    module.walk([&](top::WeightOp op) { bindWeight(op, impl->weights); });
  llvm::SmallPtrSet<Operation *, 4> refused;
  bool known = adoptText(module, refused);
  if (!known || failed(verify(module)))
    explain(module, refused);
  if (!known || !capture.empty())
    capture.raise(known ? CompileError::Kind::Verify
                        : CompileError::Kind::Unsupported,
                  "verification failed");
  impl->pruneWeights();
  return Module(std::move(impl));
}

std::string Module::print() const {
  std::shared_lock lock(impl->mutex);
  return printed([&](llvm::raw_ostream &os) {
    OpPrintingFlags flags;
    flags.enableDebugInfo(true, false);
    impl->module().print(os, flags);
  });
}

Module Module::clone() const {
  std::shared_lock lock(impl->mutex);
  return Module(impl->clone());
}

WeightStore Module::weights() const {
  std::shared_lock lock(impl->mutex);
  return impl->weights;
}

//===----------------------------------------------------------------------===//
// Passes
//===----------------------------------------------------------------------===//

namespace {
/// Remembers the innermost pass that failed.
struct FailureRecorder : PassInstrumentation {
  explicit FailureRecorder(std::string &name) : name(name) {}
  void runAfterPassFailed(Pass *pass, Operation *) override {
    if (name.empty())
      name = pass->getArgument().str();
  }
  std::string &name;
};
} // namespace

/// What the pipeline parser complains of, without its prefix and its carets.
static std::string firstComplaint(StringRef text) {
  auto [before, after] = text.split("error: ");
  StringRef line = (after.empty() ? before : after).split('\n').first;
  line.consume_front("<Pass-Options-Parser>: ");
  return line.trim().str();
}

void Module::runPipeline(std::string_view pipeline) {
  registerPasses();
  std::unique_lock lock(impl->mutex);
  // Patterns hold weights while they add others.
  impl->weights.unshare();
  DiagnosticCapture capture(impl->context());
  PassManager pm(&impl->context());
  std::string error, failedPass;
  llvm::raw_string_ostream os(error);
  if (failed(parsePassPipeline(pipeline, pm, os)))
    capture.raise(CompileError::Kind::Pass, "expected a list of passes, got '" +
                                                std::string(pipeline) +
                                                "': " + firstComplaint(error));
  pm.addInstrumentation(std::make_unique<FailureRecorder>(failedPass));
  if (failed(pm.run(impl->module())))
    capture.raise(CompileError::Kind::Pass, "pass failed", failedPass);
  impl->pruneWeights();
}

//===----------------------------------------------------------------------===//
// Looking at it
//===----------------------------------------------------------------------===//

AttrValue toValue(Attribute attr) {
  if (auto value = llvm::dyn_cast<BoolAttr>(attr))
    return value.getValue();
  if (auto value = llvm::dyn_cast<IntegerAttr>(attr))
    if (value.getValue().getSignificantBits() <= 64)
      return value.getType().isUnsignedInteger()
                 ? int64_t(value.getValue().getZExtValue())
                 : value.getValue().getSExtValue();
  if (auto value = llvm::dyn_cast<FloatAttr>(attr))
    return value.getValueAsDouble();
  if (auto value = llvm::dyn_cast<StringAttr>(attr))
    return value.str();
  if (auto value = llvm::dyn_cast<DenseI64ArrayAttr>(attr))
    return std::vector<int64_t>(value.asArrayRef());
  if (auto value = llvm::dyn_cast<DenseI32ArrayAttr>(attr))
    return std::vector<int64_t>(value.asArrayRef().begin(),
                                value.asArrayRef().end());
  if (auto value = llvm::dyn_cast<ArrayAttr>(attr)) {
    if (llvm::all_of(value, llvm::IsaPred<IntegerAttr>)) {
      SmallVector<int64_t> items = top::toI64s(value);
      return std::vector<int64_t>(items.begin(), items.end());
    }
    if (llvm::all_of(value, llvm::IsaPred<FloatAttr>)) {
      SmallVector<double> items = top::toF64s(value);
      return std::vector<double>(items.begin(), items.end());
    }
  }
  return printed([&](llvm::raw_ostream &os) { attr.print(os); });
}

Attribute toAttribute(MLIRContext &ctx, const AttrValue &value) {
  Builder builder(&ctx);
  switch (value.index()) {
  case 0:
    return builder.getBoolAttr(std::get<bool>(value));
  case 1:
    return builder.getI64IntegerAttr(std::get<int64_t>(value));
  case 2:
    return builder.getF64FloatAttr(std::get<double>(value));
  case 3:
    return builder.getStringAttr(std::get<std::string>(value));
  case 4:
    return builder.getI64ArrayAttr(std::get<std::vector<int64_t>>(value));
  default:
    return builder.getF64ArrayAttr(std::get<std::vector<double>>(value));
  }
}

TensorInfo toTensorInfo(Value value) {
  TensorInfo info{top::tensorName(value).str(), "none", std::nullopt};
  if (top::isNone(value))
    info.name.clear();
  auto type = llvm::dyn_cast<TensorType>(value.getType());
  if (!type)
    return info;
  if (std::optional<ElementType> element = ElementType::of(type)) {
    info.dtype = dtypeName(element->storage);
    info.scales.assign(element->scales.begin(), element->scales.end());
    info.zeroPoints.assign(element->zeroPoints.begin(),
                           element->zeroPoints.end());
    info.axis = element->axis;
    info.range = element->range;
  } else {
    info.dtype = printed(
        [&](llvm::raw_ostream &os) { type.getElementType().print(os); });
  }
  if (type.hasRank())
    info.shape.emplace(type.getShape().begin(), type.getShape().end());
  return info;
}

std::string Module::name() const {
  std::shared_lock lock(impl->mutex);
  return impl->module().getName().value_or("").str();
}

std::vector<OpInfo> Module::ops() const {
  std::shared_lock lock(impl->mutex);
  std::vector<OpInfo> all;
  impl->module().walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (llvm::isa<ModuleOp, func::FuncOp, func::ReturnOp, top::NoneOp>(op))
      return;
    OpInfo info;
    info.name = top::tensorName(op->getLoc()).str();
    info.kind = op->getName().getStringRef().str();
    info.node = top::nodeName(op->getLoc()).str();
    for (Value operand : op->getOperands())
      info.operands.push_back(
          top::isNone(operand) ? "" : top::tensorName(operand).str());
    for (Value result : op->getResults())
      info.results.push_back(toTensorInfo(result));
    for (NamedAttribute attr : op->getAttrs())
      info.attributes.emplace_back(attr.getName().str(),
                                   toValue(attr.getValue()));
    if (auto precise = llvm::dyn_cast<PrecisionOpInterface>(op))
      info.movesData = precise.movesData();
    if (auto chosen = op->getAttrOfType<DictionaryAttr>(Precision::kAttr))
      if (auto why = chosen.getAs<StringAttr>("why"))
        info.why = why.getValue().str();
    all.push_back(std::move(info));
  });
  return all;
}

std::vector<TensorInfo> Module::inputs() const {
  std::shared_lock lock(impl->mutex);
  std::vector<TensorInfo> all;
  impl->module().walk(
      [&](top::InputOp op) { all.push_back(toTensorInfo(op.getOutput())); });
  return all;
}

std::vector<TensorInfo> Module::outputs() const {
  std::shared_lock lock(impl->mutex);
  std::vector<TensorInfo> all;
  if (auto main = impl->module().lookupSymbol<func::FuncOp>("main"))
    for (Value value : main.getBody().back().getTerminator()->getOperands())
      all.push_back(toTensorInfo(value));
  return all;
}

AttrList Module::attributes() const {
  std::shared_lock lock(impl->mutex);
  AttrList all;
  for (NamedAttribute attr : impl->module()->getDiscardableAttrs())
    all.emplace_back(attr.getName().str(), toValue(attr.getValue()));
  return all;
}

void Module::setAttribute(const std::string &name, const AttrValue &value) {
  std::unique_lock lock(impl->mutex);
  impl->module()->setAttr(name, toAttribute(impl->context(), value));
}

std::vector<std::string> registeredOperations() {
  ModuleImpl impl;
  std::vector<std::string> names;
  for (RegisteredOperationName op : impl.context().getRegisteredOperations())
    if (op.getDialectNamespace() == "top" || op.getDialectNamespace() == "tpu")
      names.push_back(op.getStringRef().str());
  llvm::sort(names);
  return names;
}

std::vector<std::string> loweredOperations() {
  ModuleImpl impl;
  std::vector<std::string> names;
  for (const auto &entry : loweredOperations(&impl.context()))
    names.push_back(entry.getKey().str());
  llvm::sort(names);
  return names;
}

} // namespace tpumlir
