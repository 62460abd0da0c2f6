# The compiler half: MLIR and oneDNN. Included by the top CMakeLists.txt.

# Inside a scikit-build-core build (and a virtual environment) the packages lie
# in site-packages; ask that interpreter where.
execute_process(
  COMMAND ${Python_EXECUTABLE} -c
    "import importlib.util as u,pathlib,sys\nfor n in ('mlir','llvm'):\n    s=u.find_spec(n)\n    print(list(s.submodule_search_locations)[0] if s else '')\nprint(sys.prefix)"
  OUTPUT_VARIABLE wheel_dirs OUTPUT_STRIP_TRAILING_WHITESPACE)
string(REPLACE "\n" ";" wheel_dirs "${wheel_dirs}")
foreach(dir ${wheel_dirs})
  list(APPEND CMAKE_PREFIX_PATH ${dir})
endforeach()

find_package(MLIR REQUIRED CONFIG)
if(NOT LLVM_VERSION_MAJOR EQUAL 22)
  message(FATAL_ERROR "expected MLIR 22, got ${LLVM_PACKAGE_VERSION} in ${MLIR_DIR}")
endif()
find_package(dnnl 3.2 REQUIRED CONFIG)

# The wheels' imported target LLVM is the 136 MB shared library; the dialects
# need only its two support archives.
if(TARGET LLVM)
  set_target_properties(LLVM PROPERTIES
    IMPORTED_LOCATION_RELEASE ${LLVM_LIBRARY_DIRS}/libLLVMSupport.a
    IMPORTED_LOCATION ${LLVM_LIBRARY_DIRS}/libLLVMSupport.a
    INTERFACE_LINK_LIBRARIES "${LLVM_LIBRARY_DIRS}/libLLVMDemangle.a;Threads::Threads;dl;m")
endif()

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
  tpumlir_tablegen(${dir} ${td} ${name}Enums.h.inc -gen-enum-decls)
  tpumlir_tablegen(${dir} ${td} ${name}Enums.cpp.inc -gen-enum-defs)
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
get_property(tablegen_outputs GLOBAL PROPERTY TPUMLIR_TABLEGEN_OUTPUTS)
add_custom_target(tpumlir_tablegen DEPENDS ${tablegen_outputs})

find_package(OpenMP REQUIRED COMPONENTS CXX) # oneDNN's own threads, shared by our loops
tpumlir_add_library(tpumlir_kernels DIRS kernels
  LINK tpumlir_support DNNL::dnnl OpenMP::OpenMP_CXX)
tpumlir_add_library(tpumlir_dialect MLIR
  DIRS dialect dialect/top dialect/tpu dialect/ops
  LINK tpumlir_kernels tpumlir_support MLIRIR MLIRFuncDialect MLIRQuantDialect
       MLIRInferTypeOpInterface MLIRSideEffectInterfaces MLIRTransformUtils)
get_property(op_shards GLOBAL PROPERTY TPUMLIR_OP_SHARDS)
target_sources(tpumlir_dialect PRIVATE ${op_shards})
set_source_files_properties(${op_shards} PROPERTIES COMPILE_OPTIONS -O1 SKIP_UNITY_BUILD_INCLUSION ON)
tpumlir_add_library(tpumlir_interpreter MLIR DIRS interpreter LINK tpumlir_dialect)
tpumlir_add_library(tpumlir_transforms MLIR
  DIRS transforms/top transforms/tpu
  LINK tpumlir_dialect MLIRPass MLIRTransforms)
# It sees the namespace tpumlir::isa, which would hide llvm::isa from its neighbours.
set_source_files_properties(csrc/tpumlir/transforms/tpu/AddressAssign.cpp
  # It uses emit<Op> of every op; in one file with a definition it would have to
  # stand behind it.
  csrc/tpumlir/codegen/Registry.cpp
  PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
tpumlir_add_library(tpumlir_conversion MLIR
  DIRS conversion/top_to_tpu LINK tpumlir_dialect tpumlir_transforms MLIRPass MLIRTransformUtils)
tpumlir_add_library(tpumlir_codegen MLIR
  DIRS codegen LINK tpumlir_dialect tpumlir_isa)
tpumlir_add_library(tpumlir_api MLIR
  DIRS api LINK tpumlir_transforms tpumlir_conversion tpumlir_codegen
       tpumlir_interpreter MLIRParser MLIRPass MLIRTransforms MLIROptLib)

if(TPUMLIR_BUILD_TOOLS)
  add_executable(tpumlir-opt csrc/tpumlir/tools/tpumlir-opt.cpp)
  target_link_libraries(tpumlir-opt PRIVATE tpumlir_api)
endif()

foreach(file Ir Interpreter Codegen)
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/csrc/tpumlir/bindings/${file}.cpp)
    list(APPEND binding_sources csrc/tpumlir/bindings/${file}.cpp)
    list(APPEND binding_defs TPUMLIR_HAVE_${file})
  endif()
endforeach()
list(APPEND core_libs tpumlir_api)
