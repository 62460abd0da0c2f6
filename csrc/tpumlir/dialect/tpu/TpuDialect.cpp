#include "tpumlir/dialect/tpu/TpuDialect.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

#include "tpumlir/dialect/tpu/TpuDialect.cpp.inc"

#include "tpumlir/dialect/tpu/TpuEnums.cpp.inc"

#define GET_OP_CLASSES
#include "tpumlir/dialect/tpu/TpuOps.cpp.inc"

namespace tpumlir::tpu {

void TpuDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "tpumlir/dialect/tpu/TpuOps.cpp.inc"
      >();
}

} // namespace tpumlir::tpu
