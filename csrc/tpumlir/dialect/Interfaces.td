#ifndef TPUMLIR_INTERFACES
#define TPUMLIR_INTERFACES

include "mlir/IR/OpBase.td"

def PlanOpInterface : OpInterface<"PlanOpInterface"> {
  let cppNamespace = "::tpumlir";
  let description = [{
    What the interpreter needs of an op: it appends the kernels that compute
    its results to a plan. Called at the first inference, never at load.
  }];
  let methods = [
    InterfaceMethod<"Appends the kernels of this op to `plan`.",
      "::llvm::LogicalResult", "plan", (ins "::tpumlir::PlanBuilder &":$plan)>
  ];
}

#endif
