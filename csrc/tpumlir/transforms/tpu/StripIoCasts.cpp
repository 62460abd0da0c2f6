#include "tpumlir/dialect/top/TopUtils.h"
#include "tpumlir/transforms/tpu/TpuPasses.h"

#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/SetVector.h"

/// Inputs and outputs of the model in the type that the chip computes with.
using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_STRIPIOCASTS
#include "tpumlir/transforms/tpu/TpuPasses.h.inc"

namespace {

bool isF32Tensor(Value value) {
  return isFloatTensor(value) && getElementTypeOrSelf(value).isF32();
}

/// A half type, or one with a scale and a zero point of 8 bits.
bool isNarrow(Value value) {
  return (isFloatTensor(value) && !getElementTypeOrSelf(value).isF32()) ||
         Quantization::of(value);
}

/// What reads an input: casts to one type, also behind ops that move the whole
/// of it and nothing else.
struct Readers {
  Type type;
  SmallVector<tpu::CastOp> casts;
  SmallVector<Operation *> moves;

  /// An empty text, or what stands against the narrow type.
  std::string add(Value value) {
    for (Operation *user : value.getUsers()) {
      if (auto cast = dyn_cast<tpu::CastOp>(user);
          cast && isNarrow(cast.getOutput())) {
        Type element = getElementTypeOrSelf(cast.getOutput());
        if (type && type != element)
          return "its readers take it in several types";
        type = element;
        casts.push_back(cast);
        continue;
      }
      if (isa<tpu::ReshapeOp, tpu::PermuteOp, tpu::SliceOp>(user) &&
          user->getOperand(0) == value) {
        moves.push_back(user);
        if (std::string why = add(user->getResult(0)); !why.empty())
          return why;
        continue;
      }
      if (isa<func::ReturnOp>(user))
        return "it is an output too";
      return "'" + top::nodeName(user->getLoc()).str() + "' (" +
             user->getName().getStringRef().str() + ") reads it in f32";
    }
    return "";
  }
};

struct StripIoCasts : impl::StripIoCastsBase<StripIoCasts> {
  using StripIoCastsBase::StripIoCastsBase;

  void runOnOperation() override {
    bool complete = true;
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      if (allInputs || !inputs.empty())
        for (auto [i, input] :
             llvm::enumerate(function.getBody().front().getOps<top::InputOp>()))
          complete &= strip(input, llvm::is_contained(inputs, int64_t(i)));
      Operation *end = function.getBody().front().getTerminator();
      if (allOutputs || !outputs.empty())
        for (OpOperand &operand : end->getOpOperands())
          complete &= strip(operand);
      function.setType(FunctionType::get(&getContext(),
                                         function.getBody().getArgumentTypes(),
                                         end->getOperandTypes()));
    }
    if (!complete)
      signalPassFailure();
  }

  /// What becomes of one that stays as it is: an error if its name was given.
  static bool keep(Operation *op, StringRef what, StringRef name, bool named,
                   const Twine &why) {
    if (!named)
      return true;
    op->emitError("expected ")
        << what << " '" << name << "' in one type of 8 or 16 bits, but " << why
        << " (leave it out of --quant_" << what << "_list)";
    return false;
  }

  bool strip(top::InputOp input, bool named) {
    Value value = input.getOutput();
    StringRef name = top::tensorName(value);
    if (!named && !allInputs)
      return true;
    if (!isF32Tensor(value))
      return keep(input, "input", name, named, "it is no tensor of floats");
    Readers readers;
    if (std::string why = readers.add(value); !why.empty())
      return keep(input, "input", name, named, why);
    if (!readers.type)
      return keep(input, "input", name, named, "nothing reads it");
    top::setElement(input.getInput(), readers.type);
    top::setElement(value, readers.type);
    for (Operation *move : readers.moves)
      top::setElement(move->getResult(0), readers.type);
    for (tpu::CastOp cast : readers.casts) {
      cast.getOutput().replaceAllUsesWith(cast.getInput());
      cast.erase();
    }
    return true;
  }

  bool strip(OpOperand &operand) {
    Value value = operand.get();
    StringRef name = top::tensorName(value);
    const bool named =
        llvm::is_contained(outputs, int64_t(operand.getOperandNumber()));
    if (!named && !allOutputs)
      return true;
    Operation *end = operand.getOwner();
    if (!isFloatTensor(value))
      return keep(end, "output", name, named, "it is no tensor of floats");
    auto cast = value.getDefiningOp<tpu::CastOp>();
    if (!cast || !isF32Tensor(value) || !isNarrow(cast.getInput()))
      return keep(end, "output", name, named, "it is computed in f32");
    Value source = cast.getInput();
    // A tensor of the model keeps its own name.
    if (top::wholeOf(top::tensorName(source)) != name ||
        source.getDefiningOp()->getNumResults() != 1)
      return keep(end, "output", name, named,
                  "it is another name of '" + top::tensorName(source) + "'");
    source.getDefiningOp()->setLoc(cast.getLoc());
    operand.set(source);
    if (cast->use_empty())
      cast.erase();
    else
      cast->setLoc(top::partLoc(source.getLoc(), "f32"));
    return true;
  }
};

} // namespace

} // namespace tpumlir
