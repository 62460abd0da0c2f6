# What the compiler half is built on, found: MLIR, LLVM's support library, oneDNN, OpenMP.

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
find_package(OpenMP REQUIRED COMPONENTS CXX) # oneDNN's own threads, shared by our loops

# The wheels' imported target LLVM is the 136 MB shared library; the dialects
# need only its two support archives.
if(TARGET LLVM)
  set_target_properties(LLVM PROPERTIES
    IMPORTED_LOCATION_RELEASE ${LLVM_LIBRARY_DIRS}/libLLVMSupport.a
    IMPORTED_LOCATION ${LLVM_LIBRARY_DIRS}/libLLVMSupport.a
    INTERFACE_LINK_LIBRARIES "${LLVM_LIBRARY_DIRS}/libLLVMDemangle.a;Threads::Threads;dl;m")
endif()
