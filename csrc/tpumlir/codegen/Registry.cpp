#include "tpumlir/codegen/Registry.h"

#include "tpumlir/codegen/Families.h"

#include "llvm/ADT/DenseMap.h"

using namespace mlir;

namespace tpumlir::codegen {

/// Element types that code generation knows, all operands included.
static LogicalResult checkTypes(Operation *op) {
  auto check = [&](Type type) -> LogicalResult {
    auto tensor = llvm::dyn_cast<RankedTensorType>(type);
    if (!tensor)
      return success();
    std::optional<tpumlir::DType> element = tpumlir::dtypeOf(type);
    if (element && (isFloat(*element) || element == tpumlir::DType::I32))
      return success();
    return op->emitError("expected elements of f32, f16, bf16 or i32, got ")
           << tensor.getElementType();
  };
  for (Type type :
       llvm::concat<const Type>(op->getOperandTypes(), op->getResultTypes()))
    if (failed(check(type)))
      return failure();
  return success();
}

/// It lies where its input lies.
template <> LogicalResult emit(Emitter &em, tpu::ReshapeOp op) {
  return success();
}

namespace {

using EmitFn = LogicalResult (*)(Emitter &, Operation *);

template <typename OpTy> LogicalResult emitAs(Emitter &em, Operation *op) {
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
  return success(succeeded(row->second(em, op)) && !em.failed());
}

} // namespace tpumlir::codegen
