#ifndef TPUMLIR_TPU_OPS
#define TPUMLIR_TPU_OPS

include "tpumlir/dialect/tpu/Activation.td"
include "tpumlir/dialect/tpu/Cast.td"
include "tpumlir/dialect/tpu/Conv.td"
include "tpumlir/dialect/tpu/Elementwise.td"
include "tpumlir/dialect/tpu/Index.td"
include "tpumlir/dialect/tpu/Layout.td"
include "tpumlir/dialect/tpu/MatMul.td"
include "tpumlir/dialect/tpu/Pool.td"
include "tpumlir/dialect/tpu/Quant.td"
include "tpumlir/dialect/tpu/Reduce.td"

#endif
