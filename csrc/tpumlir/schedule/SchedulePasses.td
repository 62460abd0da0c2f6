#ifndef TPUMLIR_SCHEDULE_PASSES
#define TPUMLIR_SCHEDULE_PASSES

include "mlir/Pass/PassBase.td"

def FiltersFirst : Pass<"filters-first", "::mlir::ModuleOp"> {
  let summary = "Compute filters before the convolutions begin";
  let description = [{
    Operations that compute filters, biases or factors of convolutions, and read the result of
    none, come before all others. Where they stood they ended every group, since a whole operand
    is computed before its group; without them convolutions that follow each other can keep their
    tensors in local memory. What was computed stays in global memory until it is read.

    Needs: Tpu operations. Keeps: everything but the order.
  }];
}

def TpuGroup : Pass<"tpu-group", "::mlir::ModuleOp"> {
  let summary = "Find operations that share local memory, and how to cut them";
  let description = [{
    Operations that follow each other become a group if the chip then needs less
    time by the model of `isa/Cycles.h`: what they hand on stays in local memory.
    Prices are those of the commands themselves, emitted and not kept. First
    every operation is alone; then the two neighbours that gain most become one,
    as long as any gain; then up to eight at once, where two do not; then
    operations at the borders move to the other side if that gains; the last
    two up to three times. The same module always gets the same groups.

    Needs: Tpu operations in the layouts of the hardware (`weight-reorder`), no
    places yet. Keeps: everything; writes `tpu.group` and `tpu.packed`.
  }];
  let options = [
    Option<"level", "level", "int64_t", /*default=*/"2",
           "effort: 0 takes groups away, 1 joins two neighbours at a time, 2 "
           "also more and moves borders, 3 does all again until nothing "
           "changes">
  ];
}

#endif
