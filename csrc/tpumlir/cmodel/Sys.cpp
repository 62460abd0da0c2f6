#include "tpumlir/cmodel/Exec.h"

namespace tpumlir::cmodel {

void exec(Context &ctx, const isa::Sys &op) {
  switch (isa::SysOp(op.tsk_eu_typ)) {
  case isa::SysOp::End:
  case isa::SysOp::Nop:
    return;
  default:
    execUnmodelled(ctx);
  }
}

} // namespace tpumlir::cmodel
