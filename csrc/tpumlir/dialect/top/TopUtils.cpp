#include "tpumlir/dialect/top/TopUtils.h"

#include "tpumlir/dialect/top/TopDialect.h"

#include <algorithm>
#include <cmath>

using namespace mlir;

namespace tpumlir::top {

SmallVector<int64_t> toI64s(ArrayAttr attr) {
  return llvm::map_to_vector(attr.getAsRange<IntegerAttr>(),
                             [](IntegerAttr item) { return item.getInt(); });
}

SmallVector<double> toF64s(ArrayAttr attr) {
  return llvm::map_to_vector(attr.getAsRange<FloatAttr>(), [](FloatAttr item) {
    return item.getValueAsDouble();
  });
}

ArrayAttr toI32Array(Builder builder, ArrayRef<int64_t> numbers) {
  return builder.getI32ArrayAttr(
      SmallVector<int32_t>(numbers.begin(), numbers.end()));
}

ArrayRef<int64_t> shapeOf(Value value) {
  return llvm::cast<RankedTensorType>(value.getType()).getShape();
}

RankedTensorType typeLike(Value like, ArrayRef<int64_t> shape) {
  // The range of a calibration is that of `like` alone.
  auto type = llvm::cast<TensorType>(withoutRange(like.getType()));
  return RankedTensorType::get(shape, type.getElementType());
}

int64_t elementsOf(ArrayRef<int64_t> shape) {
  int64_t n = 1;
  for (int64_t dim : shape)
    n *= dim;
  return n;
}

bool isNone(Value value) { return llvm::isa<NoneType>(value.getType()); }

FailureOr<int64_t> resolveAxis(Operation *op, int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    return op->emitOpError("expected an axis in [")
           << -rank << ", " << rank << "), got " << axis;
  return axis < 0 ? axis + rank : axis;
}

FailureOr<SmallVector<int64_t>>
resolveAxes(Operation *op, ArrayRef<int64_t> axes, int64_t rank) {
  if (axes.empty())
    return llvm::to_vector(llvm::seq<int64_t>(0, rank));
  SmallVector<int64_t> resolved;
  for (int64_t axis : axes) {
    FailureOr<int64_t> one = resolveAxis(op, axis, rank);
    if (failed(one))
      return failure();
    if (llvm::is_contained(resolved, *one))
      return op->emitOpError("expected each axis once, got axis ")
             << *one << " twice";
    resolved.push_back(*one);
  }
  return resolved;
}

FailureOr<SmallVector<int64_t>>
broadcastShapes(Operation *op, ArrayRef<int64_t> lhs, ArrayRef<int64_t> rhs) {
  size_t rank = std::max(lhs.size(), rhs.size());
  SmallVector<int64_t> shape(rank, 1);
  for (size_t back = 1; back <= rank; ++back) {
    int64_t l = back <= lhs.size() ? lhs[lhs.size() - back] : 1;
    int64_t r = back <= rhs.size() ? rhs[rhs.size() - back] : 1;
    if (l != r && l != 1 && r != 1)
      return op->emitOpError("expected shapes that broadcast, got [")
             << lhs << "] and [" << rhs << "]";
    shape[rank - back] = l == 1 ? r : l;
  }
  return shape;
}

LogicalResult inferBroadcast(Operation *op, ValueRange operands,
                             unsigned minCount, unsigned maxCount,
                             SmallVectorImpl<Type> &types) {
  if (operands.size() < minCount || operands.size() > maxCount) {
    InFlightDiagnostic error = op->emitOpError("expected ");
    if (minCount == maxCount)
      return error << minCount << " operands, got " << operands.size();
    return error << "at least " << minCount << " operands, got "
                 << operands.size();
  }
  SmallVector<int64_t> shape;
  Value like;
  for (Value operand : operands) {
    if (isNone(operand))
      continue;
    if (!like) {
      like = operand;
      shape = llvm::to_vector(shapeOf(operand));
      continue;
    }
    FailureOr<SmallVector<int64_t>> both =
        broadcastShapes(op, shape, shapeOf(operand));
    if (failed(both))
      return failure();
    shape = std::move(*both);
  }
  types.push_back(typeLike(like, shape));
  return success();
}

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

/// The name at or in `loc`, outermost first.
static NameLoc findName(Location loc) {
  if (auto name = llvm::dyn_cast<NameLoc>(loc))
    return name;
  if (auto fused = llvm::dyn_cast<FusedLoc>(loc))
    for (Location inner : fused.getLocations())
      if (NameLoc name = findName(inner))
        return name;
  if (auto call = llvm::dyn_cast<CallSiteLoc>(loc))
    return findName(call.getCallee());
  return {};
}

StringRef tensorName(Location loc) {
  NameLoc name = findName(loc);
  return name ? name.getName().getValue() : StringRef();
}

Location resultLoc(Value value) {
  auto result = llvm::dyn_cast<OpResult>(value);
  if (!result)
    return value.getLoc();
  auto fused = llvm::dyn_cast<FusedLoc>(value.getLoc());
  if (!fused || result.getResultNumber() >= fused.getLocations().size())
    return value.getLoc();
  return fused.getLocations()[result.getResultNumber()];
}

static constexpr StringLiteral kPart = "::";

std::string partName(StringRef whole, const Twine &part) {
  return (whole + kPart + part).str();
}

StringRef wholeOf(StringRef name) {
  size_t end = name.rfind(kPart);
  return end == StringRef::npos ? StringRef() : name.take_front(end);
}

Location partLoc(Location loc, const Twine &part) {
  StringRef whole = tensorName(loc);
  if (whole.empty())
    return loc;
  MLIRContext *ctx = loc.getContext();
  return NameLoc::get(StringAttr::get(ctx, partName(whole, part)),
                      NameLoc::get(StringAttr::get(ctx, nodeName(loc))));
}

StringRef tensorName(Value value) { return tensorName(resultLoc(value)); }

StringRef nodeName(Location loc) {
  NameLoc name = findName(loc);
  if (!name)
    return {};
  if (NameLoc node = findName(name.getChildLoc()))
    return node.getName().getValue();
  return name.getName().getValue();
}

void setElement(Value value, Type element) {
  if (auto type = llvm::dyn_cast<TensorType>(value.getType()))
    value.setType(type.clone(element));
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

const Weight *constantOf(Value value) {
  auto op = value.getDefiningOp<WeightOp>();
  return op ? op.getWeight() : nullptr;
}

FailureOr<SmallVector<int64_t>> constantI64s(Value value) {
  const Weight *weight = constantOf(value);
  if (!weight)
    return failure();
  SmallVector<int64_t> items;
  for (int64_t i = 0; i < weight->elements(); ++i) {
    switch (weight->dtype) {
    case DType::F32: {
      // Beyond the bounds of an i32 it says "to the end"; NaN says nothing.
      float value = weight->as<float>()[i];
      if (std::isnan(value))
        return failure();
      items.push_back(
          int64_t(std::clamp(double(value), -2147483648.0, 2147483647.0)));
      break;
    }
    case DType::I32:
      items.push_back(weight->as<int32_t>()[i]);
      break;
    default:
      return failure();
    }
  }
  return items;
}

FailureOr<ArrayRef<float>> constantF32s(Value value) {
  const Weight *weight = constantOf(value);
  if (!weight || weight->dtype != DType::F32)
    return failure();
  return ArrayRef<float>(weight->as<float>(), size_t(weight->elements()));
}

template <typename T>
static Value createWeightOf(OpBuilder &builder, StringRef base,
                            ArrayRef<int64_t> shape, std::vector<T> data,
                            DType dtype, Type element) {
  WeightStore &store = *weightsOf(builder.getInsertionBlock()->getParentOp());
  std::string name = store.freeName(base.str());
  auto owner = std::make_shared<std::vector<T>>(std::move(data));
  Weight weight;
  weight.dtype = dtype;
  weight.shape.assign(shape.begin(), shape.end());
  weight.data = std::shared_ptr<const void>(owner, owner->data());
  store.set(name, std::move(weight));
  OperationState state(NameLoc::get(builder.getStringAttr(name)),
                       WeightOp::getOperationName());
  state.addTypes(RankedTensorType::get(shape, element));
  return builder.create(state)->getResult(0);
}

Value createWeight(OpBuilder &builder, StringRef base, ArrayRef<int64_t> shape,
                   std::vector<float> data) {
  return createWeightOf(builder, base, shape, std::move(data), DType::F32,
                        builder.getF32Type());
}

Value createIndexWeight(OpBuilder &builder, StringRef base,
                        ArrayRef<int64_t> shape, std::vector<int32_t> data) {
  return createWeightOf(builder, base, shape, std::move(data), DType::I32,
                        builder.getI32Type());
}

} // namespace tpumlir::top
