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

def ShapeOpInterface : OpInterface<"ShapeOpInterface"> {
  let cppNamespace = "::tpumlir";
  let description = [{
    Shape inference of an op. The one statement of its shape rule: the graph
    builder, the `shape-infer` pass and the verifier all use it, through
    `inferResultTypes` (Interfaces.h), which answers for unranked operands.
  }];
  let methods = [
    InterfaceMethod<[{
      Checks operands and attributes against the op's rules and appends the
      types of its results. Every operand tensor is ranked and static. A broken
      rule is an error at the op.
      }],
      "::llvm::LogicalResult", "inferTypes",
      (ins "::llvm::SmallVectorImpl<::mlir::Type> &":$types)>,
    InterfaceMethod<[{
      Replaces attributes that depend on the operand shapes (negative axes,
      `auto_pad`, the empty kernel of a global pool) by what they stand for.
      Called after `inferTypes` succeeded.
      }],
      "void", "normalizeAttributes", (ins), /*methodBody=*/"",
      /*defaultImplementation=*/"(void)$_op;">
  ];
  let verify = [{ return ::tpumlir::detail::verifyResultShapes($_op); }];
}

def PrecisionOpInterface : OpInterface<"PrecisionOpInterface"> {
  let cppNamespace = "::tpumlir";
  let description = [{
    How an op of the chip stands to the precision of the deploy. An op has one
    precision: the float type of its results or, if it has no float result, of
    its operands. Unless an op says otherwise, each float operand has that type
    too; this verifier checks it.
  }];
  let methods = [
    InterfaceMethod<"What type a float operand has.",
      "::tpumlir::OperandPrecision", "operandPrecision",
      (ins "unsigned":$operand), /*methodBody=*/"",
      /*defaultImplementation=*/"return ::tpumlir::OperandPrecision::Same;">,
    InterfaceMethod<[{
      Whether each element of the result is one of the operands' elements: the
      op needs no arithmetic, and values of a half type stay values of it.
      }],
      "bool", "movesData", (ins), /*methodBody=*/"",
      /*defaultImplementation=*/"return false;">
  ];
  let verify = [{ return ::tpumlir::detail::verifyPrecision($_op); }];
}

def AttrRuleOpInterface : OpInterface<"AttrRuleOpInterface"> {
  let cppNamespace = "::tpumlir";
  let description = [{
    What an op declares of an attribute, for who builds ops from plain numbers.
    Expanded from the op's `arguments` (TopBase.td); nobody writes it.
  }];
  let methods = [
    StaticInterfaceMethod<"The rule of the attribute, `None` for others.",
      "::tpumlir::AttrRule", "attributeRule", (ins "::llvm::StringRef":$name)>
  ];
}

#endif
