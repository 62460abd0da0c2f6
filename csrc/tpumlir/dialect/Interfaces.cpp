#include "tpumlir/dialect/Interfaces.h"

#include "tpumlir/dialect/Interfaces.cpp.inc"
