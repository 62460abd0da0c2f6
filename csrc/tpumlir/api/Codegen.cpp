#include "tpumlir/api/Codegen.h"

#include "tpumlir/api/ModuleImpl.h"
#include "tpumlir/codegen/Registry.h"
#include "tpumlir/codegen/Values.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AsmState.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/raw_ostream.h"

#include <cstring>
#include <map>

using namespace mlir;

namespace tpumlir {

namespace {

PlacedTensor placed(Value value, Value named) {
  TensorInfo info = toTensorInfo(named);
  auto type = llvm::cast<RankedTensorType>(value.getType());
  uint64_t bytes = type.getNumElements() * bytesOfElement(type);
  PlacedTensor tensor{info.name, info.dtype,
                      info.shape.value_or(std::vector<int64_t>()),
                      codegen::addressOf(value), bytes};
  if (auto stored = Quantization::of(value)) {
    tensor.scale = stored->scale;
    tensor.zeroPoint = stored->zeroPoint;
  }
  return tensor;
}

/// The bytes of a weight; an error, and none, if they are not there.
ArrayRef<uint8_t> dataOf(top::WeightOp op, const WeightStore &store) {
  const Weight *weight = store.find(top::tensorName(op.getLoc()));
  auto type = llvm::cast<RankedTensorType>(op.getType());
  size_t bytes = type.getNumElements() * bytesOfElement(type);
  if (weight && weight->bytes() == bytes)
    return {static_cast<const uint8_t *>(weight->data.get()), bytes};
  op.emitError("expected ") << bytes << " bytes of weight data, got "
                            << (weight ? weight->bytes() : 0);
  return {};
}

/// The constants of every group as its loads want them.
LogicalResult packWeights(Block &body, const WeightStore &store,
                          uint64_t coeffAddr, std::vector<uint8_t> &coeff) {
  for (Operation &op : body) {
    auto image = op.getAttrOfType<tpu::GmemAttr>(tpu::TpuDialect::kImageAttr);
    if (!image)
      continue;
    std::unique_ptr<codegen::Group> group = codegen::planGroup(&op);
    if (!group)
      return failure();
    size_t offset =
        isa::kGlobalMemory.begin + uint64_t(image.getOffset()) - coeffAddr;
    if (offset + group->imageBytes() > coeff.size())
      return op.emitError("expected tpu.image within ")
             << coeff.size() << " bytes of weights, got one that ends at "
             << offset + group->imageBytes();
    bool complete = true;
    group->fillImage(
        [&](Value value) {
          ArrayRef<uint8_t> data =
              dataOf(value.getDefiningOp<top::WeightOp>(), store);
          complete &= !data.empty();
          return data;
        },
        MutableArrayRef(coeff).slice(offset, group->imageBytes()));
    if (!complete)
      return failure();
  }
  return success();
}

/// The weights as they lie in memory, gaps zero.
LogicalResult copyWeights(Block &body, const WeightStore &store,
                          uint64_t coeffAddr, std::vector<uint8_t> &coeff) {
  for (top::WeightOp op : body.getOps<top::WeightOp>()) {
    if (tpu::isPacked(op))
      continue;
    ArrayRef<uint8_t> data = dataOf(op, store);
    if (data.empty())
      return failure();
    size_t bytes = data.size();
    size_t offset = codegen::addressOf(op) - coeffAddr;
    if (offset + bytes > coeff.size())
      return op.emitError("expected a place within ")
             << coeff.size() << " bytes of weights, got one that ends at "
             << offset + bytes;
    std::memcpy(coeff.data() + offset, data.data(), bytes);
  }
  return packWeights(body, store, coeffAddr, coeff);
}

uint64_t sizeAttr(ModuleOp module, StringRef name) {
  auto attr = module->getAttrOfType<IntegerAttr>(name);
  return attr ? attr.getInt() : 0;
}

/// The block of the only function.
Block &bodyOf(ModuleOp root) {
  auto functions = llvm::to_vector(root.getOps<func::FuncOp>());
  if (functions.size() != 1)
    throw CompileError(
        CompileError::Kind::Pass,
        {{"expected one function, got " + std::to_string(functions.size()),
          "",
          {}}});
  return functions.front().getBody().front();
}

/// Names the op that has no place, rather than failing half-way.
void requirePlaces(ModuleOp root, DiagnosticCapture &capture) {
  if (failed(checkPlaced(root)))
    capture.raise(CompileError::Kind::Pass, "pass failed", "tpu-check-placed");
}

/// Emits every op; each that fails is reported, not only the first.
void emitAll(codegen::Emitter &emitter, Block &body, DiagnosticCapture &capture,
             llvm::function_ref<bool(Operation &)> skip) {
  bool complete = true;
  Operation *group = nullptr; // the first operation of the last group
  for (Operation &op : body.without_terminator()) {
    if (tpu::groupOf(&op)) {
      if (group && tpu::sameGroup(group, &op))
        continue;
      group = &op;
      complete &= succeeded(codegen::emitGroup(emitter, &op));
      continue;
    }
    complete &= skip(op) || succeeded(codegen::emitOp(emitter, &op));
  }
  if (!complete)
    capture.raise(emitter.failed() ? CompileError::Kind::Encode
                                   : CompileError::Kind::Unsupported,
                  "code generation failed");
}

/// All that decides whether an op can be translated: its kind, attributes,
/// types without places, and which of its operands are one tensor.
std::string signatureOf(Operation &op) {
  std::string text;
  llvm::raw_string_ostream out(text);
  out << op.getName() << op.getAttrDictionary()
      << op.getPropertiesAsAttribute();
  auto type = [&](Type type) {
    if (auto tensor = llvm::dyn_cast<RankedTensorType>(type))
      type = RankedTensorType::get(tensor.getShape(), tensor.getElementType());
    out << ';' << type;
  };
  for (Value operand : op.getOperands()) {
    type(operand.getType());
    out << '@'
        << std::distance(op.operand_begin(),
                         llvm::find(op.getOperands(), operand));
  }
  out << "->";
  for (Type result : op.getResultTypes())
    type(result);
  return text;
}

/// What the emitter remembers of commands and places, as tables.
class DebugTables {
public:
  DebugTables(ModuleOp root, Program &program) : program(program) {
    // Only the printer knows the line of each op.
    OpPrintingFlags flags;
    flags.enableDebugInfo(true, false);
    AsmState state(root, flags, &lines);
    llvm::raw_null_ostream nowhere;
    root.print(nowhere, state);
  }

  void add(const codegen::Emitter &emitter) {
    for (const codegen::CommandOrigin &origin : emitter.origins)
      add(origin);
    // Those that are left out are not counted.
    std::vector<size_t> numbers;
    size_t count = 0;
    for (const codegen::PiecePlace &place : emitter.places)
      numbers.push_back(place.isDropped ? ~size_t(0) : count++);
    for (const codegen::PiecePlace &place : emitter.places)
      if (!place.isDropped)
        add(place, numbers);
  }

private:
  void add(const codegen::CommandOrigin &origin) {
    const unsigned engine = unsigned(origin.engine);
    const size_t source = sourceOf(origin.op);
    if (!program.commands.empty()) {
      ProgramCommands &last = program.commands.back();
      if (last.engine == engine && last.segment == origin.segment &&
          last.source == source && last.last + 1 == origin.id) {
        last.last = origin.id;
        return;
      }
    }
    program.commands.push_back(
        {engine, origin.segment, origin.id, origin.id, source});
  }

  void add(const codegen::PiecePlace &place, ArrayRef<size_t> numbers) {
    ProgramLayout layout{tensorOf(place.piece.value),
                         place.isLocal,
                         place.everyLane,
                         place.size,
                         place.stride,
                         place.piece.stride};
    auto [known, isNew] = layouts.try_emplace(layout, program.layouts.size());
    if (isNew)
      program.layouts.push_back(layout);
    std::vector<size_t> reads;
    for (size_t read : place.reads)
      if (numbers[read] != ~size_t(0))
        reads.push_back(numbers[read]);
    program.places.push_back({unsigned(place.engine), place.segment,
                              place.first, place.last, sourceOf(place.op),
                              known->second, place.addr, place.piece.begin,
                              place.piece.slice, std::move(reads)});
  }

  size_t sourceOf(Operation *op) {
    auto [known, isNew] = sources.try_emplace(op, program.sources.size());
    if (isNew)
      program.sources.push_back({op->getName().getStringRef().str(),
                                 top::tensorName(op->getLoc()).str(),
                                 top::nodeName(op->getLoc()).str(),
                                 lines.lookup(op).first});
    return known->second;
  }

  size_t tensorOf(Value value) {
    auto [known, isNew] = tensors.try_emplace(value, program.tensors.size());
    if (isNew) {
      ProgramTensor tensor{toTensorInfo(value), std::nullopt};
      // Those of a filter are not told.
      if (tensor.info.axis && value.getDefiningOp<top::WeightOp>())
        tensor.info.scales.clear();
      if (tpu::placeOf(value))
        tensor.address = codegen::addressOf(value);
      program.tensors.push_back(std::move(tensor));
    }
    return known->second;
  }

  Program &program;
  AsmState::LocationMap lines;
  DenseMap<Operation *, size_t> sources;
  DenseMap<Value, size_t> tensors;
  std::map<ProgramLayout, size_t> layouts;
};

} // namespace

void checkCode(const Module &module) {
  ModuleImpl &impl = module.get();
  std::shared_lock lock(impl.mutex);
  DiagnosticCapture capture(impl.context());
  requirePlaces(impl.module(), capture);
  Block &body = bodyOf(impl.module());
  llvm::StringSet<> fine;
  codegen::Emitter emitter(codegen::Emitter::Mode::Check);
  emitAll(emitter, body, capture, [&](Operation &op) {
    std::string signature = signatureOf(op);
    if (fine.contains(signature))
      return true;
    // One that fails is looked at again with each like it, which it names.
    codegen::Emitter alone(codegen::Emitter::Mode::Check);
    bool passes = false;
    {
      DiagnosticCapture quiet(impl.context());
      passes = succeeded(codegen::emitOp(alone, &op));
    }
    if (passes)
      fine.insert(signature);
    return passes;
  });
}

Program compile(const Module &module, bool debug) {
  ModuleImpl &impl = module.get();
  std::shared_lock lock(impl.mutex);
  DiagnosticCapture capture(impl.context());
  ModuleOp root = impl.module();
  requirePlaces(root, capture);
  Block &body = bodyOf(root);

  Program program;
  program.name = root.getName().value_or("").str();
  program.coeffAddr = sizeAttr(root, "module.coeff_addr");
  program.coeff.resize(sizeAttr(root, "module.coeff_size"));
  program.ctxAddr = sizeAttr(root, "module.neuron_addr");
  program.ctxSize = sizeAttr(root, "module.neuron_size");
  if (failed(copyWeights(body, impl.weights, program.coeffAddr, program.coeff)))
    capture.raise(CompileError::Kind::Pass, "weights are missing");
  for (top::InputOp op : body.getOps<top::InputOp>())
    program.inputs.push_back(placed(op.getOutput(), op.getOutput()));
  for (Value value : body.getTerminator()->getOperands())
    program.outputs.push_back(placed(value, value));

  codegen::Emitter emitter;
  emitAll(emitter, body, capture, [](Operation &) { return false; });
  emitter.finish();
  for (codegen::CommandSegment &segment : emitter.segments)
    program.segments.push_back({std::move(segment.tiu), std::move(segment.gdma),
                                segment.tiuCount, segment.gdmaCount});
  if (debug)
    DebugTables(root, program).add(emitter);
  return program;
}

} // namespace tpumlir
