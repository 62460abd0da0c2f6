#include "tpumlir/dialect/PlanBuilder.h"

#include "tpumlir/dialect/Interfaces.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/top/TopUtils.h"
#include "tpumlir/kernels/Layout.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Diagnostics.h"

#include <cstring>

using namespace mlir;
using namespace tpumlir::kernels;

namespace tpumlir {

Dims shapeOfResult(Value value) {
  ArrayRef<int64_t> shape = top::shapeOf(value);
  return {shape.begin(), shape.end()};
}

FailureOr<TensorDesc> describe(Value value) {
  auto type = llvm::dyn_cast<RankedTensorType>(value.getType());
  if (!type || !type.hasStaticShape())
    return emitError(value.getLoc(), "expected a tensor of static shape (run "
                                     "shape-infer first), got ")
           << value.getType();
  // What has a type of one scale, or of one per channel, and is not of Top
  // holds its integers.
  Operation *op = value.getDefiningOp();
  const bool isOfTop = op && !llvm::isa<top::WeightOp, top::InputOp>(op) &&
                       llvm::isa<top::TopDialect>(op->getDialect());
  std::optional<DType> dtype =
      isQuantized(type) && !isOfTop ? DType::F32 : dtypeOf(type);
  if (!dtype)
    return emitError(value.getLoc(),
                     "expected elements of f32, f16, bf16 or of "
                     "an integer of 8 to 32 bits, got ")
           << type.getElementType();
  ArrayRef<int64_t> shape = type.getShape();
  // Halves are held as F32, rounded where they are computed.
  return TensorDesc::plain(isFloat(*dtype) ? DType::F32 : *dtype,
                           Dims(shape.begin(), shape.end()));
}

bool PlanBuilder::has(Value operand) {
  return operand && !llvm::isa<NoneType>(operand.getType());
}

void PlanBuilder::begin(Operation *current) {
  op = current->getName().getStringRef().str();
  name = top::nodeName(current->getLoc()).str();
}

LogicalResult PlanBuilder::set(Value result, Id id) {
  FailureOr<TensorDesc> want = describe(result);
  if (failed(want))
    return failure();
  if (want->dims != dims(id))
    return emitError(result.getLoc(), "expected a result of shape ")
           << shapeText(want->dims) << ", got " << shapeText(dims(id));
  if (want->dtype != desc(id).dtype)
    return emitError(result.getLoc(), "expected a result of ")
           << dtypeName(want->dtype) << ", computed as "
           << dtypeName(desc(id).dtype);
  auto precise = llvm::dyn_cast<PrecisionOpInterface>(result.getDefiningOp());
  define(result, precise && precise.movesData() ? id : rounded(result, id));
  return success();
}

PlanBuilder::Id PlanBuilder::rounded(Value value, Id id) {
  std::optional<DType> type = dtypeOf(value);
  if (type == DType::F16)
    return elementwise(EltOp::RoundF16, id);
  if (type == DType::BF16)
    return elementwise(EltOp::RoundBF16, id);
  return id;
}

PlanBuilder::Id PlanBuilder::given(Value value, Id id) {
  if (std::optional<Quantization> type = Quantization::ofAny(value))
    return quantized(id, *type);
  return rounded(value, id);
}

PlanBuilder::Id PlanBuilder::shown(Value value) {
  if (std::optional<Quantization> type = Quantization::ofAny(value))
    return dequantized(of(value), *type);
  return of(value);
}

PlanBuilder::Id PlanBuilder::addMany(std::unique_ptr<Node> node,
                                     ArrayRef<Id> inputs,
                                     std::vector<TensorDesc> results) {
  return graph.add(std::move(node), op, name, {inputs.begin(), inputs.end()},
                   std::move(results));
}

PlanBuilder::Id PlanBuilder::add(std::unique_ptr<Node> node,
                                 ArrayRef<Id> inputs, Dims dims, DType type) {
  return addMany(std::move(node), inputs,
                 {TensorDesc::plain(type, std::move(dims))});
}

PlanBuilder::Id PlanBuilder::add(std::unique_ptr<Node> node,
                                 ArrayRef<Id> inputs, Dims dims) {
  return add(std::move(node), inputs, std::move(dims), desc(inputs[0]).dtype);
}

PlanBuilder::Id PlanBuilder::elementwise(EltProgram program,
                                         ArrayRef<Id> inputs) {
  Dims shape;
  for (Id input : inputs) {
    const Dims &own = dims(input);
    if (own.size() > shape.size())
      shape.insert(shape.begin(), own.size() - shape.size(), 1);
    for (size_t back = 1; back <= own.size(); ++back) {
      int64_t &extent = shape[shape.size() - back];
      extent = extent == 1 ? own[own.size() - back] : extent;
    }
  }
  std::vector<DType> types;
  for (Id input : inputs)
    types.push_back(desc(input).dtype);
  // What does not fit together is reported when the kernel is made.
  DType type = setTypes(program, types).value_or(types.back());
  return add(std::make_unique<ElementwiseNode>(std::move(program)), inputs,
             std::move(shape), type);
}

PlanBuilder::Id PlanBuilder::elementwise(EltOp op, ArrayRef<Id> inputs,
                                         double p, double q) {
  return elementwise(EltProgram::of(op, p, q), inputs);
}

PlanBuilder::Id PlanBuilder::cast(Id input, DType type) {
  const DType from = desc(input).dtype;
  if (from == type)
    return input;
  if (from == DType::U8)
    return add(std::make_unique<CastNode>(), input, dims(input), type);
  return elementwise(type == DType::I32 ? EltOp::ToInt : EltOp::ToFloat, input);
}

PlanBuilder::Id PlanBuilder::timesChannels(Id input, ArrayRef<float> factors) {
  Dims shape(dims(input).size(), 1);
  shape[1] = int64_t(factors.size());
  return elementwise(EltOp::Mul, {input, constant(std::move(shape), factors)});
}

PlanBuilder::Id PlanBuilder::quantized(Id input, const Quantization &type) {
  if (type.isPerChannel()) {
    std::vector<float> factors;
    for (double scale : type.channels)
      factors.push_back(1.0f / float(scale));
    EltProgram rest = EltProgram::of(EltOp::AddConst, double(type.zeroPoint));
    rest.then(EltOp::RoundEven)
        .then(EltOp::Clip, double(type.least()), double(type.greatest()));
    return elementwise(std::move(rest), timesChannels(input, factors));
  }
  EltProgram program =
      EltProgram::of(EltOp::MulConst, double(1.0f / float(type.scale)));
  if (type.zeroPoint != 0)
    program.then(EltOp::AddConst, double(type.zeroPoint));
  program.then(EltOp::RoundEven)
      .then(EltOp::Clip, double(type.least()), double(type.greatest()));
  return elementwise(std::move(program), input);
}

PlanBuilder::Id PlanBuilder::dequantized(Id input, const Quantization &type) {
  if (type.isPerChannel()) {
    std::vector<float> factors(type.channels.begin(), type.channels.end());
    return timesChannels(
        elementwise(EltOp::AddConst, input, -double(type.zeroPoint)), factors);
  }
  EltProgram program = EltProgram::of(EltOp::AddConst, -double(type.zeroPoint));
  program.then(EltOp::MulConst, double(float(type.scale)));
  return elementwise(std::move(program), input);
}

PlanBuilder::Id PlanBuilder::relu(Id input, bool doRelu, double limit) {
  if (!doRelu)
    return input;
  if (limit < 0.0)
    return elementwise(EltOp::Relu, input);
  return elementwise(EltOp::Clip, input, 0.0, limit);
}

PlanBuilder::Id PlanBuilder::reshape(Id input, Dims shape) {
  if (shape == dims(input))
    return input;
  return add(std::make_unique<ReshapeNode>(shape), input, shape);
}

PlanBuilder::Id PlanBuilder::permute(Id input, Dims permutation) {
  Dims shape;
  for (int64_t dim : permutation)
    shape.push_back(dims(input)[size_t(dim)]);
  return add(std::make_unique<PermuteNode>(std::move(permutation)), input,
             std::move(shape));
}

PlanBuilder::Id PlanBuilder::perChannel(Id input, int64_t rank) {
  Dims shape(size_t(rank), 1);
  shape[1] = desc(input).elements();
  return reshape(input, std::move(shape));
}

template <typename T>
static PlanBuilder::Id addConstant(Graph &graph, DType type, Dims shape,
                                   const std::vector<T> &values) {
  std::shared_ptr<void> data = allocate(values.size() * sizeof(T));
  std::memcpy(data.get(), values.data(), values.size() * sizeof(T));
  return graph.addConstant(TensorDesc::plain(type, std::move(shape)),
                           std::move(data));
}

PlanBuilder::Id PlanBuilder::constant(Dims shape,
                                      const std::vector<float> &values) {
  return addConstant(graph, DType::F32, std::move(shape), values);
}

PlanBuilder::Id PlanBuilder::constant(Dims shape,
                                      const std::vector<int32_t> &values) {
  return addConstant(graph, DType::I32, std::move(shape), values);
}

PlanBuilder::Id PlanBuilder::number(double value, DType type) {
  if (type == DType::I32)
    return constant({}, std::vector{int32_t(value)});
  return constant({}, std::vector{float(value)});
}

} // namespace tpumlir
