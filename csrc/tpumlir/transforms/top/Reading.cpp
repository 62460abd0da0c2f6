#include "tpumlir/transforms/top/Reading.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/TypeUtilities.h"

/// Nothing here may trust the text: it is not verified yet. Attributes are read
/// raw, and what does not fit is left for the verifier to report.
using namespace mlir;

namespace tpumlir::top {
namespace {

bool isStatic(Value value) {
  auto type = llvm::dyn_cast<RankedTensorType>(value.getType());
  return type && type.hasStaticShape();
}

/// A list of integers; nothing if it is absent or no such list.
std::optional<SmallVector<int64_t>> listOf(Operation *op, StringRef name) {
  auto attr = op->getAttrOfType<ArrayAttr>(name);
  if (!attr || !llvm::all_of(attr, llvm::IsaPred<IntegerAttr>))
    return std::nullopt;
  return toI64s(attr);
}

bool flagOf(Operation *op, StringRef name) {
  auto attr = op->getAttrOfType<BoolAttr>(name);
  return attr && attr.getValue();
}

//===----------------------------------------------------------------------===//
// Windows over one axis, written for two
//===----------------------------------------------------------------------===//

/// Drops the second of two spatial axes from the begins, and from the ends if
/// there are any; false if it is not neutral there.
bool dropAxis(SmallVectorImpl<int64_t> &list, bool hasEnds, int64_t neutral) {
  if (list.size() == (hasEnds ? 2 : 1))
    return true;
  if (list.size() != (hasEnds ? 4 : 2) || list[1] != neutral ||
      list.back() != neutral)
    return false;
  list.erase(list.begin() + 1);
  if (hasEnds)
    list.pop_back();
  return true;
}

/// States a window for one axis; false if the second axis does something.
bool narrowWindow(Operation *op) {
  SmallVector<std::pair<StringRef, Attribute>> narrowed;
  Builder b(op->getContext());
  for (StringRef name : {"kernel_shape", "strides", "dilations", "inserts",
                         "output_padding", "pads"}) {
    std::optional<SmallVector<int64_t>> list = listOf(op, name);
    if (!list || list->empty())
      continue;
    // A window of one element is the only one of its axis, whatever its step.
    if ((name == "strides" || name == "dilations") && list->size() == 2)
      (*list)[1] = 1;
    bool isExtent =
        name == "kernel_shape" || name == "strides" || name == "dilations";
    if (!dropAxis(*list, name == "pads", isExtent ? 1 : 0))
      return false;
    narrowed.emplace_back(name, b.getI64ArrayAttr(*list));
  }
  for (auto [name, attr] : narrowed)
    op->setAttr(name, attr);
  return true;
}

/// A tensor of the same elements: a constant under its own name, or a Reshape.
Value withShape(HelperBuilder &b, Value value, ArrayRef<int64_t> shape) {
  auto weight = value.getDefiningOp<WeightOp>();
  const Weight *data = weight ? weight.getWeight() : nullptr;
  auto widened = value.getDefiningOp<ReshapeOp>();
  if (widened && isStatic(widened.getInput()) &&
      shapeOf(widened.getInput()) == shape)
    return widened.getInput();
  if (!weight || (!data && !value.hasOneUse()))
    return b.reshape(value, shape);
  WeightStore &store = *weightsOf(weight);
  std::string name = tensorName(value).str();
  if (!value.hasOneUse()) {
    name = store.freeName(name);
    OperationState state(NameLoc::get(b.ops().getStringAttr(name)),
                         WeightOp::getOperationName());
    state.addTypes(typeLike(value, shape));
    weight = llvm::cast<WeightOp>(b.ops().create(state));
  }
  if (data) {
    Weight again = *data;
    again.shape.assign(shape.begin(), shape.end());
    store.set(name, std::move(again));
  }
  weight.getOutput().setType(typeLike(value, shape));
  return weight.getOutput();
}

/// Conv and Deconv of [n, c, length] by a filter [.., .., kernel, 1].
void narrowConv(Operation *op) {
  Value input = op->getOperand(0), filter = op->getOperand(1);
  if (!isStatic(input) || !isStatic(filter) || rankOf(input) != 3)
    return;
  SmallVector<int64_t> shape(shapeOf(filter));
  bool isWide = shape.size() == 4;
  if ((isWide && shape.back() != 1) || !narrowWindow(op) || !isWide)
    return;
  shape.pop_back();
  HelperBuilder b(op);
  op->setOperand(1, withShape(b, filter, shape));
}

/// An average that counts the padding may have as much of it as it likes: where
/// it reaches the window's size, the zeros become a margin of the input.
void padBefore(Operation *op) {
  Value input = op->getOperand(0);
  auto kernel = listOf(op, "kernel_shape"), pads = listOf(op, "pads");
  auto value = op->getAttrOfType<IntegerAttr>("pad_value");
  auto autoPad = op->getAttrOfType<StringAttr>("auto_pad");
  if (!isStatic(input) || !kernel || !pads || kernel->empty() ||
      int64_t(kernel->size()) + 2 != rankOf(input) ||
      pads->size() != 2 * kernel->size() || !flagOf(op, "count_include_pad") ||
      flagOf(op, "ceil_mode") || (value && value.getInt() != 0) ||
      (autoPad && autoPad.getValue() != "NOTSET") ||
      llvm::any_of(*pads, [](int64_t pad) { return pad < 0; }))
    return;
  size_t axes = kernel->size(), rank = axes + 2;
  bool reaches = false;
  SmallVector<int64_t> margin(2 * rank, 0);
  for (size_t i = 0; i < axes; ++i) {
    margin[2 + i] = (*pads)[i];
    margin[rank + 2 + i] = (*pads)[axes + i];
    reaches |= std::max((*pads)[i], (*pads)[axes + i]) >= (*kernel)[i];
  }
  if (!reaches)
    return;
  HelperBuilder b(op);
  op->setOperand(0, b.create(PadOp::getOperationName(), input,
                             {b.attr("paddings", margin),
                              b.ops().getNamedAttr(
                                  "mode", b.ops().getStringAttr("constant"))}));
  op->setAttr("pads",
              b.ops().getI64ArrayAttr(SmallVector<int64_t>(2 * axes, 0)));
}

//===----------------------------------------------------------------------===//
// Interp, Reshape
//===----------------------------------------------------------------------===//

/// The last extent that a `target` states, alone or with the others as they
/// are.
std::optional<int64_t> targetLength(ArrayRef<int64_t> target,
                                    ArrayRef<int64_t> input) {
  if (target.size() == 1 || (target.size() == input.size() &&
                             target.drop_back() == input.drop_back()))
    return target.back();
  return std::nullopt;
}

/// Samples [n, c, length] as a plane of one row; whether `op` is gone.
bool widenInterp(InterpOp op) {
  if (!isStatic(op.getInput()) || rankOf(op.getInput()) != 3)
    return false;
  SmallVector<int64_t> shape(shapeOf(op.getInput()));
  HelperBuilder b(op);
  Value target = op.getTargetShape();
  if (!isNone(target)) {
    FailureOr<SmallVector<int64_t>> given = constantI64s(target);
    std::optional<int64_t> length =
        succeeded(given) ? targetLength(*given, shape) : std::nullopt;
    if (!length || !llvm::isInt<32>(*length))
      return false;
    target =
        createIndexWeight(b.ops(), partName(tensorName(op->getLoc()), "shape"),
                          {2}, {1, int32_t(*length)});
  }
  SmallVector<NamedAttribute> attributes(op->getAttrs());
  llvm::erase_if(attributes, [](NamedAttribute attr) {
    return attr.getName() == "scale_h";
  });
  if (isNone(target))
    attributes.push_back(
        b.ops().getNamedAttr("scale_h", b.ops().getF64FloatAttr(1.0)));
  Value plane = b.reshape(op.getInput(), {shape[0], shape[1], 1, shape[2]});
  Value wide =
      b.create(InterpOp::getOperationName(), {plane, target}, attributes);
  if (!isStatic(wide))
    return false; // it stays beside the new one, at which the error stands
  ArrayRef<int64_t> out = shapeOf(wide);
  op.getOutput().replaceAllUsesWith(
      b.reshape(wide, {out[0], out[1], out[3]}, op->getLoc()));
  op.erase();
  return true;
}

/// Makes an attribute of a shape that only the type of the result states.
void stateShape(Operation *op) {
  auto type = llvm::dyn_cast<RankedTensorType>(op->getResult(0).getType());
  Value operand = op->getNumOperands() > 1 ? op->getOperand(1) : Value();
  auto given = listOf(op, "shape");
  auto start = op->getAttrOfType<IntegerAttr>("flatten_start_dim");
  if (!type || (given && (!given->empty() || !operand)) ||
      (!operand && start && start.getInt() >= 0) ||
      (operand && (isNone(operand) || succeeded(constantI64s(operand)) ||
                   !type.hasStaticShape())))
    return;
  SmallVector<int64_t> shape =
      llvm::map_to_vector(type.getShape(), [](int64_t extent) {
        return ShapedType::isDynamic(extent) ? -1 : extent;
      });
  op->setAttr("shape", Builder(op->getContext()).getI64ArrayAttr(shape));
  if (operand)
    op->eraseOperand(1);
}

/// The types that the operands imply, whatever the text states; nothing, with
/// an error that the verifier repeats, if the op breaks a rule.
std::optional<SmallVector<Type>> impliedTypes(Operation *op) {
  SmallVector<Type> stated(op->getResultTypes()), types;
  for (Value result : op->getResults())
    if (auto type = llvm::dyn_cast<TensorType>(result.getType()))
      result.setType(UnrankedTensorType::get(type.getElementType()));
  bool fits = succeeded(op->getName().verifyInvariants(op)) &&
              succeeded(inferResultTypes(op, types));
  for (auto [result, type] : llvm::zip(op->getResults(), stated))
    result.setType(type);
  return fits ? std::optional(std::move(types)) : std::nullopt;
}

/// Gives results of open extents the shapes that the operands imply.
void closeShapes(Operation *op) {
  auto isOpen = [](Value value) {
    auto type = llvm::dyn_cast<RankedTensorType>(value.getType());
    return type && !type.hasStaticShape();
  };
  if (llvm::none_of(op->getResults(), isOpen) ||
      !llvm::isa<ShapeOpInterface>(op))
    return;
  std::optional<SmallVector<Type>> implied = impliedTypes(op);
  for (OpResult result : op->getResults()) {
    if (!isOpen(result))
      continue;
    Type element = getElementTypeOrSelf(result.getType());
    auto type = implied ? llvm::dyn_cast<RankedTensorType>(
                              (*implied)[result.getResultNumber()])
                        : RankedTensorType();
    result.setType(type ? Type(type.clone(element))
                        : UnrankedTensorType::get(element));
  }
}

/// The vendor gives a run-time filter over one axis its second one in the type
/// of whoever computes it. Here a Reshape does.
void moveAxisBehind(Operation *op) {
  if (op->getNumResults() != 1 || !isStatic(op->getResult(0)) ||
      !llvm::isa<ShapeOpInterface>(op))
    return;
  Value result = op->getResult(0);
  SmallVector<int64_t> shape(shapeOf(result));
  if (shape.size() != 4 || shape.back() != 1)
    return;
  std::optional<SmallVector<Type>> implied = impliedTypes(op);
  auto type = implied ? llvm::dyn_cast<RankedTensorType>(implied->front())
                      : RankedTensorType();
  if (!type || type.getShape() != ArrayRef(shape).drop_back())
    return;
  result.setType(type.clone(getElementTypeOrSelf(result.getType())));
  HelperBuilder b(op);
  b.ops().setInsertionPointAfter(op);
  Value wide = b.reshape(result, shape);
  result.replaceAllUsesExcept(wide, wide.getDefiningOp());
}

/// Whether the op keeps every rule, so that its accessors may be used.
bool holds(Operation *op, llvm::SmallPtrSetImpl<Operation *> &refused) {
  if (succeeded(op->getName().verifyInvariants(op)))
    return true;
  refused.insert(op);
  return false;
}

/// Rewrites one op; whether it is gone.
bool adopt(Operation *op, llvm::SmallPtrSetImpl<Operation *> &refused) {
  size_t operands = op->getNumOperands(), results = op->getNumResults();
  if (operands >= 2 && results == 1 && llvm::isa<ConvOp, DeconvOp>(op))
    narrowConv(op);
  if (operands >= 1 && results == 1 && llvm::isa<AvgPoolOp>(op))
    padBefore(op);
  if (operands >= 1 && results == 1 && llvm::isa<ReshapeOp>(op))
    stateShape(op);
  if (llvm::isa<TopKOp>(op) && flagOf(op, "replace_topk_indices")) {
    op->emitOpError("expected replace_topk_indices to be false, got true "
                    "(write the text without that option)");
    refused.insert(op);
  }
  if (auto interp = llvm::dyn_cast<InterpOp>(op);
      interp && operands == 2 && results == 1 && op->hasAttr("mode") &&
      op->hasAttr("coord_mode"))
    return widenInterp(interp);
  if (auto lstm = llvm::dyn_cast<LSTMOp>(op); lstm && holds(op, refused)) {
    unroll(lstm);
    return true;
  }
  if (auto gru = llvm::dyn_cast<GRUOp>(op); gru && holds(op, refused)) {
    unroll(gru);
    return true;
  }
  return false;
}

/// What the text says of the function follows its arguments and results.
void restateType(func::FuncOp func) {
  Block &body = func.getBody().front();
  Operation *end = body.empty() ? nullptr : &body.back();
  if (end && llvm::isa<func::ReturnOp>(end) &&
      func.getNumResults() == end->getNumOperands() &&
      func.getNumArguments() == body.getNumArguments())
    func.setType(FunctionType::get(func.getContext(), body.getArgumentTypes(),
                                   end->getOperandTypes()));
}

bool isTop(Operation &op) {
  return op.isRegistered() &&
         llvm::isa_and_nonnull<TopDialect>(op.getDialect());
}

} // namespace

void adoptSpelling(ModuleOp module,
                   llvm::SmallPtrSetImpl<Operation *> &refused) {
  for (auto func : module.getOps<func::FuncOp>()) {
    if (!llvm::hasSingleElement(func.getBody()))
      continue;
    Block &body = func.getBody().front();
    SmallVector<WeightOp> used;
    for (auto weight : body.getOps<WeightOp>())
      if (!weight->use_empty())
        used.push_back(weight);
    for (Operation &op : llvm::make_early_inc_range(body))
      if (isTop(op) && !adopt(&op, refused)) {
        closeShapes(&op);
        moveAxisBehind(&op);
      }
    adoptIntegers(body);
    for (WeightOp weight : used)
      if (weight->use_empty())
        weight.erase();
    restateType(func);
  }
}

} // namespace tpumlir::top
