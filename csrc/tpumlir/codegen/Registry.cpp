#include "tpumlir/codegen/Registry.h"

#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Map.h"

#include "llvm/ADT/DenseMap.h"

using namespace mlir;

namespace tpumlir::codegen {

/// Element types that code generation knows, all operands included.
static LogicalResult checkTypes(Operation *op) {
  bool takesBytes =
      llvm::isa<top::InputOp, tpu::CastOp, tpu::ReshapeOp, tpu::SliceOp>(op);
  auto check = [&](Type type) -> LogicalResult {
    auto tensor = llvm::dyn_cast<RankedTensorType>(type);
    if (!tensor)
      return success();
    std::optional<tpumlir::DType> element = tpumlir::dtypeOf(type);
    if (element && (isFloat(*element) || element == tpumlir::DType::I32))
      return success();
    if (element == tpumlir::DType::U8 && takesBytes)
      return success();
    std::optional<ElementType> quantised = ElementType::of(type);
    if (quantised && quantised->isQuantized() && quantised->bytes() == 1)
      return success();
    return op->emitError(
               "expected elements of f32, f16, bf16, i32 or quantised "
               "to 8 bits, got ")
           << tensor.getElementType();
  };
  for (Type type :
       llvm::concat<const Type>(op->getOperandTypes(), op->getResultTypes()))
    if (failed(check(type)))
      return failure();
  return success();
}

namespace {

using EmitFn = LogicalResult (*)(Emitter &, Operation *);

/// Whether an op is one of MapOps.def.
template <typename OpTy>
constexpr bool isMap = llvm::is_one_of<OpTy
#define MAP_OP(name) , tpu::name##Op
#include "tpumlir/codegen/MapOps.def"
                                       >::value;

template <typename OpTy> LogicalResult emitAs(Emitter &em, Operation *op) {
  if constexpr (isMap<OpTy>)
    return emitMap(em, op, mapOf(cast<OpTy>(op)));
  else
    return emit(em, cast<OpTy>(op));
}
LogicalResult emitNothing(Emitter &, Operation *) { return success(); }

/// A row for each of `Ops`.
template <typename... Ops> DenseMap<TypeID, EmitFn> rowsOf() {
  DenseMap<TypeID, EmitFn> rows;
  (rows.insert({TypeID::get<Ops>(), emitAs<Ops>}), ...);
  // What is there before the program runs.
  for (TypeID id : {TypeID::get<top::NoneOp>(), TypeID::get<top::WeightOp>(),
                    TypeID::get<top::InputOp>()})
    rows.insert({id, emitNothing});
  return rows;
}

} // namespace

LogicalResult emitOp(Emitter &em, Operation *op) {
  static const DenseMap<TypeID, EmitFn> rows = rowsOf<
#define GET_OP_LIST
#include "tpumlir/dialect/tpu/TpuOpList.inc"
      >();
  em.setOp(op);
  if (failed(checkTypes(op)))
    return failure();
  auto row = rows.find(op->getName().getTypeID());
  if (row == rows.end())
    return op->emitError("expected an op with code generation, got ")
           << op->getName();
  em.beginAlone();
  const bool emitted = succeeded(row->second(em, op)) && !em.failed();
  em.endAlone();
  return success(emitted);
}

bool readsConstant(Operation *op, Value constant) {
  // What is emitted as a group of one states all that it reads.
  auto product = llvm::dyn_cast<tpu::MatMulOp>(op);
  if (!product || !isQuantized(product.getInput()))
    return true;
  const SmallVector<KernelPtr> kernels =
      localKernels(op, MatrixTensors::of(op));
  auto isIt = [&](const auto &operand) { return operand.value == constant; };
  return kernels.empty() || llvm::any_of(kernels, [&](const KernelPtr &kernel) {
           return llvm::any_of(kernel->inputs, isIt) ||
                  llvm::any_of(kernel->wholes, isIt);
         });
}

SmallVector<Operation *> groupFrom(Operation *op) {
  SmallVector<Operation *> ops;
  for (Operation *next = op; next; next = next->getNextNode())
    if (tpu::sameGroup(op, next))
      ops.push_back(next);
  return ops;
}

std::unique_ptr<Group> planGroup(Operation *op) {
  tpu::GroupAttr attr = tpu::groupOf(op);
  SmallVector<Operation *> ops = groupFrom(op);
  // What the others read must be there before the first of them.
  for (Operation *other : ops)
    for (Value operand : other->getOperands())
      if (Operation *from = operand.getDefiningOp();
          from && !tpu::sameGroup(op, from) && op->isBeforeInBlock(from) &&
          !llvm::isa<top::WeightOp, top::NoneOp, top::InputOp>(from)) {
        other->emitError("expected operands of group ")
            << attr.getId() << " to be computed before it, got "
            << from->getName();
        return nullptr;
      }
  // Memory is shared as if a group ran at once.
  for (Operation *next = op; next != ops.back(); next = next->getNextNode())
    if (llvm::isa_and_nonnull<tpu::TpuDialect>(next->getDialect()) &&
        !tpu::sameGroup(op, next)) {
      next->emitError("expected the operations of group ")
          << attr.getId() << " to follow each other, got " << next->getName()
          << " between them";
      return nullptr;
    }
  const MatrixTensors matrices = MatrixTensors::of(ops);
  for (Operation *other : ops) {
    if (failed(checkTypes(other)))
      return nullptr;
    if (!Group::mayJoin(other)) {
      other->emitError("expected operations of group ")
          << attr.getId() << " to have a local form, got " << other->getName();
      return nullptr;
    }
    for (const KernelPtr &kernel : localKernels(other, matrices))
      for (const WholeInput &whole : kernel->wholes)
        if (Operation *from = whole.value.getDefiningOp();
            from && tpu::sameGroup(op, from)) {
          other->emitError(
              "expected filters and other whole operands of group ")
              << attr.getId()
              << " to be computed before it, whole operands are not sliced, "
                 "got "
              << from->getName() << " in the group";
          return nullptr;
        }
  }
  std::unique_ptr<Group> group = Group::plan(ops, {attr.getN(), attr.getH()});
  if (!group) {
    op->emitError("expected group ")
        << attr.getId() << " of " << ops.size()
        << " operations to fit into local memory in " << attr.getN() << " x "
        << attr.getH() << " slices (run tpu-group again)";
    return nullptr;
  }
  if (group->imageBytes() != attr.getImage()) {
    op->emitError("expected image = ")
        << group->imageBytes() << ", the bytes of the constants of group "
        << attr.getId() << ", got " << attr.getImage()
        << " (run tpu-group again)";
    return nullptr;
  }
  return group;
}

LogicalResult emitGroup(Emitter &em, Operation *op) {
  std::unique_ptr<Group> group = planGroup(op);
  if (!group)
    return failure();
  auto image = op->getAttrOfType<tpu::GmemAttr>(tpu::TpuDialect::kImageAttr);
  if (!image && group->imageBytes() > 0)
    return op->emitError("expected tpu.image, the place of ")
           << group->imageBytes()
           << " bytes of constants of the group (run address-assign)";
  group->emit(em, isa::kGlobalMemory.begin +
                      uint64_t(image ? image.getOffset() : 0));
  return success(!em.failed());
}

} // namespace tpumlir::codegen
