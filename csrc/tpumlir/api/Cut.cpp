#include "tpumlir/api/Cut.h"

#include "tpumlir/api/ModuleImpl.h"
#include "tpumlir/api/Pipeline.h"
#include "tpumlir/dialect/top/TopDialect.h"
#include "tpumlir/dialect/tpu/TpuDialect.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace tpumlir {

namespace {

class Cutter {
public:
  /// Builds the part at the end of `target`.
  Cutter(func::FuncOp whole, ModuleOp target, bool isTpu)
      : whole(whole), b(&target.getBodyRegion()), isTpu(isTpu) {
    for (Operation &op : body())
      if (!llvm::isa<top::WeightOp, top::NoneOp>(op))
        for (Value result : op.getResults())
          // An absent one has the name of another.
          if (!llvm::isa<NoneType>(result.getType()))
            named[top::tensorName(result)] = result;
    // An output may be the copy of an input or a constant, under its name.
    for (Value result : body().getTerminator()->getOperands())
      if (!result.getDefiningOp<top::WeightOp>())
        named[top::tensorName(result)] = result;
  }

  void run(std::span<const std::string> inputs,
           std::span<const std::string> outputs) {
    SmallVector<Value> from, to;
    for (const std::string &name : inputs)
      from.push_back(find(name));
    for (const std::string &name : outputs)
      to.push_back(find(name));
    markNeeded(from, to);
    build(from, to);
  }

  std::vector<Diagnostic> problems;

private:
  Block &body() { return whole.getBody().front(); }

  void complain(StringRef message, StringRef tensor) {
    problems.push_back({message.str(), tensor.str(), {}});
  }

  Value find(StringRef name) {
    Value value = named.lookup(name);
    if (!value)
      complain("expected a tensor that an operation of the module computes",
               name);
    return value;
  }

  /// Walks from the outputs back to the inputs.
  void markNeeded(ArrayRef<Value> from, ArrayRef<Value> to) {
    if (!problems.empty())
      return;
    llvm::DenseSet<Value> reached;
    SmallVector<Value> open(to);
    while (!open.empty()) {
      Value value = open.pop_back_val();
      if (!reached.insert(value).second || llvm::is_contained(from, value))
        continue;
      Operation *op = value.getDefiningOp();
      if (!op || llvm::isa<top::InputOp>(op))
        complain("expected the inputs of the cut to cover this model input",
                 top::tensorName(value));
      else if (needed.insert(op).second)
        llvm::append_range(open, op->getOperands());
    }
    for (Value value : from) {
      if (llvm::is_contained(to, value))
        complain("expected an input or an output of the cut, got both",
                 top::tensorName(value));
      else if (!reached.contains(value))
        complain("expected an input that an output of the cut depends on",
                 top::tensorName(value));
    }
  }

  void build(ArrayRef<Value> from, ArrayRef<Value> to) {
    if (!problems.empty())
      return;
    auto part = func::FuncOp::create(b, whole.getLoc(), whole.getName(),
                                     b.getFunctionType({}, {}));
    Block *block = part.addEntryBlock();
    b.setInsertionPointToEnd(block);
    IRMapping map;
    for (Value value : from)
      map.map(value, addInput(value, *block));
    for (Operation &op : body())
      if (needed.contains(&op))
        b.clone(op, map);
    SmallVector<Value> results =
        llvm::map_to_vector(to, [&](Value value) { return map.lookup(value); });
    func::ReturnOp::create(b, whole.getLoc(), results);
    if (isTpu) {
      castResultsToF32(part);
      copyUnwrittenResults(part);
    }
    part.setType(b.getFunctionType(block->getArgumentTypes(),
                                   block->getTerminator()->getOperandTypes()));
  }

  /// A model input in the place of `value`, with its name. As those of a whole
  /// model it is f32 where `value` has a half type, or integers of Tpu that
  /// stand for numbers.
  Value addInput(Value value, Block &block) {
    // The model's own input stays what it is, with what it says about images.
    if (auto input = value.getDefiningOp<top::InputOp>()) {
      IRMapping map;
      map.map(input.getInput(),
              block.addArgument(input.getInput().getType(), b.getUnknownLoc()));
      return b.clone(*input, map)->getResult(0);
    }
    auto type = llvm::cast<RankedTensorType>(value.getType());
    const bool isHalf = llvm::isa<FloatType>(type.getElementType()) &&
                        dtypeOf(value) != DType::F32;
    const bool isNarrow = isHalf || (isTpu && isQuantized(type));
    RankedTensorType outer = isNarrow ? type.clone(b.getF32Type()) : type;
    OperationState op(top::resultLoc(value), top::InputOp::getOperationName());
    op.addOperands(block.addArgument(outer, b.getUnknownLoc()));
    op.addTypes(outer);
    Value input = b.create(op)->getResult(0);
    return isNarrow ? createCast(input, type.getElementType()) : input;
  }

  func::FuncOp whole;
  OpBuilder b;
  bool isTpu;
  llvm::StringMap<Value> named;
  llvm::DenseSet<Operation *> needed;
};

} // namespace

Module cut(const Module &from, std::span<const std::string> inputs,
           std::span<const std::string> outputs) {
  ModuleImpl &source = from.get();
  std::shared_lock lock(source.mutex);
  DiagnosticCapture capture(source.context());
  auto main = source.module().lookupSymbol<func::FuncOp>("main");
  if (!main || !main.getBody().hasOneBlock())
    throw CompileError(CompileError::Kind::Verify,
                       {{"expected a function @main of one block", "", {}}});
  std::shared_ptr<ModuleImpl> part = source.cloneWithoutBody();
  auto state = part->module()->getAttrOfType<StringAttr>("module.state");
  Cutter cutter(main, part->module(),
                state && state.getValue().starts_with("TPU"));
  cutter.run(inputs, outputs);
  if (!cutter.problems.empty())
    throw CompileError(CompileError::Kind::Verify, cutter.problems);
  lock.unlock();
  if (failed(verify(part->module())))
    capture.raise(CompileError::Kind::Verify, "the cut is not a module");
  part->pruneWeights(); // those of what was cut away
  Module module(std::move(part));
  bool addressed = state && state.getValue() == "TPU_ADDRESSED";
  return addressed ? finalize(module, {}) : module;
}

} // namespace tpumlir
