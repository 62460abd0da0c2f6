#include "tpumlir/api/GraphBuilder.h"

#include "tpumlir/api/ModuleImpl.h"
#include "tpumlir/dialect/top/TopDialect.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

namespace tpumlir {

struct GraphBuilder::State {
  State() : builder(&impl->context()) {}

  std::shared_ptr<ModuleImpl> impl = std::make_shared<ModuleImpl>();
  OpBuilder builder;
  func::FuncOp main;
  Value noValue;
  llvm::StringSet<> names;

  [[noreturn]] void fail(CompileError::Kind kind, const std::string &message,
                         const std::string &node) {
    throw CompileError(kind, {{message, node, {}}});
  }
  void checkFree(const std::string &name, const std::string &node) {
    if (name.empty())
      fail(CompileError::Kind::Verify, "expected a tensor name, got none",
           node);
    if (names.contains(name))
      fail(CompileError::Kind::Verify,
           "expected a tensor name that is free, got '" + name + "' again",
           node.empty() ? name : node);
  }
  GraphValue wrap(Value value) {
    return {toTensorInfo(value), this, value.getAsOpaquePointer()};
  }
  Value unwrap(const GraphValue &value, const std::string &node) {
    if (value.graph != this)
      fail(CompileError::Kind::Verify,
           "expected a value of this graph, got '" + value.info.name +
               "' of another",
           node);
    return Value::getFromOpaquePointer(value.handle);
  }
  Location locationOf(const std::vector<std::string> &names,
                      const std::string &node);
  NamedAttrList attributesOf(OperationName name, const AttrList &attributes,
                             const std::string &node);
  Operation *create(OperationState &op, OperationName name,
                    const AttrList &attributes, const std::string &node);
};

GraphBuilder::GraphBuilder(const std::string &name, const std::string &platform)
    : state(std::make_unique<State>()) {
  OpBuilder &b = state->builder;
  state->impl->hasWeights = true;
  state->impl->adopt(ModuleOp::create(b.getUnknownLoc(), StringRef(name)));
  ModuleOp module = state->impl->module();
  auto set = [&](StringRef key, StringRef value) {
    module->setAttr(key, b.getStringAttr(value));
  };
  set("module.chip", "ALL");
  set("module.platform", platform);
  set("module.state", "TOP_F32");
  set("module.top_run_mode", "STATIC");
  set("module.weight_file", name + "_top_f32_all_weight.npz");
  b.setInsertionPointToEnd(module.getBody());
  state->main = func::FuncOp::create(b, b.getUnknownLoc(), "main",
                                     b.getFunctionType({}, {}));
  b.setInsertionPointToEnd(state->main.addEntryBlock());
}

GraphBuilder::~GraphBuilder() = default;

GraphBuilder::State &GraphBuilder::open() {
  if (!state)
    throw CompileError(CompileError::Kind::Verify,
                       {{"expected a graph that is not finished", "", {}}});
  return *state;
}

GraphValue GraphBuilder::input(const std::string &name,
                               const std::vector<int64_t> &shape,
                               const std::string &dtype,
                               const AttrList &attributes) {
  State &graph = open();
  graph.checkFree(name, "");
  Type element = parseType(dtype, &graph.impl->context());
  if (!element || !element.isIntOrFloat())
    graph.fail(CompileError::Kind::Verify,
               "expected an element type such as f32, got '" + dtype + "'",
               name);
  if (llvm::any_of(shape, [](int64_t extent) { return extent < 1; }))
    graph.fail(CompileError::Kind::Verify,
               "expected positive extents, got a shape with " +
                   std::to_string(*llvm::min_element(shape)),
               name);
  OpBuilder &b = graph.builder;
  auto type = RankedTensorType::get(shape, element);
  Value argument = graph.main.getBody().addArgument(type, b.getUnknownLoc());
  OperationName kind(top::InputOp::getOperationName(), b.getContext());
  OperationState op(NameLoc::get(b.getStringAttr(name)), kind);
  op.addOperands(argument);
  op.addTypes(type);
  Operation *created = graph.create(op, kind, attributes, name);
  graph.names.insert(name);
  return graph.wrap(created->getResult(0));
}

GraphValue GraphBuilder::weight(const std::string &name, Weight data,
                                const std::string &quantized) {
  State &graph = open();
  graph.checkFree(name, "");
  OpBuilder &b = graph.builder;
  DiagnosticCapture capture(graph.impl->context());
  Type element = parseType(dtypeName(data.dtype), &graph.impl->context());
  OperationState op(NameLoc::get(b.getStringAttr(name)),
                    top::WeightOp::getOperationName());
  op.addTypes(RankedTensorType::get(data.shape, element));
  if (!quantized.empty()) {
    Type stated = parseType(quantized, &graph.impl->context());
    if (!stated)
      graph.fail(CompileError::Kind::Verify,
                 "expected a quantised type, got '" + quantized + "'", name);
    op.addAttribute("quantized", TypeAttr::get(stated));
  }
  graph.impl->weights.set(name, std::move(data));
  graph.names.insert(name);
  return graph.wrap(b.create(op)->getResult(0));
}

GraphValue GraphBuilder::none() {
  State &graph = open();
  if (!graph.noValue) {
    OpBuilder b(graph.main.getBody());
    graph.noValue = top::NoneOp::create(b, b.getUnknownLoc(), b.getNoneType());
  }
  return graph.wrap(graph.noValue);
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

Location GraphBuilder::State::locationOf(const std::vector<std::string> &names,
                                         const std::string &node) {
  SmallVector<Location, 2> locs;
  for (const std::string &name : names) {
    StringAttr tensor = builder.getStringAttr(name);
    if (node.empty() || node == name)
      locs.push_back(NameLoc::get(tensor));
    else
      locs.push_back(
          NameLoc::get(tensor, NameLoc::get(builder.getStringAttr(node))));
  }
  return locs.size() == 1 ? locs.front()
                          : Location(FusedLoc::get(builder.getContext(), locs));
}

/// The attribute that a value is under a rule; null if it is none.
static Attribute attributeOf(MLIRContext &ctx, const AttrRule &rule,
                             const AttrValue &value) {
  Builder b(&ctx);
  Attribute plain = toAttribute(ctx, value);
  const auto *number = std::get_if<int64_t>(&value);
  const auto *list = std::get_if<std::vector<int64_t>>(&value);
  auto isShort = [](int64_t n) { return llvm::isInt<32>(n); };
  // An empty list has no kind of its own.
  bool isEmpty = llvm::isa<ArrayAttr>(plain) && cast<ArrayAttr>(plain).empty();
  switch (rule.kind) {
  case AttrKind::None:
    return {};
  case AttrKind::I64:
    return number ? plain : Attribute();
  case AttrKind::I32:
    return number && isShort(*number) ? b.getI32IntegerAttr(int32_t(*number))
                                      : Attribute();
  case AttrKind::SI32:
    return number && isShort(*number) ? b.getSI32IntegerAttr(int32_t(*number))
                                      : Attribute();
  case AttrKind::F64:
    return number ? b.getF64FloatAttr(double(*number))
                  : Attribute(llvm::dyn_cast<FloatAttr>(plain));
  case AttrKind::I64s:
    return list || isEmpty ? plain : Attribute();
  case AttrKind::I32s:
    return list && llvm::all_of(*list, isShort)
               ? b.getI32ArrayAttr(
                     std::vector<int32_t>(list->begin(), list->end()))
               : Attribute();
  case AttrKind::F64s:
    if (list)
      return b.getF64ArrayAttr(std::vector<double>(list->begin(), list->end()));
    return std::holds_alternative<std::vector<double>>(value) || isEmpty
               ? plain
               : Attribute();
  case AttrKind::Bool:
    return Attribute(llvm::dyn_cast<BoolAttr>(plain));
  case AttrKind::Word: {
    auto word = llvm::dyn_cast<StringAttr>(plain);
    if (!word || rule.words.empty())
      return word;
    SmallVector<StringRef> words;
    rule.words.split(words, ',');
    return llvm::is_contained(words, word.getValue()) ? plain : Attribute();
  }
  }
  llvm_unreachable("every kind is listed");
}

NamedAttrList GraphBuilder::State::attributesOf(OperationName name,
                                                const AttrList &attributes,
                                                const std::string &node) {
  ArrayRef<StringAttr> known = name.getAttributeNames();
  const auto *rules = name.getInterface<AttrRuleOpInterface>();
  assert(rules && "every op of Top states the rules of its attributes");
  NamedAttrList list;
  for (const auto &[key, value] : attributes) {
    if (!llvm::any_of(known, [&](StringAttr k) { return k == key; }))
      fail(CompileError::Kind::Verify,
           "expected an attribute of " + name.getStringRef().str() + " (" +
               llvm::join(llvm::map_range(
                              known, [](StringAttr k) { return k.getValue(); }),
                          ", ") +
               "), got '" + key + "'",
           node);
    AttrRule rule = rules->attributeRule(key);
    Attribute attribute = attributeOf(impl->context(), rule, value);
    if (!attribute) {
      std::string got;
      llvm::raw_string_ostream(got) << toAttribute(impl->context(), value);
      fail(CompileError::Kind::Verify,
           "'" + name.getStringRef().str() + "' op attribute '" + key +
               "' failed to satisfy constraint: " + rule.what.str() + ", got " +
               got,
           node);
    }
    list.set(key, attribute);
  }
  return list;
}

/// Creates and verifies the op.
Operation *GraphBuilder::State::create(OperationState &op, OperationName name,
                                       const AttrList &attributes,
                                       const std::string &node) {
  op.attributes = attributesOf(name, attributes, node);
  DiagnosticCapture capture(impl->context());
  Operation *created = builder.create(op);
  if (succeeded(name.verifyInvariants(created)))
    return created;
  created->erase();
  throw CompileError(CompileError::Kind::Verify, capture.take());
}

std::vector<GraphValue> GraphBuilder::op(
    const std::string &kind, const std::vector<GraphValue> &operands,
    const AttrList &attributes, const std::vector<std::string> &names,
    const std::string &node) {
  State &graph = open();
  MLIRContext &ctx = graph.impl->context();
  std::string label = !node.empty()    ? node
                      : !names.empty() ? names.front()
                                       : "";
  std::optional<RegisteredOperationName> name =
      RegisteredOperationName::lookup(kind, &ctx);
  if (!name || name->getDialectNamespace() != "top")
    graph.fail(CompileError::Kind::Unsupported,
               "expected an operation of the Top dialect, got '" + kind + "'",
               label);
  std::vector<std::string> present;
  for (const std::string &tensor : names)
    if (!tensor.empty())
      present.push_back(tensor);
  if (present.empty())
    graph.fail(CompileError::Kind::Verify,
               "expected the name of a result, got none", label);
  for (const std::string &tensor : present)
    graph.checkFree(tensor, label);

  OperationState op(graph.locationOf(present, node), *name);
  for (const GraphValue &operand : operands)
    op.addOperands(graph.unwrap(operand, label));
  Type unranked = UnrankedTensorType::get(graph.builder.getF32Type());
  // An op of two results has both; the one without a name is none.
  bool two = name->hasTrait<OpTrait::NResults<2>::Impl>();
  size_t results = two ? std::max<size_t>(names.size(), 2) : names.size();
  for (size_t i = 0; i < results; ++i)
    op.addTypes(i < names.size() && !names[i].empty()
                    ? unranked
                    : Type(graph.builder.getNoneType()));

  Operation *created = graph.create(op, *name, attributes, label);
  DiagnosticCapture capture(ctx);
  SmallVector<Type> types;
  if (failed(inferResultTypes(created, types))) {
    created->erase();
    capture.raise(CompileError::Kind::Verify, "no shape");
  }
  for (auto [result, type] : llvm::zip_equal(created->getResults(), types))
    result.setType(type);
  if (auto shaped = llvm::dyn_cast<ShapeOpInterface>(created))
    shaped.normalizeAttributes();
  graph.names.insert(present.begin(), present.end());
  std::vector<GraphValue> values;
  for (Value result : created->getResults())
    values.push_back(graph.wrap(result));
  return values;
}

Module GraphBuilder::finish(const std::vector<GraphValue> &outputs) {
  State &graph = open();
  MLIRContext &ctx = graph.impl->context();
  DiagnosticCapture capture(ctx);
  SmallVector<Value> values;
  for (const GraphValue &output : outputs)
    values.push_back(graph.unwrap(output, output.info.name));
  if (values.empty())
    graph.fail(CompileError::Kind::Verify,
               "expected at least one output, got none", "");
  OpBuilder &b = graph.builder;
  func::ReturnOp::create(b, b.getUnknownLoc(), values);
  graph.main.setType(b.getFunctionType(graph.main.getBody().getArgumentTypes(),
                                       ValueRange(values).getTypes()));
  if (failed(verify(graph.impl->module())))
    capture.raise(CompileError::Kind::Verify, "verification failed");
  Module module(std::move(graph.impl));
  state.reset();
  return module;
}

} // namespace tpumlir
