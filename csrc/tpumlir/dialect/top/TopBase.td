#ifndef TPUMLIR_TOP_BASE
#define TPUMLIR_TOP_BASE

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "tpumlir/dialect/Interfaces.td"
include "tpumlir/dialect/top/TopEnums.td"

def Top_Dialect : Dialect {
  let name = "top";
  let cppNamespace = "::tpumlir::top";
  let summary = "What the model says: chip-free, F32";
  let description = [{
    Names, operands, attributes and spellings are those of TPU-MLIR's Top
    dialect, so that its text is read and written both ways. Attributes that we
    do not know are kept.

    The location of an op is the name of the tensor it computes. Tensors are
    f32; those that the model has as integers are i32. `top.None`
    stands for an operand that is not there. Axes may be negative; `shape-infer`
    writes them positive.
  }];
  // The generic form then prints every attribute in one dictionary, as the
  // vendor's LLVM 18 does.
  let usePropertiesForAttributes = 0;
  let extraClassDeclaration = [{
    /// Data of the `top.Weight` ops of each module in this context.
    ::tpumlir::top::ModuleWeights &moduleWeights() { return weights; }

  private:
    ::tpumlir::top::ModuleWeights weights;
  }];
}

//===----------------------------------------------------------------------===//
// Attribute kinds: the vendor's storage, plain C++ values in the accessors
//===----------------------------------------------------------------------===//

def Top_F64 : FloatAttrBase<F64, "64-bit float attribute"> {
  let returnType = "double";
  let convertFromStorage = "$_self.getValueAsDouble()";
  let constBuilderCall = "$_builder.getF64FloatAttr($0)";
}
def Top_I64 : SignlessIntegerAttrBase<I64, "64-bit integer attribute"> {
  let returnType = "int64_t";
  let convertFromStorage = "$_self.getInt()";
  let constBuilderCall = "$_builder.getI64IntegerAttr($0)";
}
def Top_I32 : SignlessIntegerAttrBase<I32, "32-bit integer attribute"> {
  let returnType = "int64_t";
  let convertFromStorage = "$_self.getInt()";
  let constBuilderCall = "$_builder.getI32IntegerAttr($0)";
}
def Top_SI32 : SignedIntegerAttrBase<SI32, "signed 32-bit integer attribute"> {
  let returnType = "int64_t";
  let convertFromStorage = "$_self.getSInt()";
  let constBuilderCall = "$_builder.getSI32IntegerAttr($0)";
}
def Top_I64s : TypedArrayAttrBase<I64Attr, "64-bit integer array attribute"> {
  let returnType = "::llvm::SmallVector<int64_t>";
  let convertFromStorage = "::tpumlir::top::toI64s($_self)";
  let constBuilderCall = "$_builder.getI64ArrayAttr($0)";
}
def Top_I32s : TypedArrayAttrBase<I32Attr, "32-bit integer array attribute"> {
  let returnType = "::llvm::SmallVector<int64_t>";
  let convertFromStorage = "::tpumlir::top::toI64s($_self)";
  let constBuilderCall = "::tpumlir::top::toI32Array($_builder, $0)";
}
def Top_F64s : TypedArrayAttrBase<F64Attr, "64-bit float array attribute"> {
  let returnType = "::llvm::SmallVector<double>";
  let convertFromStorage = "::tpumlir::top::toF64s($_self)";
  let constBuilderCall = "$_builder.getF64ArrayAttr($0)";
}

class Top_Default<Attr attr, string value> : DefaultValuedAttr<attr, value>;

/// One of a few words that only readers of the text care for.
class Top_PlainWords<list<string> words_>
    : StringBasedAttr<
        Or<!foreach(word, words_,
                    CPred<"::llvm::isa<::mlir::StringAttr>($_self) && "
                          "::llvm::cast<::mlir::StringAttr>($_self).getValue() "
                          "== \"" # word # "\"">)>,
        "one of " # !interleave(words_, ", ")> {
  list<string> words = words_;
}
/// One of the words of an enumeration: a string in the text, the enumeration in
/// C++.
class Top_Words<I32EnumAttr info>
    : Top_PlainWords<!foreach(word, info.enumerants, word.str)> {
  string enumeration = info.cppNamespace # "::" # info.className;
  let returnType = enumeration;
  let convertFromStorage = "*" # info.cppNamespace # "::" #
                           info.stringToSymbolFnName # "($_self.getValue())";
  let constBuilderCall = "$_builder.getStringAttr(" # info.cppNamespace #
                         "::" # info.symbolToStringFnName # "($0))";
}
class Top_DefaultWord<Attr words, string word>
    : DefaultValuedAttr<words, "\"" # word # "\"">;

def Top_RoundMode
    : Top_PlainWords<["HalfAwayFromZero", "HalfUp", "HalfDown", "HalfToEven",
                      "HalfToOdd", "HalfTowardsZero", "TowardsZero", "Up",
                      "Down"]>;
def Top_AutoPad : Top_Words<Top_AutoPadEnum>;
def Top_DqType
    : Top_PlainWords<["NONE", "F16", "BF16", "INT8", "INT4", "F8E4M3", "F4",
                      "MXF4"]>;

def Top_CompareMode : Top_Words<Top_CompareModeEnum>;
def Top_BitwiseMode : Top_Words<Top_BitwiseModeEnum>;
def Top_ReduceMode : Top_Words<Top_ReduceModeEnum>;
def Top_ArgMode : Top_Words<Top_ArgModeEnum>;

defvar Top_Round = (ins
  Top_DefaultWord<Top_RoundMode, "HalfAwayFromZero">:$round_mode);
/// `do_relu` clamps the result to [0, relu_limit]; a negative limit is none.
defvar Top_Relu = (ins Top_Default<BoolAttr, "false">:$do_relu,
                       Top_Default<Top_F64, "-1.0">:$relu_limit);
defvar Top_Scalar = (ins Top_Default<BoolAttr, "false">:$is_scalar);

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

/// A tensor; the element type is f32 unless a vendor file says otherwise.
def Top_Tensor : AnyTypeOf<[AnyRankedTensor, AnyUnrankedTensor], "tensor">;
def Top_TensorOrNone
    : AnyTypeOf<[AnyRankedTensor, AnyUnrankedTensor, NoneType],
                "tensor or none">;

/// Marks the ops into which a following Relu is fused (`do_relu`).
def SupportFuseRelu : NativeOpTrait<"SupportFuseRelu"> {
  let cppNamespace = "::tpumlir::top";
}

/// What an attribute declares, see AttrRule.
class Top_AttrRule<string name, Attr attr> {
  defvar stated = !if(!initialized(attr.baseAttr), attr.baseAttr, attr);
  defvar kind = !cond(
      !eq(!cast<string>(stated), "Top_F64") : "F64",
      !eq(!cast<string>(stated), "Top_I64") : "I64",
      !eq(!cast<string>(stated), "Top_I32") : "I32",
      !eq(!cast<string>(stated), "Top_SI32") : "SI32",
      !eq(!cast<string>(stated), "Top_F64s") : "F64s",
      !eq(!cast<string>(stated), "Top_I64s") : "I64s",
      !eq(!cast<string>(stated), "Top_I32s") : "I32s",
      !eq(!cast<string>(stated), "BoolAttr") : "Bool",
      !isa<Top_PlainWords>(stated) : "Word",
      !eq(!cast<string>(stated), "StrAttr") : "Word");
  defvar words = !if(!isa<Top_PlainWords>(stated),
                     !interleave(!cast<Top_PlainWords>(stated).words, ","), "");
  string text = "\n        .Case(\"" # name # "\", {::tpumlir::AttrKind::" #
                kind # ", \"" # attr.summary # "\", \"" # words # "\"})";
}
/// Gives an op its AttrRuleOpInterface, from the declarations of `arguments`.
class Top_StatesAttrRules<dag args>
    : NativeOpTrait<"StatesAttrRules", [], [{
    static ::tpumlir::AttrRule attributeRule(::llvm::StringRef name) {
      return ::llvm::StringSwitch<::tpumlir::AttrRule>(name)}] #
        !interleave(!foreach(i, !range(!size(args)),
            !if(!initialized(!getdagarg<Attr>(args, i)),
                Top_AttrRule<!getdagname(args, i),
                             !getdagarg<Attr>(args, i)>.text, "")), "") #
        "\n        .Default({});\n    }\n"> {
  let cppNamespace = "::tpumlir::top";
}

class Top_BaseOp<string mnemonic, list<Trait> stated = []>
    : Op<Top_Dialect, mnemonic, stated> {
  let traits = !listconcat(stated, [AttrRuleOpInterface,
                                    Top_StatesAttrRules<arguments>]);
}

/// An op that computes. One line per thing that every such op has.
class Top_Op<string mnemonic, list<Trait> traits = []>
    : Top_BaseOp<mnemonic, !listconcat(traits, [
        Pure,
        DeclareOpInterfaceMethods<ShapeOpInterface>,
        DeclareOpInterfaceMethods<PlanOpInterface>,
      ])>;

/// As Top_Op, with `normalizeAttributes` of its own.
class Top_NormalizedOp<string mnemonic, list<Trait> traits = []>
    : Top_BaseOp<mnemonic, !listconcat(traits, [
        Pure,
        DeclareOpInterfaceMethods<ShapeOpInterface, ["normalizeAttributes"]>,
        DeclareOpInterfaceMethods<PlanOpInterface>,
      ])>;

/// inferTypes of an op whose result has the type of its operand.
defvar Top_SameType = [{
    ::llvm::LogicalResult $cppClass::inferTypes(
        ::llvm::SmallVectorImpl<::mlir::Type> &types) {
      types.push_back((*this)->getOperand(0).getType());
      return ::mlir::success();
    }
}];

/// One operand `input`, a result of its type.
class Top_SameTypeOp<string mnemonic, list<Trait> traits = []>
    : Top_Op<mnemonic, traits> {
  let arguments = (ins Top_Tensor:$input);
  let results = (outs Top_Tensor:$output);
  let extraClassDefinition = Top_SameType;
}

#endif
