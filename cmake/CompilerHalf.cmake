# The compiler half: MLIR and oneDNN. Included by the top CMakeLists.txt, after Packages.cmake.

list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
include(TableGen)
include(AddLLVM)
include(AddMLIR)
include_directories(SYSTEM ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
include_directories(csrc ${CMAKE_BINARY_DIR}/csrc)

# tpumlir_tablegen(<dir> <td> <inc> args...): one generated file beside the
# place its source has, under the build tree.
function(tpumlir_tablegen dir td inc)
  set(out ${CMAKE_BINARY_DIR}/csrc/tpumlir/${dir}/${inc})
  file(GLOB_RECURSE deps CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/csrc/tpumlir/*.td)
  add_custom_command(OUTPUT ${out}
    COMMAND ${MLIR_TABLEGEN_EXE} ${ARGN} -I ${CMAKE_CURRENT_SOURCE_DIR}/csrc
            -I ${MLIR_INCLUDE_DIRS}
            ${CMAKE_CURRENT_SOURCE_DIR}/csrc/tpumlir/${dir}/${td} --write-if-changed -o ${out}
    DEPENDS ${deps} VERBATIM COMMAND_EXPAND_LISTS)
  set_property(GLOBAL APPEND PROPERTY TPUMLIR_TABLEGEN_OUTPUTS ${out})
endfunction()

# tpumlir_dialect(<dir> <td> <Name> <shards>): the generated definitions of a
# dialect's ops are compiled in shards; in one piece they take a minute and
# 1.5 GB.
function(tpumlir_dialect dir td name shards)
  string(TOLOWER ${name} low)
  math(EXPR last "${shards} - 1")
  foreach(shard RANGE ${last})
    set(source ${CMAKE_BINARY_DIR}/csrc/tpumlir/${dir}/${name}OpsShard${shard}.cpp)
    file(CONFIGURE OUTPUT ${source} @ONLY CONTENT
"#include \"tpumlir/@dir@/@name@Dialect.h\"
#include \"mlir/IR/Builders.h\"
using namespace mlir;
#define GET_OP_DEFS_@shard@
#include \"tpumlir/@dir@/@name@Ops.cpp.inc\"
")
    set_property(GLOBAL APPEND PROPERTY TPUMLIR_OP_SHARDS ${source})
  endforeach()
  tpumlir_tablegen(${dir} ${td} ${name}Dialect.h.inc -gen-dialect-decls -dialect=${low})
  tpumlir_tablegen(${dir} ${td} ${name}Dialect.cpp.inc -gen-dialect-defs -dialect=${low})
  tpumlir_tablegen(${dir} ${td} ${name}Ops.h.inc -gen-op-decls -op-shard-count=${shards})
  tpumlir_tablegen(${dir} ${td} ${name}Ops.cpp.inc -gen-op-defs -op-shard-count=${shards})
  # In shards there is no GET_OP_LIST; only that is taken from this one.
  tpumlir_tablegen(${dir} ${td} ${name}OpList.inc -gen-op-defs)
  tpumlir_tablegen(${dir} ${name}Enums.td ${name}Enums.h.inc -gen-enum-decls)
  tpumlir_tablegen(${dir} ${name}Enums.td ${name}Enums.cpp.inc -gen-enum-defs)
  tpumlir_tablegen(${dir} ${td} ${name}Attrs.h.inc -gen-attrdef-decls -attrdefs-dialect=${low})
  tpumlir_tablegen(${dir} ${td} ${name}Attrs.cpp.inc -gen-attrdef-defs -attrdefs-dialect=${low})
endfunction()

tpumlir_dialect(dialect/top TopOps.td Top 8)
tpumlir_dialect(dialect/tpu TpuOps.td Tpu 4)
tpumlir_tablegen(dialect/top Recurrent.td Recurrent.h.inc -gen-op-decls)
tpumlir_tablegen(dialect/top Recurrent.td Recurrent.cpp.inc -gen-op-defs)
tpumlir_tablegen(dialect Interfaces.td Interfaces.h.inc -gen-op-interface-decls)
tpumlir_tablegen(dialect Interfaces.td Interfaces.cpp.inc -gen-op-interface-defs)
tpumlir_tablegen(transforms/top TopPasses.td TopPasses.h.inc -gen-pass-decls -name TpumlirTop)
tpumlir_tablegen(transforms/tpu TpuPasses.td TpuPasses.h.inc -gen-pass-decls -name TpumlirTpu)
tpumlir_tablegen(schedule SchedulePasses.td SchedulePasses.h.inc -gen-pass-decls -name TpumlirSchedule)
get_property(tablegen_outputs GLOBAL PROPERTY TPUMLIR_TABLEGEN_OUTPUTS)
add_custom_target(tpumlir_tablegen DEPENDS ${tablegen_outputs})

tpumlir_add_library(tpumlir_kernels DIRS kernels
  LINK tpumlir_support DNNL::dnnl OpenMP::OpenMP_CXX)
# Nobody asks what the processor noted of these loops (kernels/FloatFlags.h looks at oneDNN's code), and nobody reads
# errno: those with choices, roots and roundings are vectorised, with the same results. Not for all of the library:
# maxima of whole rows (Pool.cpp) are vectorised only without.
set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/csrc/tpumlir/kernels/Elementwise.cpp PROPERTIES
  COMPILE_OPTIONS "-fno-trapping-math;-fno-math-errno;$<$<CXX_COMPILER_ID:GNU>:-fno-thread-jumps>")
tpumlir_add_library(tpumlir_dialect MLIR PLAIN
  DIRS dialect dialect/top dialect/tpu dialect/ops
  LINK tpumlir_kernels tpumlir_support MLIRIR MLIRFuncDialect MLIRQuantDialect
       MLIRInferTypeOpInterface MLIRSideEffectInterfaces MLIRTransformUtils)
get_property(op_shards GLOBAL PROPERTY TPUMLIR_OP_SHARDS)
add_library(tpumlir_ops OBJECT ${op_shards})
target_compile_options(tpumlir_ops PRIVATE -fno-rtti -O2)
set_source_files_properties(${op_shards} PROPERTIES COMPILE_OPTIONS -O1)
set_target_properties(tpumlir_ops PROPERTIES TPUMLIR_PLAIN ON)
target_link_libraries(tpumlir_ops PRIVATE tpumlir_kernels)
add_dependencies(tpumlir_ops tpumlir_tablegen)
target_sources(tpumlir_dialect PRIVATE $<TARGET_OBJECTS:tpumlir_ops>)
tpumlir_add_library(tpumlir_interpreter MLIR PLAIN DIRS interpreter LINK tpumlir_dialect)
tpumlir_add_library(tpumlir_transforms MLIR PLAIN
  DIRS transforms/top transforms/tpu
  LINK tpumlir_dialect MLIRPass MLIRTransforms)
set_source_files_properties(
  # They see the namespace tpumlir::isa, which would hide llvm::isa from their
  # neighbours.
  csrc/tpumlir/dialect/tpu/FilterLayout.cpp
  csrc/tpumlir/transforms/tpu/AddressAssign.cpp
  # It uses emit<Op> of every op; in one file with a definition it would have to
  # stand behind it.
  csrc/tpumlir/codegen/Registry.cpp
  PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
tpumlir_add_library(tpumlir_conversion MLIR PLAIN
  DIRS conversion/top_to_tpu LINK tpumlir_dialect tpumlir_transforms MLIRPass MLIRTransformUtils)
tpumlir_add_library(tpumlir_codegen MLIR PLAIN
  DIRS codegen LINK tpumlir_dialect tpumlir_isa)
tpumlir_add_library(tpumlir_schedule MLIR PLAIN
  DIRS schedule LINK tpumlir_dialect tpumlir_codegen MLIRPass)
tpumlir_add_library(tpumlir_api MLIR
  DIRS api LINK tpumlir_transforms tpumlir_conversion tpumlir_codegen tpumlir_schedule
       tpumlir_interpreter MLIRParser MLIRPass MLIRTransforms MLIROptLib)

if(TPUMLIR_BUILD_TOOLS)
  add_executable(tpumlir-opt csrc/tpumlir/tools/tpumlir-opt.cpp)
  target_link_libraries(tpumlir-opt PRIVATE tpumlir_api)
endif()
