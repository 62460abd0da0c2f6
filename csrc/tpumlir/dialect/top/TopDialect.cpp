#include "tpumlir/dialect/top/TopDialect.h"

#include "tpumlir/dialect/top/Recurrent.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

#include "tpumlir/dialect/top/TopDialect.cpp.inc"

#include "tpumlir/dialect/top/TopEnums.cpp.inc"

namespace tpumlir::top {

void TopDialect::initialize() {
  registerTopDialectOperations(this);
  addOperations<LSTMOp, GRUOp>();
}

} // namespace tpumlir::top
